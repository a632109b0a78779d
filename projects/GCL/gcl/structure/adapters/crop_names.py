"""Whom of a video a crop shows, and when, by the crop's name."""

from __future__ import annotations

import os
import re
import string
from typing import NamedTuple

from gcl.structure.geometry import GeometryError

CROP_NAMES = "{person}_{frame}"

_FIELDS = {"person": r"\d+", "frame": r"\d+", "video": r"[^/]+", "": r"[^/]*"}


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
            parts = list(string.Formatter().parse(pattern))
        except ValueError as error:
            raise GeometryError(f"--crop-names {pattern}: {error}.") from error
        expression, seen = "", set()
        for text, field, form, conversion in parts:
            expression += re.escape(text)
            if field is None:  # text behind the last field
                continue
            if field not in _FIELDS or form or conversion or field in seen:
                raise GeometryError(
                    f"--crop-names {pattern}: fields are {{person}}, {{frame}} and {{video}}, each"
                    " at most once, and {} for anything else."
                )
            seen |= {field} - {""}
            expression += f"(?P<{field}>{_FIELDS[field]})" if field else _FIELDS[field]
        if "frame" not in seen:
            raise GeometryError(f"--crop-names {pattern}: there is no {{frame}} in it.")
        self._expression = re.compile(f"(?:.*/)?{expression}", re.DOTALL | re.ASCII)

    def __call__(self, key: str) -> Place | None:
        """What the key of a crop says; None where it is named in another way."""
        match = self._expression.fullmatch(os.path.splitext(key)[0])
        if not match:
            return None
        found = match.groupdict()
        person = int(found["person"]) if "person" in found else None
        return Place(found.get("video"), person, int(found["frame"]))
