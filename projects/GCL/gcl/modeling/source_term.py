"""What labelled crops of another data set (GCL.SOURCE) teach E_id.

Shapes: B batch, C classes (people of the source), D embedding, F channels of the backbone's map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from fastreid.utils import comm
from torch import Tensor, nn

from gcl.losses import centroid_loss

from .heads import MAX_CAMERAS, IdentityHead
from .layers import RunningNorm, untracked
from .memory import gather


class SourceTerm(nn.Module):
    """Contrast of the source's crops against a memory of their people's centroids.

    The source is another domain: its crops go through E_id in batches of their own, so that batch
    norm normalises them by their own statistics (Chang et al., "Domain-Specific Batch
    Normalization", CVPR 2019), and running statistics, which evaluation uses, follow the target
    alone. Nothing in here is part of the model's weights: evaluation does not need it.

    Args:
        dim: D.
        feat_dim: F.
        alpha: weight of the OLD centroid in an update (GCL.MEMORY.ALPHA).
        temperature: t (MODEL.LOSSES.VIEW.TEMPERATURE).
        scale: weight of the loss.
        camera_norm: pooled features are standardised by their cameras (GCL.CAMERA_NORM), by
            statistics apart from the target's.

    Attributes:
        centroids: (C, D) L2-normalised w; no row until :meth:`fit`, zero where that saw nobody.
            Identical on all ranks, as every update is gathered.
        norm: statistics of the source's cameras, or None.
    """

    def __init__(
        self,
        dim: int,
        feat_dim: int,
        *,
        alpha: float,
        temperature: float,
        scale: float,
        camera_norm: bool,
    ) -> None:
        super().__init__()
        self.alpha, self.temperature, self.scale = alpha, temperature, scale
        self.register_buffer("centroids", torch.zeros(0, dim), persistent=False)
        self.norm = RunningNorm(feat_dim, MAX_CAMERAS, persistent=False) if camera_norm else None

    def embed(self, heads: IdentityHead, feature_map: Tensor, camids: Tensor) -> Tensor:
        """Embeddings (B, D) of the source's crops.

        Args:
            heads: of E_id, in training mode.
            feature_map: (B, F, h, w) of the crops.
            camids: (B,) their cameras, numbered from 0.
        """
        pooled = heads.pool(feature_map)
        if self.norm is not None:
            self.norm.update(pooled, camids)
        return self._neck(heads, pooled, camids)

    def forward(self, f: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar, of embeddings f (B, D) of people ``targets`` (B,), numbered from
        0."""
        return self.scale * centroid_loss(f, self.centroids, targets, self.temperature)

    @torch.no_grad()
    def fit(
        self, heads: IdentityHead, pooled: Tensor, targets: Tensor, camids: Tensor, classes: int
    ) -> None:
        """Measure the cameras' statistics and all centroids anew.

        Args:
            heads: as in :meth:`embed`.
            pooled: (N, F) pooled features of crops of everybody.
            targets, camids: (N,).
            classes: C.
        """
        if self.norm is not None:
            self.norm.fit(pooled, camids)
        features = F.normalize(self._neck(heads, pooled, camids).float(), dim=1)
        finite = features.isfinite().all(1)
        sums = self.centroids.new_zeros(classes, self.centroids.shape[1])
        sums.index_add_(0, targets[finite], features[finite])
        if len(self.centroids) != classes:  # else in its place, which a recorded step reads
            self.centroids = sums
        self.centroids.copy_(F.normalize(sums, dim=1))

    @torch.no_grad()
    def update(self, features: Tensor, targets: Tensor) -> None:
        r"""Move the centroids by a batch, of all ranks.

        .. math:: w_k \leftarrow \mathrm{normalise}\Big(\alpha w_k
                  + (1 - \alpha) \frac{1}{|B_k|} \sum_{f_i \in B_k} f_i\Big)

        over the people k of the batch, :math:`B_k` their embeddings.

        Args:
            features: (B, D), normalised here; one that is not finite does not count.
            targets: (B,).
        """
        features = F.normalize(features.float(), dim=1)
        if comm.get_world_size() > 1:
            features, targets = gather(features), gather(targets)
        finite = features.isfinite().all(1)
        features = torch.where(finite[:, None], features, torch.zeros_like(features))
        # No size may depend on what is in a tensor, or a GPU waits for the host: every crop writes
        # its person's centroid, as the first crop of the person makes it.
        same = targets[:, None] == targets
        own = (same & finite).float()
        means = (own @ features) / own.sum(1, keepdim=True).clamp(min=1)
        old = self.centroids[targets]
        mixed = F.normalize(self.alpha * old + (1 - self.alpha) * means, dim=1)
        new = torch.where(own.any(1, keepdim=True), mixed, old)
        first = same.float().argmax(1)
        self.centroids.index_copy_(0, targets, new[first])

    def _neck(self, heads: IdentityHead, pooled: Tensor, camids: Tensor) -> Tensor:
        with untracked(heads):
            return heads.neck(pooled, camids, self.norm)
