"""Fixed features by which a view's person is searched among photographs.

Shapes: `B` pictures (B, 3, H, W) of 0-255, `N` of them, `C` pooled and `D` final features.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from gcl.modeling.imagenet import ImageNet
from gcl.modeling.layers import RunningNorm

STAGES = (1, 2, 4)
"""Of EfficientNet-Lite0 for the perceptual distance: strides 4, 8 and 16."""


class Encoder(ABC):
    """Pictures to features, in two steps: between them lie statistics of all pictures."""

    @abstractmethod
    def pool(self, pictures: Tensor) -> Tensor:
        """(B, C)"""

    @abstractmethod
    def embed(self, pooled: Tensor, cameras: Tensor, generated: bool) -> Tensor:
        """(N, C) of all pictures of one kind, (N,) -> (N, D), L2-normalised.

        Args:
            generated: they are generated views. Their style is, to an encoder, one more camera: by
                the photographs' statistics all of them look alike.
        """


class ModelEncoder(Encoder):
    """E_id of a GCL model. With GCL.CAMERA_NORM photographs are standardised by the statistics that
    the head brings, generated views by their own, measured as for the readiness."""

    def __init__(self, model) -> None:
        self._model = model

    def pool(self, pictures: Tensor) -> Tensor:
        x = self._model.preprocess_image({"images": pictures})
        return self._model.heads.pool(self._model.backbone(x))

    def embed(self, pooled: Tensor, cameras: Tensor, generated: bool) -> Tensor:
        heads, norm = self._model.heads, None
        if generated and heads.camera_norm is not None:
            # not heads.generated_norm: that knows one generator's views of one state of training
            norm = copy.deepcopy(heads.camera_norm)
            norm.fit(pooled, cameras)
        parts = zip(pooled.split(1024), cameras.split(1024), strict=True)
        return torch.cat([F.normalize(heads.neck(p, c, norm), dim=1) for p, c in parts])


class ImageNetEncoder(Encoder):
    """ImageNet features; each kind of picture is standardised by its own statistics in each
    camera."""

    def __init__(self, imagenet: ImageNet) -> None:
        self._imagenet = imagenet

    def pool(self, pictures: Tensor) -> Tensor:
        return self._imagenet.pool(pictures)

    def embed(self, pooled: Tensor, cameras: Tensor, generated: bool) -> Tensor:
        norm = RunningNorm(pooled.shape[1], int(cameras.max()) + 1).to(pooled.device)
        norm.fit(pooled, cameras)
        return F.normalize(norm(pooled, cameras), dim=1)
