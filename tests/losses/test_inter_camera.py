"""L = -1/|P| sum_{p in P} log(exp(<f,p>/t) / (sum_P exp + sum_Q exp)) against loops in float64: P
the proxies of an image's class in other cameras, Q the K nearest of other classes."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from gcl.losses import inter_camera_loss

T = 0.2


def inputs(seed: int, device: str):
    g = torch.Generator().manual_seed(seed)
    proxies = F.normalize(torch.randn(9, 6, generator=g), dim=1)
    f = 3 * torch.randn(5, 6, generator=g)
    classes = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 4])
    cameras = torch.tensor([0, 1, 2, 0, 1, 2, 0, 2, 1])
    y, camids = torch.tensor([0, 1, 2, -1, 3]), torch.tensor([1, 0, 2, 0, 1])
    return tuple(x.to(device) for x in (f, proxies, classes, cameras, y, camids))


def slow(f, proxies, classes, cameras, y, camids, k: int) -> torch.Tensor:
    """One image and one proxy at a time."""
    losses = []
    for image, label, camera in zip(f.double(), y.tolist(), camids.tolist(), strict=True):
        if label == -1:
            continue
        image = image / image.norm()
        scores = [(image @ u) / T for u in proxies.double()]
        own = [
            s
            for s, c, a in zip(scores, classes.tolist(), cameras.tolist(), strict=True)
            if c == label and a != camera
        ]
        others = [s for s, c in zip(scores, classes.tolist(), strict=True) if c != label]
        nearest = sorted(others, key=float, reverse=True)[:k]
        whole = sum(s.exp() for s in own + nearest)
        terms = [-torch.log(s.exp() / whole) for s in own]
        losses.append(sum(terms) / len(own) if own else image.sum() * 0)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("k", [1, 3, 50])
@pytest.mark.parametrize("seed", range(3))
def test_it_and_its_gradient_are_those_of_the_formula(seed, k, device):
    args = inputs(seed, device)
    leaf = args[0].clone().requires_grad_()
    loss = inter_camera_loss(leaf, *args[1:], temperature=T, num_negatives=k)
    (got,) = torch.autograd.grad(loss, leaf)
    exact = args[0].cpu().double().requires_grad_()
    wanted = slow(exact, *(a.cpu() for a in args[1:]), k)
    (slope,) = torch.autograd.grad(wanted, exact)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    torch.testing.assert_close(got.cpu().double(), slope, rtol=1e-4, atol=1e-6)


def test_outliers_and_classes_of_one_camera_teach_nothing(device):
    f, proxies, classes, cameras, _, _ = inputs(0, device)
    y, camids = torch.tensor([-1, 2], device=device), torch.tensor([0, 2], device=device)
    leaf = f[:2].clone().requires_grad_()
    loss = inter_camera_loss(
        leaf, proxies, classes, cameras, y, camids, temperature=T, num_negatives=50
    )
    loss.backward()
    assert loss.item() == 0.0
    assert leaf.grad.abs().max() == 0.0


def test_two_equal_proxies_are_a_coin(device):
    # one positive and one negative at the same place: log 2
    f = torch.tensor([[2.0, 0.0]], device=device)
    proxies = torch.tensor([[1.0, 0.0], [1.0, 0.0]], device=device)
    zero, one = torch.tensor([0], device=device), torch.tensor([1], device=device)
    classes, cameras = torch.cat((zero, one)), torch.cat((one, zero))
    loss = inter_camera_loss(
        f, proxies, classes, cameras, zero, zero, temperature=T, num_negatives=5
    )
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
