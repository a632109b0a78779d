"""DBSCAN on a sparse distance: clusters are the connected components of the core images.

Shapes: `N` images, or tracklets that stand for several images.
"""

from __future__ import annotations

import numpy as np

from .backend import kernels
from .cannot_link import Runs, constrained_labels
from .eps import check_eps
from .jaccard import SparseDistance
from .ranks import Ranks


def dbscan(
    distance: SparseDistance,
    eps: float,
    min_samples: int = 4,
    sizes: np.ndarray | None = None,
    runs: list[Runs] | None = None,
) -> np.ndarray:
    """Cluster images whose distance is at most `eps` (Ester et al., KDD 1996).

    An image with at least `min_samples` images within `eps`, itself counted, is a core. Cores
    within `eps` of each other share a cluster; any other image within `eps` of a core joins the
    lowest-numbered such cluster; the rest are outliers. Clusters are numbered by their smallest
    core, which is scikit-learn's numbering.

    Args:
        distance: pairs of this rank; all ranks together hold each pair once.
        eps: radius in [0, 1); compared in float32, as the distances are.
        min_samples: at least 1.
        sizes: (N,) int64, how many images each point stands for and counts as; None: one.
        runs: N, of `tracklet_runs`: points that were seen at the same time in one camera share no
            cluster, and the weakest links give way (`constrained_labels`). None: no such thing.

    Returns:
        (N,) int64, -1 = outlier; the same on every rank.

    Raises:
        ValueError: eps outside [0, 1) or min_samples < 1.
    """
    if min_samples < 1:
        raise ValueError(f"min_samples must be at least 1, not {min_samples}.")
    near = np.flatnonzero(distance.data <= check_eps(eps))
    ranks = Ranks()
    left = ranks.gather(distance.rows(near))
    right = ranks.gather(distance.indices[near])
    n = distance.num_points
    sizes = np.ones(n, np.int64) if sizes is None else sizes
    if runs is None:
        return kernels().dbscan_labels(n, left, right, sizes, min_samples)
    data = ranks.gather(distance.data[near])
    return constrained_labels(left, right, data, sizes, min_samples, runs)
