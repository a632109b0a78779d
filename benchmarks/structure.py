"""Structure images for a training batch: read from one file a crop, from a file a view, or
rendered from meshes?

    python benchmarks/structure.py

CPU-milliseconds of one data worker for one batch (own view and a turned one of every image, as
:class:`gcl.data.view_dataset.ViewDataset` asks for them, the crop itself included), and the files
and the disk space that an image takes. One thread, files in the page cache, noise for crops, Anny
bodies in the poses of pedestrians. Time is CPU time, so a busy machine spoils little.
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
from gcl.structure.render_files import TURNS, render_path
from gcl.structure.store import RenderStore, open_store

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


def write_pictures(split: str, store: RenderStore) -> None:
    """The renders of a store once more, in the published layout: a folder a view, JPEG."""
    for crop, key in store.crops.items():
        for turn, view in zip((0, *TURNS), store.load_views(crop, (0, *TURNS)), strict=True):
            path = render_path(split, key, turn)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            view.save(path, "JPEG", quality=95)


def measure(root: str, topology: str, size: tuple[int, int], batch: int, repeats: int) -> list:
    rng = np.random.default_rng(0)
    crops = {os.path.join(root, f"{i}.jpg"): f"noise/{i}.jpg" for i in range(IMAGES)}
    for crop in crops:
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(crop)
    made, pictures = os.path.join(root, "made"), os.path.join(root, "pictures")
    split, wanted = os.path.join(made, "train"), ["renders", "geometry"]
    prepare(Preparation(crops, People(topology), split, wanted, size[0]))
    one = open_store(made, "train", "renders", crops, size[0])
    write_pictures(os.path.join(pictures, "train"), one)
    stores = {
        "renders, one file": one,
        "renders, a file a view": open_store(pictures, "train", "renders", crops, size[0]),
        "geometry": open_store(made, "train", "geometry", crops, size[0]),
    }
    items = [(crop, 0) for crop in crops]
    times: dict[str, list[float]] = {source: [] for source in stores}
    for repeat in range(repeats + 1):  # in turn: what slows the machine slows all
        for source, store in stores.items():
            dataset = ViewDataset(items, size, structures=store)
            start = time.process_time()
            for i in range(batch):
                dataset[(repeat * batch + i) % IMAGES]
            times[source].append(time.process_time() - start)
    rows = []
    for source, store in stores.items():
        files = [os.stat(path) for crop in crops for path in store.files(crop)]
        rows.append(
            [
                f"{size[0]} x {size[1]}",
                topology,
                source,
                1000 * float(np.median(times[source][1:])),
                len(files) // IMAGES,
                sum(file.st_size for file in files) / IMAGES / 1024,
                sum(file.st_blocks * 512 for file in files) / IMAGES / 1024,
            ]
        )
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
    cost = f"ms per {args.batch} images"
    headers = ("size", "mesh", "source", cost, "files an image", "KiB", "KiB on disk")
    print(tabulate(rows, headers=headers, floatfmt=".1f"))


if __name__ == "__main__":
    main()
