"""A view generator that looks at the crop itself: every place of the new view searches the crop for
what it shows.

The paper's generator paints from a part code, the encoder's last map averaged over stripes: that
has lost most of what a person wears, and it is one encoder's at one moment of its training. Here G
has an eye of its own. A turned sleeve is where the turned mesh has the arm, and looks as it does
where the crop's mesh has one: cross-attention (Vaswani et al., NeurIPS 2017) with queries from the
new view's structure and keys from the crop's, in the spirit of pose-guided synthesis (Ren et al.,
"Deep image spatial transformation for person image generation", CVPR 2020). It depends on no
encoder, so weights that were trained once serve all.

Shapes: B batch, H x W view, h x w a map of it, C channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from fastreid.config import configurable
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from torch import Tensor, nn

from .generator import StructureEncoder
from .layers import ConvBlock, ResBlock, kaiming_init

HEADS, KEY_DIM = 4, 16


class Appearance(NamedTuple):
    """What G knows of a crop, at two resolutions: ``half`` (H/2 x W/2) and ``quarter``; of each how
    the crop looks there, (B, C, h, w), and by what a view finds the place, (B, 2 C, h, w)."""

    half: Tensor
    half_keys: Tensor
    quarter: Tensor
    quarter_keys: Tensor


class CrossAttention(nn.Module):
    """Places of a view gather from the places of a crop.

    Both know where they are in the picture: crop and view have the person at one height, so the
    right place is seldom far from the same row.

    Args:
        width: C of view and crop.
        key_dim: channels of the crop's keys.
    """

    def __init__(self, width: int, key_dim: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(width + 6, HEADS * KEY_DIM, 1)
        self.key = nn.Conv2d(key_dim + 6, HEADS * KEY_DIM, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, view: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """view (B, C, h, w), keys (B, K, h, w), values (B, C, h, w) -> (B, C, h, w)."""
        query, key, value = (
            x.flatten(2).unflatten(1, (HEADS, -1)).transpose(2, 3)
            for x in (
                self.query(_with_place(view)),
                self.key(_with_place(keys)),
                self.value(values),
            )
        )
        # kernels that do not hold all h w x h w weights at once want one width of all three
        if wider := max(value.shape[-1] - KEY_DIM, 0):
            query, key = F.pad(query, (0, wider)), F.pad(key, (0, wider))
        found = F.scaled_dot_product_attention(query, key, value, scale=KEY_DIM**-0.5)
        return self.out(found.transpose(2, 3).flatten(1, 2).unflatten(2, view.shape[-2:]))


@REID_HEADS_REGISTRY.register()
class AttentionViewGenerator(nn.Module):
    """E_str and G: a structure image, and the crop with its own, make a person in that view.

    Pictures are in the encoder's image space, (picture - mean) / std of 0-255; the network itself
    sees [-1, 1], whatever the encoder.

    Args:
        width: channels of E_str's stem; G works on four times as many, a multiple of 4.
        num_blocks: residual blocks of E_str.
        pixel_mean, pixel_std: of the encoder's image space.
    """

    uses_code = False

    @configurable
    def __init__(
        self, *, width: int, num_blocks: int, pixel_mean: list[float], pixel_std: list[float]
    ) -> None:
        super().__init__()
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (pixel_mean, pixel_std))
        self.register_buffer("scale", std / 127.5, False)
        self.register_buffer("shift", (mean - 127.5) / 127.5, False)
        self.structure = StructureEncoder(width, num_blocks)
        inner = self.structure.out_channels
        self.see_half = nn.Sequential(
            ConvBlock(4, 2 * width, 3), ConvBlock(2 * width, inner, 3, stride=2), ResBlock(inner)
        )
        self.see_quarter = nn.Sequential(
            ConvBlock(inner, inner, 3, stride=2), ResBlock(inner), ResBlock(inner)
        )
        self.search = nn.ModuleList(CrossAttention(inner, 2 * inner) for _ in range(3))
        self.blocks = nn.ModuleList(
            (ResBlock(inner), nn.Sequential(ResBlock(inner), ResBlock(inner)), ResBlock(inner))
        )
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"), ConvBlock(inner, inner, 3)
        )
        self.out = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            ConvBlock(inner, 2 * width, 3),
            ConvBlock(2 * width, 2 * width, 3),
            nn.Conv2d(2 * width, 3, 1),
        )
        kaiming_init(self)
        with torch.no_grad():  # without norms, untrained sums of blocks would be far out of range
            for module in self.modules():
                if isinstance(module, ResBlock):
                    module.body[1].conv.weight.mul_(0.2)
            self.out[-1].weight.mul_(0.1)

    @classmethod
    def from_config(cls, cfg):
        return {
            "width": cfg.GCL.GENERATOR.WIDTH,
            "num_blocks": cfg.GCL.GENERATOR.NUM_BLOCKS,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    def encode(self, structure: Tensor) -> Tensor:
        """e = E_str(s): (B, 1, H, W) in [0, 1] -> (B, C, H/4, W/4)."""
        return self.structure(structure)

    def appearance(self, x: Tensor, s: Tensor, e: Tensor, code: Tensor | None = None) -> Appearance:
        """What the crops x (B, 3, H, W) show, whose structures are s (B, 1, H, W) and e = E_str(s).

        Args:
            code: not used; the paper's generator knows a crop by its part code.
        """
        half = self.see_half(torch.cat((x * self.scale + self.shift, s), 1))
        quarter = self.see_quarter(half)
        half_keys = torch.cat((half, F.interpolate(e, half.shape[-2:])), 1)
        return Appearance(half, half_keys, quarter, torch.cat((quarter, e), 1))

    def decode(self, e: Tensor, appearance: Appearance) -> Tensor:
        """x' = G(e, appearance): (B, C, H/4, W/4) -> (B, 3, H, W)."""
        half, half_keys, quarter, quarter_keys = appearance
        for attend, block in zip(self.search[:2], self.blocks[:2], strict=True):
            e = block(e + attend(e, quarter_keys, quarter))
        fine = self.up(e)
        fine = self.blocks[2](fine + self.search[2](fine, half_keys, half))
        return (self.out(fine) - self.shift) / self.scale


def _with_place(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C + 6, h, w): row and column in [-1, 1], and waves of them."""
    row, column = (torch.linspace(-1, 1, n, device=x.device) for n in x.shape[-2:])
    row, column = torch.meshgrid(row, column, indexing="ij")
    waves = [f(t) for t in (3 * math.pi * row, math.pi * column) for f in (torch.sin, torch.cos)]
    places = torch.stack((row, column, *waves)).to(x.dtype)  # rounded last: phases up to 3 pi
    return torch.cat((x, places.expand(len(x), -1, -1, -1)), 1)
