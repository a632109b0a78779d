"""k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal
Encoding", CVPR 2017), without an array of gallery times gallery.

Shapes: Q queries, G gallery images, D features, N = Q + G, K places of a rank list.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gcl.pseudo_labels import jaccard_distance, nearest_neighbours, unit_rows

K1, K2, WEIGHT = 20, 6, 0.3
"""Neighbours, neighbours averaged, and weight of the plain distance: the toolbox's TEST.RERANK."""


def reciprocal_rank(
    queries: Tensor, gallery: Tensor, depth: int, left_out: Tensor | None = None
) -> list[list[int]]:
    """Rows of the gallery that are nearest to each query, the nearest first, by

        WEIGHT d / max(d) + (1 - WEIGHT) d_J       (eq. 12)

    with d = 2 - 2 cos, whose largest value of the query makes it 1 at most, and the Jaccard
    distance d_J of their k-reciprocal sets; of equal ones the first.

    Args:
        queries: (Q, D).
        gallery: (G, D).
        depth: K, of which there may be fewer.
        left_out: (Q, G) what does not count.
    """
    x = unit_rows(torch.cat([queries.float(), gallery.float()]))
    # our lists count the image itself, the published k does not
    neighbours = nearest_neighbours(x, K1 + 1)
    jaccard = jaccard_distance(x, neighbours, K1 + 1, K2)
    found, count = [], len(queries)
    for q in range(count):
        distance = (2 - 2 * (x @ x[q])).clamp(min=0).cpu().numpy()
        distance *= WEIGHT / max(distance.max(), np.finfo(np.float32).tiny)
        pairs = slice(jaccard.indptr[q], jaccard.indptr[q + 1])
        reciprocal = np.ones(len(x), np.float32)  # of pairs that are not listed
        reciprocal[jaccard.indices[pairs]] = jaccard.data[pairs]  # all behind the query
        distance = (distance + (1 - WEIGHT) * reciprocal)[count:]
        if left_out is not None:
            distance[left_out[q].cpu().numpy()] = np.inf
        order = np.argsort(distance, kind="stable")[:depth]
        found.append(order[distance[order] < np.inf].tolist())
    return found
