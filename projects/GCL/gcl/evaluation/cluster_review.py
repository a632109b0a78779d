"""Where clusters deserve a look: two people in one, one person in two, one person in two cameras.

Shapes: N crops, D embedding size, C clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from gcl.pseudo_labels import Tracks, nearest_neighbours
from gcl.pseudo_labels.cannot_link import conflict, tracklet_runs

LOOKED_AT = 32
"""Crops of a cluster that are compared with each other."""
NEAREST = 5
"""Clusters that a cluster is compared with."""


class Doubt(NamedTuple):
    """Two groups of crops, (m,) rows each, and how alike they are: the mean cosine of a crop of one
    and a crop of the other."""

    left: np.ndarray
    right: np.ndarray
    similarity: float
    clusters: tuple[int, ...]


@dataclass(frozen=True)
class ClusterReview:
    """members: rows of each of the C clusters; similarity (N,) float32: cosine of a crop and the
    mean of its cluster, nan in none; merges: the least alike halves of clusters first; splits: the
    most alike clusters first, without those that one camera saw at once; crossings: the most alike
    cameras of clusters first, the two of a cluster that have the most crops of it."""

    members: list[np.ndarray]
    similarity: np.ndarray
    merges: list[Doubt]
    splits: list[Doubt]
    crossings: list[Doubt]


def review(
    features: np.ndarray,
    labels: np.ndarray,
    cameras: np.ndarray | None = None,
    tracks: Tracks | None = None,
    sites: np.ndarray | None = None,
    most: int = 12,
) -> ClusterReview:
    """Look through clusters.

    Args:
        features: (N, D) float32 of unit length.
        labels: (N,), 0 ... C - 1, -1 = in no cluster.
        cameras: (N,); None: nobody knows any.
        tracks: None: nobody knows any.
        sites: (N,), none of whose clusters is of two; None: there is one.
        most: doubts of a kind.
    """
    inside = np.flatnonzero(labels >= 0)
    inside = inside[np.argsort(labels[inside], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[inside], prepend=-1))
    members = np.split(inside, starts[1:]) if len(inside) else []
    means = np.stack([_mean(features, rows) for rows in members]) if members else features[:0]
    similarity = np.full(len(labels), np.nan, np.float32)
    for rows, mean in zip(members, means, strict=True):
        similarity[rows] = features[rows] @ mean
    merges = sorted(
        (_halves(features, rows, i) for i, rows in enumerate(members) if len(rows) > 1),
        key=lambda doubt: doubt.similarity,
    )
    crossings = []
    if cameras is not None:
        found = (_crossing(features, rows, cameras[rows], i) for i, rows in enumerate(members))
        crossings = sorted(filter(None, found), key=lambda doubt: -doubt.similarity)
    splits = _splits(features, means, members, labels, tracks, sites, most)
    return ClusterReview(members, similarity, merges[:most], splits, crossings[:most])


def _mean(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    mean = features[rows].mean(axis=0, dtype=np.float64)
    return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)


def _halves(features: np.ndarray, rows: np.ndarray, cluster: int) -> Doubt:
    """A cluster parted in two where average linkage parts it last."""
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(np.int64)]
    x = features[rows]
    distance = np.maximum(1 - (x @ x.T).astype(np.float64), 0)
    part = fcluster(linkage(distance[np.triu_indices(len(x), 1)], "average"), 2, "maxclust")
    left, right = part == part[0], part != part[0]
    if not right.any():  # all of them are the same crop
        return Doubt(rows, rows[:0], 1.0, (cluster,))
    return _doubt(features, rows[left], rows[right], (cluster,))


def _doubt(
    features: np.ndarray, left: np.ndarray, right: np.ndarray, clusters: tuple[int, ...]
) -> Doubt:
    means = (features[rows].mean(axis=0, dtype=np.float64) for rows in (left, right))
    return Doubt(left, right, float(np.dot(*means)), clusters)


def _crossing(
    features: np.ndarray, rows: np.ndarray, cameras: np.ndarray, cluster: int
) -> Doubt | None:
    seen, count = np.unique(cameras, return_counts=True)
    if len(seen) < 2:
        return None
    one, other = seen[np.argsort(-count, kind="stable")[:2]]
    return _doubt(features, rows[cameras == one], rows[cameras == other], (cluster,))


def _splits(
    features: np.ndarray,
    means: np.ndarray,
    members: list[np.ndarray],
    labels: np.ndarray,
    tracks: Tracks | None,
    sites: np.ndarray | None,
    most: int,
) -> list[Doubt]:
    if len(means) < 2:
        return []
    near = nearest_neighbours(means, min(NEAREST + 1, len(means)))
    left = np.repeat(np.arange(len(means)), near.index.shape[1])
    right, alike = near.index.ravel().astype(np.int64), near.similarity.ravel()
    once = left < right
    mutual = (left > right) & ~np.isin(right * len(means) + left, (left * len(means) + right)[once])
    a, b = np.minimum(left, right), np.maximum(left, right)
    keep = np.flatnonzero(once | mutual)
    if sites is not None:
        site = sites[[rows[0] for rows in members]]
        keep = keep[site[a[keep]] == site[b[keep]]]
    keep = keep[np.lexsort((b[keep], a[keep], -alike[keep]))]
    runs = None
    if tracks is not None and tracks.timed:
        of_crop = np.where(labels >= 0, labels, len(means) + np.arange(len(labels)))
        runs = tracklet_runs(tracks, of_crop)
    found: list[Doubt] = []
    for i in keep.tolist():
        if len(found) == 4 * most:  # by their means; among them by their crops
            break
        if runs is None or not conflict(runs[a[i]], runs[b[i]]):
            pair = (int(a[i]), int(b[i]))
            found.append(_doubt(features, members[pair[0]], members[pair[1]], pair))
    return sorted(found, key=lambda doubt: -doubt.similarity)[:most]
