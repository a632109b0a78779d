"""Both adversarial forms and the R1 penalty against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gcl.losses import discriminator_loss, generator_loss, r1_penalty


def logits(*shapes: tuple[int, ...], seed: int, device: str) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [(2 * torch.randn(shape, generator=g)).to(device).requires_grad_() for shape in shapes]


SHAPES = ((2, 1, 8, 4), (2, 1, 4, 2), (2, 1, 2, 1))


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_lsgan(device):
    """D: sum_s E[(D(x) - 1)^2] + E[D(x')^2]; G: sum_s 2 E[(D(x') - 1)^2]."""
    real, fake = (logits(*SHAPES, seed=s, device=device) for s in (0, 1))
    d = sum(
        mean([(z - 1) ** 2 for z in r.flatten().tolist()])
        + mean([z**2 for z in f.flatten().tolist()])
        for r, f in zip(real, fake, strict=True)
    )
    g = sum(2 * mean([(z - 1) ** 2 for z in f.flatten().tolist()]) for f in fake)
    assert discriminator_loss(real, fake, "lsgan").item() == pytest.approx(d, rel=1e-5)
    assert generator_loss(fake, "lsgan").item() == pytest.approx(g, rel=1e-5)


def test_log(device):
    """D: -sum_s E[log s(D(x))] + E[log(1 - s(D(x')))]; G: -sum_s E[log s(D(x'))]."""
    real, fake = (logits(*SHAPES, seed=s, device=device) for s in (0, 1))
    d = -sum(
        mean([math.log(sigmoid(z)) for z in r.flatten().tolist()])
        + mean([math.log(1 - sigmoid(z)) for z in f.flatten().tolist()])
        for r, f in zip(real, fake, strict=True)
    )
    g = -sum(mean([math.log(sigmoid(z)) for z in f.flatten().tolist()]) for f in fake)
    assert discriminator_loss(real, fake, "log").item() == pytest.approx(d, rel=1e-5)
    assert generator_loss(fake, "log").item() == pytest.approx(g, rel=1e-5)


def test_lsgan_is_the_default():
    real, fake = (logits(*SHAPES, seed=s, device="cpu") for s in (0, 1))
    assert discriminator_loss(real, fake).item() == discriminator_loss(real, fake, "lsgan").item()
    assert generator_loss(fake).item() == generator_loss(fake, "lsgan").item()


@pytest.mark.parametrize(
    ("form", "d", "g"), [("lsgan", 1.0, 2.0), ("log", 2 * math.log(2), math.log(2))]
)
def test_a_discriminator_that_says_nothing(form, d, g):
    """D = 0 everywhere, one scale."""
    zero = [torch.zeros(3, 1, 2, 2)]
    assert discriminator_loss(zero, zero, form).item() == pytest.approx(d)
    assert generator_loss(zero, form).item() == pytest.approx(g)


def test_a_perfect_discriminator_has_no_loss():
    real, fake = [torch.ones(2, 1, 3, 3)], [torch.zeros(2, 1, 3, 3)]
    assert discriminator_loss(real, fake, "lsgan").item() == 0
    assert generator_loss(real, "lsgan").item() == 0
    assert discriminator_loss([500 * r for r in real], [f - 500 for f in fake], "log").item() == 0


def test_log_form_is_stable_far_out():
    """-log s(-1000) = 1000, where exp overflows."""
    (z,) = far = [torch.full((1, 1, 1, 1), -1000.0, requires_grad=True)]
    loss = generator_loss(far, "log")
    assert loss.item() == 1000
    loss.backward()
    assert z.grad.item() == -1


def test_each_scale_counts_alike():
    """A scale is a mean over its own map, so a larger map weighs no more."""
    small, large = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 64, 32), 3.0)
    assert generator_loss([small, large]).item() == 2 * generator_loss([small]).item()


@pytest.mark.parametrize("form", ["lsgan", "log"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32(form, dtype, device):
    real, fake = (
        [z.detach().to(dtype) for z in logits(*SHAPES, seed=s, device=device)] for s in (0, 1)
    )
    d, g = discriminator_loss(real, fake, form), generator_loss(fake, form)
    assert d.dtype == g.dtype == torch.float32
    full = [[z.float() for z in maps] for maps in (real, fake)]
    torch.testing.assert_close(d, discriminator_loss(*full, form), rtol=0, atol=0)
    torch.testing.assert_close(g, generator_loss(full[1], form), rtol=0, atol=0)


def test_unknown_form_and_unequal_scales_are_refused():
    z = [torch.zeros(1, 1, 1, 1)]
    with pytest.raises(ValueError, match="lsgan.*log.*hinge"):
        discriminator_loss(z, z, "hinge")
    with pytest.raises(ValueError, match="lsgan.*log.*hinge"):
        generator_loss(z, "hinge")
    with pytest.raises(ValueError):
        discriminator_loss(z, z + z)


# ---- R1
class Quadratic(nn.Module):
    """Two scales with known gradients: D_1 = a/2 x^2 as a map, D_2 = <w, x> as a scalar."""

    def __init__(self, shape: tuple[int, ...], device: str) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.a = nn.Parameter(torch.randn(shape, generator=g).to(device))
        self.w = nn.Parameter(torch.randn(shape, generator=g).to(device))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [0.5 * self.a * x * x, (self.w * x).flatten(1).sum(1)]


def test_r1_of_a_quadratic_discriminator(device):
    """grad sum D_1 = a x and grad D_2 = w, so R1 = E_x |a x|^2 + |w|^2.

    Then dR1/da = 2 a E[x^2] and dR1/dw = 2 w.
    """
    shape = (3, 4, 2)
    d = Quadratic(shape, device)
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(1)).to(device)
    penalty = r1_penalty(d, x)
    wanted = (d.a * x).square().flatten(1).sum(1).mean() + d.w.square().sum()
    torch.testing.assert_close(penalty, wanted)
    penalty.backward()
    torch.testing.assert_close(d.a.grad, 2 * d.a.detach() * x.square().mean(0))
    torch.testing.assert_close(d.w.grad, 2 * d.w.detach())


def test_r1_leaves_the_images_alone():
    d = Quadratic((3, 4, 2), "cpu")
    x = torch.randn(2, 3, 4, 2, requires_grad=True)
    r1_penalty(d, x).backward()
    assert x.grad is None


def test_r1_of_a_constant_slope_in_every_scale():
    """D = x (a map): the inner sum runs over the map, each pixel's gradient is 1, R1 = 3 H W."""
    assert r1_penalty(lambda x: [x], torch.randn(4, 3, 5, 2)).item() == pytest.approx(30)
    assert r1_penalty(lambda x: [x, 2 * x], torch.randn(4, 3, 5, 2)).item() == pytest.approx(
        30 + 4 * 30
    )


def test_r1_stays_in_float32_under_autocast(device):
    d = nn.Conv2d(3, 1, 3).to(device)
    x = torch.randn(2, 3, 8, 4, generator=torch.Generator().manual_seed(0)).to(device)
    plain = r1_penalty(lambda z: [d(z).square()], x)
    with torch.autocast(device, dtype=torch.bfloat16):
        mixed = r1_penalty(lambda z: [d(z).square()], x)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, plain, rtol=1e-6, atol=0)
