"""A folder of a video tool's files, a file a clip; crops are found by person and frame."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from gcl.structure.crop_keys import CropKeys, MissingStructureError, files_below
from gcl.structure.geometry import Geometry, GeometryError

from .clips import Tracks
from .crop_names import CropNames, Place
from .files_of_crops import NobodyError
from .payload import PayloadError, read_payload
from .tools import People

SUFFIX = ".pkl"
MOST_BYTES = 2**31
"""Of a clip's file: 26,000 SMPL bodies."""


class ClipFolder:
    """Bodies of crops out of clips; see :func:`.tool_folder.open_adapter`.

    Each file is read once, here, and of it only the bodies of the crops are kept: 83 kB each where
    they are vertices of SMPL. A file that can not be read is an error of its crops alone.

    Args:
        name: of the tool.
        reader: content of a file -> bodies by person and frame.
        people: such a body -> vertices.

    Raises:
        GeometryError: there is no clip, no crop is named as ``names`` says, or it can not be told
            whose crops are whose.
        MissingStructureError: two crops would share a body, or two files are one clip's.
    """

    def __init__(
        self,
        name: str,
        folder: str,
        crops: CropKeys,
        names: CropNames,
        reader: Callable[[Any], Tracks],
        people: Callable[[Any], People],
        faces: Tensor,
    ) -> None:
        self.faces = faces
        self._people = people
        self._bodies: dict[str, tuple[str, Any]] = {}
        self._errors: dict[str, Exception] = {}
        clips = _clips(folder, name)
        wanted: dict[str, dict[str, Place]] = defaultdict(dict)  # clip -> crop -> place
        for crop, key in crops.items():
            place = names(key)
            if place is None:
                reason = f"{key} is not named {names.pattern} (--crop-names): no person and frame."
                self._errors[crop] = NobodyError(reason)
                continue
            clip = _clip(place, clips, folder)
            if clip is None:
                reason = f"{folder} has no clip {place.video}, of which {key} is."
                self._errors[crop] = NobodyError(reason)
                continue
            wanted[clip][crop] = place
        if crops and not any(map(names, crops.values())):
            raise GeometryError(
                f"no crop is named {names.pattern}, {next(iter(crops.values()))} is not: say by"
                " --crop-names how person and frame are written in their names."
            )
        for clip, places in wanted.items():
            self._read(name, clips[clip], places, crops, reader)

    def __call__(self, crop: str) -> Geometry:
        if crop in self._errors:
            raise self._errors[crop]
        where, body = self._bodies[crop]
        try:
            return Geometry(self._people(body)[0], self.faces)
        except GeometryError as error:
            raise GeometryError(f"{where}: {error}.") from error
        except Exception as error:  # whatever a body of another kind leads to
            raise PayloadError(f"{where}: no body of a person: {_reason(error)}.") from error

    def _read(
        self,
        name: str,
        path: str,
        places: dict[str, Place],
        crops: CropKeys,
        reader: Callable[[Any], Tracks],
    ) -> None:
        """Keep the bodies that a file has of crops."""
        try:
            tracks = _tracks(name, path, reader)
        except PayloadError as error:
            self._errors |= dict.fromkeys(places, error)
            return
        persons = sorted({person for person, _ in tracks})
        owners: dict[tuple[int, int], str] = {}
        for crop, (_, person, frame) in places.items():
            if person is None and len(persons) > 1:
                raise GeometryError(
                    f"{path} has the persons {_some(persons)}: say by {{person}} in --crop-names"
                    " which of them a crop shows."
                )
            who = (persons[0] if person is None and persons else person, frame)
            other = owners.setdefault(who, crop)
            if other != crop:
                raise MissingStructureError(
                    f"{path}: person {who[0]} in frame {frame} would be the structure of two"
                    f" crops, {crops[other]} and {crops[crop]}: tell them apart by --crop-names."
                )
            if who in tracks:
                body = tracks[who]
                # a copy: a view keeps all frames
                body = np.array(body) if isinstance(body, np.ndarray) else body
                self._bodies[crop] = (f"{path}, person {who[0]} in frame {frame}", body)
            else:
                there = _there(tracks, who[0])
                reason = f"{path} has no person {who[0]} in frame {frame}; {there}."
                self._errors[crop] = NobodyError(reason)


def _clips(folder: str, name: str) -> dict[str, str]:
    """Name of a clip -> its file."""
    found: dict[str, str] = {}
    for file in sorted(files_below(folder, SUFFIX)):
        path = os.path.join(folder, file)
        clip = os.path.splitext(os.path.basename(path))[0]
        if clip == "wham_output":  # which WHAM writes into a folder a video
            clip = os.path.basename(os.path.dirname(os.path.abspath(path)))
        if clip in found:
            raise MissingStructureError(
                f"{folder}: {found[clip]} and {path} are both the clip {clip}: rename one."
            )
        found[clip] = path
    if not found:
        raise GeometryError(f"{folder} has no {SUFFIX} file, a clip of {name}.")
    return found


def _clip(place: Place, clips: dict[str, str], folder: str) -> str | None:
    """Which clip a crop is of; PHALP writes "demo_" before the video's name."""
    if place.video is not None:
        names = (place.video, f"demo_{place.video}")
        return next((name for name in names if name in clips), None)
    if len(clips) > 1:
        raise GeometryError(
            f"{folder} has the clips {_some(sorted(clips))}: say by {{video}} in --crop-names of"
            " which a crop is, such as {video}/{person}_{frame}."
        )
    return next(iter(clips))


def _tracks(name: str, path: str, reader: Callable[[Any], Tracks]) -> Tracks:
    payload = read_payload(path, MOST_BYTES)
    try:
        return reader(payload)
    except Exception as error:  # whatever arrays and containers of another kind lead to
        raise PayloadError(f"{path} is no file of {name}: {_reason(error)}.") from error


def _there(tracks: Tracks, person: int | None) -> str:
    """What a clip has instead."""
    frames = sorted(frame for who, frame in tracks if who == person)
    if frames:
        return f"it has {len(frames)} frames of that person, {frames[0]} to {frames[-1]}"
    persons = sorted({who for who, _ in tracks})
    return f"it has the persons {_some(persons)}" if persons else "it has nobody"


def _some(values: list) -> str:
    shown = ", ".join(map(str, values[:5]))
    return f"{shown} and {len(values) - 5} more" if len(values) > 5 else shown


def _reason(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__
