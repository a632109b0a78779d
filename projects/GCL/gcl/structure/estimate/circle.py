"""A yaw as a distribution over the circle: what looks like a front may be a back, and the mean of
the two would be a profile.

Shapes: `B` people, `K` = BINS directions, bin k being k * 360 / K degrees.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BINS = 36
SPREAD = 12.0
"""Degrees: deviation of the target round the true yaw."""
REACH = 45.0
"""Degrees to either side of the estimate that still show about the same view: turned views are 45
degrees apart."""


def centres(device: torch.device | str = "cpu") -> Tensor:
    """(K,) radians."""
    return torch.arange(BINS, device=device) * (2 * math.pi / BINS)


def targets(yaw: Tensor) -> Tensor:
    """(B,) degrees -> (B, K) distributions, von Mises of deviation SPREAD."""
    apart = centres(yaw.device) - torch.deg2rad(yaw)[:, None]
    return torch.softmax(apart.cos() / math.radians(SPREAD) ** 2, 1)


def mirrored(distribution: Tensor) -> Tensor:
    """(B, K) of the mirrored picture: yaw becomes -yaw."""
    return distribution[:, -torch.arange(BINS, device=distribution.device) % BINS]


def read(distribution: Tensor) -> tuple[Tensor, Tensor]:
    """The direction round which most of the mass lies.

    Args:
        distribution: (B, K), rows sum to 1.

    Returns:
        (B,) yaw in degrees in [0, 360): the circular mean of what lies within REACH of the best
        bin, and (B,) the mass there: how sure it is that the true yaw is not far away.
    """
    angle = centres(distribution.device)
    apart = torch.arccos((angle[:, None] - angle).cos().clamp(-1, 1))
    near = (apart <= math.radians(REACH) + 1e-3).float()
    mass, best = (distribution @ near).max(1)
    part = distribution * near[best]
    yaw = torch.atan2((part * angle.sin()).sum(1), (part * angle.cos()).sum(1))
    # twice: in float32 a little less than 0 becomes 360 itself
    return torch.rad2deg(yaw) % 360 % 360, mass.clamp(max=1)
