"""The memory bank M and its pseudo labels.

Shapes: N training images, B batch, D embedding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from fastreid.utils import comm
from torch import Tensor, nn


class MemoryBank(nn.Module):
    """One L2-normalised feature a training image, and its pseudo label: the one place that holds
    them.

    Not part of the model's weights (its size is the training set's); the trainer checkpoints it
    apart. Identical on all ranks, as every update is gathered.

    Args:
        dim: D.
        alpha: weight of the OLD row in an update.
        num_images: N; the trainer, which knows the training set, calls :meth:`allocate`.

    Attributes:
        features: (N, D) float32; zeros until :meth:`fill`.
        labels: (N,) int64 pseudo labels, -1 = outlier or not clustered yet.
    """

    def __init__(self, dim: int, alpha: float, num_images: int = 0) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("features", torch.zeros(num_images, dim), persistent=False)
        self.register_buffer("labels", torch.full((num_images,), -1), persistent=False)

    def allocate(self, num_images: int) -> None:
        """Make N empty rows, in the place of those that there were."""
        self.features = self.features.new_zeros(num_images, self.features.shape[1])
        self.labels = self.labels.new_full((num_images,), -1)

    @torch.no_grad()
    def fill(self, features: Tensor) -> None:
        """Replace all rows by features (N, D), normalised here; a row whose feature is not finite
        stays as it was."""
        features = F.normalize(features.float(), dim=1)
        finite = features.isfinite().all(1, keepdim=True)
        self.features.copy_(torch.where(finite, features, self.features))

    @torch.no_grad()
    def update(self, features: Tensor, indices: Tensor) -> None:
        """M_i <- normalise(alpha M_i + (1 - alpha) f_i) for the images of all ranks.

        Args:
            features: (B, D), normalised here.
            indices: (B,) rows. Of an image that comes several times, the last counts; a feature
                that is not finite does not.
        """
        features = F.normalize(features.detach().float(), dim=1)
        if comm.get_world_size() > 1:
            features, indices = gather(features), gather(indices)
        finite = features.isfinite().all(1)
        features, indices = features[finite], indices.to(self.features.device)[finite]
        rows, inverse = torch.unique(indices, return_inverse=True)
        last = torch.zeros_like(rows).scatter_reduce(
            0, inverse, torch.arange(len(indices), device=rows.device), "amax", include_self=False
        )
        mixed = self.alpha * self.features[rows] + (1 - self.alpha) * features[last]
        self.features[rows] = F.normalize(mixed, dim=1)


def gather(tensor: Tensor) -> Tensor:
    """Equal-sized tensors of all ranks, in rank order; constants."""
    parts = [torch.empty_like(tensor) for _ in range(comm.get_world_size())]
    torch.distributed.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
