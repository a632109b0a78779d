"""The identity head of E_id: re-ID embedding, part code, camera-wise standardisation.

Shapes: B batch, D embedding, P stripes, C channels of the backbone's last map.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.heads.embedding_head import EmbeddingHead
from torch import Tensor, nn

from gcl.losses import full_precision

from .layers import RunningNorm

logger = logging.getLogger(__name__)

Standardisation = Callable[[Tensor, Tensor | None], Tensor]
"""Pooled features (B, C) and cameras (B,), if there are any -> (B, C)."""

ROWS = 1024
"""Images that are standardised and embedded at once, where all are."""

MAX_CAMERAS = 64
"""Camera ids from this on share the statistics of all cameras."""


@REID_HEADS_REGISTRY.register()
class IdentityHead(EmbeddingHead):
    """The toolbox's embedding head, with a part code and, on request, camera-wise standardisation.

    Without the latter its weights and its evaluation are those of :class:`EmbeddingHead`.
    The classifier of the base class is not used: classes come and go with every clustering.

    Pooling, statistics and neck are in float32 under autocast too: what tells two people of one
    camera apart is a small part of a channel's mean, and half precision rounds it off.
    """

    def __init__(self, cfg) -> None:
        super().__init__(cfg)
        self.weight.requires_grad_(False)
        self.num_parts = cfg.GCL.GENERATOR.NUM_PARTS
        feat_dim = cfg.MODEL.BACKBONE.FEAT_DIM
        # Generated views have statistics of their own: to E_id their style is one more camera, and
        # measured by the originals' statistics all of them look alike.
        self.camera_norm = self.generated_norm = None
        if cfg.GCL.CAMERA_NORM:
            self.camera_norm = RunningNorm(feat_dim, groups=MAX_CAMERAS)
            self.generated_norm = RunningNorm(feat_dim, groups=MAX_CAMERAS)
        self._test_norm: Standardisation | None = None
        self.embedding_dim = cfg.MODEL.HEADS.EMBEDDING_DIM or feat_dim

    def forward(
        self,
        features: Tensor,
        targets: Tensor | None = None,
        camids: Tensor | None = None,
        generated: bool = False,
    ) -> Tensor:
        """Feature map (B, C, h, w) -> embedding (B, D) after the neck.

        Args:
            targets: not used; the toolbox passes them.
            camids: (B,) cameras. Where the head standardises by camera, images of an unknown one
                get the statistics of all cameras, and so do all where there are no camids; an
                evaluation warns of it once.
            generated: the images are generated views, standardised apart from the cameras' images.
        """
        pooled = self.pool(features)
        norm = self.generated_norm if generated else self.camera_norm
        if norm is not None and self.training:
            norm.update(pooled, camids)
        elif norm is not None and not generated:
            norm = self._test_norm or norm
            if norm is self.camera_norm:
                self._warn_of_unknown(camids)
        return self.neck(pooled, camids, norm)

    @contextmanager
    def standardised_by(self, norm: Standardisation) -> Iterator[None]:
        """Within it, evaluated images are standardised by ``norm`` and not by the cameras'
        statistics: their cameras are others, under the same numbers."""
        self._test_norm = norm
        try:
            yield
        finally:
            self._test_norm = None

    def _warn_of_unknown(self, camids: Tensor | None) -> None:
        graph = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if graph or self.camera_norm.count.is_meta:
            return  # what is in a batch can not be known
        if camids is None:
            _warn_once("a batch has no camids")
        elif not self.camera_norm.knows(camids).all():
            _warn_once(
                "a batch has cameras without statistics (no training images, or a number from"
                f" {MAX_CAMERAS} on)"
            )

    def pool(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C), float32."""
        with full_precision(features):
            return self.pool_layer(features.float()).flatten(1)

    def neck(
        self, pooled: Tensor, camids: Tensor | None = None, norm: Standardisation | None = None
    ) -> Tensor:
        """(B, C) -> (B, D).

        Args:
            camids: (B,) where the head standardises by camera; None: as one camera.
            norm: what standardises; None: the cameras' statistics.
        """
        if self.camera_norm is not None:
            pooled = (norm or self.camera_norm)(pooled, camids)
        return self.embed(pooled)

    def embed(self, pooled: Tensor) -> Tensor:
        """(B, C), standardised where the head does so, -> (B, D)."""
        with full_precision(pooled):
            return self.bottleneck(pooled[..., None, None]).flatten(1)

    @torch.no_grad()
    def measure(self, pooled: Tensor, camids: Tensor) -> None:
        """Take the cameras' statistics, if the head standardises by camera, and the neck's from all
        training images: pooled (N, C), which it standardises in place (of a million they are not
        there twice), camids (N,).

        Batch norm's own running statistics are an average over few, small P x K batches. Behind
        standardised features that is mostly noise, of a size that moves mAP by points; and those of
        a neck that has seen nothing yet are mean 0 and deviation 1, whatever the features.
        """
        if self.camera_norm is not None:
            self.camera_norm.fit(pooled, camids)
            for rows, cameras in zip(pooled.split(ROWS), camids.split(ROWS), strict=True):
                rows.copy_(self.camera_norm(rows, cameras))
        if len(pooled) < 2:
            return  # one image has no deviation
        for layer in self.bottleneck:  # a reduction, where D is not C, and the norm
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                # what one batch of all images would leave, without its result
                layer.reset_running_stats()
                layer.num_batches_tracked += 1
                torch.batch_norm_update_stats(pooled, layer.running_mean, layer.running_var, 1.0)
            else:
                reduced = pooled.new_empty(len(pooled), self.embedding_dim)
                for new, rows in zip(reduced.split(ROWS), pooled.split(ROWS), strict=True):
                    new.copy_(layer(rows[..., None, None]).flatten(1))
                pooled = reduced

    def part_code(self, features: Tensor) -> Tensor:
        """c: the feature map averaged in P horizontal stripes, (B, C, h, w) -> (B, P, C),
        float32."""
        code = F.adaptive_avg_pool2d(features.float(), (self.num_parts, 1))
        return code.squeeze(3).transpose(1, 2)


@functools.cache
def _warn_once(what: str) -> None:
    logger.warning(
        "GCL.CAMERA_NORM: %s: such images are standardised by the statistics of all cameras.", what
    )
