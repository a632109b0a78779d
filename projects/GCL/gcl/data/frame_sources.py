"""The frames of a recording: those of a video, or the pictures in a folder.

Frames have the numbers of a tracker's results (:class:`~.tracker_results.Boxes`). They count
pictures, not seconds, so that it does not matter whether they come at an even rate.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image

from gcl.config import ConfigError
from gcl.photographs import SUFFIXES, PhotographError, photograph_size, read_photograph

from .tracker_results import Boxes

INSIDE = "img1"
"""Folder of the frames in a sequence of MOTChallenge."""


class Video:
    """A video file, of any format that FFmpeg knows (PyAV, the extra ``video``).

    Args:
        path: of the file.
        boxes: of it; they say whether its first frame is number 0 or 1.

    Attributes:
        size: (height, width) of a frame, turned as the file says.
        end: number behind its last frame, as its head says, which can be wrong where it is cut off;
            None where that says nothing.
        extent: how much there is, by which another file of its name is known.
        note: how frames are told apart.

    Raises:
        ConfigError: PyAV is not installed, or the file is no video.
    """

    def __init__(self, path: str, boxes: Boxes) -> None:
        self.path, self.first, self.note = path, boxes.first, "video"
        with self._opened() as (container, stream):
            frame = next(iter(_decoded(container, stream)), None)
            if frame is None:
                raise ConfigError(f"{path} has no frame that can be decoded.")
            height, width = frame.height, frame.width
            self.size = (width, height) if frame.rotation % 180 else (height, width)
            self.end = self.first + stream.frames if stream.frames else None
        self.extent = f"{os.path.getsize(path)} bytes"

    def lacks(self, frames: np.ndarray) -> np.ndarray:
        """Whether each of the ``frames`` is missing, as far as that is known beforehand."""
        return np.zeros(len(frames), bool) if self.end is None else frames >= self.end

    def pictures(self, wanted: Sequence[int]) -> Iterator[tuple[int, Image.Image | str]]:
        """(number, upright RGB picture) of each of the ``wanted`` frames, in ascending order, or
        (number, why there is none)."""
        wanted = sorted(set(wanted))
        last = self.first - 1
        with self._opened() as (container, stream):
            rest = iter(wanted)
            number = next(rest, None)
            for last, frame in enumerate(_decoded(container, stream), self.first):
                if number is None:
                    return
                if last == number:
                    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
                    # the angle is counter-clockwise, as Pillow's
                    yield number, picture.rotate(frame.rotation, expand=True)
                    number = next(rest, None)
        # what comes behind a fault is not told apart from what would have been there
        for number in wanted:
            if number > last:
                yield number, f"behind frame {last}, the last that can be decoded"

    @contextmanager
    def _opened(self):
        try:
            import av
        except ImportError as error:
            raise ConfigError(
                f"{self.path}: videos are read by PyAV, which is not installed: pip install av, or"
                " give a folder of frames."
            ) from error
        try:
            # opened here: FFmpeg would take some names for addresses or patterns
            with open(self.path, "rb") as file, av.open(file) as container:
                if not container.streams.video:
                    raise ConfigError(f"{self.path} has no video in it.")
                yield container, container.streams.video[0]
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"{self.path} can not be read as a video ({reason}): give a whole one, or a folder"
                " of its frames."
            ) from error


def _decoded(container, stream) -> Iterator:
    """The frames in the order in which they are shown, up to the first fault."""
    import av

    try:
        yield from container.decode(stream)
    except av.FFmpegError:
        return


class Pictures:
    """A folder of frames, or one that has them in ``img1``, as a sequence of MOTChallenge.

    A frame is the picture whose name ends in its number. It is the picture at its place in the
    order of the names where most numbers of the results are no names, or where the names count from
    0, or the results do and the names do not.

    Args:
        path: of the folder.
        boxes: of it.

    Attributes:
        size, end, extent, note: as :class:`Video` has them; size is that of
            the first picture that can be read.

    Raises:
        ConfigError: there are no pictures, or none can be read.
    """

    def __init__(self, path: str, boxes: Boxes) -> None:
        self.path = os.path.join(path, INSIDE)
        if not os.path.isdir(self.path):
            self.path = path
        with os.scandir(self.path) as entries:
            names = [entry.name for entry in entries if _is_picture(entry.name)]
        if not names:
            raise ConfigError(f"{self.path} has no frames ({', '.join(SUFFIXES)}).")
        names.sort(key=lambda name: (_number(name), name))
        numbers = [_number(name) for name in names]
        asked = np.unique(boxes.frame)
        named = (
            len(set(numbers)) == len(numbers)
            and numbers != list(range(len(numbers)))
            and (boxes.first > 0 or 0 in numbers)
            and 2 * np.isin(asked, numbers).sum() >= len(asked)
        )
        if not named:
            numbers = list(range(boxes.first, boxes.first + len(names)))
        self.note = "frames by the numbers in their names" if named else "frames by their order"
        self.end = numbers[-1] + 1
        self.extent = f"{len(names)} pictures, {names[0]} to {names[-1]}"
        self._names = dict(zip(numbers, names, strict=True))
        self.size = self._first_size(names)

    def _first_size(self, names: Sequence[str]) -> tuple[int, int]:
        for name in names:
            try:
                return photograph_size(os.path.join(self.path, name))
            except PhotographError:
                continue
        raise ConfigError(f"{self.path}: none of its {len(names)} pictures can be read.")

    def lacks(self, frames: np.ndarray) -> np.ndarray:
        """As :meth:`Video.lacks`."""
        return ~np.isin(frames, list(self._names))

    def pictures(self, wanted: Sequence[int]) -> Iterator[tuple[int, Image.Image | str]]:
        """As :meth:`Video.pictures`."""
        for number in sorted(set(wanted)):
            name = self._names.get(number)
            if name is None:
                yield number, "no such frame"
                continue
            try:
                yield number, read_photograph(os.path.join(self.path, name))
            except PhotographError:
                yield number, "a frame that can not be read"


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _number(name: str) -> int:
    """At the end of a name, without its suffix; -1: there is none."""
    digits = re.search(r"([0-9]+)$", os.path.splitext(name)[0])
    return int(digits[1]) if digits else -1


def open_frames(path: str, boxes: Boxes) -> Video | Pictures:
    """The frames of a video or a folder.

    Raises:
        ConfigError: it is neither.
    """
    if os.path.isdir(path):
        return Pictures(path, boxes)
    if not os.path.isfile(path):
        raise ConfigError(f"{path} is no video and no folder of frames.")
    return Video(path, boxes)
