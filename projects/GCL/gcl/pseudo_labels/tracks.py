"""What a tracker knows about the images, checked.

Shapes: `N` images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

Array = np.ndarray | torch.Tensor


@dataclass(frozen=True)
class Tracks:
    """track (N,) int64, -1 = in no track; camera (N,) int64; time (N,) float64, NaN = unknown;
    timed: whether times were given at all."""

    track: np.ndarray
    camera: np.ndarray
    time: np.ndarray
    timed: bool

    def in_order(self) -> list[np.ndarray]:
        """The images of each track in order of time (else of index); tracks by camera, number."""
        inside = np.flatnonzero(self.track >= 0)
        keys = (self.time[inside], self.track[inside], self.camera[inside])
        inside = inside[np.lexsort(keys)]
        first = np.flatnonzero(np.diff(self.track[inside], prepend=-1))
        return np.split(inside, first[1:]) if len(inside) else []


def check_tracks(
    n: int, tracks: Array | None, times: Array | None, cameras: Array | None
) -> Tracks:
    """`Tracks` of `n` images from the arguments of `PseudoLabeler.__call__`.

    Raises:
        TypeError: tracks or cameras not whole numbers, times not real numbers.
        ValueError: a length other than n, a track below -1 or in two cameras, an infinite time,
            times or cameras without tracks.
    """
    if tracks is None:
        name = "times" if times is not None else "cameras"
        raise ValueError(f"{name} say which tracks exclude each other: give tracks with them.")
    track = _column("tracks", tracks, n, "iu").astype(np.int64)
    camera = np.zeros(n, np.int64)
    if cameras is not None:
        camera = _column("cameras", cameras, n, "iu").astype(np.int64)
    time = np.zeros(n)
    if times is not None:
        time = _column("times", times, n, "iuf").astype(np.float64)
    if (track < -1).any():
        raise ValueError(
            f"tracks has {track.min()}: a track is 0 or more; -1 is an image in no track."
        )
    if np.isinf(time).any():
        raise ValueError("times has infinite values; NaN is an unknown time.")
    inside = np.flatnonzero(track >= 0)
    _, first, inverse = np.unique(track[inside], return_index=True, return_inverse=True)
    wrong = inside[camera[inside] != camera[inside[first]][inverse]]
    if len(wrong):
        raise ValueError(
            f"track {track[wrong[0]]} has images of several cameras: number the tracks uniquely "
            "over all cameras."
        )
    return Tracks(track, camera, time, times is not None)


def _column(name: str, values: Array, n: int, kinds: str) -> np.ndarray:
    values = (
        values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    )
    if values.shape != (n,):
        raise ValueError(
            f"{name} must have one number for each of the {n} images; the shape is {values.shape}."
        )
    if n and values.dtype.kind not in kinds:
        what = "real" if "f" in kinds else "whole"
        raise TypeError(f"{name} must be {what} numbers; the type is {values.dtype}.")
    return values
