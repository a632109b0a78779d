#!/usr/bin/env python
"""What grows with the number of images: feature pass, bank, labels, step and memory.

    python benchmarks/growth.py --config-file projects/GCL/configs/ablations/pku_scratch.yml \\
        --rows 10000 100000

Each number of rows in a process of its own, one thread, as an epoch begins: the feature pass, the
bank filled by it, the bank's labels, a contrast step. The encoder alone is left out of the pass and
timed with one batch of 64, times their number (it can but grow so); in its place are random
features (``people`` of benchmarks/pseudo_labels.py), which the neck reduces to ``--width`` numbers.
Seconds are of the CPU. Memory is the peak of the whole process, libraries included, after each
part. From 200,000 rows on the neighbours are searched by ``ivf``, which compares each image with
``--visit`` others.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gcl  # noqa: F401  before torch: it says how its threads wait

# isort: split
import torch
from pseudo_labels import NEIGHBOURS, people, people_parts
from tabulate import tabulate
from training_step import model_of, step_of

from gcl.engine.feature_pass import extract_features
from gcl.pseudo_labels import PseudoLabeler

APPROXIMATE = 200_000
"""Rows from which `ivf` is the search."""
BATCH = 64


class Features:
    """A loader of batches that are features (64, C) and no images, of two cameras.

    Attributes:
        drawing: CPU-seconds that they took.
    """

    def __init__(self, n: int, width: int) -> None:
        self.n, self.width, self.drawing = n, width, 0.0

    def __len__(self) -> int:
        return -(-self.n // BATCH)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        start = time.process_time()
        for part in people_parts(self.n, self.width):  # of whole batches
            self.drawing += time.process_time() - start
            for rows in torch.from_numpy(part).split(BATCH):
                yield {"images": rows, "camids": torch.arange(len(rows)) % 2}
            start = time.process_time()


def pass_over(model, loader: Features) -> torch.Tensor:
    """:func:`extract_features` without the encoder."""
    encoder, preprocess = model.backbone, model.preprocess_image
    model.backbone = torch.nn.Identity()
    model.preprocess_image = lambda batch: batch["images"][..., None, None]
    try:
        return extract_features(model, loader, new_neck=True)
    finally:
        model.backbone, model.preprocess_image = encoder, preprocess


def measure(config: str, n: int, width: int, visit: int) -> None:
    """Print a row of the table, as far as it is known, after each part."""
    torch.set_num_threads(1)
    row: dict[str, float | str] = {"rows": n}

    def done(part: str, took: float) -> None:
        row[f"{part} (s)"] = took
        row[f"{part} (GB)"] = peak()
        print(json.dumps(row), flush=True)

    cfg, model = model_of(config, ["MODEL.HEADS.EMBEDDING_DIM", width])
    images = torch.rand(BATCH, 3, *cfg.INPUT.SIZE_TEST) * 255
    done("encoder", n / BATCH * min(seconds(lambda: encode(model, images)) for _ in range(3)))
    model.bank.allocate(n)
    model.bank.features.fill_(0)  # as in a later epoch: memory that nobody wrote does not count
    loader = Features(n, cfg.MODEL.BACKBONE.FEAT_DIM)
    took = seconds(lambda: model.bank.fill(pass_over(model, loader)))
    row["bank (MB)"] = model.bank.features.nbytes / 1e6
    done("pass", took - loader.drawing)
    knn = "auto" if n < APPROXIMATE else "ivf"
    labeler = PseudoLabeler(rho=NEIGHBOURS, knn=knn, visit=visit)
    labeler(people(4000, 64))  # compiles
    row["search"] = "exact" if knn == "auto" else f"ivf, {visit}"
    done("labels", seconds(lambda: model.bank.labels.copy_(labels(labeler, model))))
    row["clusters"] = int(model.bank.labels.max()) + 1
    step = step_of(cfg, model, "contrast")
    done("step", min(seconds(step) for _ in range(4)))


def labels(labeler: PseudoLabeler, model) -> torch.Tensor:
    return torch.from_numpy(labeler(model.bank.features).labels)


def seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def peak() -> float:
    """GB of this process."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**20


@torch.no_grad()
def encode(model, images: torch.Tensor) -> None:
    model.eval()
    model.heads.pool(model.backbone(model.preprocess_image({"images": images})))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--visit", type=int, default=32768, help="GCL.LABELS.VISIT")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.config_file, args.rows[0], args.width, args.visit)
        return
    table: list[dict] = []
    for n in args.rows:
        command = [sys.executable, __file__, "--one", "--config-file", args.config_file]
        command += ["--rows", str(n), "--width", str(args.width), "--visit", str(args.visit)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                found = line
                print(line, end="", file=sys.stderr, flush=True)
        if process.returncode:
            raise SystemExit(f"the process of {n} rows ended early; its message stands above.")
        table.append(json.loads(found))
        print(tabulate(table, headers="keys", floatfmt=".3g"), flush=True)


if __name__ == "__main__":
    main()
