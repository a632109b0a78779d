"""Folders with links between them: each is listed once, and everything in it counts once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gcl.data.folder_walk import walk_once


def tree(root: Path, files: tuple[str, ...], links: dict[str, str]) -> str:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name, target in links.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(root / target if target else root)
    return str(root)


def test_folders_without_links_are_those_of_os_walk(tmp_path):
    files = ("1", "a/2", "a/b/3", ".c/4", "d e/größe")
    folder = tree(tmp_path, files, {})
    (tmp_path / "empty").mkdir()
    walked = {os.path.join(top, name) for top, _, names in os.walk(folder) for name in names}
    found = walk_once(folder)
    assert {os.path.join(folder, name) for name in found.files} == walked and found.again == {}


def test_folders_that_all_link_to_each_other(tmp_path):
    """Eight folders, and 7 links in each: there are over a hundred thousand ways through them."""
    files = tuple(f"{i}/x.jpg" for i in range(8))
    links = {f"{i}/to{j}": f"{j}" for i in range(8) for j in range(8) if i != j}
    found = walk_once(tree(tmp_path, files, links))
    assert found.files == set(files) and found.again == links
    assert found.own_name("0/to1/to2/to0/x.jpg") == "0/x.jpg"


@pytest.mark.parametrize("first", ["a", "z"])
def test_the_name_without_a_link_goes_before_and_then_the_first_link(tmp_path, first):
    """In whatever order the file system tells the names."""
    root, other = tmp_path / "shop", tmp_path / "other"
    tree(other, ("in/x",), {})
    tree(root, (f"{first}/1",), {"m": first})
    for name in ("c", "b/link"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(other)
    found = walk_once(str(root))
    assert found.files == {f"{first}/1", "b/link/in/x"}
    assert found.again == {"m": first, "c": "b/link"}
    assert found.own_name("c/in/x") == "b/link/in/x" and found.own_name("d/x") == "d/x"


def test_links_that_lead_back_or_nowhere(tmp_path):
    root, other = tmp_path / "shop", tmp_path / "other"
    tree(root, ("a/1",), {"a/here": "a", "a/top": ""})
    (root / "a" / "above").symlink_to(tmp_path)
    (root / "a" / "out").symlink_to(other)
    (root / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (root / "self").symlink_to("self")
    tree(other, ("2",), {})
    (other / "back").symlink_to(root)
    (other / "up").symlink_to(tmp_path)
    found = walk_once(str(root))
    assert found.files == {"a/1", "a/out/2", "gone.jpg", "self"}
    assert found.again == {
        **{"a/here": "a", "a/top": "", "a/above": None},
        **{"a/out/back": "", "a/out/up": None},
    }
    assert found.own_name("a/top/a/here/1") == "a/1"


def test_folders_that_do_not_count_and_those_that_are_closed(tmp_path, monkeypatch):
    folder = tree(tmp_path, ("1", "out/2", "out/a/3", "no/4", "outer/5"), {"link": "out"})
    scandir, closed = os.scandir, []

    def refused(path):
        if os.path.basename(path) == "no":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = walk_once(folder, [f"{folder}/out", ""], closed.append)
    assert found.files == {"1", "outer/5"} and found.again == {}
    assert [error.filename for error in closed] == [f"{folder}/no"]
    assert walk_once(f"{folder}/no").files == set()
