"""What is wrong with the structures on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from gcl.photographs import PhotographError, photograph_size

from .store import GeometryStore, RenderStore, StructureStore

KINDS = {
    "crop": "the photograph itself can not be used",
    "missing": "the file is not there",
    "broken": "it can not be read to its end",
    "size": "the eight views of an image differ in size",
    "aspect": "width / height is not that of the crop",
    "black": "nobody is in the picture",
}

DARK = 16  # grey values below it are background; JPEG leaves a few there
SHOWN = 5  # files that a report names of each kind


class Problem(NamedTuple):
    """A file that training can not use, and why.

    Attributes:
        kind: one of :data:`KINDS`.
        path: of the file.
        crop: path of the photograph.
    """

    kind: str
    path: str
    crop: str
    detail: str = ""


def check_renders(store: RenderStore, crop: str) -> list[Problem]:
    """Check the files of the eight renders of one photograph of a store."""
    try:
        height, width = photograph_size(crop)
    except PhotographError as error:
        return [Problem("crop", crop, crop, str(error))]
    problems, size = [], None
    for path, turns in store.files(crop).items():
        if not os.path.exists(path):
            problems.append(Problem("missing", path, crop))
            continue
        try:
            images = store.load_views(crop, turns)
        except OSError as error:
            problems.append(Problem("broken", path, crop, str(error)))
            continue
        size = size or images[0].size
        others = [image.size for image in images if image.size != size]
        if others:
            problems.append(Problem("size", path, crop, f"{_by(others[0])}, others {_by(size)}"))
        if len(others) < len(images) and not _same_shape(size, (width, height)):
            detail = f"{_by(size)}, crop {_by((width, height))}"
            problems.append(Problem("aspect", path, crop, detail))
        if any((np.asarray(image) >= DARK).mean() < 0.005 for image in images):
            problems.append(Problem("black", path, crop))
    return problems


def check_geometry(store: GeometryStore, crop: str) -> list[Problem]:
    """Check the mesh of one photograph of a store."""
    path = os.path.join(store.folder, store.name_of(crop))
    if not os.path.exists(path):
        return [Problem("missing", path, crop)]
    try:
        store.read(crop)
    except ValueError as error:
        return [Problem("broken", path, crop, str(error))]
    return []


def report(problems: Iterable[Problem], files: int) -> str:
    """A table of how many of ``files`` files have each problem, and the first few of each."""
    found: dict[str, list[Problem]] = {kind: [] for kind in KINDS}
    for problem in problems:
        found[problem.kind].append(problem)
    rows = [(kind, KINDS[kind], len(found[kind])) for kind in KINDS if found[kind]]
    if not rows:
        return f"{files} files: all good."
    lines = [tabulate(rows, headers=("problem", "meaning", f"of {files} files")), ""]
    for kind, some in found.items():
        lines += [f"{kind}: {p.path} {p.detail}".rstrip() for p in some[:SHOWN]]
        if len(some) > SHOWN:
            lines.append(f"{kind}: and {len(some) - SHOWN} more")
    return "\n".join(lines)


def files_of(store: StructureStore) -> int:
    """How many files the photographs of a store have or need."""
    return sum(len(store.files(crop)) for crop in store.crops)


def _same_shape(size: tuple[int, int], crop: tuple[int, int]) -> bool:
    """Whether two pictures, (width, height) each, have one aspect ratio."""
    # the sides are whole pixels: allow for one that was rounded, in the render or in the crop
    return abs(size[0] - size[1] * crop[0] / crop[1]) <= max(1.0, size[1] / crop[1])


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
