"""Tracks that one camera sees at the same time are different people: clusters that respect it.

Shapes: `N` images, `T` tracklets, `P` pairs.
"""

from __future__ import annotations

from bisect import bisect_right, insort

import numpy as np

from .tracks import Tracks

Runs = dict[int, list[tuple[float, float, int]]]


def tracklet_runs(tracks: Tracks, tracklet: np.ndarray) -> list[Runs]:
    """When each of the T tracklets was seen: per camera, sorted (first time, last time, track).

    A run is an unbroken stretch of a track that belongs to one tracklet: while a broken track
    follows somebody else, nothing is known of the first person. Images in no track or without a
    time have no run.
    """
    out: list[Runs] = [{} for _ in range(tracklet.max(initial=-1) + 1)]
    for images in tracks.in_order():
        images = images[~np.isnan(tracks.time[images])]
        new = np.flatnonzero(np.diff(tracklet[images], prepend=-1))
        for run in np.split(images, new[1:]) if len(images) else []:
            camera, track = int(tracks.camera[run[0]]), int(tracks.track[run[0]])
            span = (float(tracks.time[run[0]]), float(tracks.time[run[-1]]), track)
            insort(out[tracklet[run[0]]].setdefault(camera, []), span)
    return out


def conflict(a: Runs, b: Runs) -> bool:
    """Whether runs of two different tracks share a moment in one camera (ends included).

    Runs of one track share no more than an end, and so do runs within `a` and within `b`: sorted
    by their first time they are sorted by their last time too, and a search looks at a few.
    """
    if sum(map(len, a.values())) > sum(map(len, b.values())):
        a, b = b, a
    for camera, runs in a.items():
        line = b.get(camera, [])
        for first, last, track in runs:
            at = bisect_right(line, (last, np.inf, 0)) - 1
            while at >= 0 and line[at][1] >= first:
                if line[at][2] != track:
                    return True
                at -= 1
    return False


class Groups:
    """Disjoint sets of tracklets, none of which holds two that conflict."""

    def __init__(self, runs: list[Runs]) -> None:
        self._parent = list(range(len(runs)))
        self._runs = [{camera: list(line) for camera, line in r.items()} for r in runs]
        self._apart: list[set[int]] = [set() for _ in runs]  # roots known to conflict

    def root(self, i: int) -> int:
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(self, i: int, j: int) -> bool:
        """Unite the groups of i and j unless they conflict; whether they are one group now."""
        a, b = self.root(i), self.root(j)
        if a == b:
            return True
        if b in self._apart[a]:
            return False
        if conflict(self._runs[a], self._runs[b]):
            self._apart[a].add(b)
            self._apart[b].add(a)
            return False
        if self._size(a) > self._size(b):
            a, b = b, a
        self._parent[a] = b
        for camera, runs in self._runs[a].items():
            line = self._runs[b].setdefault(camera, [])
            for run in runs:
                insort(line, run)
        for other in self._apart[a]:
            self._apart[other].discard(a)
            self._apart[other].add(b)
        self._apart[b] |= self._apart[a]
        self._runs[a], self._apart[a] = {}, set()
        return True

    def _size(self, i: int) -> int:
        return sum(map(len, self._runs[i].values())) + len(self._apart[i])


def constrained_labels(
    left: np.ndarray,
    right: np.ndarray,
    distance: np.ndarray,
    sizes: np.ndarray,
    min_samples: int,
    runs: list[Runs],
) -> np.ndarray:
    """DBSCAN as in `dbscan`, with no two conflicting tracklets in a cluster.

    Cores join in order of distance (ties: lower numbers first), and a link that would bring
    conflicting tracklets together is left out: so the weakest links give way. Then the others
    join the lowest-numbered cluster within reach that they do not conflict with, the nearest
    first. Where DBSCAN's clusters have no conflict, these are its labels.

    Args:
        left, right: (P,) tracklets within eps of each other, each pair once.
        distance: (P,) float32.
        sizes: (T,) images of each tracklet.
        runs: of `tracklet_runs`, T of them.

    Returns:
        (T,) int64, -1 = outlier.
    """
    n = len(sizes)
    weight = sizes.copy()
    np.add.at(weight, left, sizes[right])
    np.add.at(weight, right, sizes[left])
    core = weight >= min_samples
    low, high = np.minimum(left, right), np.maximum(left, right)
    groups = Groups(runs)
    inner = np.flatnonzero(core[left] & core[right])
    inner = inner[np.lexsort((high[inner], low[inner], distance[inner]))]
    for i, j in zip(low[inner].tolist(), high[inner].tolist(), strict=True):
        groups.join(i, j)

    labels = np.full(n, -1, np.int64)
    number: dict[int, int] = {}
    for i in np.flatnonzero(core).tolist():
        labels[i] = number.setdefault(groups.root(i), len(number))

    edge = np.flatnonzero(core[left] != core[right])
    inside = np.where(core[left[edge]], left[edge], right[edge])
    outside = left[edge] + right[edge] - inside
    order = np.lexsort((outside, distance[edge], labels[inside]))
    for i, j in zip(inside[order].tolist(), outside[order].tolist(), strict=True):
        if labels[j] < 0 and groups.join(i, j):
            labels[j] = labels[i]
    return labels
