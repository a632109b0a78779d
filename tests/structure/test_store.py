"""Renders of eight views: ``<root>/<split>/render``, ``render_45``, ..., ``render_315``."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from gcl.structure.store import FOLDERS, TURNS, MissingStructureError, RenderStore


def test_turns_are_all_multiples_of_45_degrees_but_0():
    assert TURNS == (45, 90, 135, 180, 225, 270, 315)
    assert FOLDERS == (
        "render",
        "render_45",
        "render_90",
        "render_135",
        "render_180",
        "render_225",
        "render_270",
        "render_315",
    )


def test_each_turn_is_read_from_its_folder(tmp_path, write_renders):
    """Grey 20 + 30 i in folder i, darker by 20 on the left (see conftest.py)."""
    store = RenderStore(write_renders(tmp_path, ["a.jpg"]), "train")
    for i, turn in enumerate((0, *TURNS)):
        image = store.load("a.jpg", turn)
        assert image.mode == "L"
        assert image.size == (32, 64)
        assert set(np.asarray(image)[:, 16:].flatten()) == {20 + 30 * i}
        assert set(np.asarray(image)[:, :16].flatten()) == {30 * i}
    assert np.array_equal(store.load("a.jpg"), store.load("a.jpg", 0))


def test_colour_renders_become_grey(tmp_path, write_renders):
    root = write_renders(tmp_path, ["a.png"])
    Image.new("RGB", (32, 64), (80, 80, 80)).save(tmp_path / "train" / "render_90" / "a.png")
    image = RenderStore(root, "train").load("a.png", 90)
    assert image.mode == "L"
    assert set(np.asarray(image).flatten()) == {80}


def test_an_image_is_there_when_all_eight_views_are(tmp_path, write_renders):
    root = write_renders(tmp_path, ["a.jpg", "b.jpg"])
    (tmp_path / "train" / "render_315" / "b.jpg").unlink()
    store = RenderStore(root, "train")
    assert "a.jpg" in store
    assert "b.jpg" not in store
    assert "c.jpg" not in store


def test_splits_are_apart(tmp_path, write_renders):
    write_renders(tmp_path, ["a.jpg"])
    root = write_renders(tmp_path, ["b.jpg"], split="test")
    assert "b.jpg" not in RenderStore(root, "train")
    assert "b.jpg" in RenderStore(root, "test")


@pytest.mark.parametrize("view", FOLDERS)
def test_a_missing_view_is_named(tmp_path, write_renders, view):
    root = write_renders(tmp_path, ["a.jpg"])
    shutil.rmtree(tmp_path / "train" / view)
    named = re.escape(str(tmp_path / "train" / view)) + " does not exist"
    with pytest.raises(MissingStructureError, match=f"GCL.STRUCTURE.DIR.*{named}"):
        RenderStore(root, "train")


@pytest.mark.parametrize("content", [b"", b"no picture at all", "cut"])
def test_a_broken_render_is_named(tmp_path, write_renders, content):
    root = write_renders(tmp_path, ["a.jpg"])
    path = tmp_path / "train" / "render_45" / "a.jpg"
    path.write_bytes(path.read_bytes()[:60] if content == "cut" else content)
    with pytest.raises(OSError, match=re.escape(str(path))):
        RenderStore(root, "train").load("a.jpg", 45)


def test_a_missing_render_is_named(tmp_path, write_renders):
    store = RenderStore(write_renders(tmp_path, ["a.jpg"]), "train")
    with pytest.raises(OSError, match=re.escape(str(tmp_path / "train" / "render_45" / "b.jpg"))):
        store.load("b.jpg", 45)
