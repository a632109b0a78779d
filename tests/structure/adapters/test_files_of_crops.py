"""A crop gets the files that are its own, and never another crop's."""

from __future__ import annotations

import os

import pytest

from gcl.structure.adapters.files_of_crops import FilesOfCrops, NobodyError
from gcl.structure.crop_keys import MissingStructureError


@pytest.fixture
def taken(tmp_path):
    """``taken("a a_1", "a_0 a_1")``: files of each crop, of a folder of files, without suffix."""

    def take(crops: str, files: str, suffix: str = ".obj") -> list[list[str] | None]:
        for file in files.split():
            path = tmp_path / f"{file}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        keys = {f"crops/{crop}.jpg": f"crops/{crop}.jpg" for crop in crops.split()}
        found = FilesOfCrops(str(tmp_path), (suffix,), keys)
        return [names(found, crop) for crop in keys]

    def names(found: FilesOfCrops, crop: str) -> list[str] | None:
        try:
            paths = found[crop]
        except NobodyError:
            return None
        return [os.path.relpath(path, tmp_path).removesuffix(suffix_of(path)) for path in paths]

    return take


def suffix_of(path: str) -> str:
    return os.path.splitext(path)[1]


@pytest.mark.parametrize(
    ("crops", "files", "expected"),
    [
        # a file an image
        ("a a_1", "a a_1", [["a"], ["a_1"]]),
        ("a a_1", "a_1", [None, ["a_1"]]),
        ("a_0 a_1", "a_0 a_1", [["a_0"], ["a_1"]]),
        # a file a person: a_1 is the second one of a.jpg
        ("a a_1", "a_0 a_1 a_1_0", [["a_0", "a_1"], ["a_1_0"]]),
        ("a a_1", "a_0 a_1", [["a_0", "a_1"], None]),
        ("a a_0", "a_0 a_1 a_0_0", [["a_0", "a_1"], ["a_0_0"]]),
        ("a a_1", "a_mesh_000 a_1_mesh_000", [["a_mesh_000"], ["a_1_mesh_000"]]),
        ("a a_1", "a_0 a_1 a_1_0 a_1_1 b", [["a_0", "a_1"], ["a_1_0", "a_1_1"]]),
        # numbers that are no people's: the crops of those files are not in this list
        ("track5", "track5_12", [None]),
        ("track5", "track5_12 track5_13", [None]),
        ("track5", "track5 track5_0", [["track5"]]),
        ("track5", "track5_0 track5_2", [None]),
        ("track5", "track5_0 track5_1", [["track5_0", "track5_1"]]),
        ("x x_0", "x_0 x_0_1 x_7", [None, ["x_0"]]),
        # Market-1501: all names end in a number
        ("0002_c1_03 0002_c1_04", "0002_c1_03 0002_c1_04", [["0002_c1_03"], ["0002_c1_04"]]),
        ("0002_c1_03", "0002_c1_03_0", [["0002_c1_03_0"]]),
        # which way the folder is named, other crops tell
        ("a a_0 b", "a_0 b", [None, ["a_0"], ["b"]]),
        ("a a_0 b", "a_0 b_0", [["a_0"], None, ["b_0"]]),
    ],
)  # fmt: skip
def test_numbers_behind_a_name(taken, crops, files, expected):
    assert taken(crops, files) == expected


@pytest.mark.parametrize("files", ["a_0", "a_0 b c_0"])
def test_what_nothing_tells_is_refused(taken, files):
    with pytest.raises(MissingStructureError, match="a_0 would be .* crops/a_0.jpg or, as one of"):
        taken("a a_0 b c", files)


def test_sam_3d_body_s_notebook_has_a_folder_an_image(taken):
    """output/<image>/<image>_mesh_000.ply"""
    files = "a/a_mesh_000 a/a_mesh_001 b/b_mesh_000 c/other_mesh_000"
    expected = [["a/a_mesh_000", "a/a_mesh_001"], ["b/b_mesh_000"], None]
    assert taken("a b c", files, ".ply") == expected


def test_a_crop_in_a_folder_of_its_own_name(taken):
    assert taken("a/a b/a", "a/a b/a_0") == [["a/a"], ["b/a_0"]]


def test_multihmr_s_names_hold_the_model_and_png(taken):
    """<stem>_<model>.png.npy; since January 2026 <stem>.jpg_<model>.png.npy"""
    files = "a_multiHMR_896_L.png b_1.jpg_multiHMR_672_S.png c.JPG_multiHMR_896_L.png"
    assert taken("a b_1 c b", files, ".npy") == [*([file] for file in files.split()), None]
