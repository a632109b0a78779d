"""Epochs fall into phases, and E_id's learning rate counts within them."""

import math
from types import SimpleNamespace

import pytest
from engine import runs

from gcl.engine.phases import PhasePlan, PhaseSchedule, Place


@pytest.fixture
def build(toy, tmp_path):
    def build(**changes):
        cfg = runs.config(tmp_path, toy, **changes)
        groups = [{"initial_lr": 1.0, "lr": None}, {"initial_lr": 0.5, "lr": None}]
        optimizer = SimpleNamespace(encoder_groups=groups)
        plan = PhasePlan(cfg)
        return plan, PhaseSchedule(cfg, optimizer, plan), groups

    return build


THREE = {
    "GCL__CONTRAST__EPOCHS": 4,
    "GCL__CONTRAST__STEPS": [1, 3],
    "GCL__GENERATOR__EPOCHS": 1,
    "GCL__JOINT__EPOCHS": 3,
    "SOLVER__STEPS": [2],
    "SOLVER__GAMMA": 0.1,
}


def test_places_of_all_epochs(build):
    plan, _, _ = build(**THREE)
    assert plan.num_epochs == 8
    assert [plan.place(epoch) for epoch in range(8)] == [
        Place("contrast", 0, True, False),
        Place("contrast", 1, False, False),
        Place("contrast", 2, False, False),
        Place("contrast", 3, False, True),
        Place("generator", 0, True, True),
        Place("joint", 0, True, False),
        Place("joint", 1, False, False),
        Place("joint", 2, False, True),
    ]


def test_phases_come_in_the_order_that_is_asked_for(build):
    plan, _, _ = build(**THREE, GCL__PHASES=("generator", "contrast"))
    assert [plan.place(epoch).phase for epoch in range(5)] == ["generator"] + 4 * ["contrast"]


def test_an_epoch_after_the_run_is_an_error_that_says_how_long_the_run_is(build):
    plan, _, _ = build(**THREE)
    with pytest.raises(IndexError, match="8 epochs.*number 8"):
        plan.place(8)


def test_steps_count_within_their_phase(build):
    _, schedule, groups = build(**THREE)
    rates = []
    for epoch in range(8):
        schedule.apply(epoch)
        rates.append(groups[0]["lr"])
        assert groups[1]["lr"] == groups[0]["lr"] / 2
    contrast, generator, joint = rates[:4], rates[4], rates[5:]
    assert contrast == pytest.approx([1, 0.1, 0.1, 0.01])
    assert generator == 1
    assert joint == pytest.approx([1, 1, 0.1])


def test_cosine_counts_within_its_phase(build):
    _, schedule, groups = build(**THREE, SOLVER__SCHED="CosineAnnealingLR", SOLVER__ETA_MIN_LR=0.2)
    for epoch, within, length in ((0, 0, 4), (2, 2, 4), (3, 3, 4), (5, 0, 3), (7, 2, 3)):
        schedule.apply(epoch)
        expected = 0.2 + 0.8 * (1 + math.cos(math.pi * within / length)) / 2
        assert groups[0]["lr"] == pytest.approx(expected)


def test_the_rate_depends_on_the_epoch_alone(build):
    _, once, groups = build(**THREE)
    once.apply(7)
    direct = groups[0]["lr"]
    _, stepped, others = build(**THREE)
    for epoch in range(8):
        stepped.apply(epoch)
        stepped.step()  # the toolbox's hook
    assert others[0]["lr"] == direct
    assert stepped.state_dict() == {"epoch": 8}
    once.load_state_dict({"epoch": 3})
    assert once.state_dict() == {"epoch": 3}
