"""Structures for a whole data set: render, convert, check; resumable and in parallel."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from gcl.atomic_files import atomic, remove_leftovers
from gcl.photographs import PhotographError, photograph_size, read_photograph

from .adapters import NobodyError
from .contact_sheet import contact_sheet
from .crop_keys import CropKeys, files_below, mesh_name
from .geometry import (
    Geometry,
    read_faces,
    render_views,
    usable,
    write_faces,
    write_geometry,
)
from .outcomes import Outcome, Summary, is_about_a_name
from .render_files import RENDERS, TURNS, names_in, renders_whole, write_renders
from .store import GEOMETRY, RenderStore, StructureStore, open_store, render_size
from .verify import Problem, check_geometry, check_renders

Source = Callable[[str], Geometry]


class Preparation(Dataset):
    """Item i makes what the i-th crop lacks and says what happened.

    Args:
        crops: what to make, in an order that is the same in every process.
        source: path of a photograph -> mesh.
        folder: the split's folder; made when it is not there.
        write: what to write, of "renders" and "geometry". What is there and whole stays.
        height: of renders in pixels; their width follows the crop.
    """

    def __init__(
        self, crops: CropKeys, source: Source, folder: str, write: Sequence[str], height: int
    ) -> None:
        self.crops, self.source, self.folder = list(crops.items()), source, folder
        self.height = height
        self.write = set(write)
        for name in (RENDERS,) * ("renders" in write) + (GEOMETRY,) * ("geometry" in write):
            make_folders(os.path.join(folder, name), crops)
        # one listing a folder, not a look a crop: folders may be far away
        self._rendered = names_in(folder) if "renders" in write else set()
        self._meshes: set[str] = set()
        self._faces = None
        if "geometry" in write:
            directory = os.path.join(folder, GEOMETRY)
            if getattr(source, "faces", None) is not None:
                write_faces(directory, source.faces)
            self._faces = read_faces(directory)
            self._meshes = files_below(directory, ".npz")

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> Outcome:
        crop, key = self.crops[index]
        mesh, renders = self._lacks(key)
        if not (mesh or renders):
            return Outcome("there already")
        try:
            geometry = self.source(crop)
            height, width = photograph_size(crop)
        except NobodyError as error:
            return Outcome("nobody", error.args[0], key)
        except (ValueError, OSError) as error:
            return Outcome("failed", str(error), key)
        try:
            if mesh:
                write_geometry(self._mesh(key), geometry, self._faces)
            if renders:
                size = render_size(self.height, width / height)
                write_renders(self.folder, key, render_views(geometry, (0, *TURNS), size))
        except OSError as error:
            if not is_about_a_name(error):  # a full or read-only disk stops the run
                raise
            return Outcome("failed", unwritable(crop, error), key)
        return Outcome("made", guessed=getattr(self.source, "guessed", ""))

    def _lacks(self, key: str) -> tuple[bool, bool]:
        """Whether a crop lacks its mesh and renders that are wanted, or has but damaged ones."""
        # what is there under another name (crop_keys.py) may be another data set's
        mesh = "geometry" in self.write and not (
            mesh_name(key) in self._meshes and usable(self._mesh(key), self._faces)
        )
        renders = "renders" in self.write and not (
            key in self._rendered and renders_whole(self.folder, key)
        )
        return mesh, renders

    def _mesh(self, key: str) -> str:
        return os.path.join(self.folder, GEOMETRY, mesh_name(key))


class Verification(Dataset):
    """Item i is the problems of the i-th crop's files in ``store``."""

    def __init__(self, store: StructureStore) -> None:
        self.crops, self.store = list(store.crops), store
        self.check = check_renders if isinstance(store, RenderStore) else check_geometry

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> list[Problem]:
        return self.check(self.store, self.crops[index])


def prepare(dataset: Preparation, workers: int = 0) -> Summary:
    """Make what is missing and count.

    Under ``torchrun`` every process takes its share of the crops, and all return the summary of
    all.

    Args:
        workers: processes beside this one; 0: in this one.

    Raises:
        OSError: a file can not be written.
    """
    summary, start = Summary(), time.perf_counter()
    for outcome in each(dataset, workers, "structures"):
        summary.add(outcome)
    summary.seconds = time.perf_counter() - start
    total = Summary()
    for part in gather(summary):
        total.merge(part)
    return total


def verify(dataset: Verification, workers: int = 0) -> list[Problem]:
    """Problems of all crops; shared out like :func:`prepare`."""
    found = [problem for problems in each(dataset, workers, "checking") for problem in problems]
    return [problem for part in gather(found) for problem in part]


def sheet(store: StructureStore, crops: Iterable[str], path: str, rows: int = 12) -> int:
    """Write a contact sheet of up to ``rows`` crops with structures; returns how many there are.
    Of those that are drawn, a crop that can not be read is left out.

    They are drawn, always the same ones: every n-th crop could be the same view of everybody.
    """
    crops = [crop for crop in crops if crop in store]
    chosen = sorted(random.Random(0).sample(crops, min(rows, len(crops))))
    chosen = [crop for crop in chosen if readable(crop)]
    if chosen:
        with atomic(path) as file:
            contact_sheet(store, chosen).save(file, "PNG")
    return len(chosen)


def readable(crop: str) -> bool:
    """Whether a photograph can be read to its end."""
    try:
        read_photograph(crop)
    except PhotographError:
        return False
    return True


def open_written(
    root: str, split: str, write: Sequence[str], crops: CropKeys, height: int
) -> StructureStore:
    """The store of what was written; renders, where there are both."""
    source = "renders" if "renders" in write else "geometry"
    return open_store(root, split, source, crops, height)


def make_folders(folder: str, crops: CropKeys) -> None:
    """Make the folders that files of ``crops`` need in ``folder``, and remove what killed runs left
    in them. One whose name the disk can not have is left out: its crops fail alone."""
    for below in sorted({"", *map(os.path.dirname, crops.values())}):
        try:
            os.makedirs(os.path.join(folder, below), exist_ok=True)
        except OSError as error:
            if not is_about_a_name(error):
                raise
            continue
        remove_leftovers(os.path.join(folder, below))


def unwritable(crop: str, error: OSError) -> str:
    """Why a crop fails of which a file can not have its name."""
    return f"{crop}: its structure can not be written ({error.strerror}): rename the crop."


def each(dataset: Dataset, workers: int, description: str, unit: str = "crop") -> Iterator[Any]:
    """Items of this process's share of a data set, with a progress bar on the first process.

    torch's loader is the pool: its workers end with their parent, even a killed one, and a worker
    that dies is noticed.
    """
    rank, world = share()
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(rank, len(dataset), world),
        num_workers=workers,
        collate_fn=_same,
    )
    return iter(tqdm(loader, description, disable=rank > 0, unit=unit))


def _same(item: Any) -> Any:
    return item


def share() -> tuple[int, int]:
    """(rank, number of processes) as torchrun sets them, else (0, 1)."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def gather(value: Any) -> list[Any]:
    """``value`` of every process of a torchrun job; a list of one without it."""
    world = share()[1]
    if world == 1:
        return [value]
    values: list[Any] = [None] * world
    dist.all_gather_object(values, value)
    return values
