"""Files made once: whole or not there, made by one process, leaving nothing behind."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path

import pytest

from gcl.structure.cache import cache_folder, made_once


def test_gcl_cache_says_where(monkeypatch, tmp_path):
    monkeypatch.setenv("GCL_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("GCL_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="XDG folders are Linux's")
def test_else_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("GCL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "gcl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "gcl"


def test_made_once_and_workshop_removed(tmp_path):
    calls = []

    def make(target, workshop):
        calls.append(workshop)
        (workshop / "much").mkdir()
        (workshop / "much" / "data").write_bytes(bytes(1000))
        target.write_text("content")
        target.chmod(0o600)

    path = tmp_path / "new" / "file"
    for _ in range(2):
        assert made_once(path, make) == path
        assert path.read_text() == "content"
    assert len(calls) == 1
    assert path.stat().st_mode == (path.parent / "file.lock").stat().st_mode
    assert not calls[0].exists()
    assert {p.name for p in path.parent.iterdir()} == {"file", "file.lock"}


def test_a_failure_leaves_no_file(tmp_path):
    def make(target, workshop):
        target.write_text("half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        made_once(tmp_path / "file", make)
    assert [p.name for p in tmp_path.iterdir()] == ["file.lock"]


def test_what_a_killed_process_left_is_cleared(tmp_path):
    left = tmp_path / ".file-x1"
    left.mkdir()
    (left / "half").write_bytes(bytes(10))
    made_once(tmp_path / "file", lambda target, workshop: target.write_text("whole"))
    assert not left.exists()


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match="taken.*GCL_CACHE"):
        made_once(tmp_path / "taken" / "file", lambda target, workshop: None)


def _build(path: Path) -> None:
    def make(target, workshop):
        with open(path.with_name("log"), "a") as log:
            log.write(f"{os.getpid()}\n")
        with open(target, "w") as file:
            for _ in range(20):
                file.write("x")
                file.flush()
                time.sleep(0.005)

    made_once(path, make)
    assert path.read_text() == "x" * 20


@pytest.mark.skipif(sys.platform == "win32", reason="without locks both build")
def test_of_several_processes_one_builds_and_all_read_whole_files(tmp_path):
    path = tmp_path / "file"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_build, args=(path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(path.with_name("log").read_text().split()) == 1
