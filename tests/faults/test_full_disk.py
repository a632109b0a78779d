"""A disk that is full in the middle of a checkpoint: the last one stays whole, the run ends with a
sentence, and goes on from it when there is room."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from engine import runs
from faults.tiny_runs import TINY


def train_net(out: str, data: str, run: str, largest: int | None, argv: list[str]) -> None:
    """tools/train_net.py in a process that can write no file of more than ``largest`` bytes."""
    import conftest  # noqa: F401  registers the tests' backbone

    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    runs.command(out, data, [*argv, *runs.options(run, data, **TINY)])


@pytest.fixture(scope="module")
def straight(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("straight")
    command = ["--config-file", str(runs.CONFIG)]
    runs.finish(runs.launch(train_net, out, str(toy), str(out), None, command), out)
    return out


def mounted(out: Path, size: int) -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(out)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk, where a container lets it")


@pytest.mark.parametrize("disk", [False, True], ids=["a limit of files", "a disk"])
def test_a_full_disk_costs_no_checkpoint(disk, toy, straight, tmp_path, request):
    size = (straight / "model_0000.pth").stat().st_size
    out, said = tmp_path / "run", tmp_path / "said"
    out.mkdir()
    if disk:  # of one checkpoint and a half, and all else
        mounted(out, size * 3 // 2 + 2**18)
        request.addfinalizer(lambda: subprocess.run(["umount", str(out)], check=True))
    for name in ("model_0000.pth", "last_checkpoint"):
        shutil.copy(straight / name, out)
    (out / "last_checkpoint").write_text("model_0000.pth")
    before = (out / "model_0000.pth").read_bytes()

    def go_on(largest: int | None):
        command = ["--config-file", str(runs.CONFIG), "--resume"]
        process = runs.launch(train_net, said, str(toy), str(out), largest, command)
        process.join(1800)
        return process

    process = go_on(None if disk else size // 2)
    last = (said / "errors").read_text().splitlines()[-1]
    assert process.exitcode == 1
    assert last.startswith("OSError: ") and "model_0001.pth can not be written" in last, last
    assert "Traceback" not in (said / "errors").read_text()
    assert (out / "model_0000.pth").read_bytes() == before
    assert (out / "last_checkpoint").read_text() == "model_0000.pth"
    assert runs.checkpoints(out) == {"model_0000.pth"} and not list(out.glob("*.tmp"))
    if disk:
        subprocess.run(["mount", "-o", "remount,size=1g", str(out)], check=True)
    assert go_on(None).exitcode == 0
    last = (runs.load(folder / "model_final.pth") for folder in (out, straight))
    runs.assert_same(*last)
