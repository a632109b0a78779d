"""How many processors this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores() -> int:
    """Processors that the machine, this process's affinity and its control groups (containers,
    batch systems) allow; at least 1."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(min([cores, *map(math.ceil, cgroup_limits())]), 1)


def cgroup_limits(mount: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> Iterator[float]:
    """Processors that each control group above this process allows, of those that limit them.

    Args:
        mount: where control groups are mounted, of version 1, 2 or both.
        own: the kernel's list of this process's groups, ``<number>:<controllers>:<path>`` a line.
    """
    try:
        lines = Path(own).read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            roots, limit = ("", "unified"), _limit_of_2
        elif "cpu" in controllers.split(","):
            roots, limit = (controllers, "cpu"), _limit_of_1
        else:
            continue
        for root in {Path(mount, root) for root in roots}:
            # a container may see its own group as the root, under a path that it can not see
            group = Path(path.lstrip("/"))
            for folder in {root / group, *(root / parent for parent in group.parents)}:
                try:
                    found = limit(folder)
                except (OSError, ValueError):  # no such group, or no limit on processors
                    continue
                if found > 0:
                    yield found


def _limit_of_2(folder: Path) -> float:
    quota, period = (folder / "cpu.max").read_text().split()  # "max 100000": no limit, ValueError
    return int(quota) / int(period)


def _limit_of_1(folder: Path) -> float:
    quota = int((folder / "cpu.cfs_quota_us").read_text())  # -1: no limit
    return quota / int((folder / "cpu.cfs_period_us").read_text())
