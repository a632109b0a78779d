"""Views on each other's background: person_i * x_i + (1 - person_i) * background_{i + B/2}."""

import pytest
import torch

from gcl.modeling.backgrounds import swap_backgrounds

B, H, W = 4, 12, 8


def images(seed=0):
    return torch.randn(B, 3, H, W, generator=torch.Generator().manual_seed(seed))


def test_without_a_person_all_is_background():
    x = images()
    out = swap_backgrounds(x, torch.zeros(B, 1, H, W))
    assert torch.equal(out, x[[2, 3, 0, 1]])


def test_a_person_that_fills_the_image_has_no_background():
    x = images()
    out = swap_backgrounds(x, torch.ones(B, 1, H, W))
    assert torch.allclose(out, x)


def test_against_loops_over_pixels():
    """The outline grows by 2 pixels; its border is the mean of 3 x 3 pixels."""
    x, s = images(), torch.zeros(B, 1, H, W)
    s[0, 0, 4:8, 3:5] = 0.7
    s[2, 0, 5, 6] = 0.03
    s[3, 0, 0, 0] = 0.01  # darker than any shading: not a person
    grown = torch.zeros(B, H, W)
    for i in range(B):
        for r in range(H):
            for c in range(W):
                near = s[i, 0, max(r - 2, 0) : r + 3, max(c - 2, 0) : c + 3]
                grown[i, r, c] = float((near > 0.02).any())
    person = torch.zeros(B, H, W)
    for i in range(B):
        for r in range(H):
            for c in range(W):
                person[i, r, c] = grown[i, max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].mean()
    expected = torch.zeros_like(x)
    for i in range(B):
        j = (i + B // 2) % B
        for r in range(H):
            outside = 1 - person[j, r]
            for k in range(3):
                mean = (x[j, k, r] * outside).sum() / outside.sum().clamp(min=1e-3)
                behind = outside * x[j, k, r] + person[j, r] * mean
                expected[i, k, r] = person[i, r] * x[i, k, r] + (1 - person[i, r]) * behind
    # roll moves image j to place j + B/2, which for two halves is the same as i - B/2
    assert torch.allclose(swap_backgrounds(x, s), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_reach_the_images(dtype):
    x = images().to(dtype).requires_grad_(True)
    swap_backgrounds(x, torch.zeros(B, 1, H, W, dtype=dtype)).sum().backward()
    assert torch.allclose(x.grad, torch.ones_like(x))
