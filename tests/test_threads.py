"""Threads: how they wait, and how many they are."""

import os
import re
import subprocess
import sys

import torch

from gcl import threads


def test_openmp_is_told_in_time_to_sleep():
    """Its own account of its settings, which it gives when it is loaded: importing gcl is early
    enough. Two spellings: GNU's and LLVM's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "KMP_", "GOMP_"))}
    shown = subprocess.run(
        [sys.executable, "-c", "import gcl"],
        env={**kept, "OMP_DISPLAY_ENV": "TRUE"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"OMP_WAIT_POLICY ?= ?'PASSIVE'", shown.stderr), shown.stderr[-2000:]


def test_what_the_user_has_set_stays():
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}
    threads.wait_asleep(environment)
    assert environment == {"OMP_WAIT_POLICY": "ACTIVE", "KMP_BLOCKTIME": "0"}


def test_there_are_no_more_threads_than_processors(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    try:
        for there, left in ((8, 3), (3, 3), (2, 2)):  # fewer may have a reason
            torch.set_num_threads(there)
            threads.limit()
            assert torch.get_num_threads() == left
        monkeypatch.setenv("OMP_NUM_THREADS", "8")
        torch.set_num_threads(8)
        threads.limit()
        assert torch.get_num_threads() == 8
    finally:
        torch.set_num_threads(before)
