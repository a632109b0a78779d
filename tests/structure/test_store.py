"""Renders of eight views, in one file a crop, ``<root>/<split>/renders``, or in a folder a view,
``render``, ``render_45``, ..., ``render_315``; and meshes that are rendered when asked for:
``<root>/<split>/geometry``."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from PIL import Image
from structure.figures import PUBLISHED, figure, write_pictures

from gcl.structure.crop_keys import crop_keys
from gcl.structure.geometry import render_views, write_faces, write_geometry
from gcl.structure.render_files import write_renders
from gcl.structure.store import (
    FOLDERS,
    TURNS,
    GeometryStore,
    MissingStructureError,
    RenderStore,
    open_store,
    render_size,
)

ABC = {name: name for name in ("a.jpg", "b.jpg", "c.jpg", "a.png", "a.x", "faces.jpg")}
"""Crops of no data set, whose keys are their names."""


def test_turns_are_all_multiples_of_45_degrees_but_0():
    assert TURNS == (45, 90, 135, 180, 225, 270, 315)
    assert FOLDERS == PUBLISHED


def test_each_turn_is_read_from_its_folder(tmp_path, write_renders):
    """Grey 20 + 30 i in folder i, darker by 20 on the left (see conftest.py)."""
    store = RenderStore(write_renders(tmp_path, ["a.jpg"]), "train", ABC)
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
    image = RenderStore(root, "train", ABC).load("a.png", 90)
    assert image.mode == "L"
    assert set(np.asarray(image).flatten()) == {80}


def test_an_image_is_there_when_all_eight_views_are(tmp_path, write_renders):
    root = write_renders(tmp_path, ["a.jpg", "b.jpg"])
    (tmp_path / "train" / "render_315" / "b.jpg").unlink()
    store = RenderStore(root, "train", ABC)
    assert "a.jpg" in store
    assert "b.jpg" not in store
    assert "c.jpg" not in store


def test_splits_are_apart(tmp_path, write_renders):
    write_renders(tmp_path, ["a.jpg"])
    root = write_renders(tmp_path, ["b.jpg"], split="test")
    assert "b.jpg" not in RenderStore(root, "train", ABC)
    assert "b.jpg" in RenderStore(root, "test", ABC)


@pytest.mark.parametrize("view", FOLDERS)
def test_a_missing_view_is_named(tmp_path, write_renders, view):
    root = write_renders(tmp_path, ["a.jpg"])
    shutil.rmtree(tmp_path / "train" / view)
    named = re.escape(str(tmp_path / "train" / view)) + " does not exist"
    with pytest.raises(MissingStructureError, match=f"GCL.STRUCTURE.DIR.*{named}"):
        RenderStore(root, "train", ABC)


def test_a_split_without_renders_says_where_they_would_be(tmp_path):
    named = re.escape(str(tmp_path / "train" / "renders")) + " does not exist; .*render_315"
    with pytest.raises(MissingStructureError, match=f"GCL.STRUCTURE.DIR: {named}"):
        RenderStore(str(tmp_path), "train", ABC)


@pytest.mark.parametrize("content", [b"", b"no picture at all", "cut"])
def test_a_broken_render_is_named(tmp_path, write_renders, content):
    root = write_renders(tmp_path, ["a.jpg"])
    path = tmp_path / "train" / "render_45" / "a.jpg"
    path.write_bytes(path.read_bytes()[:60] if content == "cut" else content)
    with pytest.raises(OSError, match=re.escape(str(path))):
        RenderStore(root, "train", ABC).load("a.jpg", 45)


def test_a_missing_render_is_named(tmp_path, write_renders):
    store = RenderStore(write_renders(tmp_path, ["a.jpg"]), "train", ABC)
    path = tmp_path / "train" / "renders" / "b.jpg.tif"  # as it would be written
    with pytest.raises(OSError, match=re.escape(str(path))):
        store.load("b.jpg", 45)


# ---- one file a crop
def views_in(tmp_path, name: str, greys: range) -> None:
    (tmp_path / "train" / "renders").mkdir(parents=True, exist_ok=True)
    write_renders(str(tmp_path / "train"), name, [Image.new("L", (8, 16), g) for g in greys])


def test_one_file_gives_the_pixels_of_eight(tmp_path):
    """The same views in both layouts, JPEG's losses aside: bit for bit."""
    views = render_views(figure(), (0, *TURNS), (64, 24))
    (tmp_path / "one" / "train" / "renders").mkdir(parents=True)
    write_renders(str(tmp_path / "one" / "train"), "a.jpg", views)
    write_pictures(str(tmp_path / "eight" / "train"), "a.jpg", views)
    one, eight = (RenderStore(str(tmp_path / s), "train", ABC) for s in ("one", "eight"))
    for turns in ((0, 225), (225, 0), (90,), (45, 45), (0, *TURNS)):
        for a, b in zip(
            one.load_views("a.jpg", turns), eight.load_views("a.jpg", turns), strict=True
        ):
            assert a.mode == b.mode == "L" and np.array_equal(a, b)
    own, turned = one.load_views("a.jpg", (0, 225))
    assert np.array_equal(own, views[0]) and np.array_equal(turned, views[5])
    assert "a.jpg" in one and "b.jpg" not in one
    split = str(tmp_path / "one" / "train")
    assert one.files("a.jpg") == {f"{split}/renders/a.jpg.tif": (0, *TURNS)}
    assert one.files("b.jpg") == {f"{split}/renders/b.jpg.tif": (0, *TURNS)}
    split = str(tmp_path / "eight" / "train")
    named = zip(FOLDERS, (0, *TURNS), strict=True)
    assert eight.files("a.jpg") == {f"{split}/{folder}/a.jpg": (turn,) for folder, turn in named}


def test_both_layouts_in_one_split(tmp_path, write_renders):
    """The crop with both has its one file, the others what they have."""
    root = write_renders(tmp_path, ["a.jpg", "b.jpg"])
    views_in(tmp_path, "b.jpg", range(101, 109))
    views_in(tmp_path, "c.jpg", range(201, 209))
    store = RenderStore(root, "train", ABC)
    assert [crop for crop in ABC if crop in store] == ["a.jpg", "b.jpg", "c.jpg"]
    greys = [store.load(crop, 45).getpixel((7, 0)) for crop in ("b.jpg", "c.jpg")]
    assert greys == [102, 202] and store.load("a.jpg", 45).getpixel((31, 0)) == 50


def test_a_crop_s_own_pictures_go_before_another_s_file(tmp_path):
    """One of the folder's name may have been made of other pixels."""
    path = "/d/shop/cam1/1.jpg"
    views_of(tmp_path, ["Shop/cam1/1.jpg"], 30)
    (tmp_path / "train" / "renders" / "cam1").mkdir(parents=True)
    views_in(tmp_path, "cam1/1.jpg", range(8))
    store = RenderStore(str(tmp_path), "train", {path: "Shop/cam1/1.jpg"})
    assert grey_of(store, path) == 30
    shutil.rmtree(tmp_path / "train" / "render" / "Shop")
    for folder in FOLDERS[1:]:
        shutil.rmtree(tmp_path / "train" / folder)
    store = RenderStore(str(tmp_path), "train", {path: "Shop/cam1/1.jpg"})
    assert path in store and grey_of(store, path) == 2
    crops = {path: "Shop/cam1/1.jpg", "/d/mall/cam1/1.jpg": "Mall/cam1/1.jpg"}
    with pytest.raises(MissingStructureError, match="cam1/1.jpg.tif would be the structure of two"):
        RenderStore(str(tmp_path), "train", crops)


# ---- meshes
@pytest.fixture
def meshes(tmp_path):
    """A folder with the mesh of a.png and the faces beside it."""
    folder = tmp_path / "train" / "geometry"
    folder.mkdir(parents=True)
    write_faces(str(folder), figure().faces)
    write_geometry(str(folder / "a.png.npz"), figure(), figure().faces)
    return folder


def test_a_mesh_is_rendered_as_its_render_was_written(tmp_path, meshes):
    """Two ways to one picture: from disk, and when asked for."""
    (tmp_path / "train" / "renders").mkdir()
    views = render_views(figure(), (0, *TURNS), (64, 24))
    write_renders(str(tmp_path / "train"), "a.png", views)
    on_disk = open_store(str(tmp_path), "train", "renders", ABC)
    drawn = open_store(str(tmp_path), "train", "geometry", ABC, height=64)
    assert isinstance(on_disk, RenderStore) and isinstance(drawn, GeometryStore)
    for turn in (0, *TURNS):
        a, b = (np.asarray(s.load("a.png", turn, 24 / 64), int) for s in (on_disk, drawn))
        assert a.shape == b.shape == (64, 24)
        assert np.array_equal(a, b)


def test_a_mesh_takes_any_yaw_and_the_shape_of_its_crop(tmp_path, meshes):
    store = GeometryStore(str(tmp_path), "train", ABC, height=40)
    assert store.load("a.png", 33.3, aspect=0.375).size == (15, 40)
    first, second = store.load_views("a.png", (10, 20))
    assert not np.array_equal(first, second)
    assert np.array_equal(store.load("a.png", 370), first)
    assert render_size(128, 64 / 128) == (128, 64) and render_size(10, 0.001) == (10, 1)


def test_a_mesh_is_found_by_the_whole_name_of_its_crop(tmp_path, meshes):
    store = GeometryStore(str(tmp_path), "train", ABC)
    assert [crop for crop in ABC if crop in store] == ["a.png"]


def test_missing_and_broken_meshes_are_named(tmp_path, meshes):
    with pytest.raises(MissingStructureError, match="test.geometry does not exist.*prepare_st"):
        GeometryStore(str(tmp_path), "test", ABC)
    store = GeometryStore(str(tmp_path), "train", ABC)
    with pytest.raises(OSError, match=re.escape(str(meshes / "b.jpg.npz"))):
        store.load("b.jpg")
    (meshes / "a.png.npz").write_bytes(b"broken")
    with pytest.raises(OSError, match=re.escape(str(meshes / "a.png.npz"))):
        store.load("a.png")
    (meshes / "faces.npy").write_bytes(b"broken")
    with pytest.raises(OSError, match=re.escape(str(meshes / "faces.npy"))):
        GeometryStore(str(tmp_path), "train", ABC)


# ---- whose structure it is
def views_of(root, names: list[str], grey: int) -> None:
    """Renders of one grey value under ``names`` of the training split."""
    for name in names:
        write_pictures(str(root / "train"), name, [Image.new("L", (8, 16), grey)] * 8)


def grey_of(store, crop: str) -> int:
    return store.load(crop, 90).getpixel((0, 0))


def test_the_authors_flat_folders_serve_data_sets_of_different_names(tmp_path):
    """train/render/<name> ... of Market-1501 and DukeMTMC, as they can be downloaded."""
    crops = {
        "/d/Market-1501-v15.09.15/bounding_box_train/0002_c1s1_000451_03.jpg": 10,
        "/d/DukeMTMC-reID/bounding_box_train/0001_c2_f0046182.jpg": 20,
    }
    for path, grey in crops.items():
        views_of(tmp_path, [path.rsplit("/", 1)[1]], grey)
    market, duke = crops
    keys = crop_keys("Market1501", "/d/Market-1501-v15.09.15", [market])
    store = RenderStore(str(tmp_path), "train", keys | crop_keys("DukeMTMC", "/d", [duke]))
    assert all(crop in store and grey_of(store, crop) == grey for crop, grey in crops.items())


def test_two_crops_never_share_a_flat_structure(tmp_path):
    """Even when one of them has its own by now: the flat one may have been made for that."""
    crops = crop_keys("A", "/d/a", ["/d/a/x/1.jpg"]) | crop_keys("B", "/d/b", ["/d/b/x/1.jpg"])
    views_of(tmp_path, ["1.jpg"], 50)
    for _ in range(2):
        message = f"{tmp_path}.train.render.: 1.jpg would be .* A/x/1.jpg and B/x/1.jpg: .*prepare_"
        with pytest.raises(MissingStructureError, match=message) as error:
            RenderStore(str(tmp_path), "train", crops)
        assert f"--out {tmp_path}," in str(error.value) and "\n" not in str(error.value)
        views_of(tmp_path, ["A/x/1.jpg"], 10)
    views_of(tmp_path, ["B/x/1.jpg"], 20)
    store = RenderStore(str(tmp_path), "train", crops)
    assert [grey_of(store, crop) for crop in crops] == [10, 20]
    # either data set alone has nobody to share with
    for path, key in crops.items():
        assert path in RenderStore(str(tmp_path), "train", {path: key})


def test_a_flat_mesh_is_of_one_crop_whatever_its_suffix(tmp_path):
    folder = tmp_path / "train" / "geometry"
    folder.mkdir(parents=True)
    write_geometry(str(folder / "1.npz"), figure())
    crops = {f"/d/x/1.{suffix}": f"X/1.{suffix}" for suffix in ("jpg", "png")}
    for path, key in crops.items():
        assert path in GeometryStore(str(tmp_path), "train", {path: key})
    message = "1.npz would be the structure of two crops, X/1.jpg and X/1.png: "
    with pytest.raises(MissingStructureError, match=message):
        GeometryStore(str(tmp_path), "train", crops)
    (folder / "X").mkdir()
    for key in crops.values():
        write_geometry(str(folder / f"{key}.npz"), figure())
    store = GeometryStore(str(tmp_path), "train", crops)
    assert all(path in store for path in crops)
    assert {store.name_of(path) for path in crops} == {"X/1.jpg.npz", "X/1.png.npz"}


def test_what_was_made_for_a_folder_serves_the_data_set_that_lists_it(tmp_path):
    path = "/d/Market-1501-v15.09.15/bounding_box_train/1.jpg"
    views_of(tmp_path, ["bounding_box_train/1.jpg"], 30)
    views_of(tmp_path, ["1.jpg"], 99)  # the longer name says more
    keys = crop_keys("Market1501", "/d/Market-1501-v15.09.15", [path])
    store = RenderStore(str(tmp_path), "train", keys)
    assert path in store and grey_of(store, path) == 30
