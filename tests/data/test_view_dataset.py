"""Items of the training set: keys, shapes, ranges; turns; errors that name the file."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from structure.figures import figure

from gcl.data.track_mates import TrackMates
from gcl.data.view_dataset import ViewDataset, with_structure
from gcl.photographs import PhotographError
from gcl.structure.geometry import render_views, write_geometry
from gcl.structure.render_files import write_renders
from gcl.structure.store import (
    FOLDERS,
    TURNS,
    GeometryStore,
    MissingStructureError,
    RenderStore,
)

SIZE = (64, 32)


@pytest.fixture
def items(tmp_path, write_crop) -> list[tuple[str, int]]:
    return [(write_crop(tmp_path / f"000{i}_c{i + 1}.png", seed=i), i) for i in range(3)]


@pytest.fixture
def store(tmp_path, write_renders, items) -> RenderStore:
    root = write_renders(tmp_path / "meshes", [p.split("/")[-1] for p, _ in items])
    return RenderStore(root, "train", keys(items))


def keys(items: list[tuple[str, int]]) -> dict[str, str]:
    """Of crops in one folder, of which no two have the same name."""
    return {path: path.split("/")[-1] for path, _ in items}


def view_number(structure: torch.Tensor) -> int:
    """Which folder a render of conftest.py came from: grey = 20 + 30 i on its brighter half."""
    return round((structure.max().item() * 255 - 20) / 30)


def test_an_item_without_structures(items):
    item = ViewDataset(items, SIZE)[1]
    assert set(item) == {"images", "targets", "camids", "img_paths", "indices"}
    assert (item["targets"], item["camids"], item["img_paths"], item["indices"]) == (
        -1,
        1,
        items[1][0],
        1,
    )
    # 0-255, not normalised, RGB in that order
    pixels = np.asarray(Image.open(items[1][0])).transpose(2, 0, 1)
    assert item["images"].dtype == torch.float32
    assert np.array_equal(item["images"].numpy(), pixels)


def test_an_item_with_structures(items, store):
    item = ViewDataset(items, SIZE, structures=store)[2]
    assert set(item) == {
        "images",
        "targets",
        "camids",
        "img_paths",
        "indices",
        "structure_ori",
        "structure_new",
    }
    for key in ("structure_ori", "structure_new"):
        assert item[key].shape == (1, *SIZE)
        assert item[key].dtype == torch.float32
        assert 0 <= item[key].min() < item[key].max() <= 1
    # own view: folder 0: grey 0 on the left, 20 / 255 on the right
    assert set(item["structure_ori"][:, :, :16].flatten().tolist()) == {0.0}
    torch.testing.assert_close(item["structure_ori"][:, :, 16:], torch.full((1, 64, 16), 20 / 255))


def test_sizes_of_crop_and_structure_are_independent(items, store):
    item = ViewDataset(items, (48, 24), structures=store, structure_size=(16, 8))[0]
    assert item["images"].shape == (3, 48, 24)
    assert 0 <= item["images"].min() < item["images"].max() <= 255
    assert item["structure_ori"].shape == item["structure_new"].shape == (1, 16, 8)


def test_all_seven_turns_are_drawn_uniformly(items, store):
    torch.manual_seed(0)
    dataset = ViewDataset(items[:1], (8, 4), structures=store)
    draws = 280
    counts = Counter(view_number(dataset[0]["structure_new"]) for _ in range(draws))
    assert set(counts) == set(range(1, 8))  # the own view never, 315 degrees too
    assert FOLDERS[7] == "render_315"
    expected = draws / 7
    # 6 degrees of freedom: p = 0.001
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 22.5


def test_views_are_the_own_one_and_the_seven_turns_in_order(items, store):
    views = ViewDataset(items, SIZE, structures=store, structure_size=(16, 8)).views(0)
    assert views.shape == (8, 1, 16, 8)
    assert [view_number(v) for v in views] == list(range(8))
    assert len(TURNS) == 7


def test_transform_and_augment_see_the_crop(items, store):
    def negative(image: Image.Image) -> torch.Tensor:
        return 255 - torch.from_numpy(np.array(image)).permute(2, 0, 1).float()

    pixels = ViewDataset(items, SIZE)[0]["images"]
    contrast = ViewDataset(items, SIZE, transform=negative)[0]
    assert torch.equal(contrast["images"], 255 - pixels)
    joint = ViewDataset(items, SIZE, structures=store, augment=negative)[0]
    assert torch.equal(joint["images_aug"], 255 - pixels)
    assert torch.equal(joint["images"], pixels)  # the generator's are not augmented


def test_another_crop_of_the_track_comes_along(items):
    """Of the crops 0 and 2, resized, and mirrored or not; of crop 1, in no track, it is its own."""
    torch.manual_seed(0)
    mates = TrackMates([4, -1, 4])
    dataset = ViewDataset(items, SIZE, transform=lambda image: "toolbox", mates=mates)
    for index, other in ((0, 2), (1, 1), (2, 0)):
        pixels = torch.from_numpy(np.asarray(Image.open(items[other][0])).transpose(2, 0, 1).copy())
        found = [dataset[index] for _ in range(12)]
        assert {item["images"] for item in found} == {"toolbox"}
        mirrored = [torch.equal(item["images_mate"], pixels.flip(2).float()) for item in found]
        straight = [torch.equal(item["images_mate"], pixels.float()) for item in found]
        assert all(a != b for a, b in zip(mirrored, straight, strict=True))
        assert any(mirrored) and any(straight)
    assert "images_mate" not in ViewDataset(items, SIZE, transform=lambda image: "toolbox")[0]


def test_grey_and_transparent_pictures_become_rgb(tmp_path, write_crop):
    path = write_crop(tmp_path / "grey.png", mode="L")
    assert ViewDataset([(path, 0)], SIZE)[0]["images"].shape == (3, *SIZE)
    Image.new("RGBA", (32, 64), (9, 8, 7, 100)).save(tmp_path / "rgba.png")
    image = ViewDataset([(str(tmp_path / "rgba.png"), 0)], SIZE)[0]["images"]
    assert image[:, 0, 0].tolist() == [9, 8, 7]


@pytest.mark.parametrize("content", [b"", b"no picture", "cut", None])
def test_a_broken_or_missing_crop_is_named(tmp_path, write_crop, content):
    path = tmp_path / "0001_c1.jpg"
    write_crop(path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:300] if content == "cut" else content)
    with pytest.raises(PhotographError, match=f"image {re.escape(str(path))} can not be read"):
        ViewDataset([(str(path), 0)], SIZE)[0]


def test_a_broken_render_is_named(tmp_path, items, store):
    path = tmp_path / "meshes" / "train" / "render" / "0001_c2.png"
    path.write_bytes(b"no picture")
    with pytest.raises(OSError, match=f"structure render {re.escape(str(path))} can not be read"):
        ViewDataset(items, SIZE, structures=store)[1]


# ---- crops without renders
def seven(tmp_path) -> list[tuple[str, int]]:
    return [(str(tmp_path / f"img_{i}.jpg"), 0) for i in range(9)]


def test_missing_structures_are_counted_and_the_first_five_named(tmp_path, write_renders):
    root = write_renders(tmp_path, ["img_2.jpg", "img_4.jpg"])
    store = RenderStore(root, "train", keys(seven(tmp_path)))
    with pytest.raises(MissingStructureError) as error:
        with_structure(seven(tmp_path), store, "error")
    message = str(error.value)
    assert "7 of 9 images" in message
    named = re.findall(r"img_\d\.jpg", message)
    assert named == [f"img_{i}.jpg" for i in (0, 1, 3, 5, 6)]
    assert "GCL.STRUCTURE.MISSING skip" in message


def test_skip_leaves_them_out(tmp_path, write_renders):
    root = write_renders(tmp_path, ["img_2.jpg", "img_4.jpg"])
    store = RenderStore(root, "train", keys(seven(tmp_path)))
    assert with_structure(seven(tmp_path), store, "skip") == [2, 4]


@pytest.mark.parametrize("missing", ["error", "skip"])
def test_no_structure_at_all_is_an_error_either_way(tmp_path, write_renders, missing):
    root = write_renders(tmp_path, ["other.jpg"])
    store = RenderStore(root, "train", keys(seven(tmp_path)))
    with pytest.raises(MissingStructureError, match="9 of 9"):
        with_structure(seven(tmp_path), store, missing)


@pytest.mark.parametrize("missing", ["error", "skip"])
def test_all_structures_there(tmp_path, write_renders, missing):
    items = seven(tmp_path)
    root = write_renders(tmp_path, [p.split("/")[-1] for p, _ in items])
    store = RenderStore(root, "train", keys(items))
    assert with_structure(items, store, missing) == list(range(9))


# ---- structures rendered when they are asked for
@pytest.fixture
def meshes(tmp_path, items) -> GeometryStore:
    folder = tmp_path / "meshes" / "train" / "geometry"
    folder.mkdir(parents=True)
    for path, _ in items:
        write_geometry(str(folder / f"{path.split('/')[-1]}.npz"), figure())
    return GeometryStore(str(tmp_path / "meshes"), "train", keys(items), height=SIZE[0])


def test_rendered_meshes_serve_as_files_do(tmp_path, items, meshes):
    """The same batch from meshes and from the files that were rendered from them."""
    (tmp_path / "files" / "train" / "renders").mkdir(parents=True)
    for path, _ in items:
        views = render_views(figure(), (0, *TURNS), SIZE)
        write_renders(str(tmp_path / "files" / "train"), path.split("/")[-1], views)
    files = RenderStore(str(tmp_path / "files"), "train", keys(items))
    drawn, read = (ViewDataset(items, SIZE, structures=s) for s in (meshes, files))
    for i in range(3):
        torch.manual_seed(i)
        a = drawn[i]
        torch.manual_seed(i)
        b = read[i]
        assert set(a) == set(b)
        for key in ("images", "structure_ori", "structure_new"):
            assert torch.equal(a[key], b[key])
    assert torch.equal(drawn.views(1), read.views(1))


def test_meshes_are_drawn_at_the_seven_turns(items, meshes):
    dataset = ViewDataset(items, SIZE, structures=meshes)
    views = dataset.views(0)[1:]
    torch.manual_seed(0)
    drawn = [dataset[0]["structure_new"] for _ in range(40)]
    found = {next(t for t, v in zip(TURNS, views, strict=True) if torch.equal(v, d)) for d in drawn}
    assert found == set(TURNS)


def test_a_mesh_has_the_shape_of_its_crop(tmp_path, meshes):
    """A crop of 20 x 80 becomes 32 x 64, and so does its mesh, which is drawn at 16 x 64 first."""
    path = tmp_path / "0000_c1.png"
    Image.new("RGB", (20, 80)).save(path)
    structure = ViewDataset([(str(path), 0)], SIZE, structures=meshes).views(0)[0, 0]
    (expected,) = render_views(figure(), (0,), (64, 16))
    expected = np.asarray(expected.resize((32, 64), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(structure, expected, atol=1e-6)


def test_a_broken_mesh_is_named(tmp_path, items, meshes):
    path = tmp_path / "meshes" / "train" / "geometry" / "0001_c2.png.npz"
    path.write_bytes(b"no mesh")
    with pytest.raises(OSError, match=f"geometry {re.escape(str(path))} can not be used"):
        ViewDataset(items, SIZE, structures=meshes)[1]


def test_missing_meshes_are_counted(tmp_path, items, meshes):
    items = [*items[:2], (str(tmp_path / "other.jpg"), 0)]
    meshes = GeometryStore(str(tmp_path / "meshes"), "train", keys(items))
    with pytest.raises(MissingStructureError, match="1 of 3 .*geometry, the first: other.jpg"):
        with_structure(items, meshes, "error")
    assert with_structure(items, meshes, "skip") == [0, 1]
