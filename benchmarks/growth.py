#!/usr/bin/env python
"""What grows with the number of images: features, labels, bank, step and memory.

    python benchmarks/growth.py --config-file projects/GCL/configs/ablations/pku_scratch.yml \\
        --rows 10000 100000

Each number of rows in a process of its own, one thread, random features (``people`` of
benchmarks/pseudo_labels.py) of ``--width`` numbers. Seconds are of the CPU; memory is the peak of
the whole process, libraries included. From 200,000 rows on the neighbours are searched by ``ivf``.
The pass over the images is one batch of 64, times their number: it can but grow so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gcl  # noqa: F401  before torch: it says how its threads wait

# isort: split
import torch
from pseudo_labels import NEIGHBOURS, people
from tabulate import tabulate
from training_step import model_of, step_of

from gcl.pseudo_labels import PseudoLabeler

APPROXIMATE = 200_000
"""Rows from which `ivf` is the search."""


def measure(config: str, n: int, width: int, visit: int) -> dict[str, float | str]:
    torch.set_num_threads(1)
    row: dict[str, float | str] = {"rows": n}
    cfg, model = model_of(config, ["MODEL.HEADS.EMBEDDING_DIM", width], n)
    row["bank (MB)"] = model.bank.features.nbytes / 1e6
    step = step_of(cfg, model, "contrast")
    row["step (s)"] = min(seconds(step) for _ in range(4))
    images = torch.rand(64, 3, *cfg.INPUT.SIZE_TEST) * 255
    row["pass (s)"] = n / 64 * min(seconds(lambda: features(model, images)) for _ in range(3))
    knn = "auto" if n < APPROXIMATE else "ivf"
    labeler = PseudoLabeler(rho=NEIGHBOURS, knn=knn, visit=visit)
    labeler(people(4000, 64))  # compiles
    x = people(n, width)
    row["search"] = "exact" if knn == "auto" else knn
    row["labels (s)"] = seconds(lambda: labeler(x))
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    row["peak (GB)"] = peak / 2**20
    return row


def seconds(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


@torch.no_grad()
def features(model, images: torch.Tensor) -> None:
    model.eval()
    model({"images": images, "camids": torch.zeros(len(images), dtype=torch.long)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--visit", type=int, default=32768, help="GCL.LABELS.VISIT")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.config_file, args.rows[0], args.width, args.visit)))
        return
    table: list[dict] = []
    for n in args.rows:
        command = [sys.executable, __file__, "--one", "--config-file", args.config_file]
        command += ["--rows", str(n), "--width", str(args.width), "--visit", str(args.visit)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        table.append(json.loads(done.stdout.splitlines()[-1]))
        print(tabulate(table, headers="keys", floatfmt=".3g"), flush=True)


if __name__ == "__main__":
    main()
