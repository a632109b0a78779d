"""Processors: what the affinity and the control groups of a process allow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gcl.cores import cgroup_limits, usable_cores


def limits(tmp_path: Path, own: str, files: dict[str, str]) -> list[float]:
    """Of control groups with these files below their mount."""
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return sorted(cgroup_limits(str(tmp_path / "mount"), str(tmp_path / "own")))


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        # version 2: quota and period in microseconds, of the group and of those above it
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n", "a/cpu.max": "200000 50000\n"}, [1.5, 4]),
        ("0::/a\n", {"a/cpu.max": "max 100000\n", "cpu.max": "max 100000\n"}, []),
        # in a container: its own group is the root, under a path that is not there
        ("0::/docker/12\n", {"cpu.max": "300000 100000\n"}, [3]),
        # version 1
        (
            "5:memory:/m\n4:cpu,cpuacct:/a:b\n",
            {
                "cpu,cpuacct/a:b/cpu.cfs_quota_us": "50000\n",
                "cpu,cpuacct/a:b/cpu.cfs_period_us": "100000\n",
            },
            [0.5],
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        ("1:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "damaged", "cpu.max": "damaged"}, []),
        ("3:cpuset:/\n", {"cpu.max": "100000 100000"}, []),
    ],
)  # fmt: skip
def test_limits_of_control_groups(tmp_path, own, files, expected):
    assert limits(tmp_path, own, files) == expected


def test_without_control_groups(tmp_path):
    assert list(cgroup_limits(str(tmp_path), str(tmp_path / "none"))) == []


@pytest.mark.parametrize(
    ("affinity", "quotas", "expected"),
    [(16, [], 16), (16, [1.5, 4], 2), (16, [0.1], 1), (2, [8.0], 2), (1, [], 1)],
)
def test_the_least_counts(monkeypatch, affinity, quotas, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr("gcl.cores.cgroup_limits", lambda: quotas)
    assert usable_cores() == expected


def test_where_there_is_no_affinity_the_machine_counts(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr("gcl.cores.cgroup_limits", lambda: [])
    for cores, expected in ((8, 8), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert usable_cores() == expected
