"""What is wrong with the structures on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from gcl.photographs import PhotographError, photograph_size

from .store import FOLDERS, TURNS, GeometryStore, RenderStore, read_render, render_path

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
    """Check the eight renders of one photograph of a store."""
    try:
        height, width = photograph_size(crop)
    except PhotographError as error:
        return [Problem("crop", crop, crop, str(error))]
    problems, size = [], None
    for turn in (0, *TURNS):
        path = render_path(store.folder, store.name_of(crop), turn)
        if not os.path.exists(path):
            problems.append(Problem("missing", path, crop))
            continue
        try:
            image = read_render(path)
        except OSError as error:
            problems.append(Problem("broken", path, crop, str(error)))
            continue
        size = size or image.size
        # the sides are whole pixels: allow for one that was rounded, in the render or in the crop
        slack = max(1.0, image.height / height)
        if image.size != size:
            problems.append(Problem("size", path, crop, f"{_by(image.size)}, others {_by(size)}"))
        elif abs(image.width - image.height * width / height) > slack:
            detail = f"{_by(image.size)}, crop {_by((width, height))}"
            problems.append(Problem("aspect", path, crop, detail))
        if (np.asarray(image) >= DARK).mean() < 0.005:
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


def files_of(crops: int, source: str) -> int:
    """How many files ``crops`` images need."""
    return crops * (len(FOLDERS) if source == "renders" else 1)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
