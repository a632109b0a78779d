"""Building blocks that several networks share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

PART = 65_536
"""Vectors whose squares are there at once."""


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


class RunningNorm(nn.Module):
    """Standardise vectors by the running mean and deviation of their group (a camera, say).

    Unlike batch norm it never uses the statistics of one batch, so one image of a group in a batch
    does no harm, and no gradient flows through it. The statistics follow the last ``window``
    vectors of each group: measured once an epoch they would lag, and features drift out of range.

    Row 0 holds the statistics of all groups together, for vectors without a (known) group. Those of
    n vectors of one group are mostly noise when n is small (of two, every channel would be +-1), so
    mean and deviation are drawn towards row 0: they weigh (1 + prior / window) n / (n + prior),
    which is all where the window is full.

    Args:
        dim: D.
        groups: groups 0 ... groups - 1 have statistics of their own.
        window: vectors over which the statistics follow.
        prior: about how many vectors of a group weigh as much as all groups together.
        persistent: the statistics are part of the model's weights.
    """

    def __init__(
        self,
        dim: int,
        groups: int = 0,
        window: int = 256,
        eps: float = 1e-3,
        prior: float = 32,
        *,
        persistent: bool = True,
    ) -> None:
        super().__init__()
        self.window, self.eps, self.prior = window, eps, prior
        # weighted count, sum and sum of squares of each group
        self.register_buffer("count", torch.zeros(groups + 1, 1), persistent)
        self.register_buffer("sum", torch.zeros(groups + 1, dim), persistent)
        self.register_buffer("square", torch.zeros(groups + 1, dim), persistent)

    @torch.no_grad()
    def fit(self, x: Tensor, group: Tensor | None = None) -> None:
        """Measure anew: x (N, D), group (N,)."""
        for buffer in self._statistics:
            buffer.zero_()
        self._add(x, group)
        shrink = (self.window / self.count.clamp(min=1)).clamp(max=1)  # later ones must count
        for buffer in self._statistics:
            buffer.mul_(shrink)

    @torch.no_grad()
    def update(self, x: Tensor, group: Tensor | None = None) -> None:
        """Move the statistics by a batch: x (B, D), group (B,)."""
        seen = torch.zeros_like(self.count)
        self._count(seen, self._rows(x, group))
        for buffer in self._statistics:
            buffer.mul_((1 - 1 / self.window) ** seen)
        self._add(x, group)

    def forward(self, x: Tensor, group: Tensor | None = None) -> Tensor:
        """x (B, D), group (B,) -> (B, D); as it is before anything was measured.

        Without groups no size depends on B: exporters make a graph for any batch of it.
        """
        mean, deviation = self.mean_and_deviation()
        row = slice(0, 1) if group is None else self._rows(x, group)
        return (x - mean[row]) / deviation[row]

    def mean_and_deviation(self) -> tuple[Tensor, Tensor]:
        """By which vectors are standardised, (1 + groups, D) each: row 0 is of all groups together,
        row i + 1 of group i."""
        mean = self.sum / self.count.clamp(min=1)
        variance = self.square / self.count.clamp(min=1) - mean.square()
        deviation = variance.clamp(min=0).sqrt()
        own = (1 + self.prior / self.window) * self.count / (self.count + self.prior)
        own = own.clamp(max=1)  # counts are rounded
        mean = mean[0] + own * (mean - mean[0])
        deviation = deviation[0] + own * (deviation - deviation[0]) + self.eps
        # one vector has no deviation
        deviation = torch.where(self.count[0] > 1.5, deviation, torch.ones_like(deviation))
        return mean, deviation

    def knows(self, group: Tensor) -> Tensor:
        """(B,) -> (B,) bool: which groups have statistics of their own."""
        row = self._rows(group, group)
        return (row > 0) & (self.count[row, 0] > 0)

    @property
    def _statistics(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.count, self.sum, self.square

    def _rows(self, x: Tensor, group: Tensor | None) -> Tensor:
        if group is None:
            return torch.zeros(len(x), dtype=torch.long, device=x.device)
        row = group.to(self.count.device) + 1
        return torch.where((row > 0) & (row < len(self.count)), row, torch.zeros_like(row))

    def _count(self, buffer: Tensor, row: Tensor) -> None:
        """Add 1 to the groups' rows (B,) of a buffer (1 + groups, 1), and B to row 0."""
        # zeros for row 0, and not fewer rows: a GPU would wait for the host to count them
        buffer.index_add_(0, row, (row > 0).to(buffer.dtype)[:, None])
        buffer[0] += len(row)

    def _add(self, x: Tensor, group: Tensor | None) -> None:
        """Add vectors (B, D) to the sums of their groups, and all of them to row 0."""
        x, row = x.float(), self._rows(x, group)
        self._count(self.count, row)
        # in parts, so that the squares of a million are not there beside them
        for part, to in zip(x.split(PART), row.split(PART), strict=True):
            part = part.masked_fill((to == 0)[:, None], 0.0)
            self.sum.index_add_(0, to, part)
            self.square.index_add_(0, to, part.square())
        # a sum of all B depends on where it is parted: in columns, whole vectors of a processor
        step = max(64, PART * x.shape[1] // max(1, len(x)) // 64 * 64)
        for a in range(0, x.shape[1], step):
            part, columns = x[:, a : a + step], slice(a, a + step)
            self.sum[0, columns] += part.sum(0)
            self.square[0, columns] += part.square().sum(0)


@contextmanager
def untracked(*modules: nn.Module) -> Iterator[None]:
    """Within it, batch norm normalises as usual but its running statistics do not move.

    For generated views: evaluation sees real images only.
    """
    norms = [
        layer
        for module in modules
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


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
