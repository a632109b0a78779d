"""|x - x'|_1 and L_feat = |c - c_1|_1 + |c - c_2|_1, where |.|_1 is a mean over elements."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gcl.losses import feature_consistency_loss, reconstruction_loss

# (loss, shape of its arguments, how many redrawings it takes)
LOSSES = [(reconstruction_loss, (2, 3, 4, 2), 1), (feature_consistency_loss, (2, 4, 5), 2)]


def draw(shape: tuple[int, ...], count: int, device: str = "cpu") -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=g).to(device).requires_grad_() for _ in range(count)]


@pytest.mark.parametrize(("loss", "shape", "others"), LOSSES)
def test_against_a_loop_over_elements(loss, shape, others, device):
    target, *redrawn = draw(shape, 1 + others, device)
    total = 0.0
    for other in redrawn:
        pairs = list(zip(target.flatten().tolist(), other.flatten().tolist(), strict=True))
        total += sum(abs(a - b) for a, b in pairs) / len(pairs)
    assert loss(target, *redrawn).item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("loss", "shape", "others"), LOSSES)
def test_closed_forms(loss, shape, others):
    """|x - (x + 2)| = 2, |x - (x - 3)| = 3; equal inputs give 0."""
    x = torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape)
    assert loss(x, *[x + 2, x - 3][:others]).item() == sum([2, 3][:others])
    assert loss(x, *[x - 3, x + 2][:others]).item() == sum([3, 2][:others])
    assert loss(x, *[x] * others).item() == 0


@pytest.mark.parametrize(("loss", "shape", "others"), LOSSES)
def test_gradients_are_signs(loss, shape, others):
    """d/dx' mean|x - x'| = sign(x' - x) / elements, for every redrawing."""
    target, *redrawn = draw(shape, 1 + others)
    loss(target, *redrawn).backward()
    for other in redrawn:
        torch.testing.assert_close(other.grad, (other - target).sign() / other.numel())


def test_the_part_code_of_the_crop_is_a_constant_target():
    code, first, second = draw((2, 4, 5), 3)
    feature_consistency_loss(code, first, second).backward()
    assert code.grad is None


@pytest.mark.parametrize(("loss", "shape", "others"), LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(loss, shape, others, dtype):
    x = [t.detach().to(dtype) for t in draw(shape, 1 + others)]
    value = loss(*x)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(*(t.float() for t in x)), rtol=0, atol=0)
