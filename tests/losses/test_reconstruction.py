"""L_img = |x - x'_ori|_1 + |x - x''_ori|_1 and L_feat = |c - c_1|_1 + |c - c_2|_1.

|.|_1 is a mean over elements.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gcl.losses import feature_consistency_loss, reconstruction_loss

LOSSES = [(reconstruction_loss, (2, 3, 4, 2)), (feature_consistency_loss, (2, 4, 5))]


def triple(shape: tuple[int, ...], device: str = "cpu") -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=g).to(device).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize(("loss", "shape"), LOSSES)
def test_against_a_loop_over_elements(loss, shape, device):
    target, first, second = triple(shape, device)
    total = 0.0
    for other in (first, second):
        pairs = list(zip(target.flatten().tolist(), other.flatten().tolist(), strict=True))
        total += sum(abs(a - b) for a, b in pairs) / len(pairs)
    assert loss(target, first, second).item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("loss", "shape"), LOSSES)
def test_closed_forms(loss, shape):
    """|x - (x + 2)| + |x - (x - 3)| = 5; equal inputs give 0."""
    x = torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape)
    assert loss(x, x + 2, x - 3).item() == 5
    assert loss(x, x, x).item() == 0


@pytest.mark.parametrize(("loss", "shape"), LOSSES)
def test_gradients_are_signs(loss, shape):
    """d/dx' mean|x - x'| = sign(x' - x) / elements, for both redrawings."""
    target, first, second = triple(shape)
    loss(target, first, second).backward()
    for other in (first, second):
        torch.testing.assert_close(other.grad, (other - target).sign() / other.numel())


def test_the_part_code_of_the_crop_is_a_constant_target():
    code, first, second = triple((2, 4, 5))
    feature_consistency_loss(code, first, second).backward()
    assert code.grad is None


@pytest.mark.parametrize(("loss", "shape"), LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(loss, shape, dtype):
    x = [t.detach().to(dtype) for t in triple(shape)]
    value = loss(*x)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(*(t.float() for t in x)), rtol=0, atol=0)
