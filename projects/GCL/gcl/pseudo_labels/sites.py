"""Sites: groups of cameras that share people, each labelled for itself.

Who walks past one site is not at another: pairs between sites are strangers, and the neighbours
that look like somebody from elsewhere only push out those of the own site.

Shapes: `N` images, `D` embedding size.
"""

from __future__ import annotations

import numpy as np
import torch

from .labeler import PseudoLabeler, PseudoLabels
from .tracks import Array


def label_sites(
    labeler: PseudoLabeler,
    features: torch.Tensor | np.ndarray,
    *,
    sites: np.ndarray | None = None,
    **known: Array,
) -> PseudoLabels:
    """Label features (N, D), the images of each site apart; no label is of two sites.

    Args:
        sites: (N,) whole numbers; None: there is one.
        known: tracks, times and cameras, (N,) each, as `labeler` takes them.

    Returns:
        Labels and tracklets of all; eps is the mean over the images, where the rule finds another
        one at each site; what is counted or timed is summed up.

    Raises:
        TypeError, ValueError: as `labeler`.
    """
    if sites is None:
        return labeler(features, **known)
    labels = np.full(len(sites), -1, np.int64)
    tracklets = None if not known else np.empty(len(sites), np.int64)
    seconds: dict[str, float] = {}
    eps, clusters, crowded, num_tracklets = 0.0, 0, 0, 0
    for site in np.unique(sites):
        rows = np.flatnonzero(sites == site)
        part = labeler(features[rows], **{name: column[rows] for name, column in known.items()})
        labels[rows] = np.where(part.labels < 0, -1, part.labels + clusters)
        if tracklets is not None:
            tracklets[rows] = part.tracklets + num_tracklets
            num_tracklets += part.tracklets.max() + 1
        clusters += part.num_clusters
        crowded += part.num_crowded
        eps += part.eps * len(rows) / len(sites)
        for stage, taken in part.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + taken
    outliers = int((labels < 0).sum())
    return PseudoLabels(labels, eps, clusters, outliers, crowded, seconds, tracklets)
