"""How alike two pictures are. Shapes: `B` pairs of pictures, H x W."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al., "Image quality assessment", 2004) of colour pictures.

    (2 m_a m_b + C1)(2 s_ab + C2) / ((m_a^2 + m_b^2 + C1)(s_a^2 + s_b^2 + C2)), with means m,
    variances s^2 and covariance s_ab under an 11 x 11 Gaussian window of deviation 1.5, C1 = 0.01^2
    and C2 = 0.03^2; averaged over all places where the whole window fits, and over the channels.

    Args:
        a, b: (B, C, H, W) in [0, 1].

    Returns:
        (B,), 1 for equal pictures.

    Raises:
        ValueError: pictures smaller than the window.
    """
    if min(a.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs {WINDOW} pixels a side; pictures are {tuple(a.shape[-2:])}.")
    a, b = a.float(), b.float()
    offset = torch.arange(WINDOW, dtype=a.dtype, device=a.device) - WINDOW // 2
    weights = torch.softmax(-(offset**2) / (2 * SIGMA**2), 0)
    moments = torch.cat((a, b, a * a, b * b, a * b), 1)
    channels = moments.shape[1]
    for shape in ((1, 1, WINDOW, 1), (1, 1, 1, WINDOW)):
        moments = F.conv2d(moments, weights.view(shape).repeat(channels, 1, 1, 1), groups=channels)
    mean_a, mean_b, square_a, square_b, product = moments.chunk(5, 1)
    variances = square_a - mean_a**2 + square_b - mean_b**2
    covariance = product - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    alike = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return (alike / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))).mean((1, 2, 3))
