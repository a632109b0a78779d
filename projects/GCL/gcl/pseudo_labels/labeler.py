"""Features in, pseudo labels out: neighbours -> Jaccard -> eps -> DBSCAN, timed.

With tracks: tracks -> tracklets -> their rows -> the same between rows -> DBSCAN of tracklets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from .cannot_link import tracklet_runs
from .dbscan import dbscan
from .eps import Limit, check_eps, check_rule, estimate_eps
from .features import unit_rows
from .jaccard import jaccard_distance
from .neighbours import check_method, nearest_neighbours
from .tracklet_distance import tracklet_distance, tracklet_rows
from .tracklets import split_tracks
from .tracks import Array, Tracks, check_tracks

CROWDED = 0.999
"""Cosine from which two crops are the same to the encoder: copies, or frames of a still person."""


@dataclass(frozen=True)
class PseudoLabels:
    """labels (N,) int64, -1 = outlier, else 0 .. num_clusters - 1; eps: the radius used;
    num_crowded: images whose k1 neighbours are all the same crop as they are (cosine of at least
    `CROWDED`), which knows none of the other crops then (with tracks, rows of `tracklet_rows`);
    seconds: wall time per stage; tracklets: with tracks, (N,) int64 tracklet of each image (the
    tracks after the broken ones were cut; `split_tracks`)."""

    labels: np.ndarray
    eps: float
    num_clusters: int
    num_outliers: int
    num_crowded: int
    seconds: dict[str, float] = field(compare=False)
    tracklets: np.ndarray | None = None


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
        visit: images that each image is compared with by "ivf".

    Never fails on size: where nothing can cluster (no image, one image, fewer than min_samples)
    every label is -1, and what that means is the caller's decision.

    Example:
        >>> labeler = PseudoLabeler(k1=30, k2=6, min_samples=4, rho=2e-3)
        >>> result = labeler(features)
        >>> result.labels, result.num_clusters

        Images 0-2 are a track of camera 0, images 3-4 another one that overlaps it in time, image
        5 is in no track:

        >>> tracks, cameras = [0, 0, 0, 1, 1, -1], [0, 0, 0, 0, 0, 1]
        >>> frames = [10, 12, 14, 13, 15, 90]
        >>> result = labeler(features, tracks=tracks, times=frames, cameras=cameras)
        >>> result.labels, result.tracklets
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
        visit: int = 32768,
    ) -> None:
        numbers = {"k1": k1, "k2": k2, "min_samples": min_samples, "visit": visit}
        for name, value in numbers.items():
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
        self.eps, self.rho, self.zero_rule = eps, rho, zero_rule
        self.knn, self.visit = knn, int(visit)

    def __call__(
        self,
        features: torch.Tensor | np.ndarray,
        *,
        tracks: Array | None = None,
        times: Array | None = None,
        cameras: Array | None = None,
    ) -> PseudoLabels:
        """Label `features` (N, D); any real dtype and device.

        Images of a track share a label, unless they look like several people: then the track is
        cut (`split_tracks`). k1, k2, eps and rho keep their meaning; the distance of two tracklets
        is the mean over their images, of long ones over k1 // 2 means of images near in time
        (`tracklet_distance`). min_samples counts images, so a tracklet of that many is a cluster
        of its own where nothing else is near. Tracks of one image each change nothing.

        Args:
            tracks: (N,) whole numbers, unique over cameras; -1 = in no track.
            times: (N,) moments of the images, any unit that separates them (frame numbers, say;
                equal times are the same moment), NaN = unknown. Two tracks that one camera sees
                at the same time get different labels; the weakest links give way.
            cameras: (N,) whole numbers; None: one camera.

        Raises:
            TypeError, ValueError: features (`unit_rows`) or tracks (`check_tracks`) that can not
                be used; the sentence says why.
        """
        seconds: dict[str, float] = {}
        start = time.perf_counter()

        def done(stage: str) -> None:
            nonlocal start
            now = time.perf_counter()
            seconds[stage] = now - start
            start = now

        x = unit_rows(features)
        given: Tracks | None = None
        if not (tracks is None and times is None and cameras is None):
            given = check_tracks(len(x), tracks, times, cameras)
        done("check")
        if len(x) == 0:
            none = None if given is None else np.empty(0, np.int64)
            return PseudoLabels(np.empty(0, np.int64), self.eps or 0.0, 0, 0, 0, seconds, none)
        limit: Limit | None = Limit(len(x), self.eps, self.rho, self.zero_rule)
        tracklets = None
        if given is not None:
            tracklets = split_tracks(x, given)
            x, owner = tracklet_rows(x, tracklets, given.time, max(1, self.k1 // 2))
            limit = None  # a mean needs the pairs beyond eps as well
            done("tracks")
        neighbours = nearest_neighbours(x, self.k1, method=self.knn, visit=self.visit)
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
            limit=limit,
        )
        done("jaccard")
        if self.eps is None:
            eps = estimate_eps(distance.data, len(x), self.rho, self.zero_rule)
        else:
            eps = check_eps(self.eps)
        done("eps")
        if given is None:
            labels = dbscan(distance, eps, self.min_samples)
        else:
            runs = tracklet_runs(given, tracklets) if given.timed else None
            distance = tracklet_distance(distance, owner)
            labels = dbscan(distance, eps, self.min_samples, np.bincount(tracklets), runs)
            labels = labels[tracklets]
        done("dbscan")
        clusters = int(labels.max()) + 1
        outliers = int((labels < 0).sum())
        return PseudoLabels(labels, float(eps), clusters, outliers, crowded, seconds, tracklets)
