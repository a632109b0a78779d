"""SSIM against its formula, place by place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gcl.evaluation.ssim import ssim


def slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Of one channel, in float64: a weighted mean, variance and covariance at every place."""
    offset = np.arange(-5, 6)
    weights = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            x, y = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            cov = (weights * (x - mx) * (y - my)).sum()
            up = (2 * mx * my + 0.0001) * (2 * cov + 0.0009)
            values.append(up / ((mx**2 + my**2 + 0.0001) * (vx + vy + 0.0009)))
    return float(np.mean(values))


def test_ssim_is_the_formula(device):
    torch.manual_seed(0)
    a = torch.rand(2, 3, 14, 13)
    b = (a + 0.2 * torch.randn_like(a)).clamp(0, 1)
    found = ssim(a.to(device), b.to(device))
    for i in range(2):
        expected = np.mean([slow_ssim(a[i, c].double().numpy(), b[i, c].double().numpy())
                            for c in range(3)])  # fmt: skip
        assert found[i].item() == pytest.approx(expected, abs=1e-4)


def test_ssim_of_what_is_known():
    torch.manual_seed(0)
    a = torch.rand(1, 3, 32, 16)
    assert ssim(a, a).item() == pytest.approx(1, abs=1e-5)
    # of constant pictures only the means count
    grey = ssim(torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), 0.25)).item()
    assert grey == pytest.approx((2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4), abs=1e-3)
    assert ssim(a, 1 - a).item() < 0
    assert len(ssim(a[:0], a[:0])) == 0
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(a[..., :10], a[..., :10])
