"""The one file of a crop's renders, and the eight pictures of the published layout."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from PIL import Image
from structure.figures import PUBLISHED, write_pictures

from gcl.structure.render_files import (
    FOLDERS,
    TURNS,
    names_in,
    read_renders,
    render_path,
    renders_whole,
    write_renders,
)


@pytest.fixture
def views() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (16, 8), np.uint8)) for _ in (0, *TURNS)]


@pytest.fixture
def train(tmp_path) -> str:
    os.makedirs(tmp_path / "train" / "renders" / "A")
    return str(tmp_path / "train")


def test_written_views_are_found_by_their_turns(train, views):
    assert FOLDERS == PUBLISHED
    write_renders(train, "A/a.jpg", views)
    for turns in ((0, *TURNS), (0, 135), (135, 0), (45, 45)):
        found = read_renders(f"{train}/renders/A/a.jpg.tif", turns)
        for view, turn in zip(found, turns, strict=True):
            assert np.array_equal(view, views[turn // 45])
    assert os.listdir(f"{train}/renders/A") == ["a.jpg.tif"]  # nothing else is left there


@pytest.mark.parametrize("count", [0, 7, 9])
def test_nothing_is_written_of_other_than_eight_views(train, views, count):
    with pytest.raises(ValueError):
        write_renders(train, "A/a.jpg", (views * 2)[:count])
    assert os.listdir(f"{train}/renders/A") == []


def test_missing_and_damaged_files_are_named(train, views):
    path = f"{train}/renders/A/a.jpg.tif"
    sentence = f"^structure renders {re.escape(path)} can not be read \\(.*: render them again.$"
    with pytest.raises(OSError, match=sentence):
        read_renders(path, (0,))
    write_renders(train, "A/a.jpg", views)
    assert renders_whole(train, "A/a.jpg")
    for size in (os.path.getsize(path) - 1, 100, 0):
        os.truncate(path, size)
        assert not renders_whole(train, "A/a.jpg")
        with pytest.raises(OSError, match=sentence):
            read_renders(path, (0, 315))


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
    os.truncate(f"{train}/renders/A/a.jpg.tif", 40)
    assert not renders_whole(train, "A/a.jpg")
