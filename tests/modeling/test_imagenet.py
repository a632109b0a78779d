"""ImageNet's eyes against the network that they are; only pictures learn through them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gcl.modeling.imagenet import ImageNet
from gcl.structure.efficientnet import EfficientNetLite0

SHAPES = [(16, 32, 16), (24, 16, 8), (40, 8, 4), (80, 4, 2), (112, 4, 2), (192, 2, 1), (320, 2, 1)]


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    made = EfficientNetLite0()
    made.load_imagenet()
    return made.eval()


@pytest.fixture
def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 64, 32), dtype=torch.uint8, generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("stages", [(0,), (0, 1, 2), (1, 2, 4), (6,), (2, 0)])
def test_maps_are_those_of_the_stages_in_their_order(network, pictures, stages):
    maps = ImageNet(stages).maps(pictures)
    assert [tuple(m.shape[1:]) for m in maps] == [SHAPES[i] for i in stages]
    wanted = network.stages((pictures.float() - 127.5) / 127.5)
    for found, i in zip(maps, stages, strict=True):
        torch.testing.assert_close(found, wanted[i], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_pooled_features_are_the_mean_of_the_last_map(network, pictures):
    x = network.stages((pictures.float() - 127.5) / 127.5)[-1]
    last = F.relu6(network._bn1(network._conv_head(x)))
    found = ImageNet((0,)).pool(pictures)
    torch.testing.assert_close(found, last.mean((2, 3)), atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_pictures_and_nothing_else(pictures):
    imagenet = ImageNet((0, 2))
    before = {k: v.clone() for k, v in imagenet._network.state_dict().items()}
    x = pictures.float().requires_grad_()
    sum(m.square().sum() for m in imagenet.maps(x)).backward()
    assert x.grad.isfinite().all() and x.grad.flatten(1).any(dim=1).all()
    assert all(p.grad is None for p in imagenet._network.parameters())
    assert all(torch.equal(before[k], v) for k, v in imagenet._network.state_dict().items())


@torch.no_grad()
def test_a_picture_looks_the_same_among_others(pictures):
    """No statistics of a batch."""
    imagenet = ImageNet((0, 2))
    together, alone = imagenet.maps(pictures), imagenet.maps(pictures[1:2])
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[1:2], b, atol=1e-4, rtol=1e-4)
