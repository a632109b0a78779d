"""The multi-scale discriminator D."""

from __future__ import annotations

import torch.nn.functional as F
from fastreid.config import configurable
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from torch import Tensor, nn

from .layers import ConvBlock, ResBlock, normal_init


@REID_HEADS_REGISTRY.register()
class MultiScaleDiscriminator(nn.Module):
    """(B, 3, H, W) -> a list of logit maps, one a scale, each scale half the size of the one
    before.

    A scale: two stride-2 stages, residual blocks, 1x1 to one logit map; no norm.
    """

    @configurable
    def __init__(self, *, width: int, num_scales: int, num_blocks: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(
                ConvBlock(3, width, 3, stride=2),
                ConvBlock(width, 2 * width, 3, stride=2),
                *(ResBlock(2 * width) for _ in range(num_blocks)),
                nn.Conv2d(2 * width, 1, 1),
            )
            for _ in range(num_scales)
        )
        normal_init(self)

    @classmethod
    def from_config(cls, cfg):
        node = cfg.GCL.DISCRIMINATOR
        return {"width": node.WIDTH, "num_scales": node.NUM_SCALES, "num_blocks": node.NUM_BLOCKS}

    def forward(self, images: Tensor) -> list[Tensor]:
        logits = []
        for i, scale in enumerate(self.scales):
            if i > 0:
                images = F.avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)
            logits.append(scale(images))
        return logits
