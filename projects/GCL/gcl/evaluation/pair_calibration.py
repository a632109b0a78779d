"""From cosines to the probability that two crops show one person, without any label.

    P(same) = 1 / (1 + exp(-slope (cosine - threshold)))

is fitted to pairs about which tracks leave no doubt or, without tracks, to the clusters, which are
what the encoder believes: then it says how sure the encoder is, not how right.

Shapes: N crops, D embedding size, P pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

PAIRS = 20_000
"""Of either kind, at most."""
LEAST = 10
"""Of either kind: fewer fit anything."""


class Pairs(NamedTuple):
    """Rows of crops of one person and of two, (P, 2) int64 each; ``source`` "tracks" or
    "clusters"."""

    same: np.ndarray
    different: np.ndarray
    source: str


class PairCalibration(NamedTuple):
    """What :func:`calibrate` has fitted, for as many pairs of either kind; ``false_accept_rate``
    and ``recall`` of the pairs are those at ``threshold``, where P(same) is a half."""

    source: str
    threshold: float
    slope: float
    false_accept_rate: float
    recall: float


def cluster_pairs(labels: np.ndarray) -> Pairs:
    """Pairs of crops of a cluster and of two clusters, spread over all crops that are in one; the
    same ones every time.

    Args:
        labels: (N,), -1 = in no cluster.
    """
    rng = np.random.default_rng(0)
    inside = np.flatnonzero(labels >= 0)
    inside = inside[np.argsort(labels[inside], kind="stable")]
    first, size = np.unique(labels[inside], return_index=True, return_counts=True)[1:]
    of_crop = np.repeat(np.arange(len(size)), size)  # number of the cluster of each of ``inside``
    steps = -(-PAIRS // max(len(inside), 1))
    same, different = [np.empty((0, 2), np.int64)], [np.empty((0, 2), np.int64)]
    at = np.arange(len(inside))
    if len(at) > PAIRS:
        at = np.sort(rng.choice(at, PAIRS, replace=False))
    for _ in range(min(steps, 16)):
        other = first[of_crop[at]] + rng.integers(0, size[of_crop[at]])
        same.append(np.stack([inside[at], inside[other]], axis=1)[other != at])
        other = rng.integers(0, max(len(inside), 1), len(at))
        apart = of_crop[at] != of_crop[other]
        different.append(np.stack([inside[at], inside[other]], axis=1)[apart])
    found = (np.unique(np.sort(np.concatenate(part), axis=1), axis=0) for part in (same, different))
    return Pairs(*(spread_rows(part, PAIRS) for part in found), "clusters")


def spread_rows(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def cosines(features: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(P,) of pairs (P, 2) of rows of ``features`` (N, D), which have unit length."""
    blocks = np.array_split(pairs, max(len(pairs) // 4096, 1))  # rows of all pairs would be large
    parts = [(features[p[:, 0]] * features[p[:, 1]]).sum(1) for p in blocks]
    return np.concatenate(parts).astype(np.float64)


def calibrate(features: np.ndarray, pairs: Pairs) -> PairCalibration | None:
    """Fit P(same) to pairs of rows of ``features`` (N, D), of unit length.

    None, where there are fewer than :data:`LEAST` pairs of a kind, or where pairs of one person are
    no more alike than pairs of two: such a probability would mean nothing.
    """
    if min(len(pairs.same), len(pairs.different)) < LEAST:
        return None
    same, different = cosines(features, pairs.same), cosines(features, pairs.different)
    values = np.concatenate([same, different])[:, None]
    truth = np.repeat([1, 0], [len(same), len(different)])
    # both kinds weigh the same; nearly no penalty, but kinds that do not overlap need some
    fit = LogisticRegression(C=1e4, class_weight="balanced", max_iter=1000).fit(values, truth)
    slope = float(fit.coef_[0, 0])
    if slope <= 0:
        return None
    threshold = -float(fit.intercept_[0]) / slope
    return PairCalibration(
        pairs.source,
        threshold,
        slope,
        float((different >= threshold).mean()),
        float((same >= threshold).mean()),
    )
