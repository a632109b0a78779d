"""Perceptual distance against its formula, place by place; gradients reach the pictures' maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gcl.losses import perceptual_distance


def test_perceptual_distance_is_the_formula(device):
    torch.manual_seed(0)
    maps = [[torch.randn(2, c, h, w) for c, h, w in ((5, 4, 3), (7, 2, 1))] for _ in range(2)]
    expected = []
    for i in range(2):
        stages = []
        for x, y in zip(*maps, strict=True):
            places = []
            for h in range(x.shape[2]):
                for w in range(x.shape[3]):
                    u, v = x[i, :, h, w], y[i, :, h, w]
                    places.append(float((u / u.norm() - v / v.norm()).square().sum()))
            stages.append(np.mean(places))
        expected.append(np.mean(stages))
    moved = [[m.to(device) for m in stages] for stages in maps]
    assert perceptual_distance(*moved).tolist() == pytest.approx(expected, rel=1e-4)


def test_perceptual_distance_of_what_is_known():
    a = torch.rand(3, 4, 2, 2) + 0.1
    assert perceptual_distance([a], [a]).tolist() == [0, 0, 0]
    assert perceptual_distance([a], [5 * a]).max() < 1e-6  # how strong a map is does not count
    assert perceptual_distance([a], [-a]).tolist() == pytest.approx([4, 4, 4])
    first, second = torch.eye(2)[0].view(1, 2, 1, 1), torch.eye(2)[1].view(1, 2, 1, 1)
    assert perceptual_distance([first, a[:1]], [second, a[:1]]).item() == pytest.approx(1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_single(dtype):
    torch.manual_seed(0)
    a, b = (torch.randn(2, 8, 3, 2).to(dtype) for _ in range(2))
    found = perceptual_distance([a], [b])
    assert found.dtype == torch.float32
    assert torch.equal(found, perceptual_distance([a.float()], [b.float()]))


def test_descent_brings_the_maps_of_a_picture_to_those_of_the_other():
    """Along the gradient of the first; the second is what it shall become."""
    torch.manual_seed(0)
    a, b = torch.randn(2, 4, 3, 2).requires_grad_(), torch.randn(2, 4, 3, 2)
    before = perceptual_distance([a], [b])
    (gradient,) = torch.autograd.grad(before.sum(), a)
    assert (gradient.square().sum(1) > 0).all()  # at every place
    assert (perceptual_distance([a - 0.1 * gradient], [b]) < before).all()


def test_none_and_mismatched_maps():
    empty = torch.zeros(0, 4, 2, 2)
    assert perceptual_distance([empty], [empty]).shape == (0,)
    with pytest.raises(ValueError):
        perceptual_distance([empty], [empty, empty])
