"""Inference in less time says the same."""

import pytest
import torch
from structure.estimate.networks import crops, random_network
from torch import nn

from gcl.structure.efficientnet import EfficientNetLite0
from gcl.structure.estimate import StructureEstimator
from gcl.structure.estimate.crops import load_crops
from gcl.structure.estimate.folded import folded
from gcl.structure.estimate.network import CHUNK, both_ways, merge, mirror


def norms(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


@pytest.fixture(scope="module")
def network():
    return random_network()


@torch.no_grad()
def test_every_norm_goes_and_the_answers_stay(network):
    """A convolution's sum of up to a thousand products, in another order: 1e-7 each, and some forty
    such layers, and this network's last ones are 20 times as steep as any that was trained."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pictures = load_crops(crops(6)).float()
    fast = folded(network)
    assert len(norms(network)) == 49 and not norms(fast) and not fast.training
    for plain, other in zip(network(pictures), fast(pictures), strict=True):
        torch.testing.assert_close(other, plain, atol=1e-3, rtol=1e-3)
    for name, value in network.state_dict().items():  # the network itself is as it was
        assert torch.equal(value, before[name]), name


@torch.no_grad()
def test_a_head_is_folded_too():
    torch.manual_seed(0)
    network = EfficientNetLite0()
    network(torch.randn(4, 3, 64, 32))
    network.eval()
    x = torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(folded(network)(x), network(x), atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("count", [0, 1, CHUNK // 2, CHUNK + 3])
def test_both_ways_is_the_crop_and_its_mirror_image_merged(network, count):
    """However many of the crops and mirror images are looked at together."""
    pictures = torch.cat([load_crops(crops(4, 2)).float()] * (CHUNK // 4 + 1))[:count]
    expected = merge(network(pictures), mirror(network(pictures.flip(3))))
    for one, other in zip(both_ways(network, pictures), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_an_adapted_estimator_says_what_it_has_learnt(network, monkeypatch):
    estimator = StructureEstimator(random_network())
    before = estimator.predict(crops(3))

    def learn(network, pictures):
        with torch.no_grad():
            network.framing.bias.add_(0.25)

    monkeypatch.setattr("gcl.structure.estimate.estimator.adapt", learn)
    estimator.adapt(crops(3))
    moved = estimator.predict(crops(3)).framing - before.framing
    # the centre of the mirror image moves the other way
    torch.testing.assert_close(moved, torch.tensor([[0.25, 0.25, 0.0]]).expand(3, 3))
