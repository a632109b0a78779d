"""Yaws as distributions over 36 directions, against loops over the bins."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gcl.structure.estimate import circle

BINS = circle.BINS


def apart(a: float, b: float) -> float:
    """Degrees between two directions, 0 to 180."""
    return abs((a - b + 180) % 360 - 180)


def random_distributions(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(3 * torch.randn(count, BINS, generator=generator), 1)


@pytest.mark.parametrize("yaw", [0.0, 3.0, 90.0, 184.7, 355.0, 359.99, -90.0, 725.0])
def test_targets_are_von_mises(yaw):
    """p(k) ~ exp(cos(k * 10 - yaw) / s^2), s = SPREAD."""
    concentration = 1 / math.radians(circle.SPREAD) ** 2
    density = [
        math.exp(concentration * (math.cos(math.radians(360 / BINS * k - yaw)) - 1))
        for k in range(BINS)
    ]
    found = circle.targets(torch.tensor([yaw]))[0].tolist()
    assert found == pytest.approx([d / sum(density) for d in density], abs=1e-5)


def test_targets_deviate_by_spread():
    """Standard deviation of the angle: SPREAD, a little more for the tails of von Mises."""
    p = circle.targets(torch.tensor([180.0]))[0]
    variance = sum(float(p[k]) * (k * 360 / BINS - 180) ** 2 for k in range(BINS))
    assert math.sqrt(variance) == pytest.approx(circle.SPREAD, rel=0.05)


def test_mirrored_exchanges_image_left_and_right():
    before = random_distributions(4)
    after = circle.mirrored(before)
    for k in range(BINS):
        assert torch.equal(after[:, k], before[:, (BINS - k) % BINS])
    assert torch.equal(circle.mirrored(after), before)


@given(st.floats(-360, 720, width=32))
def test_the_mirrored_target_is_that_of_minus_yaw(yaw):
    there, back = circle.targets(torch.tensor([yaw])), circle.targets(torch.tensor([-yaw]))
    assert torch.allclose(circle.mirrored(there), back, atol=1e-4)


def read_by_loops(p: list[float]) -> tuple[float, float]:
    best, mass = 0, -1.0
    for k in range(BINS):
        here = sum(p[j] for j in range(BINS) if apart(j * 10, k * 10) <= circle.REACH)
        if here > mass:
            best, mass = k, here
    near = [j for j in range(BINS) if apart(j * 10, best * 10) <= circle.REACH]
    x = sum(p[j] * math.cos(math.radians(j * 10)) for j in near)
    y = sum(p[j] * math.sin(math.radians(j * 10)) for j in near)
    return math.degrees(math.atan2(y, x)) % 360, mass


def test_read_against_loops(device):
    distributions = random_distributions(50)
    yaw, mass = (found.cpu() for found in circle.read(distributions.to(device)))
    for i, p in enumerate(distributions.double().tolist()):
        direction, sure = read_by_loops(p)
        assert apart(float(yaw[i]), direction) < 1e-2
        assert float(mass[i]) == pytest.approx(sure, abs=1e-5)


@given(st.floats(-360, 720, width=32))
def test_a_yaw_comes_back(yaw):
    found, sure = circle.read(circle.targets(torch.tensor([yaw])))
    assert apart(float(found), yaw) < 0.1
    assert 0 <= float(found) < 360
    assert 0.99 < float(sure) <= 1


def test_round_zero_the_yaw_stays_below_360():
    yaws = torch.cat((torch.logspace(-9, -1, 50).neg(), torch.zeros(1), torch.logspace(-9, -1, 50)))
    found, _ = circle.read(circle.targets(yaws))
    assert ((found >= 0) & (found < 360)).all()
    # the mean of 350 and 10 is 0, not 180
    both = torch.zeros(1, BINS)
    both[0, [1, 35]] = 0.5
    assert apart(float(circle.read(both)[0]), 0) < 1e-3


@pytest.mark.parametrize("between", [90, 120, 180])
@pytest.mark.parametrize("first", [0, 57, 200, 330])
@pytest.mark.parametrize("share", [0.55, 0.8])
def test_of_two_modes_the_heavier_is_read_never_the_middle(between, first, share):
    modes = circle.targets(torch.tensor([first, first + between], dtype=torch.float32))
    yaw, sure = circle.read(share * modes[:1] + (1 - share) * modes[1:])
    assert apart(float(yaw), first) < 2
    assert float(sure) == pytest.approx(share, abs=0.02)


def test_turning_everything_turns_the_answer():
    """read(p rolled by k bins) = read(p) + 10 k."""
    p = random_distributions(20, 1)
    yaw, sure = circle.read(p)
    for k in range(1, BINS):
        turned, same = circle.read(p.roll(k, 1))
        assert torch.allclose(same, sure, atol=1e-6)
        moved = (turned - yaw - 10 * k + 180) % 360 - 180
        assert moved.abs().max() < 1e-2


def test_how_sure_it_is():
    window = 2 * math.floor(circle.REACH / (360 / BINS)) + 1
    uniform = torch.full((1, BINS), 1 / BINS)
    assert float(circle.read(uniform)[1]) == pytest.approx(window / BINS)
    yaw, sure = circle.read(torch.eye(BINS))
    assert torch.allclose(yaw, torch.arange(BINS) * 360 / BINS, atol=1e-3)
    assert torch.equal(sure, torch.ones(BINS))
    sure = circle.read(random_distributions(500, 2))[1]
    assert ((sure >= window / BINS) & (sure <= 1)).all()


def test_nobody():
    nobody = circle.targets(torch.empty(0))
    assert nobody.shape == circle.mirrored(nobody).shape == (0, BINS)
    assert [found.shape for found in circle.read(nobody)] == [(0,), (0,)]
