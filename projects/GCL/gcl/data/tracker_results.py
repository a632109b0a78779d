"""What a tracker writes of a video: the boxes of people, in MOTChallenge's format.

A line is ``frame, id, x, y, w, h, confidence, ...``: the box's left upper corner, width and height
in pixels, and columns that are not read. Frames count from 1, or from 0 as some tools have it; the
id is -1 where a detector knows none.

Shapes: M boxes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from gcl.config import ConfigError

COLUMNS = ("frame", "id", "x", "y", "w", "h", "confidence")
LEAST = 6
"""Columns that a line must have: a confidence need not be there."""
HEADINGS = (
    {"frame", "frame_id", "frame_number", "frame_idx", "frameid"},
    {"id", "track", "track_id", "trackid", "object_id"},
    {"x", "left", "x1", "bb_left", "xmin", "x_min"},
    {"y", "top", "y1", "bb_top", "ymin", "y_min"},
    {"w", "width", "bb_width"},
    {"h", "height", "bb_height"},
)
"""What tools call the columns, where a file has a heading."""
OTHER_CORNER = {"right", "x2", "bb_right", "xmax", "x_max", "bottom", "y2", "bb_bottom", "ymax"}
OTHER_CORNER |= {"y_max"}
NO_TRACK = -1
UNKNOWN = -1.0
"""A confidence that nobody has given, as MOTChallenge writes it."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", None: "spaces"}


@dataclass(frozen=True)
class Boxes:
    """frame, track (M,) int64, :data:`NO_TRACK` where there is none; corners (M, 4) float64: left,
    top, right, bottom, in pixels; confidence (M,) float64, :data:`UNKNOWN` where there is none;
    note: how the file was understood. In order of frame, track, and line."""

    frame: np.ndarray
    track: np.ndarray
    corners: np.ndarray
    confidence: np.ndarray
    note: str

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def first(self) -> int:
        """Number that the tool gives the first frame of a video."""
        return min(int(self.frame.min()), 1)


def read_results(path: str) -> Boxes:
    """The boxes of a file.

    Raises:
        ConfigError: it can not be read, has no boxes, or a line is none; the message names it.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [(i, line) for i, line in enumerate(file.read().splitlines(), 1)]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"{path} can not be read as a tracker's results ({reason}).") from error
    lines = [(i, line.strip()) for i, line in lines if line.strip()]
    notes = []
    if lines and not _is_number(re.split(r"[\s,;]+", lines[0][1])[0]):
        _check_heading(path, *lines[0])
        notes.append(f"the first line is a heading: {lines[0][1][:60]!r}")
        lines = lines[1:]
    if not lines:
        raise ConfigError(
            f"{path} has no boxes: give a tracker's results, a line {', '.join(COLUMNS)} a box."
        )
    delimiter = next((d for d in (",", ";", "\t") if d in lines[0][1]), None)
    width = len(lines[0][1].split(delimiter))
    rows = np.array([_row(path, i, line, delimiter, width) for i, line in lines])
    frame, track = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    order = np.lexsort((track, frame))  # stable: lines of a frame without ids keep their order
    frame, track, rows = frame[order], track[order], rows[order]
    notes.insert(0, f"{DELIMITERS[delimiter]} between {width} columns")
    notes.append(f"frames count from {min(int(frame[0]), 1)}")
    corners = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)
    return Boxes(frame, track, corners, rows[:, 6], ", ".join(notes))


def _check_heading(path: str, line: int, text: str) -> None:
    """Raises ConfigError where a heading names the columns in another order, or other ones."""
    delimiter = next((d for d in (",", ";", "\t") if d in text), None)
    names = [name.strip("\"'# ").lower() for name in text.split(delimiter)]
    order = f"the columns have to be {', '.join(COLUMNS)}: bring them into that order"
    for name in names:
        if name in OTHER_CORNER:
            raise ConfigError(
                f"{path}, line {line}: the heading has {name!r}, a box's other corner, and {order},"
                " with its width and height."
            )
    for place, known in enumerate(HEADINGS):
        found = [i for i, name in enumerate(names) if name in known]
        if found and place not in found:
            raise ConfigError(
                f"{path}, line {line}: the heading has {names[found[0]]!r} in column"
                f" {found[0] + 1}, and {order}."
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _row(path: str, line: int, text: str, delimiter: str | None, width: int) -> list[float]:
    """The seven numbers of a line."""
    cells = text.split(delimiter)
    if len(cells) != width:
        raise ConfigError(
            f"{path}, line {line}: {len(cells)} columns, and the first line has {width} with"
            f" {DELIMITERS[delimiter]} between them: the line is cut off, or the delimiters are"
            " mixed."
        )
    if width < LEAST:
        raise ConfigError(
            f"{path}, line {line}: {width} columns ({text[:60]!r}), and a box needs {LEAST}:"
            f" {', '.join(COLUMNS[:LEAST])}."
        )
    if width == LEAST:
        cells.append(str(UNKNOWN))
    row = []
    for name, cell in zip(COLUMNS, cells, strict=False):
        try:
            number = float(cell)
        except ValueError:
            number = math.nan
        whole = name not in ("frame", "id") or number.is_integer()
        if not math.isfinite(number) or not whole:
            what = "number" if name not in ("frame", "id") else "whole number"
            raise ConfigError(f"{path}, line {line}: the {name} {cell.strip()!r} is no {what}.")
        row.append(number)
    if row[0] < 0:
        raise ConfigError(f"{path}, line {line}: the frame {row[0]:.0f} is below 0.")
    if row[1] < NO_TRACK:
        raise ConfigError(
            f"{path}, line {line}: the id {row[1]:.0f} is below 0, and only {NO_TRACK} may be, for"
            " a box without one."
        )
    return row
