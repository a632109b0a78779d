"""Encoders to use: of a tiny network whose features are spread out, and of a finished run.

A run of a handful of steps has features that nearly all point one way: what is wrong with them
would not be seen.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gcl.inference import ReID
from gcl.inference.trained_encoder import TrainedEncoder, _model


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def encoder(tiny_cfg) -> Callable[..., TrainedEncoder]:
    """``encoder(KEY, value, ...)``: crops of 64 x 32; statistics of cameras 0 and 1, and a neck,
    that have seen something."""

    def build(*pairs: object) -> TrainedEncoder:
        torch.manual_seed(0)
        cfg = tiny_cfg("MODEL.HEADS.NUM_CLASSES", 1, "GCL.CAMERA_NORM", True, *pairs)
        model = _model(cfg).eval().requires_grad_(False)
        if (norm := model.heads.camera_norm) is not None:
            images, camids = 127 + 60 * draw(60, 3, 64, 32), torch.arange(60) % 2
            images *= 0.5 + camids[:, None, None, None]
            pooled = model.heads.pool(model.backbone(model.preprocess_image({"images": images})))
            norm.fit(pooled, camids)
        for layer in model.heads.bottleneck:
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.copy_(0.5 + torch.rand(len(layer.weight)))
                layer.running_var.copy_(0.1 + torch.rand(len(layer.weight)))
                layer.bias.copy_(0.3 * draw(len(layer.weight), seed=3))
                layer.running_mean.copy_(0.3 * draw(len(layer.weight), seed=4))
        cameras = {} if norm is None else {"0": 0, "1": 1}
        return TrainedEncoder(model, cfg, "model.pth", "", cameras)

    return build


@pytest.fixture
def reid(encoder) -> ReID:
    return ReID(encoder())
