"""Crops of examples, different every time: cropped as detectors crop, seen by cameras of all kinds.

Real crops differ from drawn ones in ways that nobody can list; a network that has seen every way of
being cut, lit, blurred and compressed takes them for one more (Tobin et al., "Domain randomization
for transferring deep neural networks from simulation to the real world", IROS 2017).
Shapes: `B` pictures, H x W canvas. Chance is torch's own: the caller seeds it. What is done to
pictures is done where they are, on a GPU too; each device has chance of its own.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

TRUNCATED = 0.1
"""Share of the crops that lack feet or head."""
OCCLUDED = 0.15
"""Share of the people who stand behind something."""


def _where_they_are(change: Callable) -> Callable:
    """New tensors in ``change`` are made on the device of its first argument."""

    @functools.wraps(change)
    def on_device(pictures: Tensor, *args):
        with pictures.device:
            return change(pictures, *args)

    return on_device


class Cropped(NamedTuple):
    """Attributes:
    crops: (B, 3, H, W).
    framing: (B, 3) top, bottom and centre of the body as shares of the crop.
    flipped: (B,) bool, whether left and right changed places.
    """

    crops: Tensor
    framing: Tensor
    flipped: Tensor


@_where_they_are
def random_crop(pictures: Tensor, box: Tensor, size: tuple[int, int]) -> Cropped:
    """Cut crops round people: boxes that are too tight, too loose, beside, tilted, of other shapes.

    Args:
        pictures: (B, 3, H, W).
        box: (B, 4) left, top, right and bottom of the bodies in pixels.
        size: (H, W) of the crops.
    """
    batch, _, height, width = pictures.shape
    left, top, right, bottom = box.unbind(1)
    tall = bottom - top
    filled = _between(batch, 0.86, 1.06)
    off = torch.rand(batch) < TRUNCATED
    filled = torch.where(off, _between(batch, 1.05, 1.3), filled)
    high = tall / filled
    wide = high * _between(batch, 0.36, 0.52)
    row = (top + bottom) / 2 + 0.03 * tall * torch.randn(batch)
    # feet are cut off more often than heads
    row = torch.where(off, row - tall * (1 - 1 / filled) * _between(batch, -0.1, 0.45), row)
    column = (left + right) / 2 + 0.03 * tall * torch.randn(batch)
    flipped = torch.rand(batch) < 0.5
    sign = torch.where(flipped, -1.0, 1.0)
    tilt = torch.deg2rad(3 * torch.randn(batch))
    # from the crop's coordinates in [-1, 1] to those of the canvas
    a, b = wide / width, high / height
    ratio = height / width
    cos, sin = tilt.cos(), tilt.sin()
    to_column = (sign * a * cos, -b * ratio * sin, 2 * column / width - 1)
    to_row = (sign * a / ratio * sin, b * cos, 2 * row / height - 1)
    matrix = torch.stack((torch.stack(to_column, 1), torch.stack(to_row, 1)), 1)
    grid = F.affine_grid(matrix, (batch, 3, *size), align_corners=False)
    crops = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    framing = torch.stack(
        (
            (top - row) / high + 0.5,
            (bottom - row) / high + 0.5,
            sign * ((left + right) / 2 - column) / wide + 0.5,
        ),
        1,
    )
    return Cropped(crops, framing, flipped)


@_where_they_are
def occlude(crops: Tensor) -> Tensor:
    """Put a rectangle of another crop before some people, as what they walk behind."""
    batch, _, height, width = crops.shape
    x, y = (torch.arange(width) + 0.5) / width, (torch.arange(height) + 0.5) / height
    wide, high = _between(batch, 0.1, 0.8), _between(batch, 0.1, 0.6)
    left = torch.rand(batch) * (1 - wide)
    top = torch.where(torch.rand(batch) < 0.6, 1 - high, torch.rand(batch) * (1 - high))
    across = (x > left[:, None]) & (x < (left + wide)[:, None])
    down = (y > top[:, None]) & (y < (top + high)[:, None])
    there = (torch.rand(batch) < OCCLUDED)[:, None, None] & down[:, :, None] & across[:, None, :]
    return torch.where(there[:, None], crops.roll(1, 0), crops)


@_where_they_are
def photometric(crops: Tensor) -> Tensor:
    """(B, 3, H, W) in 0-255 -> the same as other cameras have it: white balance, exposure, tone
    curve, colours, resolution, blur, sharpening, noise, compression."""
    crops = _develop(crops / 255)
    batch = len(crops)
    order = torch.randperm(batch)
    # a resolution for each quarter of the batch: one call for all of them
    for scale, part in zip((0.35, 0.55, 0.8, 1.0), order.chunk(4), strict=False):
        crops[part] = _sensor(crops[part], scale * _one(0.85, 1.15) if scale < 1 else 1.0)
    moving = torch.rand(batch) < 0.15
    crops[moving] = F.avg_pool2d(_padded(crops[moving], 2, 0), (1, 5), 1)
    crops = crops.clamp(0, 1) * 255
    some = (torch.rand(batch) < 0.3).nonzero()[:, 0]
    crops[some] = _compress(crops[some])  # 1 % of a step's time
    return crops


def _develop(crops: Tensor) -> Tensor:
    """White balance, exposure, tone curve, saturation, contrast and a veil, (B, 3, H, W) in 0-1."""
    batch = len(crops)
    gain = 0.1 * torch.randn(batch, 3, 1, 1) + 0.2 * torch.randn(batch, 1, 1, 1)
    gamma = torch.exp(0.2 * torch.randn(batch, 1, 1, 1))
    crops = (crops * gain.exp()).clamp(1e-4, 1) ** gamma
    grey = crops.mean(1, keepdim=True)
    crops = grey + _column(_between(batch, 0.3, 1.5)) * (crops - grey)
    middle = crops.mean((1, 2, 3), keepdim=True)
    crops = middle + _column(_between(batch, 0.6, 1.5)) * (crops - middle)
    return (crops + 0.08 * torch.randn(batch, 1, 1, 1)).clamp(0, 1)


def _sensor(crops: Tensor, scale: float) -> Tensor:
    """What a sensor with ``scale`` times the rows, and a little fewer columns, keeps of a crop."""
    batch, _, height, width = crops.shape
    rows, columns = round(scale * height), round(scale * width * _one(0.75, 1.0))
    small = F.interpolate(crops, (rows, columns), mode="area") if scale < 1 else crops
    small = small + _column(_between(batch, 0, 0.05)) * torch.randn_like(small)
    edges = small - F.avg_pool2d(_padded(small, 1, 1), 3, 1)
    small = small + _column(_between(batch, 0, 1.2)) * edges
    mode = "bicubic" if _one(0, 1) < 0.5 else "bilinear"
    return F.interpolate(small, (height, width), mode=mode, align_corners=False)


def _compress(crops: Tensor) -> Tensor:
    """(B, 3, H, W) in 0-255 -> what JPEG leaves of each."""
    pictures = crops.permute(0, 2, 3, 1).byte().cpu().numpy().copy()
    for i, picture in enumerate(pictures):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=int(_one(25, 85)))
        pictures[i] = Image.open(stream)
    return torch.from_numpy(pictures).to(crops).permute(0, 3, 1, 2)


def _between(batch: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(batch)


def _one(low: float, high: float) -> float:
    """Of the CPU's chance: no device has to be waited for."""
    with torch.device("cpu"):
        return float(_between(1, low, high))


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _padded(crops: Tensor, across: int, down: int) -> Tensor:
    return F.pad(crops, (across, across, down, down), mode="replicate")
