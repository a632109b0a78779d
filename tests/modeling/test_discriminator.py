"""D: (B, 3, H, W) -> S logit maps (B, 1, H / (4 * 2^s), W / (4 * 2^s))."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gcl.modeling import MultiScaleDiscriminator


def build(num_scales: int = 3, width: int = 2, num_blocks: int = 1) -> MultiScaleDiscriminator:
    torch.manual_seed(0)
    return MultiScaleDiscriminator(width=width, num_scales=num_scales, num_blocks=num_blocks)


@pytest.mark.parametrize(("height", "width"), [(64, 32), (32, 48)])
@pytest.mark.parametrize("scales", [1, 2, 3])
def test_shapes(height, width, scales):
    maps = build(scales)(torch.randn(2, 3, height, width))
    assert [tuple(m.shape) for m in maps] == [
        (2, 1, height // (4 * 2**s), width // (4 * 2**s)) for s in range(scales)
    ]


def test_each_scale_judges_the_average_pooled_image_with_its_own_weights():
    """D_s(x) = net_s(pool^s(x)); the pool is 3 x 3, stride 2, and does not count the border."""
    d = build(3)
    x = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    half = F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2) * 9
    half = half / (F.avg_pool2d(F.pad(torch.ones_like(x), (1, 1, 1, 1)), 3, 2) * 9)
    maps = d(x)
    torch.testing.assert_close(maps[0], d.scales[0](x))
    torch.testing.assert_close(maps[1], d.scales[1](half), rtol=1e-4, atol=1e-5)
    assert not torch.equal(d.scales[0](half), d.scales[1](half))


def test_gradient_reaches_every_parameter():
    d = build(3)
    sum(m.square().sum() for m in d(torch.randn(2, 3, 64, 32))).backward()
    assert [name for name, p in d.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_weights_start_at_normal_with_deviation_002_and_no_norm():
    d = build(1, width=16, num_blocks=4)
    weights = torch.cat(
        [p.flatten() for name, p in d.named_parameters() if name.endswith("weight")]
    )
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=5e-4)
    assert not any(p.any() for name, p in d.named_parameters() if name.endswith("bias"))
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    assert not any(isinstance(module, norms) for module in d.modules())


def test_every_size_comes_from_the_configuration(tiny_cfg):
    d = MultiScaleDiscriminator(
        tiny_cfg(
            "GCL.DISCRIMINATOR.WIDTH",
            5,
            "GCL.DISCRIMINATOR.NUM_SCALES",
            2,
            "GCL.DISCRIMINATOR.NUM_BLOCKS",
            3,
        )
    )
    assert len(d.scales) == 2
    convs = [m for m in d.scales[0].modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convs] == [5, 10] + [10] * 6 + [1]
