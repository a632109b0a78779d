"""Which phase an epoch belongs to, and the learning rates that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """An epoch's place: ``phase``, its number ``epoch`` within the phase, and whether it is the
    first or last."""

    phase: str
    epoch: int
    first: bool
    last: bool


class PhasePlan:
    """The phases of a run, one after the other.

    Args:
        cfg: configuration with GCL.PHASES and EPOCHS of each.
    """

    def __init__(self, cfg) -> None:
        self._phases = [(name, cfg.GCL[name.upper()].EPOCHS) for name in cfg.GCL.PHASES]

    @property
    def num_epochs(self) -> int:
        return sum(epochs for _, epochs in self._phases)

    def place(self, epoch: int) -> Place:
        """Place of the run's epoch number ``epoch``, counted from 0."""
        start = 0
        for name, epochs in self._phases:
            if epoch < start + epochs:
                within = epoch - start
                return Place(name, within, within == 0, within == epochs - 1)
            start += epochs
        raise IndexError(f"the run has {start} epochs, there is no number {epoch}")


class PhaseSchedule:
    """Learning rate of E_id, counted in epochs of its phase; E_str, G and D keep theirs.

    Stands in the toolbox's hook as ``lr_sched``: ``step`` is called after every epoch. The rate is
    a function of the epoch alone, so that it can not depend on a framework's version after a
    resume.

    Args:
        cfg: SOLVER.SCHED "MultiStepLR" (SOLVER.GAMMA, steps of the phase) or "CosineAnnealingLR"
            (SOLVER.ETA_MIN_LR).
        optimizer: the run's :class:`~gcl.engine.optimizer.PhaseOptimizer`.
        plan: the run's phases.
    """

    def __init__(self, cfg, optimizer, plan: PhasePlan) -> None:
        self.cfg, self.optimizer, self.plan = cfg, optimizer, plan
        self.epoch = 0

    def step(self) -> None:
        self.epoch += 1

    def apply(self, epoch: int) -> None:
        """Set the rates for the run's epoch number ``epoch``."""
        self.epoch = epoch
        place = self.plan.place(epoch)
        for group in self.optimizer.encoder_groups:
            group["lr"] = self._rate(group["initial_lr"], place)

    def _rate(self, base: float, place: Place) -> float:
        if place.phase == "generator":
            return base
        if self.cfg.SOLVER.SCHED == "CosineAnnealingLR":
            low = min(self.cfg.SOLVER.ETA_MIN_LR, base)
            share = place.epoch / self.cfg.GCL[place.phase.upper()].EPOCHS
            return low + (base - low) * (1 + math.cos(math.pi * share)) / 2
        steps = self.cfg.GCL.CONTRAST.STEPS if place.phase == "contrast" else self.cfg.SOLVER.STEPS
        return base * self.cfg.SOLVER.GAMMA ** sum(place.epoch >= step for step in steps)

    def state_dict(self) -> dict:
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict) -> None:
        self.epoch = state["epoch"]
