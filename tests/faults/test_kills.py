"""SIGKILL at any moment: nothing is half written, and a run that goes on ends as one that was never
killed, bit for bit."""

from __future__ import annotations

import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import trimesh
from engine import runs
from faults import whole_runs
from faults.size import LARGE
from PIL import Image
from toy import DATASET

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="asks for the processor's time of another process"
)
SEED = 13
NAMES = whole_runs.NAMES if LARGE else ("training", "estimation", "people", "generator")
KILLS = 25 if LARGE else 1
"""Of each."""


@pytest.fixture(scope="module")
def data(toy: Path) -> Path:
    """Four crops for structures, and meshes of them as a tool writes them."""
    crops, meshes = toy / "few crops", toy / "of a tool"
    crops.mkdir()
    meshes.mkdir()
    for path in sorted((toy / DATASET / "bounding_box_train").iterdir())[:4]:
        Image.open(path).resize((32, 64)).save(crops / path.name)
        body = trimesh.creation.capsule(1.2, 0.3, (8, 8))
        body.apply_translation([0, 0, -5])
        body.export(meshes / f"{path.stem}.obj")
    return toy


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_run_that_goes_on_ends_like_one_that_was_not(name, data, tmp_path):
    chance = np.random.default_rng([SEED, *name.encode()])
    straight = tmp_path / "straight"
    runs.finish(start(straight, name, data), straight)
    wanted, seconds = whole_runs.results(str(straight)), whole_runs.seconds(straight)
    assert wanted
    kills, chains = 0, 0
    while kills < KILLS:
        out = tmp_path / f"run {chains}"
        of_this, through = killed(out, name, data, seconds, min(4, KILLS - kills), chance)
        if not through:
            runs.finish(start(out, name, data), out)
        elif not of_this:  # as the first, which may have compiled what others find compiled
            seconds = min(seconds, whole_runs.seconds(out))
        runs.assert_same(whole_runs.results(str(out)), wanted)
        kills, chains = kills + of_this, chains + 1
    print(f"{name}: {kills} kills of {chains} runs, {seconds:.1f} s each")


def killed(
    out: Path, name: str, data: Path, seconds: float, most: int, chance: np.random.Generator
) -> tuple[int, bool]:
    """Begin a run up to ``most`` times, and kill it each time.

    Args:
        seconds: of the processor, which the whole run takes.

    Returns:
        How many kills that were, and whether it came to its end all the same.
    """
    for kills in range(most):
        process = start(out, name, data)
        if not runs.kill_after(process, chance.uniform(0, seconds)):
            assert process.exitcode == 0, (out / "errors").read_text()[-3000:]
            return kills, True
        whole_runs.results(str(out))  # all that is there is whole
    return most, False


def start(out: Path, name: str, data: Path) -> BaseProcess:
    return runs.launch(whole_runs.run, out, name, str(data))
