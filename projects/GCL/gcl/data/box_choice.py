"""Which boxes of a tracker become crops, and why the others do not.

Shapes: M boxes, in order of frame and track; corners are left, top, right, bottom in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gcl.config import ConfigError
from gcl.photographs import LONGEST, SMALLEST

from .tracker_results import NO_TRACK, UNKNOWN, Boxes

CELLS = (32, 16)
"""Rows and columns of points in a box by which its hidden share is measured."""
TAKEN = ""
"""The reason of a box that becomes a crop."""


@dataclass(frozen=True)
class Choice:
    """What a box must be.

    Attributes:
        every: frames from one crop of a track to its next, at least; of boxes without a track,
            those in each n-th frame are taken.
        confidence: the least; a box without one passes.
        height: the least, in pixels.
        aspect: the least and the most of height / width.
        margin: pixels between a box and each border of the picture, at least; where it is below 0,
            a box may reach so far beyond.
        hidden: the largest share of a box that boxes of nearer people may cover: those that end
            lower in the picture.
    """

    every: int = 10
    confidence: float = 0.3
    height: float = 48
    aspect: tuple[float, float] = (1.2, 5.0)
    margin: float = 1
    hidden: float = 0.3

    def __post_init__(self) -> None:
        low, high = self.aspect
        for name, good, rule in (
            ("every", self.every >= 1, "at least 1"),
            ("confidence", math.isfinite(self.confidence), "a number"),
            ("margin", math.isfinite(self.margin), "a number"),
            ("height", self.height >= SMALLEST, f"at least {SMALLEST} pixels"),
            ("aspect", 0 < low <= high <= LONGEST, f"two numbers in order, up to {LONGEST}"),
            ("hidden", 0 <= self.hidden <= 1, "a share, 0 to 1"),
        ):
            if not good:
                raise ConfigError(f"--{name} is {getattr(self, name)}: it must be {rule}.")


def reasons(boxes: Boxes, size: tuple[int, int], choice: Choice) -> np.ndarray:
    """Why each box is left out, (M,) str; :data:`TAKEN` where it becomes a crop.

    Args:
        size: (height, width) of the pictures.
    """
    left, top, right, bottom = boxes.corners.T
    width, height = right - left, bottom - top
    found = np.full(len(boxes), TAKEN, dtype=object)

    def leave_out(where: np.ndarray, reason: str) -> None:
        found[where & (found == TAKEN)] = reason

    known = boxes.confidence != UNKNOWN
    leave_out(known & (boxes.confidence < choice.confidence), f"confidence < {choice.confidence:g}")
    leave_out((width <= 0) | (height <= 0), "without an area")
    leave_out(
        (np.minimum(right, size[1]) - np.maximum(left, 0) <= 0)
        | (np.minimum(bottom, size[0]) - np.maximum(top, 0) <= 0),
        "outside the picture",
    )
    leave_out(_again(boxes), "a second box of its track in the frame")
    people = found == TAKEN  # whoever is too small or cut off for a crop still hides others
    leave_out(height < choice.height, f"height < {choice.height:g}")
    aspect = height / np.where(width > 0, width, 1)
    leave_out(aspect < choice.aspect[0], f"height / width < {choice.aspect[0]:g}")
    leave_out(aspect > choice.aspect[1], f"height / width > {choice.aspect[1]:g}")
    room = np.stack([left, top, size[1] - right, size[0] - bottom]).min(axis=0)
    leave_out(room < choice.margin, f"within {choice.margin:g} of the border")
    leave_out(_hidden(boxes, people, found == TAKEN) > choice.hidden, f"hidden > {choice.hidden:g}")
    leave_out(~_sampled(boxes, found == TAKEN, choice.every), "between samples")
    return found


def _again(boxes: Boxes) -> np.ndarray:
    """Whether a box follows another one of its frame and track."""
    same = np.zeros(len(boxes), bool)
    same[1:] = (np.diff(boxes.frame) == 0) & (np.diff(boxes.track) == 0)
    return same & (boxes.track != NO_TRACK)


def _hidden(boxes: Boxes, people: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(M,) share of each box that the boxes of nearer ``people`` cover, all of them together; 0
    where nobody ``asked``."""
    share = np.zeros(len(boxes))
    inside = np.flatnonzero(people)
    starts = np.flatnonzero(np.diff(boxes.frame[inside], prepend=-1))
    for frame in np.split(inside, starts[1:]) if len(inside) else ():
        corners = boxes.corners[frame]
        for i, (left, top, right, bottom) in zip(frame, corners, strict=True):
            if not asked[i]:
                continue
            near = frame[
                (corners[:, 3] >= bottom)
                & (frame != i)
                & (np.minimum(corners[:, 2], right) > np.maximum(corners[:, 0], left))
                & (np.minimum(corners[:, 3], bottom) > np.maximum(corners[:, 1], top))
            ]
            if not len(near):
                continue
            y = top + (bottom - top) * (np.arange(CELLS[0]) + 0.5) / CELLS[0]
            x = left + (right - left) * (np.arange(CELLS[1]) + 0.5) / CELLS[1]
            a, b, c, d = boxes.corners[near].T[:, :, None]
            rows, columns = (b <= y) & (y < d), (a <= x) & (x < c)
            share[i] = (rows[:, :, None] & columns[:, None, :]).any(axis=0).mean()
    return share


def _sampled(boxes: Boxes, good: np.ndarray, every: int) -> np.ndarray:
    """Whether each of the ``good`` boxes is taken: the first of its track, and then the first one
    at least ``every`` frames after the last that was."""
    taken = good & (boxes.track == NO_TRACK) & ((boxes.frame - boxes.first) % every == 0)
    last: dict[int, int] = {}
    for i in np.flatnonzero(good & (boxes.track != NO_TRACK)).tolist():
        track, frame = int(boxes.track[i]), int(boxes.frame[i])
        if frame - last.get(track, frame - every) >= every:
            taken[i] = True
            last[track] = frame
    return taken
