"""The identity head of E_id: re-ID embedding, part code, camera-wise standardisation.

Shapes: B batch, D embedding, P stripes, C channels of the backbone's last map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.heads.embedding_head import EmbeddingHead
from torch import Tensor, nn


class CameraNorm(nn.Module):
    """Standardise features with the mean and deviation of their camera: label-free colour
    constancy.

    The statistics are measured over all training images of a camera (:meth:`fit`), not over a
    batch, so that one image of a camera in a batch does no harm. Row 0 holds the statistics of all
    cameras together, for cameras that training did not see.

    Args:
        dim: D.
        max_cameras: camera ids 0 ... max_cameras - 1 can have statistics of their own.
    """

    def __init__(self, dim: int, max_cameras: int = 64, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("mean", torch.zeros(max_cameras + 1, dim))
        self.register_buffer("std", torch.ones(max_cameras + 1, dim))
        self.register_buffer("known", torch.zeros(max_cameras + 1, dtype=torch.bool))

    @torch.no_grad()
    def fit(self, features: Tensor, camids: Tensor) -> None:
        """Measure: features (N, D), camids (N,). Cameras with one image take the common
        statistics."""
        self.known.zero_()
        self.mean[0], self.std[0], self.known[0] = features.mean(0), features.std(0), True
        for camera in camids.unique().tolist():
            rows = features[camids == camera]
            if len(rows) > 1 and camera + 1 < len(self.known):
                self.mean[camera + 1], self.std[camera + 1] = rows.mean(0), rows.std(0)
                self.known[camera + 1] = True

    def forward(self, features: Tensor, camids: Tensor) -> Tensor:
        row = (camids.to(features.device) + 1).clamp(0, len(self.known) - 1)
        row = torch.where(self.known[row], row, torch.zeros_like(row))
        return (features - self.mean[row]) / (self.std[row] + self.eps)


@REID_HEADS_REGISTRY.register()
class IdentityHead(EmbeddingHead):
    """The toolbox's embedding head, with a part code and, on request, camera-wise standardisation.

    Without the latter its weights and its evaluation are those of :class:`EmbeddingHead`.
    The classifier of the base class is not used: classes come and go with every clustering.
    """

    def __init__(self, cfg) -> None:
        super().__init__(cfg)
        self.weight.requires_grad_(False)
        self.num_parts = cfg.GCL.GENERATOR.NUM_PARTS
        feat_dim = cfg.MODEL.BACKBONE.FEAT_DIM
        self.camera_norm = CameraNorm(feat_dim) if cfg.GCL.CAMERA_NORM else None
        self.embedding_dim = cfg.MODEL.HEADS.EMBEDDING_DIM or feat_dim

    def forward(
        self, features: Tensor, targets: Tensor | None = None, camids: Tensor | None = None
    ) -> Tensor:
        """Feature map (B, C, h, w) -> embedding (B, D) after the neck."""
        return self.neck(self.pool(features), camids)

    def pool(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C)."""
        return self.pool_layer(features).flatten(1)

    def neck(self, pooled: Tensor, camids: Tensor | None = None) -> Tensor:
        """(B, C) -> (B, D); ``camids`` (B,) are needed when the head standardises by camera."""
        if self.camera_norm is not None:
            if camids is None:
                raise ValueError("GCL.CAMERA_NORM is on, but the batch has no 'camids'")
            pooled = self.camera_norm(pooled, camids)
        return self.bottleneck(pooled[..., None, None]).flatten(1)

    def part_code(self, features: Tensor) -> Tensor:
        """c: the feature map averaged in P horizontal stripes, (B, C, h, w) -> (B, P, C)."""
        return F.adaptive_avg_pool2d(features, (self.num_parts, 1)).squeeze(3).transpose(1, 2)
