"""``<data set>/<path below its folder>``; other names are taken only where they are unique."""

from __future__ import annotations

import os

import pytest

from gcl.structure.crop_keys import (
    MissingStructureError,
    crop_keys,
    files_below,
    locate,
    mesh_names,
    render_names,
    tool_names,
)


def test_keys_are_the_data_set_and_the_path_below_its_folder(monkeypatch, tmp_path):
    paths = ["/d/set/b/1.jpg", "/d/set/a/1.jpg", "/d/set/1.jpg", "/d/set/a/../1.png"]
    found = crop_keys("Set", "/d/set/", paths + paths)
    assert list(found) == sorted(paths)
    assert [found[path] for path in paths] == [
        "Set/b/1.jpg",
        "Set/a/1.jpg",
        "Set/1.jpg",
        "Set/1.png",
    ]
    monkeypatch.chdir(tmp_path)
    relative, absolute = os.path.join("set", "1.jpg"), str(tmp_path / "set" / "1.jpg")
    keys = crop_keys("Set", "set", [relative, absolute])
    assert set(keys.values()) == {"Set/1.jpg"} and set(keys) == {relative, absolute}


def test_names_go_from_the_crop_s_own_to_the_shortest():
    path, key = "/x/y.z/a.jpg", "Set/a.jpg"
    tails = ["x/y.z/a.jpg", "y.z/a.jpg", "a.jpg"]
    named = [name for tail in (key, *tails) for name in (f"{tail}.tif", tail)]
    assert list(render_names(path, key)) == named
    stems = [tail.removesuffix(".jpg") for tail in tails]
    assert list(tool_names(path, key)) == stems
    both = [f"{name}.npz" for pair in zip(tails, stems, strict=True) for name in pair]
    assert list(mesh_names(path, key)) == ["Set/a.jpg.npz", *both]


def test_files_are_listed_in_all_folders(tmp_path):
    assert files_below(str(tmp_path)) == set()
    for name in ("1.npz", "a/1.npz", "a/b/1.npz", "a/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "linked").symlink_to(tmp_path / "a" / "b")
    meshes = {"1.npz", "a/1.npz", "a/b/1.npz", "linked/1.npz"}
    assert files_below(str(tmp_path), ".npz") == meshes
    assert files_below(str(tmp_path)) == meshes | {"a/1.txt"}
    assert files_below(str(tmp_path / "none")) == set()


def test_links_that_lead_back_are_not_followed_for_ever(tmp_path):
    for folder, other in ("ab", "ba"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.npz").write_bytes(b"")
        (tmp_path / folder / "up").symlink_to(tmp_path)
        (tmp_path / folder / other).symlink_to(tmp_path / other)
    for folder in (str(tmp_path), str(tmp_path) + os.sep):
        assert files_below(folder) == {"a/1.npz", "b/1.npz", "a/b/1.npz", "b/a/1.npz"}


ONE = {"/d/a/1.jpg": "A/1.jpg"}
TWO = ONE | {"/d/b/1.jpg": "B/1.jpg"}


def found(crops, *files: str) -> list[str | None]:
    names = locate(crops, render_names, files, "renders", "prepare them")
    return [names.get(path) for path in crops]


def test_a_crop_s_own_file_comes_first():
    assert found(TWO, "A/1.jpg", "B/1.jpg", "1.jpg", "a/1.jpg") == ["A/1.jpg", "B/1.jpg"]
    assert found(ONE, "1.jpg", "a/1.jpg") == ["a/1.jpg"]
    assert found(ONE, "1.jpg") == ["1.jpg"]
    assert found(ONE, "2.jpg", "b/1.jpg", "B/1.jpg") == [None]
    assert found(TWO, "A/1.jpg", "b/1.jpg") == ["A/1.jpg", "b/1.jpg"]
    assert found({}) == []


@pytest.mark.parametrize("files", [("1.jpg",), ("A/1.jpg", "1.jpg"), ("b/1.jpg", "1.jpg")])
def test_a_name_of_two_crops_serves_neither(files):
    message = "^renders: 1.jpg would be .* of two crops, A/1.jpg and B/1.jpg: prepare them.$"
    for crops in (TWO, dict(reversed(TWO.items()))):
        with pytest.raises(MissingStructureError, match=message):
            found(crops, *files)


def test_the_key_of_one_is_no_other_s_name():
    """A folder of the name of a data set: what is in it was made for that."""
    crops = {"/d/x/1.jpg": "A/1.jpg", "/A/1.jpg": "B/1.jpg"}
    with pytest.raises(MissingStructureError, match="A/1.jpg would be .* A/1.jpg and B/1.jpg"):
        found(crops, "A/1.jpg")
    assert found(crops, "A/1.jpg", "B/1.jpg") == ["A/1.jpg", "B/1.jpg"]


def test_one_crop_in_two_lists_shares_with_nobody():
    crops = {"/d/a/1.jpg": "A/1.jpg", "/d/a/../a/1.jpg": "A/1.jpg"}
    assert found(crops, "1.jpg") == ["1.jpg", "1.jpg"]
