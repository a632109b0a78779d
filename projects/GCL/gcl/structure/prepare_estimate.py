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

from gcl.atomic_files import atomic
from gcl.photographs import PhotographError
from gcl.structure.estimate.crops import load_crop

from .array_files import read_npz
from .crop_keys import CropKeys, files_below, mesh_name
from .estimate import Estimate, StructureEstimator
from .geometry import Geometry, read_faces, usable, write_faces, write_geometry
from .outcomes import Outcome, Summary, is_about_a_name, lines_of_others, one_line
from .prepare import each, gather, make_folders, readable, share, unwritable
from .store import GEOMETRY

BATCH = 64
ADAPT_TO = 2000
"""Crops to which the estimator adapts at most: more than it looks at while it learns."""
DOUBTFUL = "low_confidence.txt"
"""File of a split's folder, see :func:`list_doubtful`."""


class Batches(Dataset):
    """Item i is the i-th batch of crops, decoded and at the size at which the estimator looks at
    them: full-size photographs would fill the memory.

    Args:
        crops: in an order that is always the same.
        folder: of the meshes.
    """

    def __init__(self, crops: CropKeys, folder: str) -> None:
        paths, self._crops, self._folder = list(crops), crops, folder
        self.batches = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
        self._there, self._faces = files_below(folder, ".npz"), read_faces(folder)
        self._lacking: dict[int, list[str]] = {}  # looked at once: they are written meanwhile

    def __len__(self) -> int:
        return len(self.batches)

    def lacking(self, index: int) -> list[str]:
        """Crops of a batch that had no mesh, or a damaged one, when they were first asked for."""
        if index not in self._lacking:
            self._lacking[index] = [c for c in self.batches[index] if not self._has_mesh(c)]
        return self._lacking[index]

    def _has_mesh(self, crop: str) -> bool:
        name = mesh_name(self._crops[crop])
        return name in self._there and usable(os.path.join(self._folder, name), self._faces)

    def __getitem__(self, index: int) -> tuple[int, dict[str, np.ndarray], dict[str, str]]:
        """Number of the batch; its pictures, (128, 64, 3) uint8 by path; why those that lack a mesh
        can not be read, by path. Both empty when the batch lacks nothing."""
        pictures, broken = {}, {}
        lacking = self.lacking(index)
        for crop in self.batches[index] if lacking else ():
            try:
                pictures[crop] = load_crop(crop)
            except PhotographError as error:
                if crop in lacking:
                    broken[crop] = str(error)
        return index, pictures, broken


def estimate_meshes(
    crops: CropKeys,
    folder: str,
    load: Callable[[], StructureEstimator],
    adapt: bool = False,
    workers: int = 0,
) -> Summary:
    """Write ``geometry/<key>.npz`` of every crop that lacks it.

    Under ``torchrun`` every process takes its share of the batches, and all return the summary of
    all; its seconds are those of estimating, without loading and adapting.

    Args:
        crops: photographs, in an order that is the same in every run and process.
        folder: the split's folder; made when it is not there.
        load: gives the estimator; called when there is something to do.
        adapt: whether the estimator adapts to the crops first, if there is something to do.
        workers: processes that decode; 0: this one.

    Raises:
        OSError: a file can not be written.
    """
    directory = os.path.join(folder, GEOMETRY)
    make_folders(directory, crops)
    dataset, summary = Batches(crops, directory), Summary()
    rank, world = share()
    estimator = faces = None
    if any(dataset.lacking(i) for i in range(rank, len(dataset), world)):
        estimator = load()
        sample = adaptation_sample(list(crops)) if adapt else []
        if sample:
            estimator.adapt(sample)
        write_faces(directory, estimator.faces.cpu())
        faces = read_faces(directory)
    start = time.perf_counter()
    for index, pictures, broken in each(dataset, workers, "estimating", unit="batch"):
        lacking = dataset.lacking(index)
        for _ in range(len(dataset.batches[index]) - len(lacking)):
            summary.add(Outcome("there already"))
        for crop, why in broken.items():
            summary.add(Outcome("failed", why, crops[crop]))
        if pictures:
            found = estimator(list(pictures.values()), batch_size=BATCH)
            for i, crop in enumerate(pictures):
                if crop in lacking:
                    summary.add(_write(directory, crop, crops[crop], found, i, faces))
    summary.seconds = time.perf_counter() - start
    total = Summary()
    for part in gather(summary):  # which also waits until all are done
        total.merge(part)
    return total


def list_doubtful(crops: CropKeys, folder: str) -> int:
    """Write :data:`DOUBTFUL` into ``folder``: key and confidence of the crops whose mesh on disk is
    only a standing body, the lowest confidence first. Lines of other data sets stay.

    Returns:
        How many of ``crops`` it lists.
    """
    path = os.path.join(folder, DOUBTFUL)
    others = [line.rpartition(" ") for line in lines_of_others(path, crops)]
    found, kept = [], [(float(confidence), key) for key, _, confidence in others]
    for key in crops.values():
        mesh = os.path.join(folder, GEOMETRY, mesh_name(key))
        try:
            arrays = read_npz(mesh, ("doubtful", "confidence"))
            if arrays.get("doubtful", False):
                found.append((float(arrays["confidence"]), one_line(key)))
        except Exception:  # missing or damaged, which is told where it is used
            continue
    lines = [f"{key} {confidence:.3f}\n" for confidence, key in sorted(found + kept)]
    with atomic(path) as file:
        file.write("".join(lines).encode("utf-8", "surrogateescape"))
    return len(found)


def adaptation_sample(crops: Sequence[str]) -> list[str]:
    """Up to :data:`ADAPT_TO` crops that can be read, the same in every run and process."""
    sample = sorted(random.Random(0).sample(list(crops), min(ADAPT_TO, len(crops))))
    return [crop for crop in sample if readable(crop)]


def _write(directory: str, crop: str, key: str, found: Estimate, i: int, faces: Tensor) -> Outcome:
    """Write the mesh of the ``i``-th picture of a batch, which is ``crop``."""
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
        return Outcome("failed", f"{crop}: {error}.", key)
    try:
        write_geometry(os.path.join(directory, mesh_name(key)), geometry, faces)
    except OSError as error:
        if not is_about_a_name(error):
            raise
        return Outcome("failed", unwritable(crop, error), key)
    return Outcome("made")
