"""E_str: (B, 1, H, W) -> (B, 4 width, H/4, W/4); G: that and (B, P, C) -> (B, 3, H, W)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gcl.modeling import StructureEncoder, ViewGenerator
from gcl.modeling.generator import AdaptiveResBlock

PLACEMENTS = ("block", "rows")


def generator(
    placement: str = "block",
    width: int = 2,
    num_parts: int = 4,
    code_dim: int = 6,
    code_norm: bool = False,
):
    torch.manual_seed(0)
    return ViewGenerator(
        width=width,
        num_blocks=1,
        num_parts=num_parts,
        code_dim=code_dim,
        mlp_dim=5,
        placement=placement,
        code_norm=code_norm,
    )


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (32, 16), (64, 32), (20, 12)])
@pytest.mark.parametrize("channels", [1, 3])
def test_structure_feature_has_stride_4_and_four_times_the_width(height, width, channels):
    encoder = StructureEncoder(channels, num_blocks=2)
    assert encoder(draw(2, 1, height, width)).shape == (2, 4 * channels, height // 4, width // 4)
    assert encoder.out_channels == 4 * channels


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("size", [(32, 16), (20, 12), (8, 8)])
@pytest.mark.parametrize(("width", "parts", "code_dim"), [(2, 4, 6), (3, 1, 2), (1, 6, 3)])
def test_views_have_the_size_of_the_structure(placement, size, width, parts, code_dim):
    g = generator(placement, width, parts, code_dim)
    s, c = draw(2, 1, *size), draw(2, parts, code_dim)
    view = g(s, c)
    assert view.shape == (2, 3, *size)
    assert view.isfinite().all()
    assert torch.equal(view, g.decode(g.encode(s), c))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_gradient_reaches_every_parameter_and_every_stripe(placement):
    g = generator(placement)
    s, c = draw(2, 1, 32, 16).requires_grad_(), draw(2, 4, 6).requires_grad_()
    g(s, c).square().sum().backward()
    silent = [name for name, p in g.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
    assert s.grad.any()
    assert c.grad.flatten(2).any(dim=2).all()


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_what_each_block_gets_of_the_code(placement):
    """block: stripe p alone steers block p; rows: every block gets all stripes."""
    g = generator(placement)
    seen = []
    for block in g.blocks:
        block.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    code = draw(2, 4, 6)
    g(draw(2, 1, 32, 16), code)
    wanted = [code] * 4 if placement == "rows" else list(code.split(1, dim=1))
    assert len(seen) == len(wanted) == 4
    for got, part in zip(seen, wanted, strict=True):
        assert torch.equal(got, part)


def instance_norm(x: Tensor) -> Tensor:
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


def conv(x: Tensor, layer) -> Tensor:
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), layer.weight, layer.bias)


def test_adaptive_block_against_its_formula():
    """y = lrelu((1 + s_1) IN(conv_1 x) + b_1); out = x + (1 + s_2) IN(conv_2 y) + b_2."""
    torch.manual_seed(0)
    block = AdaptiveResBlock(width=3, code_dim=6, mlp_dim=5)
    x, code = draw(2, 3, 8, 4), draw(2, 1, 6, seed=2)
    s1, s2 = block.scale(code[:, 0])[:, :, None, None].chunk(2, 1)
    b1, b2 = block.bias(code[:, 0])[:, :, None, None].chunk(2, 1)
    y = F.leaky_relu((1 + s1) * instance_norm(conv(x, block.convs[0])) + b1, 0.2)
    wanted = x + (1 + s2) * instance_norm(conv(y, block.convs[1])) + b2
    torch.testing.assert_close(block(x, code), wanted, rtol=1e-4, atol=1e-5)


def bias_rows(block: AdaptiveResBlock, code: Tensor, height: int) -> Tensor:
    """(B, E, height): the bias the block adds to each row; conv_2 silenced, IN(0) = 0."""
    with torch.no_grad():
        for p in block.convs[1].parameters():
            p.zero_()
    x = torch.zeros(len(code), 3, height, 4)
    out = block(x, code)
    assert torch.equal(out, out[..., :1].expand_as(out))  # the same along a row
    return out[..., 0]


def test_rows_are_blended_linearly_between_the_centres_of_stripes():
    """Row r of h lies at (r + 1/2) P / h - 1/2 stripes; beyond the outer centres it is constant."""
    torch.manual_seed(0)
    block, code, height = AdaptiveResBlock(width=3, code_dim=6, mlp_dim=5), draw(2, 4, 6), 16
    per_stripe = block.bias(code)[:, :, 3:]  # of the second convolution
    rows = bias_rows(block, code, height)
    for r in range(height):
        place = min(max((r + 0.5) * 4 / height - 0.5, 0.0), 3.0)
        low = min(int(place), 2)
        wanted = (1 - (place - low)) * per_stripe[:, low] + (place - low) * per_stripe[:, low + 1]
        torch.testing.assert_close(rows[:, :, r], wanted, rtol=1e-4, atol=1e-5)


def test_the_top_stripe_does_not_reach_the_bottom():
    """16 rows, 4 stripes: the centres are at rows 1.5 and 5.5, so stripe 0 acts on rows 0 to 5."""
    torch.manual_seed(0)
    block, code = AdaptiveResBlock(width=3, code_dim=6, mlp_dim=5), draw(2, 4, 6)
    other = code.clone()
    other[:, 0] += 1
    before, after = (bias_rows(block, c, 16) for c in (code, other))
    assert (before[:, :, :6] != after[:, :, :6]).any(dim=1).all()
    assert torch.equal(before[:, :, 6:], after[:, :, 6:])


def test_one_stripe_acts_everywhere_alike():
    torch.manual_seed(0)
    rows = bias_rows(AdaptiveResBlock(width=3, code_dim=6, mlp_dim=5), draw(2, 1, 6), 8)
    assert torch.equal(rows, rows[:, :, :1].expand_as(rows))


def test_code_norm_standardises_channels_by_the_codes_of_real_crops():
    """(c - mean) / (deviation + eps) over images and stripes, of what ``follow`` was given."""
    g = generator(code_norm=True)
    real = 3 * draw(50, 4, 6, seed=2) + 10
    g.track(real.clone().requires_grad_())
    seen = []
    g.blocks[0].register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    s, code = draw(2, 1, 32, 16), 3 * draw(2, 4, 6, seed=3) + 10
    first = g(s, code)
    assert torch.equal(g(s, code), first)  # drawing moves no statistics
    rows = real.flatten(0, 1)
    wanted = (code - rows.mean(0)) / (rows.std(0, unbiased=False) + 1e-3)
    torch.testing.assert_close(seen[0], wanted[:, :1], rtol=1e-3, atol=1e-3)


def test_without_code_norm_nothing_follows():
    g = generator()
    before = {k: v.clone() for k, v in g.state_dict().items()}
    g.track(draw(2, 4, 6))
    assert list(before) == list(g.state_dict())
    assert all(torch.equal(v, before[k]) for k, v in g.state_dict().items())


def test_every_size_comes_from_the_configuration(tiny_cfg):
    g = ViewGenerator(
        tiny_cfg(
            "GCL.GENERATOR.WIDTH",
            3,
            "GCL.GENERATOR.NUM_BLOCKS",
            2,
            "GCL.GENERATOR.NUM_PARTS",
            5,
            "GCL.GENERATOR.MLP_DIM",
            7,
            "GCL.GENERATOR.CODE_NORM",
            True,
            "GCL.GENERATOR.PLACEMENT",
            "rows",
            "MODEL.BACKBONE.FEAT_DIM",
            24,
        )
    )
    assert g.structure.out_channels == 12
    assert len(g.blocks) == 5
    assert [layer.weight.shape for layer in g.blocks[0].scale if hasattr(layer, "weight")] == [
        (7, 24),
        (7, 7),
        (24, 7),
    ]  # two scales of 12 channels
    assert g.placement == "rows"
    assert g.code_norm is not None
    assert g(draw(1, 1, 16, 8), draw(1, 5, 24)).shape == (1, 3, 16, 8)


def test_weights_start_at_kaiming():
    """std = sqrt(2 / ((1 + 0.2^2) fan_in)), biases 0."""
    layer = generator(width=8).upsample[1].conv
    fan_in = layer.in_channels * 25
    assert layer.weight.std().item() == pytest.approx((2 / (1.04 * fan_in)) ** 0.5, rel=0.05)
    assert not layer.bias.any()
