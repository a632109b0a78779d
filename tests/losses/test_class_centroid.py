"""-log(e^<f,w_y>/t / sum_k e^<f,w_k>/t), written out crop by crop."""

import math

import pytest
import torch
import torch.nn.functional as F

from gcl.losses import centroid_loss


def oracle(f, centroids, targets, t):
    losses = []
    for row, y in zip(f.double(), targets.tolist(), strict=True):
        row = row / row.norm()
        scores = [math.exp(float(row @ w) / t) for w in centroids.double()]
        losses.append(-math.log(scores[y] / sum(scores)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("batch", "classes", "t"), [(1, 1, 0.04), (5, 3, 0.04), (4, 9, 0.2)])
def test_it_is_the_formula(device, batch, classes, t):
    torch.manual_seed(batch)
    f = 3 * torch.randn(batch, 6, device=device)
    centroids = F.normalize(torch.randn(classes, 6, device=device), dim=1)
    targets = torch.randint(classes, (batch,), device=device)
    loss = centroid_loss(f, centroids, targets, t)
    assert loss.item() == pytest.approx(oracle(f, centroids, targets, t), rel=1e-4, abs=1e-6)


def test_orthogonal_classes_have_a_closed_form():
    loss = centroid_loss(7 * torch.eye(4), torch.eye(4), torch.arange(4), 0.5)
    assert loss.item() == pytest.approx(math.log(1 + 3 * math.exp(-2)))


def test_half_precision_outside_is_full_precision_inside():
    torch.manual_seed(0)
    f, centroids = torch.randn(4, 64), F.normalize(torch.randn(8, 64), dim=1)
    targets = torch.arange(4)
    with torch.autocast("cpu", torch.bfloat16):
        inside = centroid_loss(f, centroids, targets, 0.04)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, centroid_loss(f, centroids, targets, 0.04))


def test_it_teaches_the_embeddings():
    f = torch.randn(3, 4, requires_grad=True)
    centroid_loss(f, torch.eye(4), torch.tensor([0, 1, 3]), 0.1).backward()
    assert f.grad.abs().sum(1).min() > 0
