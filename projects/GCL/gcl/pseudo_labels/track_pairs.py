"""Pairs of images about which tracks leave no doubt: one person, or two.

Shapes: `N` images, `P` pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tracks import Tracks

TRACK_PAIRS = 512
"""Pairs of tracks that are looked at, at most; each gives up to nine pairs of images."""
NEXT = 8
"""Tracks with which a track is paired."""


@dataclass(frozen=True)
class SurePairs:
    """same (P, 2) int64: first, middle and last image of a track with each other; different (P, 2)
    int64: images of two tracks of a camera; at_once: whether those two tracks are seen at the same
    time, so that they are two people for sure. False: nobody knows times, or no two tracks meet;
    then somebody who passed a camera twice is taken for two."""

    same: np.ndarray
    different: np.ndarray
    at_once: bool

    @property
    def images(self) -> np.ndarray:
        """Of all pairs, sorted, each once."""
        return np.unique(np.concatenate([self.same, self.different]))

    def rows_of(self, images: np.ndarray) -> SurePairs:
        """The same pairs by their rows in `images`, sorted, which hold all of them."""
        same, different = (np.searchsorted(images, part) for part in (self.same, self.different))
        return SurePairs(same, different, self.at_once)


def sure_pairs(tracks: Tracks) -> SurePairs:
    """Pairs of images of some `TRACK_PAIRS` pairs of tracks, evenly spread over all; always the
    same ones. At most 6 `TRACK_PAIRS` images are in them, however many there are."""
    images = tracks.in_order()
    camera = np.array([tracks.camera[of_it[0]] for of_it in images], np.int64)
    pairs = np.empty((0, 2), np.int64)
    if tracks.timed:
        pairs = _meeting(images, camera, tracks.time)
    at_once = len(pairs) > 0
    if not at_once:
        pairs = _half_way_round(camera)
    if len(pairs) > TRACK_PAIRS:
        pairs = pairs[np.linspace(0, len(pairs) - 1, TRACK_PAIRS).astype(np.int64)]
    # a track that is alone in its camera has pairs of its own all the same
    chosen = np.unique(pairs) if len(pairs) else np.arange(min(len(images), TRACK_PAIRS))
    shown = {i: images[i][sorted({0, len(images[i]) // 2, len(images[i]) - 1})] for i in chosen}
    same = [(a, b) for i in chosen for k, a in enumerate(shown[i]) for b in shown[i][k + 1 :]]
    different = [(a, b) for i, j in pairs for a in shown[i] for b in shown[j]]
    return SurePairs(_array(same), _array(different), at_once)


def _meeting(images: list[np.ndarray], camera: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Pairs of tracks of a camera that share a moment, (P, 2); each with the next that begin."""
    times = [time[of_it][~np.isnan(time[of_it])] for of_it in images]
    known = np.array([k for k, of_it in enumerate(times) if len(of_it)], np.int64)
    first, last = (np.array([times[k][end] for k in known]) for end in (0, -1))
    order = np.lexsort((known, first, camera[known]))
    known, first, last = known[order], first[order], last[order]
    found = [np.empty((0, 2), np.int64)]
    for step in range(1, min(NEXT, len(known) - 1) + 1):
        a, b = slice(None, -step), slice(step, None)
        meet = (camera[known[a]] == camera[known[b]]) & (first[b] <= last[a])
        found.append(np.stack([known[a][meet], known[b][meet]], axis=1))
    return _sorted(np.concatenate(found))


def _half_way_round(camera: np.ndarray) -> np.ndarray:
    """Pairs of tracks of a camera that are far from each other in the order of their numbers, which
    mostly is that of time: seldom the same person. (P, 2)"""
    found = [np.empty((0, 2), np.int64)]
    for c in np.unique(camera):
        of_it = np.flatnonzero(camera == c)
        for step in range(min(NEXT, len(of_it) - 1)):
            other = np.roll(of_it, -max(len(of_it) // 2, 1) - step)
            found.append(np.stack([of_it, other], axis=1)[of_it != other])
    return _sorted(np.unique(np.sort(np.concatenate(found), axis=1), axis=0))


def _sorted(pairs: np.ndarray) -> np.ndarray:
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _array(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2)
