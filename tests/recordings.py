"""Recordings and tracker's results that tests make: pictures whose every pixel is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FORMATS = {".mkv": "matroska", ".avi": "avi"}
"""The head of an .avi says how many frames there are, that of an .mkv does not."""


def frames(count: int, size: tuple[int, int] = (96, 128), seed: int = 0) -> list[np.ndarray]:
    """(H, W, 3) uint8 pictures, each another one."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, size[0] // 8, size[1] // 8, 3), np.uint8)
    return list(small.repeat(8, axis=1).repeat(8, axis=2))


def write_video(
    path: Path, pictures: Sequence[np.ndarray], times: Iterable[int] = (), rotation: int = 0
) -> str:
    """A video without losses; skips the test where PyAV is not installed.

    Args:
        times: of each frame, in 25ths of a second; default: one after the other.
        rotation: degrees by which a player turns it, counter-clockwise.
    """
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    with open(path, "wb") as file, av.open(file, "w", format=FORMATS[path.suffix]) as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr0"
        if rotation:
            stream.set_display_rotation(rotation)
        for time, picture in zip(times or range(len(pictures)), pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def write_frames(folder: Path, pictures: Sequence[np.ndarray], first: int = 1) -> str:
    """A folder of frames, 000001.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, first):
        Image.fromarray(picture).save(folder / f"{number:06d}.png")
    return str(folder)


def write_results(path: Path, rows: Iterable[Sequence[object]], delimiter: str = ",") -> str:
    """A tracker's results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(delimiter.join(map(str, row)) + "\n" for row in rows))
    return str(path)
