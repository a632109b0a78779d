"""Crops of the people that a tracker has found in recordings, as a folder to train on.

A crop is ``<camera>/<track>/<frame>.jpg``, below a folder ``1``, ``2`` ... where a camera has
several recordings. ``crops.csv`` lists them; it comes last, when all are cut. ``cutting.json`` says
what they are cut from and how: a second call goes on with the same, and refuses anything else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from gcl.atomic_files import atomic, remove_leftovers, write_json
from gcl.config import ConfigError
from gcl.photographs import LONGEST, SMALLEST

from .box_choice import TAKEN, Choice, reasons
from .crop_list import CROPS, Crop, Skipped, count_of, write_table
from .frame_sources import open_frames
from .own_crops import path_below
from .tracker_results import NO_TRACK, read_results

SETTINGS = "cutting.json"
NO_TRACK_FOLDER = "no_track"
QUALITY = 95
"""Of the JPEG files."""


@dataclass(frozen=True)
class Recording:
    """A video or a folder of frames, its tracker's results, and the camera's name; number: among
    the camera's recordings, from 1, and 0 where there is no other."""

    frames: str
    results: str
    camera: str
    number: int = 0


class Plan:
    """What becomes of the boxes of a recording.

    Attributes:
        boxes: M of them.
        reasons: (M,), see :func:`~.box_choice.reasons`.
        rows: the boxes that are to be cut.
        crops: of each of them.
        lacking: boxes in frames that are not there, as far as that is known beforehand.

    Raises:
        ConfigError: a file can not be used, or most boxes are of other pictures.
    """

    def __init__(self, recording: Recording, choice: Choice) -> None:
        self.recording = recording
        self.boxes = read_results(recording.results)
        self.source = open_frames(recording.frames, self.boxes)
        self.reasons = reasons(self.boxes, self.source.size, choice)
        self.rows = np.flatnonzero(self.reasons == TAKEN).tolist()
        self.crops = [self._crop(row) for row in self.rows]
        height, width = self.source.size
        self.lacking = int(self.source.lacks(self.boxes.frame).sum())
        outside = int((self.reasons == "outside the picture").sum())
        for count, where in (
            (self.lacking, f"in frames that {recording.frames} does not have"),
            (outside, f"outside the pictures of {recording.frames}, {width} x {height}"),
        ):
            if 2 * count > len(self.boxes):
                raise ConfigError(
                    f"{recording.results}: {count} of the {len(self.boxes)} boxes are {where}: give"
                    " the results of this recording."
                )

    def _crop(self, row: int) -> Crop:
        frame, track = int(self.boxes.frame[row]), int(self.boxes.track[row])
        folder = f"{self.recording.number}/" if self.recording.number else ""
        camera, file = self.recording.camera, f"{frame:06d}"
        if track == NO_TRACK:
            # by its place among all boxes of the frame: the same whatever else is left out
            file += f"_{row - int(np.searchsorted(self.boxes.frame, frame)):03d}"
            return Crop(f"{folder}{camera}/{NO_TRACK_FOLDER}/{file}.jpg", camera, "", float(frame))
        number = f"{track:04d}"
        return Crop(f"{folder}{camera}/{number}/{file}.jpg", camera, folder + number, float(frame))

    def summary(self) -> str:
        """What was understood, and what is left out, in lines."""
        height, width = self.source.size
        end = self.source.end
        frames = "" if end is None else f", {count_of(end - self.boxes.first, 'frame')}"
        tracks = len(set(self.boxes.track.tolist()) - {NO_TRACK})
        cut = len({crop.track for crop in self.crops} - {""})
        lines = [
            f"{self.recording.frames}: camera {self.recording.camera}, {width} x {height}{frames}"
            f" ({self.source.note})",
            f"  {self.recording.results}: {_boxes(len(self.boxes))}, {count_of(tracks, 'track')}"
            f" ({self.boxes.note})",
            f"  to cut: {count_of(len(self.crops), 'crop')} of {count_of(cut, 'track')}",
        ]
        for reason, count in Counter(self.reasons[self.reasons != TAKEN].tolist()).most_common():
            lines.append(f"  left out: {_boxes(count)}, {reason}")
        if self.lacking:
            lines.append(f"  {_boxes(self.lacking)} in frames that are not there")
        return "\n".join(lines)


def _boxes(number: int) -> str:
    return "1 box" if number == 1 else f"{number} boxes"


def prepare_folder(out: str, plans: Sequence[Plan], choice: Choice) -> None:
    """Make the folder of the crops, or go on with it after a kill.

    Raises:
        ConfigError: it holds something else, or crops that were cut from other files or in another
            way; the message names the first difference.
    """
    settings = {name: value for name, value in asdict(choice).items()}
    for plan in plans:
        of = plan.recording
        with open(of.results, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        frames = f"{os.path.basename(os.path.abspath(of.frames))}, {plan.source.extent}"
        number = f" {of.number}" if of.number else ""
        settings[f"camera {of.camera}{number}"] = {"frames": frames, "results": digest}
    settings = json.loads(json.dumps(settings))  # as it is read again: without tuples
    path = os.path.join(out, SETTINGS)
    if os.path.isfile(path):
        try:
            with open(path, encoding="utf-8") as file:
                before = dict(json.load(file))
        except ValueError as error:
            raise ConfigError(f"{path} is damaged: give another --out.") from error
        for key in sorted(before.keys() | settings.keys()):
            if before.get(key) != settings.get(key):
                raise ConfigError(
                    f"{out} has crops that were cut in another way: {key} was {before.get(key)},"
                    f" and is {settings.get(key)}. Give another --out, or remove {out}."
                )
        for folder, _, _ in os.walk(out):
            remove_leftovers(folder, age=0)
        return
    if os.path.isdir(out) and os.listdir(out):
        raise ConfigError(f"--out {out} has other files in it: give a new folder.")
    os.makedirs(out, exist_ok=True)
    write_json(path, settings, indent=1)


def cut(plans: Sequence[Plan], out: str) -> tuple[list[Crop], list[Skipped]]:
    """Write the crops that are not there yet, with a bar, and then ``crops.csv``.

    Args:
        out: folder of :func:`prepare_folder`.

    Returns:
        The crops, and those that could not be cut with the reason.

    Raises:
        OSError: a file can not be written.
    """
    lost: list[Skipped] = []
    for plan in plans:
        lost += _cut(plan, out)
    gone = {name for name, _ in lost}
    crops = [crop for plan in plans for crop in plan.crops if crop.name not in gone]
    if crops:
        write_table(os.path.join(out, CROPS), sorted(crops))
    return crops, lost


def _cut(plan: Plan, out: str) -> list[Skipped]:
    missing: dict[int, list[tuple[int, Crop]]] = {}
    for row, crop in zip(plan.rows, plan.crops, strict=True):
        if not os.path.exists(path_below(out, crop.name)):
            missing.setdefault(int(plan.boxes.frame[row]), []).append((row, crop))
    if not missing:
        return []
    pictures, lost = plan.source.pictures(sorted(missing)), []
    for frame, picture in tqdm(pictures, plan.recording.camera, len(missing), unit="frame"):
        for row, crop in missing[frame]:
            why = picture
            if isinstance(picture, Image.Image):
                why = _write(picture, plan.boxes.corners[row], path_below(out, crop.name))
            if why:
                lost.append(Skipped(crop.name, why))
    return lost


def _write(picture: Image.Image, corners: np.ndarray, path: str) -> str:
    """Write what a box shows; returns why there is nothing to write, or ""."""
    left, top, right, bottom = (round(float(value)) for value in corners)
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, picture.width), min(bottom, picture.height)
    sides = sorted((right - left, bottom - top))
    if sides[0] < SMALLEST or sides[1] > LONGEST * sides[0]:
        return f"too little of it is in the picture, {picture.width} x {picture.height}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with atomic(path) as file:
        picture.crop((left, top, right, bottom)).save(file, "JPEG", quality=QUALITY)
    return ""
