"""What pseudo labels say about themselves, without any truth."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import adjusted_rand_score


def partition_figures(
    labels: np.ndarray, before: np.ndarray, cameras: np.ndarray | None = None
) -> dict[str, float]:
    """Figures of a clustering by name:

    - outlier_share: of the images;
    - stability: adjusted Rand index of these clusters and those before, over the images that are in
      a cluster in both; not there, where no image is;
    - cross_camera: share of the clusters that hold images of more than one camera; not there
      without cameras or clusters.

    Args:
        labels, before: (N,) pseudo labels of this epoch and of the one before, -1 = outlier.
        cameras: (N,); None: nobody knows any.
    """
    inside = labels >= 0
    both = inside & (before >= 0)
    figures = {"outlier_share": 1 - float(inside.mean())}
    if both.any():
        figures["stability"] = float(adjusted_rand_score(before[both], labels[both]))
    if cameras is not None and inside.any():
        seen = np.unique(np.stack([labels[inside], cameras[inside]]), axis=1)[0]
        figures["cross_camera"] = float((np.unique(seen, return_counts=True)[1] > 1).mean())
    return figures
