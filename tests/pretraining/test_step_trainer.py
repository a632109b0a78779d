"""A training by steps: what it leaves behind, its rate, and that an interruption changes nothing.

The model here fits noise that is drawn anew in every step: any chance that is not the step's own,
and any state that a checkpoint lacks, shows in its weights.
"""

from __future__ import annotations

import os
import re

import pytest
import torch
from engine import runs
from torch import Tensor, nn

from gcl.config import ConfigError
from gcl.pretraining.step_trainer import StepTrainer

STEPS, PERIOD, LR = 6, 3, 0.1


class Fit(StepTrainer):
    """Its chance, the batches, is kept in ``seen``."""

    def __init__(self, folder, *, steps=STEPS, period=PERIOD, seed=0, size=1.0) -> None:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        self.seen: list[Tensor] = []
        self.size = size
        optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
        super().__init__(
            model, optimizer, lr=LR, steps=steps, period=period, seed=seed, folder=str(folder)
        )

    def losses(self) -> dict[str, Tensor]:
        self.seen.append(self.size * torch.randn(8, 4))
        out = self.model(self.seen[-1])
        return {"loss_a": (out - 3).square().mean(), "loss_b": 2 * out.abs().mean()}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """(trainer, folder) after a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("straight")
    done = Fit(folder)
    done.train()
    return done, folder


def copy_checkpoint(folder, to) -> None:
    for name in ("last.pth", "last_checkpoint"):
        os.link(folder / name, to / name)


def test_it_leaves_curves_and_a_checkpoint(straight):
    done, folder = straight
    assert {"last.pth", "last_checkpoint", "metrics.json"} <= set(os.listdir(folder))
    assert list(folder.glob("events.out.tfevents.*")) and not list(folder.glob("*.tmp"))
    last = runs.metrics(folder)[-1]
    assert last["iteration"] == STEPS - 1
    assert last["lr"] == pytest.approx(LR / 250_000, rel=1e-3)  # one cycle ends at about 0
    assert {"loss_a", "loss_b"} <= {k for line in runs.metrics(folder) for k in line}
    kept = runs.load(folder / "last.pth")["model"]
    runs.assert_same(dict(kept), dict(done.model.state_dict()))


@pytest.mark.parametrize(("steps", "period"), [(1, 1), (2, 1), (2, 2), (3, 1), (4, 2)])
def test_trials_of_a_few_steps_end_too(tmp_path, steps, period):
    """Whole, and from the checkpoint before the last, which the toolbox's printer could not."""
    Fit(tmp_path, steps=steps, period=period).train()
    assert runs.metrics(tmp_path)[-1]["iteration"] == steps - 1
    if steps > period:
        (tmp_path / "killed").mkdir()
        killed = Fit(tmp_path / "killed", steps=steps, period=period)
        runs.train_until(killed, steps - 1)
        again = Fit(tmp_path / "killed", steps=steps, period=period)
        again.resume()
        assert again.start_epoch == steps // period - 1
        again.train()
        assert runs.metrics(tmp_path / "killed")[-1]["iteration"] == steps - 1


def test_a_step_is_the_optimizers_on_the_sum_of_the_losses(straight, tmp_path):
    """The same by hand: chance of (seed, step), gradients clipped to a norm of 5, one cycle."""
    done, _ = straight
    fresh = Fit(tmp_path)
    model, optimizer, schedule = fresh.model, fresh.optimizer, fresh.schedule
    for step, batch in enumerate(done.seen):
        torch.manual_seed(hash((0, step)))
        assert torch.equal(batch, torch.randn(8, 4))
        out = model(batch)
        optimizer.zero_grad()
        ((out - 3).square().mean() + 2 * out.abs().mean()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    runs.assert_same(dict(model.state_dict()), dict(done.model.state_dict()))


def test_a_huge_gradient_is_cut_to_a_norm_of_5(tmp_path):
    one = Fit(tmp_path, size=1e6)
    one.model[1] = nn.Identity()
    one.storage, one.iter = nn.Module(), 0
    one.storage.put_scalar = one.storage.put_scalars = lambda *_, **__: None
    one.run_step()
    norm = torch.stack([p.grad.norm() for p in one.model.parameters() if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(5, rel=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 10, 11, 100])
def test_the_rate_rises_to_lr_and_falls_whatever_the_length(tmp_path, steps):
    one = Fit(tmp_path, steps=steps, period=steps)
    one.optimizer.step()
    rates = []
    for _ in range(steps):
        rates += one.schedule.get_last_lr()[:1]
        one.schedule.step()
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) <= LR + 1e-12 and rates[-1] < LR / 1000
    assert steps < 100 or (max(rates) == pytest.approx(LR, rel=0.01) and top in (9, 10))


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_an_interrupted_training_ends_as_if_nothing_had_happened(straight, tmp_path, lost):
    """``lost`` steps after the checkpoint are done again."""
    done, _ = straight
    runs.train_until(Fit(tmp_path), PERIOD + lost)
    torch.manual_seed(99)  # chance goes on elsewhere
    second = Fit(tmp_path)
    second.resume()
    assert second.start_epoch == 1
    second.train()
    assert len(second.seen) == STEPS - PERIOD
    runs.assert_same(dict(second.model.state_dict()), dict(done.model.state_dict()))
    runs.assert_same(second.optimizer.state_dict(), done.optimizer.state_dict())
    assert second.schedule.get_last_lr() == done.schedule.get_last_lr()


def test_resume_without_a_checkpoint_begins(tmp_path):
    fresh = Fit(tmp_path)
    fresh.resume()
    assert fresh.start_epoch == 0


def test_resume_of_a_training_that_is_over_does_nothing(straight, tmp_path):
    done, folder = straight
    copy_checkpoint(folder, tmp_path)
    again = Fit(tmp_path)
    again.resume()
    again.train()
    assert again.seen == []
    runs.assert_same(dict(again.model.state_dict()), dict(done.model.state_dict()))


@pytest.mark.parametrize("lengths", [{"steps": 9}, {"period": 6}, {"steps": 12, "period": 6}])
def test_resume_with_other_lengths_is_refused(straight, tmp_path, lengths):
    _, folder = straight
    copy_checkpoint(folder, tmp_path)
    sentence = f"the checkpoint in {tmp_path} is of a run of STEPS 6, CHECKPOINT_PERIOD 3: resume"
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        Fit(tmp_path, **lengths).resume()


def test_resume_of_another_model_is_refused(straight, tmp_path):
    """One more parameter to train: the optimizer's state is of fewer."""
    copy_checkpoint(straight[1], tmp_path)
    other = Fit(tmp_path)
    other.optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    with pytest.raises(ConfigError, match=f"{tmp_path}.* of another model: .* without --resume"):
        other.resume()


def test_another_seed_is_another_training(straight, tmp_path):
    done, _ = straight
    other = Fit(tmp_path, seed=1)
    other.train()
    assert not any(map(torch.equal, other.seen, done.seen))


def test_no_two_steps_see_the_same(straight):
    done, _ = straight
    assert len({batch.sum().item() for batch in done.seen}) == STEPS
