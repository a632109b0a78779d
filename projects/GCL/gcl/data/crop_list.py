"""What is known of a folder of crops: which files count, their cameras, tracks and times.

A crop's name is its path below the folder, with "/" between folders. As files, ``crops.csv`` has
the columns path, camera, track and time, and ``skipped.csv`` path and reason.
"""

from __future__ import annotations

import csv
import io
import math
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gcl.atomic_files import atomic
from gcl.config import ConfigError

CROPS = "crops.csv"
SKIPPED = "skipped.csv"
COLUMNS = ("path", "camera", "track", "time")
SHOWN = 20
"""Cameras, and reasons why files are left out, of which a summary has a line each."""


class Crop(NamedTuple):
    """A crop: its name, and what is known of it. camera and track: "" where unknown; a track's name
    holds within its camera. time: in any unit, None where unknown."""

    name: str
    camera: str = ""
    track: str = ""
    time: float | None = None


class Skipped(NamedTuple):
    """A file that is left out, and why."""

    name: str
    reason: str


class Numbers(NamedTuple):
    """Of crops, their cameras and tracks. A crop without a track counts as one of its own, where
    others have one; where none has, there are 0."""

    images: int
    cameras: int
    tracks: int


@dataclass(frozen=True)
class CropList:
    """The crops of ``folder``, sorted by name; what else lies there; sentences on what could not be
    understood."""

    folder: str
    crops: tuple[Crop, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cameras(self) -> list[str]:
        """Their names, sorted; "", the one of crops whose camera is not known, is the last."""
        return sorted({crop.camera for crop in self.crops}, key=lambda name: (name == "", name))

    @property
    def tracks(self) -> list[tuple[str, str]]:
        """(camera, track), sorted."""
        return sorted({(crop.camera, crop.track) for crop in self.crops if crop.track})

    @property
    def numbers(self) -> Numbers:
        alone = sum(1 for crop in self.crops if not crop.track)
        tracks = len(self.tracks) + alone if alone < len(self.crops) else 0
        return Numbers(len(self.crops), len(self.cameras), tracks)

    def summary(self, listed: str = "") -> str:
        """What was understood, in lines.

        Args:
            listed: file in which the skipped files are, if there is one.
        """
        images, cameras, tracks = len(self.crops), len(self.cameras), len(self.tracks)
        tracked = sum(1 for crop in self.crops if crop.track)
        timed = sum(1 for crop in self.crops if crop.time is not None)
        sizes = [count_of(images, "crop"), count_of(cameras, "camera"), count_of(tracks, "track")]
        lines = [
            f"{self.folder}: {', '.join(sizes)} (of {count_of(tracked, 'crop')}),"
            f" times of {count_of(timed, 'crop')}"
        ]
        of_cameras = Counter(crop.camera for crop in self.crops)
        tracks_of = Counter(camera for camera, _ in self.tracks)
        for name in self.cameras[:SHOWN] if self.cameras != [""] else ():
            what = f"camera {name}" if name else "no known camera, counted as one"
            of_it = f"{count_of(of_cameras[name], 'crop')}, {count_of(tracks_of[name], 'track')}"
            lines.append(f"  {what}: {of_it}")
        if cameras > SHOWN:
            lines.append(f"  and {cameras - SHOWN} more cameras")
        lines += [f"  {note}" for note in self.notes]
        reasons: dict[str, list[tuple[str, str]]] = {}  # numbers apart they are the same
        for name, reason in self.skipped:
            reasons.setdefault(re.sub(r"\d+", "#", reason), []).append((name, reason))
        if reasons:
            where = f", all in {listed}" if listed else ""
            lines.append(f"left out: {count_of(len(self.skipped), 'file')}{where}")
        for files in list(reasons.values())[:SHOWN]:
            name, reason = min(files)
            lines.append(f"  {len(files)}, the first {name}: {reason}")
        if len(reasons) > SHOWN:
            lines.append(f"  and {len(reasons) - SHOWN} more reasons")
        # a name may have several lines
        return "\n".join(line.replace("\n", "\\n").replace("\r", "\\r") for line in lines)


def count_of(number: int, thing: str) -> str:
    """ "1 crop", "2 crops"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def write_list(crops: CropList, output: str) -> None:
    """Write ``crops.csv`` and ``skipped.csv`` into the folder ``output``, each all or nothing.

    Raises:
        OSError: they can not be written.
    """
    _write(os.path.join(output, SKIPPED), ("path", "reason"), crops.skipped)
    write_table(os.path.join(output, CROPS), crops.crops)


def write_table(path: str, crops: Iterable[Crop]) -> None:
    """Write a table that :func:`read_table` reads, all or nothing.

    Raises:
        OSError: it can not be written.
    """
    rows = ((*crop[:3], "" if crop.time is None else repr(crop.time)) for crop in crops)
    _write(path, COLUMNS, rows)


def read_list(folder: str, output: str) -> CropList:
    """What :func:`write_list` has left of ``folder`` in ``output``.

    Raises:
        ConfigError: a file is missing or broken.
    """
    crops, _ = read_table(os.path.join(output, CROPS))
    skipped = [
        Skipped(row["path"], row.get("reason") or "")
        for _, row in _rows(os.path.join(output, SKIPPED))
    ]
    return CropList(folder, tuple(sorted(crops)), tuple(skipped))


def read_table(path: str) -> tuple[list[Crop], list[str]]:
    """The crops of a table, and the columns that it has beyond :data:`COLUMNS`.

    Raises:
        ConfigError: it can not be read, has no column path, has a crop twice, or a time that is no
            number; the message names the line.
    """
    crops: dict[str, Crop] = {}
    others: list[str] = []
    for line, row in _rows(path):
        others = others or [column for column in row if column and column not in COLUMNS]
        name = posixpath.normpath(row["path"] or ".")
        text = (row.get("time") or "").strip()
        try:
            time = float(text) if text else None
        except ValueError:
            time = math.nan
        if time is not None and not math.isfinite(time):
            raise ConfigError(f"{path}, line {line}: the time {text!r} is no number.")
        if name == ".":
            raise ConfigError(f"{path}, line {line}: there is no path.")
        if name in crops:
            raise ConfigError(f"{path}, line {line}: {name} is there twice, keep one.")
        crops[name] = Crop(name, row.get("camera") or "", row.get("track") or "", time)
    return list(crops.values()), others


def _write(path: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with atomic(path) as file:
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(rows)
        text.detach()  # which flushes; ``atomic`` closes the file


def _rows(path: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Number of the line and cells of each row; columns in lower case."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            if "path" not in columns:
                raise ConfigError(
                    f"{path} has no column path (its first line is {','.join(columns)!r}): begin it"
                    f" with {','.join(COLUMNS)}, of which all but path may be left out."
                )
            if twice := [name for name in COLUMNS if columns.count(name) > 1]:
                raise ConfigError(f"{path} has several columns {twice[0]}: keep one.")
            reader.fieldnames = columns
            for row in reader:
                if row.pop(None, None) is not None:
                    raise ConfigError(
                        f"{path}, line {reader.line_num}: there are more cells than columns; put a"
                        ' path with a comma in it into "".'
                    )
                yield reader.line_num, row
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path} can not be read as a table ({reason}).") from error
