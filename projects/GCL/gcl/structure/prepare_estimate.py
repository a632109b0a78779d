"""Meshes for all crops of a split by the estimator, in batches; resumable, shared by processes.

The crops of a batch are always the same ones, whatever is there already and however many processes
there are, and so are the crops to which the estimator adapts, if it does: a resumed run writes
what an uninterrupted one would have written.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from gcl.atomic_files import atomic, remove_leftovers
from gcl.photographs import PhotographError
from gcl.structure.estimate.crops import load_crop

from .estimate import Estimate, StructureEstimator
from .geometry import BROKEN, Geometry, read_faces, write_faces, write_geometry
from .prepare import Outcome, Summary, each, gather, readable, share
from .store import GEOMETRY, stem

BATCH = 64
ADAPT_TO = 2000
"""Crops to which the estimator adapts at most: more than it looks at while it learns."""
DOUBTFUL = "low_confidence.txt"
"""File of a split's folder, see :func:`list_doubtful`."""


class Batches(Dataset):
    """Item i is the i-th batch of crops, decoded and at the size at which the estimator looks at
    them: full-size photographs would fill the memory.

    Args:
        crops: paths of photographs.
        folder: of the meshes.
    """

    def __init__(self, crops: Sequence[str], folder: str) -> None:
        self.batches = [crops[i : i + BATCH] for i in range(0, len(crops), BATCH)]
        self.there = stems_in(folder)

    def __len__(self) -> int:
        return len(self.batches)

    def lacking(self, index: int) -> list[str]:
        """Crops of a batch without a mesh."""
        return [crop for crop in self.batches[index] if stem(crop) not in self.there]

    def __getitem__(self, index: int) -> tuple[int, dict[str, np.ndarray], list[OSError]]:
        """Number of the batch; its pictures, (128, 64, 3) uint8 by path; what can not be read of
        those that lack a mesh. Both empty when the batch lacks nothing."""
        pictures, broken = {}, []
        lacking = self.lacking(index)
        for crop in self.batches[index] if lacking else ():
            try:
                pictures[crop] = load_crop(crop)
            except PhotographError as error:
                if crop in lacking:
                    broken.append(error)
        return index, pictures, broken


def estimate_meshes(
    crops: Sequence[str],
    folder: str,
    load: Callable[[], StructureEstimator],
    adapt: bool = False,
    workers: int = 0,
) -> Summary:
    """Write ``geometry/<stem>.npz`` of every crop that lacks it.

    Under ``torchrun`` every process takes its share of the batches, and all return the summary of
    all; its seconds are those of estimating, without loading and adapting.

    Args:
        crops: paths of photographs, in an order that is the same in every run and process.
        folder: the split's folder; made when it is not there.
        load: gives the estimator; called when there is something to do.
        adapt: whether the estimator adapts to the crops first, if there is something to do.
        workers: processes that decode; 0: this one.

    Raises:
        OSError: a file can not be written.
    """
    directory = os.path.join(folder, GEOMETRY)
    os.makedirs(directory, exist_ok=True)
    remove_leftovers(directory)
    dataset, summary = Batches(crops, directory), Summary()
    rank, world = share()
    estimator = faces = None
    if any(dataset.lacking(i) for i in range(rank, len(dataset), world)):
        estimator = load()
        sample = adaptation_sample(crops) if adapt else []
        if sample:
            estimator.adapt(sample)
        write_faces(directory, estimator.faces.cpu())
        faces = read_faces(directory)
    start = time.perf_counter()
    for index, pictures, broken in each(dataset, workers, "estimating", unit="batch"):
        lacking = dataset.lacking(index)
        for _ in range(len(dataset.batches[index]) - len(lacking)):
            summary.add(Outcome("there already"))
        for error in broken:
            summary.add(Outcome("failed", str(error)))
        if pictures:
            found = estimator(list(pictures.values()), batch_size=BATCH)
            for i, crop in enumerate(pictures):
                if crop in lacking:
                    summary.add(_write(directory, crop, found, i, faces))
    summary.seconds = time.perf_counter() - start
    total = Summary()
    for part in gather(summary):  # which also waits until all are done
        total.merge(part)
    return total


def list_doubtful(crops: Sequence[str], folder: str) -> int:
    """Write :data:`DOUBTFUL` into ``folder`` and return how many lines it has: name and confidence
    of the crops whose mesh on disk is only a standing body, the lowest confidence first."""
    found = []
    for crop in crops:
        path = os.path.join(folder, GEOMETRY, f"{stem(crop)}.npz")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if "doubtful" in arrays and arrays["doubtful"]:
                    found.append((float(arrays["confidence"]), os.path.basename(crop)))
        except BROKEN:  # missing or damaged, which is told where it is used
            continue
    lines = [f"{name} {confidence:.3f}\n" for confidence, name in sorted(found)]
    with atomic(os.path.join(folder, DOUBTFUL)) as file:
        file.write("".join(lines).encode())
    return len(lines)


def adaptation_sample(crops: Sequence[str]) -> list[str]:
    """Up to :data:`ADAPT_TO` crops that can be read, the same in every run and process."""
    sample = sorted(random.Random(0).sample(list(crops), min(ADAPT_TO, len(crops))))
    return [crop for crop in sample if readable(crop)]


def stems_in(folder: str) -> set[str]:
    """Images of which ``folder`` has meshes."""
    return {stem(name) for name in os.listdir(folder) if name.endswith(".npz")}


def _write(directory: str, crop: str, found: Estimate, i: int, faces: Tensor) -> Outcome:
    """Write the mesh of the ``i``-th picture of a batch."""
    try:
        geometry = Geometry(
            found.vertices[i],
            found.faces,
            yaw=float(found.yaw[i]),
            confidence=float(found.confidence[i]),
            framing=found.framing[i],
            doubtful=bool(found.doubtful[i]),
        )
    except ValueError as error:
        return Outcome("failed", f"{crop}: {error}.")
    write_geometry(os.path.join(directory, f"{stem(crop)}.npz"), geometry, faces)
    return Outcome("made")
