"""What each camera has seen of each class: the memory of the inter-camera loss.

Shapes: N training images, P proxies, B batch, D embedding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .memory import PART, MemoryBank, move_rows


class CameraProxies(nn.Module):
    """One L2-normalised feature a class and camera, made anew from the bank in each epoch.

    Identical on all ranks, as every update is gathered. Neither weights nor in checkpoints.

    Args:
        dim: D.
        alpha: weight of the OLD proxy in an update (GCL.MEMORY.ALPHA).

    Attributes:
        features: (P, D) float32; none until :meth:`build`.
        classes, cameras: (P,) of each.
        rows: (N,) proxy of each training image, -1 = outlier.
    """

    def __init__(self, dim: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("features", torch.zeros(0, dim), persistent=False)
        for name in ("classes", "cameras", "rows"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.long), persistent=False)

    @torch.no_grad()
    def build(self, bank: MemoryBank) -> None:
        """Means of the bank's rows, normalised, by its labels and cameras."""
        labelled = bank.labels >= 0
        pairs = torch.stack((bank.labels, bank.cameras), 1)[labelled]
        found, proxy = torch.unique(pairs, dim=0, return_inverse=True)
        self.rows = torch.full_like(bank.labels, -1)
        self.rows[labelled] = proxy
        sums = self.features.new_zeros(len(found), bank.features.shape[1])
        # in parts: the bank of a million images is there once already
        for rows, features in zip(self.rows.split(PART), bank.features.split(PART), strict=True):
            sums.index_add_(0, rows[rows >= 0], features[rows >= 0].float())
        self.features = F.normalize(sums, dim=1)
        self.classes, self.cameras = found.T.contiguous()

    @torch.no_grad()
    def update(self, features: Tensor, rows: Tensor) -> None:
        """u <- normalise(alpha u + (1 - alpha) f) for the images of all ranks.

        Args:
            features: (B, D), normalised here.
            rows: (B,) proxies of the images. Of several of one, the last counts; an outlier (-1) or
                a feature that is not finite does not.
        """
        features = torch.where((rows >= 0)[:, None], features, float("nan"))
        move_rows(self.features, features, rows.clamp(min=0), self.alpha)
