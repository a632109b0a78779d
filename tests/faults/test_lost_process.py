"""One of two processes is killed: the other ends within a minute, with a sentence.

GCL_FAULTS=large kills each of the two at each moment.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from engine import runs

from gcl.data.retrieval_dataset import RetrievalDataset
from gcl.modeling import GCL
from gcl.pseudo_labels.ranks import Ranks
from gcl.tools.command_line import LOST

MOMENTS: dict[str, tuple[type, str, int]] = {
    "training step": (GCL, "_contrast_iteration", 2),  # the other waits for its gradients
    "feature pass": (GCL, "preprocess_image", 1),
    "pseudo labels": (Ranks, "gather", 2),
    "evaluation": (RetrievalDataset, "__getitem__", 3),
}
"""What the victim is doing: a method, and the number of the call in which it is killed."""

SMALL = [("training step", 1), ("pseudo labels", 0), ("evaluation", 1)]
LARGE = [(moment, victim) for moment in MOMENTS for victim in (0, 1)]


def dies_in(method: Callable, call: int) -> Callable:
    """``method`` with SIGKILL at the beginning of its call number ``call``."""
    count = 0

    def dying(*args: object, **kwargs: object) -> object:
        nonlocal count
        count += 1
        if count == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*args, **kwargs)

    return dying


def process_of_two(
    out: str, rank: int, port: int, data: str, moment: str | None, argv: list[str]
) -> None:
    """``tools/train_net.py`` as torchrun starts it, without torchrun to end it."""
    if moment is not None:
        owner, name, call = MOMENTS[moment]
        setattr(owner, name, dies_in(getattr(owner, name), call))
    runs._as_torchrun(rank, port)
    runs.command(out, data, argv)


@pytest.mark.parametrize(
    ("moment", "victim"), LARGE if os.environ.get("GCL_FAULTS") == "large" else SMALL
)
def test_the_other_ends_with_a_sentence(toy: Path, tmp_path: Path, moment: str, victim: int):
    options = {"GCL__PHASES": ("contrast",), "GCL__CONTRAST__EPOCHS": 1}
    argv = ["--config-file", str(runs.CONFIG), *runs.options(tmp_path, toy, **options)]
    port = runs.free_port()
    processes = [
        runs.launch(
            process_of_two,
            tmp_path / f"rank{rank}",
            rank,
            port,
            str(toy),
            moment if rank == victim else None,
            argv,
        )
        for rank in range(2)
    ]
    try:
        processes[victim].join(600)  # only against a hang
        assert processes[victim].exitcode == -signal.SIGKILL
        processes[1 - victim].join(60)
        errors = (tmp_path / f"rank{1 - victim}" / "errors").read_text()
        assert processes[1 - victim].exitcode == 1, errors[-3000:]
        assert errors.strip().splitlines()[-1] == LOST
        assert "Traceback" not in errors
    finally:
        for process in processes:
            process.kill()
