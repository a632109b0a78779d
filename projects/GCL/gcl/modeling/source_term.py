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
        self._pending: tuple[Tensor, Tensor] | None = None

    def forward(
        self, heads: IdentityHead, feature_map: Tensor, targets: Tensor, camids: Tensor
    ) -> Tensor:
        """The loss, a scalar.

        Args:
            heads: of E_id, in training mode.
            feature_map: (B, F, h, w) of the source's crops.
            targets, camids: (B,) their people and cameras, numbered from 0.
        """
        pooled = heads.pool(feature_map)
        if self.norm is not None:
            self.norm.update(pooled, camids)
        f = self._embed(heads, pooled, camids)
        targets = targets.to(f.device)
        self._pending = (f.detach(), targets)
        return self.scale * centroid_loss(f, self.centroids, targets, self.temperature)

    @torch.no_grad()
    def fit(
        self, heads: IdentityHead, pooled: Tensor, targets: Tensor, camids: Tensor, classes: int
    ) -> None:
        """Measure the cameras' statistics and all centroids anew.

        Args:
            heads: as in :meth:`forward`.
            pooled: (N, F) pooled features of crops of everybody.
            targets, camids: (N,).
            classes: C.
        """
        if self.norm is not None:
            self.norm.fit(pooled, camids)
        means, seen = _class_means(self._embed(heads, pooled, camids), targets)
        self.centroids = self.centroids.new_zeros(classes, self.centroids.shape[1])
        self.centroids[seen] = F.normalize(means, dim=1)

    def update(self) -> None:
        r"""Move the centroids by the last batch, of all ranks; call it after the optimizer's step.

        .. math:: w_k \leftarrow \mathrm{normalise}\Big(\alpha w_k
                  + (1 - \alpha) \frac{1}{|B_k|} \sum_{f_i \in B_k} f_i\Big)

        over the people k of the batch, :math:`B_k` their embeddings, normalised. One that is not
        finite does not count.
        """
        if self._pending is None:
            return
        features, targets = self._pending
        self._pending = None
        if comm.get_world_size() > 1:
            features, targets = gather(features), gather(targets)
        means, seen = _class_means(features, targets)
        mixed = self.alpha * self.centroids[seen] + (1 - self.alpha) * means
        self.centroids[seen] = F.normalize(mixed, dim=1)

    def _embed(self, heads: IdentityHead, pooled: Tensor, camids: Tensor) -> Tensor:
        with untracked(heads):
            return heads.neck(pooled, camids, self.norm)


def _class_means(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the normalised features (N, D) of each class that is there, (K, D), and which
    classes these are, (K,)."""
    features = F.normalize(features.float(), dim=1)
    finite = features.isfinite().all(1)
    classes, inverse = torch.unique(targets.to(features.device)[finite], return_inverse=True)
    sums = features.new_zeros(len(classes), features.shape[1])
    sums.index_add_(0, inverse, features[finite])
    return sums / torch.bincount(inverse, minlength=len(classes))[:, None], classes
