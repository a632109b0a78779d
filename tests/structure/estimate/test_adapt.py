"""Self-training: who teaches, what is taught, what else may change (nothing)."""

from __future__ import annotations

import pytest
import torch
from structure.estimate.networks import crops, random_network

from gcl.structure.estimate import adapt, circle
from gcl.structure.estimate.crops import load_crops
from gcl.structure.estimate.network import StructureNet, both_ways, mirror
from gcl.structure.estimate.structure_losses import Truth, levers, structure_losses


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(adapt, "STEPS", 2)
    monkeypatch.setattr(adapt, "BATCH", 4)
    monkeypatch.setattr(adapt, "FEWEST", 1)


def pictures(count: int) -> torch.Tensor:
    return load_crops(crops(count))


def state(network: StructureNet) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_the_second_half_is_told_the_mirrored_answers():
    network, some = random_network(), pictures(3)
    truth, _ = adapt._told(network, some)
    with torch.no_grad():
        answer = both_ways(network, some.float())
    yaw, _ = circle.read(answer.yaw)
    torch.testing.assert_close(truth.yaw[:3], yaw, atol=1e-3, rtol=0)
    torch.testing.assert_close(truth.yaw[3:], circle.read(circle.mirrored(answer.yaw))[0])
    torch.testing.assert_close(truth.framing[3:, 2], 1 - truth.framing[:3, 2])
    torch.testing.assert_close(truth.pose[3:], mirror(answer).best_pose())


def test_only_crops_of_which_it_is_sure_teach(monkeypatch):
    network, some = random_network(), pictures(6)
    with torch.no_grad():
        _, confidence = circle.read(both_ways(network, some.float()).yaw)
    middle = float(confidence.sort().values[2:4].mean())
    monkeypatch.setattr(adapt, "SURE", middle)
    expected = (torch.cat((confidence, confidence)) >= middle).nonzero()[:, 0]
    assert adapt._told(network, some)[1].tolist() == expected.tolist()
    assert len(expected) == 6


def test_nothing_changes_when_it_is_sure_of_nothing(monkeypatch):
    monkeypatch.setattr(adapt, "SURE", 1.1)
    network = random_network()
    before = state(network)
    adapt.adapt(network, pictures(4))
    assert all(torch.equal(before[name], value) for name, value in state(network).items())


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_crops_change_nothing_and_it_says_so(count, monkeypatch, caplog):
    monkeypatch.setattr(adapt, "SURE", 0.0)
    monkeypatch.setattr(adapt, "FEWEST", 3)
    network = random_network()
    before = state(network)
    with caplog.at_level("WARNING"):
        adapt.adapt(network, pictures(count))
    assert f"sure of {count} crops and needs 3" in caplog.text
    assert all(torch.equal(before[name], value) for name, value in state(network).items())


def test_repeatable_and_the_callers_chance_is_left_alone(monkeypatch):
    monkeypatch.setattr(adapt, "SURE", 0.0)
    results = []
    for seed in (3, 4):
        network = random_network()
        torch.manual_seed(seed)
        expected = torch.Generator().manual_seed(seed).get_state()
        adapt.adapt(network, pictures(5))
        assert torch.equal(torch.get_rng_state(), expected)
        assert not network.training
        results.append(state(network))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_it_comes_nearer_to_what_it_was_told(monkeypatch, device):
    """The loss of worse pictures against the answers of before falls. (A GPU's answers
    are others: Adam's first steps follow the signs of gradients, also of almost nothing.)"""
    monkeypatch.setattr(adapt, "SURE", 0.0)
    monkeypatch.setattr(adapt, "STEPS", 12)
    monkeypatch.setattr(adapt, "BATCH", 8)
    network, some = random_network().to(device), pictures(8)
    truth = Truth(*(field.to(device) for field in adapt._told(network, some)[0]))
    both, lever = torch.cat((some, some.flip(3))), levers().to(device)

    def loss() -> float:
        torch.manual_seed(9)
        network.train()  # as it learns: with the statistics of the batch
        with torch.no_grad():
            said = network(adapt.photometric(both.float()).to(device))
            losses = structure_losses(said, truth, lever)
        network.eval()
        return float(sum(losses.values()))

    before = loss()
    adapt.adapt(network, some)
    assert loss() < before
