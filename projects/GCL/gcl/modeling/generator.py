"""The view generator: structure encoder E_str and decoder G (GCL, CVPR 2021, section 3.1).

What the meta-architecture asks of a generator: ``encode`` (E_str), ``appearance`` (what is known of
a crop: its part code, or what G sees itself), ``decode`` (G), and whether it ``uses_code``; if it
does, ``track``.

Shapes: B batch, H x W view, P stripes of the part code, C its channels, E channels of the structure
feature e.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from fastreid.config import configurable
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from torch import Tensor, nn

from .layers import ConvBlock, ResBlock, RunningNorm, kaiming_init


class StructureEncoder(nn.Module):
    """E_str: (B, 1, H, W) grey render -> (B, 4 width, H/4, W/4).

    Two stride-2 stages, residual blocks with instance norm, an atrous spatial pyramid (1x1 and 3x3
    at dilations 3, 6, 9), fused to twice the blocks' width.
    """

    def __init__(self, width: int, num_blocks: int) -> None:
        super().__init__()
        inner = 2 * width
        self.stem = nn.Sequential(
            ConvBlock(1, width, 3, stride=2, norm="in"),
            ConvBlock(width, inner, 3, stride=2, norm="in"),
            *(ResBlock(inner, norm="in") for _ in range(num_blocks)),
        )
        # zero padding in the pyramid: a dilation of 9 may exceed what reflection allows on small
        # maps
        self.pyramid = nn.ModuleList(
            [nn.Conv2d(inner, inner, 1)]
            + [nn.Conv2d(inner, inner, 3, padding=d, dilation=d) for d in (3, 6, 9)]
        )
        self.fuse = ConvBlock(4 * inner, 2 * inner, 1)
        self.out_channels = 2 * inner

    def forward(self, s: Tensor) -> Tensor:
        e = self.stem(s)
        return self.fuse(F.leaky_relu(torch.cat([branch(e) for branch in self.pyramid], 1), 0.2))


class AdaptiveResBlock(nn.Module):
    """Residual block whose two instance norms take scale and bias from the part code (AdaIN).

    The scale is predicted as 1 + its MLP's output, so that an untrained block does not silence the
    map.
    """

    def __init__(self, width: int, code_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect") for _ in range(2)
        )
        self.norm = nn.InstanceNorm2d(width)
        self.scale = _mlp(code_dim, mlp_dim, 2 * width)
        self.bias = _mlp(code_dim, mlp_dim, 2 * width)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """x (B, E, h, w); code (B, R, C): R = 1 acts everywhere, else on R stripes of rows."""
        scales = _to_rows(self.scale(code), x.shape[2]).chunk(2, 1)
        biases = _to_rows(self.bias(code), x.shape[2]).chunk(2, 1)
        y = F.leaky_relu((1 + scales[0]) * self.norm(self.convs[0](x)) + biases[0], 0.2)
        return x + (1 + scales[1]) * self.norm(self.convs[1](y)) + biases[1]


@REID_HEADS_REGISTRY.register()
class ViewGenerator(nn.Module):
    """E_str and G: a structure image and a part code make a person in that view.

    Args:
        width: channels of E_str's stem.
        num_blocks: residual blocks of E_str.
        num_parts: P. G has P adaptive residual blocks.
        code_dim: C.
        mlp_dim: hidden units of the MLPs behind AdaIN.
        placement: "block": stripe p of the code steers block p, everywhere in the image (released
            code); "rows": every block is steered by all stripes, each at its own rows, blended
            linearly between the stripes' centres. A person's clothes are where their stripe is, so
            nothing has to be learnt to put them there.
        code_norm: standardise the channels of the part code by their running statistics. What
            people have in common is by far the largest part of a code; without it, what tells them
            apart comes through, and G is less tied to one state of the encoder.
    """

    uses_code = True

    @configurable
    def __init__(
        self,
        *,
        width: int,
        num_blocks: int,
        num_parts: int,
        code_dim: int,
        mlp_dim: int,
        placement: str,
        code_norm: bool,
    ) -> None:
        super().__init__()
        self.structure = StructureEncoder(width, num_blocks)
        channels = self.structure.out_channels
        self.placement = placement
        self.code_norm = RunningNorm(code_dim, window=4096) if code_norm else None
        self.blocks = nn.ModuleList(
            AdaptiveResBlock(channels, code_dim, mlp_dim) for _ in range(num_parts)
        )
        self.upsample = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            ConvBlock(channels, channels // 2, 5, norm="ln"),
            nn.Upsample(scale_factor=2, mode="nearest"),
            ConvBlock(channels // 2, channels // 4, 5, norm="ln"),
        )
        self.out = nn.Sequential(
            ConvBlock(channels // 4, channels // 4, 3),
            ConvBlock(channels // 4, channels // 4, 3),
            nn.Conv2d(channels // 4, 3, 1),
        )
        kaiming_init(self)
        for block in self.blocks:  # start from plain instance norm
            for mlp in (block.scale, block.bias):
                mlp[-1].weight.data.mul_(0.1)

    @classmethod
    def from_config(cls, cfg):
        node = cfg.GCL.GENERATOR
        return {
            "width": node.WIDTH,
            "num_blocks": node.NUM_BLOCKS,
            "num_parts": node.NUM_PARTS,
            "code_dim": cfg.MODEL.BACKBONE.FEAT_DIM,
            "mlp_dim": node.MLP_DIM,
            "placement": node.PLACEMENT,
            "code_norm": node.CODE_NORM,
        }

    def track(self, code: Tensor) -> None:
        """Let the running statistics follow the part codes (B, P, C) of real crops."""
        if self.code_norm is not None:
            self.code_norm.update(code.detach().flatten(0, 1))

    def encode(self, structure: Tensor) -> Tensor:
        """e = E_str(s): (B, 1, H, W) in [0, 1] -> (B, E, H/4, W/4)."""
        return self.structure(structure)

    def appearance(self, x: Tensor, s: Tensor, e: Tensor, code: Tensor) -> Tensor:
        """What G knows of crops: their part codes (B, P, C), and nothing else."""
        return code

    def decode(self, e: Tensor, code: Tensor) -> Tensor:
        """x' = G(e, c): (B, E, H/4, W/4), (B, P, C) -> (B, 3, H, W) in the encoder's image
        space."""
        if self.code_norm is not None:
            code = self.code_norm(code.flatten(0, 1)).view_as(code)
        for p, block in enumerate(self.blocks):
            e = block(e, code[:, p : p + 1] if self.placement == "block" else code)
        return self.out(self.upsample(e))

    def forward(self, structure: Tensor, code: Tensor) -> Tensor:
        return self.decode(self.encode(structure), code)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, outputs),
    )


def _to_rows(parameters: Tensor, height: int) -> Tensor:
    """(B, R, K) one vector a stripe -> (B, K, 1, 1) for one stripe, else (B, K, height, 1)."""
    parameters = parameters.transpose(1, 2)
    if parameters.shape[2] > 1:
        parameters = F.interpolate(parameters, size=height, mode="linear", align_corners=False)
    return parameters[..., None]
