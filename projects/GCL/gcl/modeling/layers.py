"""Building blocks that generator and discriminator share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Reflection padding, convolution, norm, leaky ReLU 0.2.

    Args:
        norm: "in" (instance), "ln" (layer: over channels and positions) or "none".
        activate: False leaves the output linear.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        norm: str = "none",
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride,
            dilation * (kernel - 1) // 2,
            dilation,
            padding_mode="reflect" if kernel > 1 else "zeros",
        )
        self.norm = {
            "in": lambda: nn.InstanceNorm2d(outputs),
            "ln": lambda: nn.GroupNorm(1, outputs),
            "none": nn.Identity,
        }[norm]()
        self.activation = nn.LeakyReLU(0.2) if activate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class ResBlock(nn.Module):
    """x + conv(conv(x)), both 3x3; the second without activation."""

    def __init__(self, width: int, norm: str = "none") -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvBlock(width, width, 3, norm=norm),
            ConvBlock(width, width, 3, norm=norm, activate=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def kaiming_init(module: nn.Module) -> None:
    """Kaiming normal for convolutions and linear layers that leaky ReLUs follow; biases 0."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, a=0.2, nonlinearity="leaky_relu")
            nn.init.zeros_(layer.bias)


def normal_init(module: nn.Module, std: float = 0.02) -> None:
    """normal(0, std) for convolutions; biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            with torch.no_grad():
                layer.weight.normal_(0.0, std)
                layer.bias.zero_()
