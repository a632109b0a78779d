"""Contrast between cameras (Wang et al., "Camera-aware Proxies for Unsupervised Person
Re-Identification", AAAI 2021).

Shapes: B batch, P proxies, D embedding, K negatives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision


def inter_camera_loss(
    f: Tensor,
    proxies: Tensor,
    classes: Tensor,
    cameras: Tensor,
    y: Tensor,
    camids: Tensor,
    *,
    temperature: float,
    num_negatives: int,
) -> Tensor:
    r"""Images against what other cameras have seen of their class.

    A proxy :math:`u` is the mean of a class in a camera. With :math:`P` those of an image's class
    in other cameras and :math:`Q` the K nearest of other classes,

    .. math:: -\frac{1}{|P|} \sum_{p \in P} \log \frac{\exp(\langle f, p\rangle/t)}
              {\sum_{u \in P \cup Q} \exp(\langle f, u\rangle/t)}

    Args:
        f: (B, D) embeddings, normalised here.
        proxies: (P, D) L2-normalised, constants.
        classes, cameras: (P,) of each proxy; classes from 0.
        y, camids: (B,) class (-1: an outlier) and camera of each image.
        temperature: t.
        num_negatives: K; all proxies of other classes when there are fewer.

    Returns:
        scalar, mean over the labelled images of the batch; those that one camera alone has seen
        count as 0.
    """
    f = F.normalize(f.float(), dim=1)
    same = classes == y[:, None]
    positive = same & (cameras != camids[:, None])
    with full_precision(f):
        scores = f @ proxies.float().T / temperature
    count = min(num_negatives, scores.shape[1])
    nearest = scores.masked_fill(same, float("-inf")).topk(count, dim=1).values
    others = torch.cat([scores.masked_fill(~positive, float("-inf")), nearest], dim=1)
    # an image without any of them has no sum; it counts as 0 below
    log_sum = torch.where(positive.any(1), others.logsumexp(1), 0.0)
    each = torch.where(positive, log_sum[:, None] - scores, 0.0).sum(1)
    each = each / positive.sum(1).clamp(min=1)
    labelled = y != -1
    return torch.where(labelled, each, 0.0).sum() / labelled.sum().clamp(min=1)
