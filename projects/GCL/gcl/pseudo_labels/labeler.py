"""Features in, pseudo labels out: neighbours -> Jaccard -> eps -> DBSCAN, timed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from .dbscan import dbscan
from .eps import Limit, check_eps, check_rule, estimate_eps
from .features import unit_rows
from .jaccard import jaccard_distance
from .neighbours import check_method, nearest_neighbours

CROWDED = 0.999
"""Cosine from which two crops are the same to the encoder: copies, or frames of a still person."""


@dataclass(frozen=True)
class PseudoLabels:
    """labels (N,) int64, -1 = outlier, else 0 .. num_clusters - 1; eps: the radius used;
    num_crowded: images whose k1 neighbours are all the same crop as they are (cosine of at least
    `CROWDED`), which knows none of the other crops then; seconds: wall time per stage."""

    labels: np.ndarray
    eps: float
    num_clusters: int
    num_outliers: int
    num_crowded: int
    seconds: dict[str, float] = field(compare=False)


class PseudoLabeler:
    """Pseudo labels of unlabelled features by k-reciprocal Jaccard distance and DBSCAN.

    With torch.distributed initialised every rank calls it with the same features and gets the same
    labels; the work is shared.

    Args:
        k1: neighbours per image in the reciprocal sets, the image itself counted.
        k2: rows averaged in the local query expansion; 1 = off.
        min_samples: images within eps, itself counted, that make an image a core.
        eps: fixed radius in [0, 1); None = the rho rule (`estimate_eps`).
        rho: share of all pairs (below 1) or neighbours per image (1 or more) that the rule
            averages.
        zero_rule: how pairs at distance zero count in the rule, "stable" or "peers"
            (`estimate_eps`). "peers" also takes the float32 weights of the published code, so that
            the labels equal its labels exactly.
        knn: "auto", "torch", "faiss" or the approximate "ivf" (`nearest_neighbours`).

    Never fails on size: where nothing can cluster (no image, one image, fewer than min_samples)
    every label is -1, and what that means is the caller's decision.

    Example:
        >>> result = PseudoLabeler(k1=30, k2=6, min_samples=4, rho=2e-3)(features)
        >>> result.labels, result.num_clusters
    """

    def __init__(
        self,
        k1: int = 30,
        k2: int = 6,
        min_samples: int = 4,
        eps: float | None = None,
        rho: float = 2e-3,
        zero_rule: str = "stable",
        knn: str = "auto",
    ) -> None:
        for name, value in (("k1", k1), ("k2", k2), ("min_samples", min_samples)):
            if int(value) != value or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value}.")
        if k2 > k1:
            raise ValueError(
                f"k2 ({k2}) must not be above k1 ({k1}): it averages the nearest of them."
            )
        if eps is not None:
            check_eps(eps)
        check_rule(rho, zero_rule)
        check_method(knn)
        self.k1, self.k2, self.min_samples = int(k1), int(k2), int(min_samples)
        self.eps, self.rho, self.zero_rule, self.knn = eps, rho, zero_rule, knn

    def __call__(self, features: torch.Tensor | np.ndarray) -> PseudoLabels:
        """Label `features` (N, D); any real dtype and device."""
        seconds: dict[str, float] = {}
        start = time.perf_counter()

        def done(stage: str) -> None:
            nonlocal start
            now = time.perf_counter()
            seconds[stage] = now - start
            start = now

        x = unit_rows(features)
        done("check")
        if len(x) == 0:
            return PseudoLabels(np.empty(0, np.int64), self.eps or 0.0, 0, 0, 0, seconds)
        neighbours = nearest_neighbours(x, self.k1, method=self.knn)
        done("knn")
        crowded = 0
        if len(x) > self.k1:
            crowded = int((neighbours.similarity.min(axis=1) >= CROWDED).sum())
        distance = jaccard_distance(
            x,
            neighbours,
            self.k1,
            self.k2,
            published_weights=self.zero_rule == "peers",
            limit=Limit(len(x), self.eps, self.rho, self.zero_rule),
        )
        done("jaccard")
        if self.eps is None:
            eps = estimate_eps(distance.data, len(x), self.rho, self.zero_rule)
        else:
            eps = check_eps(self.eps)
        done("eps")
        labels = dbscan(distance, eps, self.min_samples)
        done("dbscan")
        clusters = int(labels.max()) + 1
        outliers = int((labels < 0).sum())
        return PseudoLabels(labels, float(eps), clusters, outliers, crowded, seconds)
