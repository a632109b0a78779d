"""Contrast of labelled crops against the centroids of their classes.

Shapes: B batch, C classes, D embedding.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision


def centroid_loss(f: Tensor, centroids: Tensor, targets: Tensor, temperature: float) -> Tensor:
    r"""The source term of Ge et al., "Self-paced Contrastive Learning with Hybrid Memory"
    (NeurIPS 2020), with the source's centroids alone.

    .. math:: -\log \frac{\exp(\langle f, w_y\rangle/t)}
              {\sum_{k=1}^{C} \exp(\langle f, w_k\rangle/t)}

    Args:
        f: (B, D) embeddings, normalised here.
        centroids: (C, D) L2-normalised w, constants.
        targets: (B,) classes y.
        temperature: t.

    Returns:
        scalar, mean over the batch.
    """
    with full_precision(f):
        similarities = F.normalize(f.float(), dim=1) @ centroids.float().T
        return F.cross_entropy(similarities / temperature, targets)
