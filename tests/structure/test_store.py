"""Renders of eight views: ``<root>/<split>/render``, ``render_45``, ..., ``render_315``; and meshes
that are rendered when asked for: ``<root>/<split>/geometry``."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from PIL import Image
from structure.figures import figure

from gcl.structure.geometry import render_views, write_faces, write_geometry
from gcl.structure.store import (
    FOLDERS,
    TURNS,
    GeometryStore,
    MissingStructureError,
    RenderStore,
    open_store,
    render_size,
    write_renders,
)


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


# ---- writing
@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "JPEG"), ("a.png", "PNG"), ("a.x", "PNG")])
def test_written_renders_are_read_back(tmp_path, name, kind):
    for folder in FOLDERS:
        (tmp_path / "train" / folder).mkdir(parents=True)
    views = render_views(figure(), (0, *TURNS), (64, 32))
    store = RenderStore(str(tmp_path), "train")
    write_renders(str(tmp_path / "train"), name, views)
    assert name in store
    for turn, view in zip((0, *TURNS), views, strict=True):
        difference = np.abs(np.asarray(store.load(name, turn), int) - np.asarray(view, int))
        assert difference.max() <= (40 if kind == "JPEG" else 0) and difference.mean() < 3
    with Image.open(tmp_path / "train" / "render_45" / name) as image:
        assert (image.format, image.mode, image.size) == (kind, "L", (32, 64))


def test_eight_views_are_needed(tmp_path):
    with pytest.raises(ValueError):
        write_renders(str(tmp_path), "a.jpg", [])


# ---- meshes
@pytest.fixture
def meshes(tmp_path):
    """A folder with the mesh of a.jpg and the faces beside it."""
    folder = tmp_path / "train" / "geometry"
    folder.mkdir(parents=True)
    write_faces(str(folder), figure().faces)
    write_geometry(str(folder / "a.npz"), figure(), figure().faces)
    return folder


def test_a_mesh_is_rendered_as_its_render_was_written(tmp_path, meshes):
    """Two ways to one picture: from disk, and when asked for."""
    for folder in FOLDERS:
        (tmp_path / "train" / folder).mkdir(parents=True)
    views = render_views(figure(), (0, *TURNS), (64, 24))
    write_renders(str(tmp_path / "train"), "a.png", views)
    on_disk = open_store(str(tmp_path), "train", "renders")
    drawn = open_store(str(tmp_path), "train", "geometry", height=64)
    assert isinstance(on_disk, RenderStore) and isinstance(drawn, GeometryStore)
    for turn in (0, *TURNS):
        a, b = (np.asarray(s.load("a.png", turn, 24 / 64), int) for s in (on_disk, drawn))
        assert a.shape == b.shape == (64, 24)
        assert np.array_equal(a, b)


def test_a_mesh_takes_any_yaw_and_the_shape_of_its_crop(tmp_path, meshes):
    store = GeometryStore(str(tmp_path), "train", height=40)
    assert store.load("a.jpg", 33.3, aspect=0.375).size == (15, 40)
    first, second = store.load_views("a.jpg", (10, 20))
    assert not np.array_equal(first, second)
    assert np.array_equal(store.load("a.jpg", 370), first)
    assert render_size(128, 64 / 128) == (128, 64) and render_size(10, 0.001) == (10, 1)


def test_a_mesh_is_found_by_the_stem_of_the_image(tmp_path, meshes):
    store = GeometryStore(str(tmp_path), "train")
    assert "a.jpg" in store and "a.png" in store
    assert "b.jpg" not in store and "faces.jpg" not in store


def test_missing_and_broken_meshes_are_named(tmp_path, meshes):
    with pytest.raises(MissingStructureError, match="test.geometry does not exist.*prepare_st"):
        GeometryStore(str(tmp_path), "test")
    store = GeometryStore(str(tmp_path), "train")
    with pytest.raises(OSError, match=re.escape(str(meshes / "b.npz"))):
        store.load("b.jpg")
    (meshes / "a.npz").write_bytes(b"broken")
    with pytest.raises(OSError, match=re.escape(str(meshes / "a.npz"))):
        store.load("a.jpg")
    (meshes / "faces.npy").write_bytes(b"broken")
    with pytest.raises(OSError, match=re.escape(str(meshes / "faces.npy"))):
        GeometryStore(str(tmp_path), "train")
