"""Whom of a video a crop shows, and when, by the crop's name."""

from __future__ import annotations

import os
from typing import NamedTuple

from gcl.name_pattern import NamePattern
from gcl.structure.geometry import GeometryError

CROP_NAMES = "{person}_{frame}"

_FIELDS = {"person": r"\d+", "frame": r"\d+", "video": r"[^/]+"}


class Place(NamedTuple):
    """Person and frame in a video; None for what the names do not say."""

    video: str | None
    person: int | None
    frame: int


class CropNames:
    """How crops are named, such as "{person}_{frame}" or "{video}/{person}_{frame}".

    ``{person}`` and ``{frame}`` are whole numbers, the tool's own, with any zeros before them;
    ``{video}`` is a name without "/", and ``{}`` is anything without "/". All else stands for
    itself.

    Args:
        pattern: of the ends of the crops' paths, without suffix.

    Raises:
        GeometryError: it is no such pattern.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        try:
            self._names = NamePattern(pattern, _FIELDS)
        except ValueError as error:
            raise GeometryError(f"--crop-names {pattern}: {error}.") from error
        if "frame" not in self._names.found:
            raise GeometryError(f"--crop-names {pattern}: there is no {{frame}} in it.")

    def __call__(self, key: str) -> Place | None:
        """What the key of a crop says; None where it is named in another way."""
        match = self._names.match(os.path.splitext(key)[0])
        if match is None:
            return None
        found = match[1]
        person = int(found["person"]) if "person" in found else None
        return Place(found.get("video"), person, int(found["frame"]))
