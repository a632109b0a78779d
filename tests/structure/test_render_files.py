"""The one file of a crop's renders: written whole, read view by view, damage named."""

from __future__ import annotations

import io
import os
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from structure.figures import PUBLISHED, write_pictures

from gcl.structure.render_files import (
    FOLDERS,
    MOST,
    TURNS,
    names_in,
    read_renders,
    render_path,
    renders_whole,
    write_renders,
)

ALL = (0, *TURNS)


@pytest.fixture
def views() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (16, 8), np.uint8)) for _ in ALL]


@pytest.fixture
def train(tmp_path) -> str:
    os.makedirs(tmp_path / "train" / "renders" / "A")
    return str(tmp_path / "train")


def test_written_views_come_back_bit_for_bit(train, views):
    write_renders(train, "A/a.jpg", views)
    path = f"{train}/renders/A/a.jpg.npz"
    for turns in (ALL, (0, 135), (135, 0), (45, 45)):
        found = read_renders(path, turns)
        assert [view.mode for view in found] == ["L"] * len(turns)
        for view, turn in zip(found, turns, strict=True):
            assert np.array_equal(view, views[turn // 45])
    assert os.listdir(f"{train}/renders/A") == ["a.jpg.npz"]  # nothing else is left there
    with np.load(path) as arrays:  # what other programs read
        assert list(arrays) == list(PUBLISHED) == list(FOLDERS)
        assert all(a.dtype == np.uint8 and a.shape == (16, 8) for a in arrays.values())


def test_reading_a_view_unpacks_no_other(train, views):
    """Whatever stands in the others, as two of eight are read in a step."""
    write_renders(train, "A/a.jpg", views)
    path = f"{train}/renders/A/a.jpg.npz"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part if name in ("render.npy", "render_90.npy") else b"broken")
    own, turned = read_renders(path, (0, 90))
    assert np.array_equal(own, views[0]) and np.array_equal(turned, views[2])
    with pytest.raises(OSError, match="a.jpg.npz can not be read"):
        read_renders(path, (0, 45))
    assert not renders_whole(train, "A/a.jpg")


def test_the_file_is_smaller_than_its_pixels(train):
    write_renders(train, "A/a.jpg", [Image.new("L", (64, 128))] * 8)
    assert os.path.getsize(f"{train}/renders/A/a.jpg.npz") < 8 * 64 * 128 / 10


@pytest.mark.parametrize("count", [0, 7, 9])
def test_eight_views_are_needed(train, views, count):
    with pytest.raises(ValueError):
        write_renders(train, "A/a.jpg", (views * 2)[:count])
    assert os.listdir(f"{train}/renders/A") == []


GREY = np.zeros((16, 8), np.uint8)
DAMAGE = {
    "colour": np.zeros((16, 8, 3), np.uint8),
    "float": np.zeros((16, 8), np.float32),
    "empty": np.zeros((0, 8), np.uint8),
    "no array": np.array([{}], object),
    "lacking": None,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_view_that_is_none_is_named(train, kind):
    arrays = {view: GREY for view in FOLDERS} | {"render_90": DAMAGE[kind]}
    path = f"{train}/renders/A/a.jpg.npz"
    np.savez(path, **{view: array for view, array in arrays.items() if array is not None})
    sentence = f"^structure renders {re.escape(path)} can not be read \\(.*: render them again.$"
    with pytest.raises(OSError, match=sentence):
        read_renders(path, (0, 90))
    assert not renders_whole(train, "A/a.jpg")
    assert np.array_equal(read_renders(path, (0,))[0], GREY)


def test_missing_cut_and_huge_files_are_named(train, views):
    path = f"{train}/renders/A/a.jpg.npz"
    with pytest.raises(OSError, match=re.escape(path)):
        read_renders(path, (0,))
    write_renders(train, "A/a.jpg", views)
    assert renders_whole(train, "A/a.jpg")
    for size in (os.path.getsize(path) - 1, 100, 0):
        os.truncate(path, size)
        with pytest.raises(OSError, match=re.escape(path)):
            read_renders(path, (0,))
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        huge, {"descr": "|u1", "fortran_order": False, "shape": (9 * MOST, 1)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("render.npy", huge.getvalue())
    with pytest.raises(OSError, match="more than"):
        read_renders(path, (0,))


# ---- both layouts
def test_names_and_wholeness_of_both_layouts(train, views):
    write_renders(train, "A/a.jpg", views)
    write_pictures(train, "b.jpg", views)
    write_pictures(train, "c.jpg", views)
    os.remove(render_path(train, "c.jpg", 90))
    assert names_in(train) == {"A/a.jpg", "b.jpg"}
    assert [renders_whole(train, n) for n in ("A/a.jpg", "b.jpg", "c.jpg")] == [True, True, False]
    os.truncate(render_path(train, "b.jpg", 315), 40)
    assert not renders_whole(train, "b.jpg")
    # a damaged file is not made good by pictures beside it: reading takes the file
    write_pictures(train, "A/a.jpg", views)
    os.truncate(f"{train}/renders/A/a.jpg.npz", 40)
    assert not renders_whole(train, "A/a.jpg")
