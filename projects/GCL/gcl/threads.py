"""Threads that share a machine with others: importing says how they wait and how many they are.

OpenMP's threads wait for each other by spinning, unless told otherwise: alone on a machine that
saves microseconds, beside other work they burn the processors that those need whom they wait for,
and a step takes twice its fair time. How they wait is read once, when the library is loaded: before
torch.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from .cores import usable_cores


def wait_asleep(environment: MutableMapping[str, str]) -> None:
    """Tell OpenMP's threads to sleep while they wait; what the user has set stays."""
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # GNU's, of torch from PyPI
    environment.setdefault("KMP_BLOCKTIME", "0")  # Intel's and LLVM's, of other builds


wait_asleep(os.environ)

import torch  # noqa: E402  loads OpenMP


def limit() -> None:
    """No more threads than processors that this process may use: torch knows of its affinity, not
    of what its control groups allow. ``OMP_NUM_THREADS`` of the user's stays."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))


limit()
