"""From images to tracklets and back: which rows are compared, and the distance of two tracklets.

A track of hundreds of nearly equal images would fill the neighbour lists of its images with
itself, and no other track could be found. So images near in time are averaged until a tracklet is
at most `k1 // 2` rows: at least half of every list is left for others. The Jaccard distance is
computed between rows; that of two tracklets is its mean over all pairs of their rows.

Shapes: `N` images, `D` embedding size, `R` rows, `T` tracklets, `P` listed pairs.
"""

from __future__ import annotations

import numpy as np
import torch

from .features import unit_rows
from .jaccard import SparseDistance
from .ranks import Ranks, even_bounds

# Jaccard distances are 1 - q in float32, so whole multiples of 2^-24: sums of them as integers are
# exact, whatever the order and however many ranks add.
UNIT = 1 << 24
STEP = 1024  # rows averaged at a time: bounds the float64 copy


def tracklet_rows(
    x: torch.Tensor, tracklet: np.ndarray, time: np.ndarray, most: int
) -> tuple[torch.Tensor, np.ndarray]:
    """(rows (R, D) float32 of unit length, owner (R,) tracklet of each row).

    A tracklet of m images is min(m, most) rows: means of equal shares of its images in order of
    time (else of index). A row of one image is that image's, bit for bit.
    """
    order = np.lexsort((time, tracklet))
    size = np.bincount(tracklet)
    count = np.minimum(size, most)
    owner = np.repeat(np.arange(len(size)), count)
    share = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    start = np.repeat(np.cumsum(size) - size, count) + share * size[owner] // count[owner]
    stop = np.append(start[1:], len(order))
    if len(owner) == len(x):
        return x[torch.from_numpy(order).to(x.device)], owner
    images = x.cpu().numpy()
    rows = np.empty((len(owner), x.shape[1]), np.float32)
    for a in range(0, len(rows), STEP):
        first, last = start[a], stop[a : a + STEP][-1]
        part = images[order[first:last]]
        total = np.add.reduceat(part.astype(np.float64), start[a : a + STEP] - first, axis=0)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        rows[a : a + STEP] = total / np.where(length > 0, length, 1)
        single = np.flatnonzero(stop[a : a + STEP] - start[a : a + STEP] == 1)
        rows[a + single] = part[start[a + single] - first]
    return unit_rows(torch.from_numpy(rows).to(x.device)), owner


def tracklet_distance(distance: SparseDistance, owner: np.ndarray) -> SparseDistance:
    """Mean distance over the pairs of rows of two tracklets; pairs that are not listed are 1.

    Args:
        distance: of all R rows that share a neighbour, made without a `Limit`.
        owner: (R,) tracklet of each row, 0 .. T - 1.

    Returns:
        Distances between the T tracklets; this rank's share.
    """
    ranks = Ranks()
    count = np.bincount(owner)
    n = len(count)
    left = owner[distance.rows(np.arange(len(distance.data)))]
    right = owner[distance.indices]
    apart = left != right
    left, right = left[apart], right[apart]
    key = np.minimum(left, right) * n + np.maximum(left, right)
    near = UNIT - np.rint(distance.data[apart].astype(np.float64) * UNIT).astype(np.int64)
    key, near = _sums(key, near)
    key, near = _sums(ranks.gather(key), ranks.gather(near))
    a, b = ranks.range_of(even_bounds(n, ranks.world))
    own = slice(*np.searchsorted(key, [a * n, b * n]))
    left, right = key[own] // n, key[own] % n
    mean = 1 - near[own] / (count[left] * count[right] * float(UNIT))
    indptr = np.searchsorted(left, np.arange(a, b + 1)).astype(np.int64)
    return SparseDistance(indptr, right.astype(np.int32), mean.astype(np.float32), n, a)


def _sums(key: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys, ascending, and the sum of the int64 values of each."""
    order = np.argsort(key, kind="stable")
    key, value = key[order], value[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    return key[first], np.add.reduceat(value, first) if len(first) else value
