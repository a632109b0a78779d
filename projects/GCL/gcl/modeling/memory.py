"""The memory bank M and its pseudo labels.

Shapes: N training images, B batch, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from fastreid.utils import comm
from torch import Tensor, nn

PART = 65_536
"""Rows that are filled at once."""


class MemoryBank(nn.Module):
    """One L2-normalised feature a training image, and its pseudo label: the one place that holds
    them.

    Not part of the model's weights (its size is the training set's); the trainer checkpoints it
    apart. Identical on all ranks, as every update is gathered.

    Args:
        dim: D.
        alpha: weight of the OLD row in an update.
        num_images: N; the trainer, which knows the training set, calls :meth:`allocate`.
        half: rows are float16 (of unit vectors, to 5e-4 of a number), what is computed is not.

    Attributes:
        features: (N, D) float32 or float16; zeros until :meth:`fill`.
        labels: (N,) int64 pseudo labels, -1 = outlier or not clustered yet.
        cameras: (N,) int64 cameras of the images.
        tracks: (N,) int64 tracks of the images, below 0 and different for those that are in none.
    """

    def __init__(self, dim: int, alpha: float, num_images: int = 0, *, half: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        features = torch.zeros(num_images, dim, dtype=torch.float16 if half else torch.float32)
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("labels", torch.full((num_images,), -1), persistent=False)
        cameras = torch.zeros(num_images, dtype=torch.long)
        self.register_buffer("cameras", cameras, persistent=False)
        self.register_buffer("tracks", -1 - torch.arange(num_images), persistent=False)

    def allocate(
        self,
        num_images: int,
        cameras: Sequence[int] | None = None,
        tracks: Sequence[int] | None = None,
    ) -> None:
        """Make N empty rows, in the place of those that there were.

        Args:
            cameras: N cameras; None: one has seen all images.
            tracks: N tracks, -1 = in none; None: nobody knows any.
        """
        self.features = self.features.new_zeros(num_images, self.features.shape[1])
        self.labels = self.labels.new_full((num_images,), -1)
        self.cameras = self.labels.new_tensor([0] * num_images if cameras is None else cameras)
        self.tracks = -1 - torch.arange(num_images, device=self.labels.device)
        if tracks is not None:
            known = self.labels.new_tensor(tracks)
            self.tracks = torch.where(known < 0, self.tracks, known)

    @torch.no_grad()
    def fill(self, features: Tensor) -> None:
        """Replace all rows by features (N, D), normalised here; a row whose feature is not finite
        stays as it was."""
        # in parts: a million rows are there once already, and in what they are filled with
        for rows, new in zip(self.features.split(PART), features.split(PART), strict=True):
            new = F.normalize(new.to(rows.device, torch.float32), dim=1)
            finite = new.isfinite().all(1, keepdim=True)
            rows.copy_(torch.where(finite, new, rows.float()))

    def update(self, features: Tensor, indices: Tensor) -> None:
        """M_i <- normalise(alpha M_i + (1 - alpha) f_i) for the images of all ranks.

        Args:
            features: (B, D), normalised here.
            indices: (B,) rows. Of an image that comes several times, the last counts; a feature
                that is not finite does not.
        """
        move_rows(self.features, features, indices, self.alpha)


@torch.no_grad()
def move_rows(memory: Tensor, features: Tensor, indices: Tensor, alpha: float) -> None:
    """M_i <- normalise(alpha M_i + (1 - alpha) f_i), in place, for the images of all ranks.

    Args:
        memory: (N, D) L2-normalised rows.
        features: (B, D), normalised here.
        indices: (B,) rows; of several features of one, the last that is finite counts.
        alpha: weight of the OLD row.
    """
    features = F.normalize(features.detach().float(), dim=1)
    if comm.get_world_size() > 1:
        features, indices = gather(features), gather(indices)
    indices = indices.to(memory.device)
    # No size may depend on what is in a tensor, or a GPU waits for the host: every image writes
    # what the last finite one of its row makes of it, or the row as it was.
    writes = (indices[:, None] == indices) & features.isfinite().all(1)
    order = torch.arange(len(indices), device=indices.device)
    last = torch.where(writes, order, -1).amax(1)
    old = memory[indices].float()
    mixed = alpha * old + (1 - alpha) * features[last.clamp(min=0)]
    new = torch.where((last >= 0)[:, None], F.normalize(mixed, dim=1), old)
    memory.index_copy_(0, indices, new.to(memory.dtype))


def gather(tensor: Tensor) -> Tensor:
    """Equal-sized tensors of all ranks, in rank order; constants."""
    parts = [torch.empty_like(tensor) for _ in range(comm.get_world_size())]
    torch.distributed.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
