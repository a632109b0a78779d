#!/usr/bin/env python
"""Crops that one core draws in a second, and the estimator's crops a second.

    python benchmarks/drawing.py

CPU time of one thread, so that a busy machine spoils little; the first batch, which loads and
compiles, does not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import gcl  # noqa: F401  before torch: it says how its threads wait

# isort: split
import numpy as np
import torch
from tabulate import tabulate

from gcl.structure.estimate import StructureEstimator
from gcl.synthetic.draw import dress, photographs
from gcl.synthetic.examples import draw_examples
from gcl.synthetic.figure import Tailor
from gcl.synthetic.people import draw_people
from gcl.synthetic.plan import Settings, plan
from gcl.synthetic.turns import draw_turns


def kinds() -> dict[str, Callable[[int], int]]:
    """Function of each kind, from the number of a batch to how many crops it did."""
    tailor, shots, estimator = Tailor(), plan(Settings()), StructureEstimator.from_pretrained()
    noise = list(np.random.default_rng(0).integers(0, 256, (64, 128, 64, 3), np.uint8))

    def of_set(i: int) -> int:
        scenes = [shot.scene for shot in shots[16 * i : 16 * i + 16]]
        return len(photographs(tailor, scenes, (128, 64), dress(tailor, scenes)).crops)

    return {
        "SyntheticPedestrians, 128 x 64": of_set,
        "people, 128 x 64": lambda i: draw_people((128, 64), tailor, 0, [i]).crops[0].shape[0],
        "examples, 160 x 96": lambda i: len(
            draw_examples(tailor, 0, range(16 * i, 16 * i + 16)).crops
        ),
        "turns, 64 x 32": lambda i: (
            4 * len(draw_turns((64, 32), tailor, 0, range(16 * i, 16 * i + 16)).crops)
        ),
        "estimated, 128 x 64": lambda i: len(estimator(noise).yaw),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, draw in kinds().items():
        draw(0)
        start, crops = time.process_time(), 0
        for i in range(args.batches):
            crops += draw(i)
        rows.append((name, crops / (time.process_time() - start)))
    print(tabulate(rows, headers=("what", "crops / s"), floatfmt=".0f"))


if __name__ == "__main__":
    main()
