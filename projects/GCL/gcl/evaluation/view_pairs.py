"""Turned crops and what they must look like: for the evaluation of generated views.

People and cameras are read here, so nothing here is for training. Shapes: `N` crops, `M` targets,
`T` pairs.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from gcl.config import ConfigError
from gcl.photographs import read_photograph
from gcl.structure.store import TURNS
from gcl.synthetic import TrueViews


class Item(NamedTuple):
    """A photograph: its path, whom it shows (from 0), its camera, its yaw in degrees."""

    path: str
    person: int
    camera: int
    yaw: float


class Visit(NamedTuple):
    """One person in one camera: the slices of its targets and of its pairs."""

    targets: slice
    pairs: slice


@dataclass(frozen=True)
class ViewPairs:
    """Pairs of a crop with a turn, and a picture of what should be seen then: a target.

    Everything of one person in one camera is together, and one camera's people are.

    Attributes:
        images: N paths.
        crop: (T,) row of ``images``.
        turn: (T,) degrees by which the person of the crop is turned, of TURNS.
        truth: (T,) target that shows this person in this view.
        match: (T,) target that a search for this person, in this camera and view, has to find: not
            drawn of the same moment, whose background would give it away; -1: there is none.
        person, camera, orientation: (M,) of targets; orientations are yaws rounded to 45 degrees.
        yaw: (M,) degrees.
        visits: all targets and pairs, part by part.
        read: some targets' rows -> their pictures, to go through once.
    """

    images: list[str]
    crop: np.ndarray
    turn: np.ndarray
    truth: np.ndarray
    match: np.ndarray
    person: np.ndarray
    camera: np.ndarray
    orientation: np.ndarray
    yaw: np.ndarray
    visits: list[Visit]
    read: Callable[[range], Iterable[Image.Image]]

    def galleries(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each camera and orientation in which a pair ends: its rows of pairs, and the rows of
        the first target of everybody seen there."""
        place = self.camera * 8 + self.orientation // 45
        _, first = np.unique(np.stack((place, self.person)), axis=1, return_index=True)
        for here in np.unique(place[self.truth]):
            yield np.flatnonzero(place[self.truth] == here), first[place[first] == here]


def photographs(items: Sequence[Item]) -> ViewPairs:
    """Each crop with every other orientation in which there is a photograph of that person in that
    camera (the first by name, where there are several).

    Raises:
        ConfigError: there is no such pair.
    """
    items = _sorted(items)
    targets = [(i, item.yaw) for i, item in enumerate(items)]

    def read(rows: range) -> Iterator[Image.Image]:
        return (read_photograph(items[row].path) for row in rows)  # one at a time is held

    return _pairs(items, targets, read, _to_photographs)


def drawn(items: Sequence[Item], folder: str) -> ViewPairs:
    """Each crop of a synthetic set with all turns; the truth is drawn.

    The yaw of ``items`` is not read: the set knows it.

    Args:
        folder: of the set.

    Raises:
        ConfigError: the set is not there, or another version of this software drew it.
    """
    try:
        draw = TrueViews(folder)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error
    names = {item.path: os.path.basename(item.path) for item in items}
    items = _sorted(
        item._replace(yaw=draw.shots[names[item.path]].scene.moment.yaw) for item in items
    )
    targets = [(i, item.yaw + turn) for i, item in enumerate(items) for turn in TURNS]

    def read(rows: range) -> list[Image.Image]:
        crops = range(rows.start // len(TURNS), rows.stop // len(TURNS))
        views = draw([names[items[crop].path] for crop in crops], TURNS)
        return [view for turned in views for view in turned]

    return _pairs(items, targets, read, _to_drawings)


def _sorted(items: Sequence[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (item.camera, item.person, item.path))


class _Targets(NamedTuple):
    """All targets: the row of the item that each comes from, its yaw and orientation."""

    source: np.ndarray
    yaw: np.ndarray
    orientation: np.ndarray


Row = tuple[int, float, int, int]
"""Crop, turn, truth, match."""


def _pairs(
    items: list[Item],
    targets: list[tuple[int, float]],
    read: Callable[[range], Iterable[Image.Image]],
    rows_of: Callable[[dict[int, list[int]], _Targets], Iterator[Row]],
) -> ViewPairs:
    """Args:
    targets: row of the item that each comes from, and its yaw.
    rows_of: the pairs of one visit, from its targets by orientation, and all targets.
    """
    source = np.array([row for row, _ in targets], int)
    yaw = np.array([yaw % 360 for _, yaw in targets], float)
    person = np.array([items[row].person for row in source], int)
    camera = np.array([items[row].camera for row in source], int)
    orientation = ((yaw / 45).round().astype(int) % 8) * 45
    rows, visits = [], []
    key = np.stack((camera, person), 1)
    cuts = np.flatnonzero((key[1:] != key[:-1]).any(1)) + 1
    for here in np.split(np.arange(len(source)), cuts):
        begin, seen = len(rows), defaultdict(list)
        for target in here.tolist():
            seen[orientation[target]].append(target)
        rows += rows_of(seen, _Targets(source, yaw, orientation))
        if len(here):
            visits.append(Visit(slice(here[0], here[-1] + 1), slice(begin, len(rows))))
    if not rows:
        raise ConfigError(
            f"none of {len(items)} crops has another photograph of its person in its camera, turned"
            " by a multiple of 45 degrees: there is nothing to compare generated views with."
        )
    pairs = np.array(rows, int)
    return ViewPairs(
        [item.path for item in items],
        *pairs.T,
        person=person,
        camera=camera,
        orientation=orientation,
        yaw=yaw,
        visits=visits,
        read=read,
    )


def _to_photographs(seen: dict[int, list[int]], targets: _Targets) -> Iterator[Row]:
    """Every photograph turned to the first one of each other orientation."""
    for crop in sorted(target for same in seen.values() for target in same):
        for first, *_ in seen.values():
            turn = (targets.yaw[first] - targets.yaw[crop]) % 360
            if turn in TURNS:
                yield crop, turn, first, first


def _to_drawings(seen: dict[int, list[int]], targets: _Targets) -> Iterator[Row]:
    """Every drawing is the truth of its own crop and turn."""
    for target in sorted(target for same in seen.values() for target in same):
        source = targets.source[target]
        same = seen[targets.orientation[target]]
        other = next((t for t in same if targets.source[t] != source), -1)
        yield source, TURNS[target % len(TURNS)], target, other
