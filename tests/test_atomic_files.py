"""Folders that are there and whole, or as they were."""

import os
import time

import pytest

from gcl.atomic_files import atomic_folder, remove_leftovers


def fill(folder, text):
    with open(os.path.join(folder, "a.txt"), "w") as file:
        file.write(text)


def test_a_folder_appears_when_it_is_full_and_takes_the_place_of_another(tmp_path):
    path = tmp_path / "result"
    for text in ("first", "second"):
        with atomic_folder(str(path)) as part:
            fill(part, text)
            assert not path.exists() or (path / "a.txt").read_text() == "first"
        assert (path / "a.txt").read_text() == text
        assert os.listdir(path) == ["a.txt"] and os.listdir(tmp_path) == ["result"]


@pytest.mark.parametrize("before", [False, True])
def test_half_a_folder_changes_nothing(tmp_path, before):
    path = tmp_path / "result"
    if before:
        path.mkdir()
        fill(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_folder(str(path)) as part:
        fill(part, "half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["result"] * before
    assert not before or (path / "a.txt").read_text() == "old"


def test_what_was_there_comes_back_when_the_new_one_can_not_take_its_place(tmp_path, monkeypatch):
    path, rename = tmp_path / "result", os.rename
    path.mkdir()
    fill(path, "old")

    def fails(source, target):
        if target == str(path) and "old" not in str(source):
            raise OSError("no room")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(OSError, match="no room"), atomic_folder(str(path)) as part:
        fill(part, "new")
    assert os.listdir(tmp_path) == ["result"] and (path / "a.txt").read_text() == "old"


def test_folders_of_killed_runs_are_taken_away_like_files(tmp_path):
    left, young = tmp_path / ".result.12345678.part", tmp_path / ".result.87654321.part"
    for folder in (left, young):
        folder.mkdir()
        fill(folder, "half")
    hours_ago = time.time() - 7200
    os.utime(left, (hours_ago, hours_ago))
    assert remove_leftovers(str(tmp_path)) == 1
    assert not left.exists() and young.exists()
