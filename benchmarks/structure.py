"""Structure images for a training batch: read from rendered files, or rendered from meshes?

    python benchmarks/structure.py

CPU-milliseconds of one data worker for one batch (own view and a turned one of every image, as
:class:`gcl.data.view_dataset.ViewDataset` asks for them, the crop itself included), and the disk
space an image takes. One thread, files in the page cache, noise for crops, Anny bodies in the poses
of pedestrians. Time is CPU time, so a busy machine spoils little.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import tempfile
import time

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate

from gcl.data.view_dataset import ViewDataset
from gcl.structure.body import AnnyBody, sample_phenotype
from gcl.structure.geometry import Geometry
from gcl.structure.poses import sample_pose
from gcl.structure.prepare import Preparation, prepare
from gcl.structure.store import open_store

IMAGES = 32


class People:
    """Crop -> mesh of one of IMAGES people."""

    def __init__(self, topology: str) -> None:
        generator = torch.Generator().manual_seed(0)
        body = AnnyBody(topology)
        self.faces = body.faces
        poses = sample_pose(IMAGES, generator)
        self.vertices = body(poses, sample_phenotype(IMAGES, generator)).vertices
        self.vertices[..., 2] += 8

    def __call__(self, crop: str) -> Geometry:
        return Geometry(self.vertices[int(os.path.basename(crop).split(".")[0])], self.faces)


def measure(root: str, topology: str, size: tuple[int, int], batch: int, repeats: int) -> list:
    rng = np.random.default_rng(0)
    crops = {os.path.join(root, f"{i}.jpg"): f"noise/{i}.jpg" for i in range(IMAGES)}
    for crop in crops:
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(crop)
    split = os.path.join(root, "train")
    prepare(Preparation(crops, People(topology), split, ["renders", "geometry"], size[0]))
    rows = []
    for source, folders in (("renders", "render"), ("geometry", "geometry")):
        store = open_store(root, "train", source, crops, size[0])
        dataset = ViewDataset([(crop, 0) for crop in crops], size, structures=store)
        times = []
        for repeat in range(repeats + 1):
            start = time.process_time()
            for i in range(batch):
                dataset[(repeat * batch + i) % IMAGES]
            times.append(time.process_time() - start)
        used = sum(
            entry.stat().st_size
            for folder in os.scandir(split)
            if folder.name.startswith(folders)
            for entry in os.scandir(os.path.join(folder, "noise"))
        )
        cost = 1000 * float(np.median(times[1:]))
        rows.append([f"{size[0]} x {size[1]}", topology, source, cost, used / IMAGES / 1024])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for topology in ("full", "reduced"):
        for size in ((128, 64), (256, 128)):
            with tempfile.TemporaryDirectory() as root:
                rows += measure(root, topology, size, args.batch, args.repeats)
    headers = ("size", "mesh", "source", f"ms per {args.batch} images", "KiB per image")
    print(tabulate(rows, headers=headers, floatfmt=".1f"))


if __name__ == "__main__":
    main()
