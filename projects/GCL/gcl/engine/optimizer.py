"""Two optimizers behind the one that the toolbox steps, logs and checkpoints."""

from __future__ import annotations

import torch
from fastreid.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from torch import nn


class PhaseOptimizer:
    """E_id's optimizer, built anew for each phase that trains it, and Adam for E_str, G and D.

    Parameters without a gradient are skipped by both, state and all, so that what a phase does not
    train does not move.

    Args:
        cfg: GCL.CONTRAST.{OPT,BASE_LR} and SOLVER.{OPT,BASE_LR} for E_id in the phases contrast and
            joint, GCL.GENERATOR.{BASE_LR,BETAS,WEIGHT_DECAY} for the rest.
        model: the :class:`~gcl.modeling.GCL` model.
        phase: the phase to begin with.
    """

    def __init__(self, cfg, model: nn.Module, phase: str) -> None:
        self.cfg = cfg
        encoder = nn.ModuleDict({"backbone": model.backbone, "heads": model.heads})
        self._encoder = encoder
        self._generator = None
        if model.generator is not None:
            node = cfg.GCL.GENERATOR
            parameters = [*model.generator.parameters(), *model.discriminator.parameters()]
            self._generator = torch.optim.Adam(
                parameters,
                lr=node.BASE_LR,
                betas=tuple(map(float, node.BETAS)),
                weight_decay=node.WEIGHT_DECAY,
            )
        self.begin("joint" if phase == "generator" else phase)
        self.phase = phase

    def begin(self, phase: str) -> None:
        """Start a phase: a fresh optimizer for E_id, unless the phase leaves E_id alone."""
        self.phase = phase
        if phase == "generator":
            return
        self._encoder_phase = phase
        solver = self.cfg.SOLVER
        name, rate = (
            (self.cfg.GCL.CONTRAST.OPT, self.cfg.GCL.CONTRAST.BASE_LR)
            if phase == "contrast"
            else (solver.OPT, solver.BASE_LR)
        )
        groups = _merge(
            get_default_optimizer_params(
                self._encoder,
                base_lr=rate,
                weight_decay=solver.WEIGHT_DECAY,
                weight_decay_norm=solver.WEIGHT_DECAY_NORM,
                bias_lr_factor=solver.BIAS_LR_FACTOR,
                heads_lr_factor=solver.HEADS_LR_FACTOR,
                weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
            )
        )
        for group in groups:
            group["initial_lr"] = group["lr"]
        options = (
            {"momentum": solver.MOMENTUM, "nesterov": solver.NESTEROV} if name == "SGD" else {}
        )
        self._encoder_optimizer = maybe_add_gradient_clipping(self.cfg, getattr(torch.optim, name))(
            groups, **options
        )

    @property
    def encoder_groups(self) -> list[dict]:
        return self._encoder_optimizer.param_groups

    @property
    def param_groups(self) -> list[dict]:
        return [
            group for optimizer in self._optimizers.values() for group in optimizer.param_groups
        ]

    @property
    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        both = {"encoder": self._encoder_optimizer, "generator": self._generator}
        return {name: optimizer for name, optimizer in both.items() if optimizer is not None}

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        for optimizer in self._optimizers.values():
            optimizer.step()

    def state_dict(self) -> dict:
        states = {name: optimizer.state_dict() for name, optimizer in self._optimizers.items()}
        return {"phase": self.phase, "encoder_phase": self._encoder_phase, **states}

    def load_state_dict(self, state: dict) -> None:
        self.begin(state["encoder_phase"])  # in "generator" E_id's is that of the phase before
        self.phase = state["phase"]
        for name, optimizer in self._optimizers.items():
            if name in state:
                optimizer.load_state_dict(state[name])


def _merge(groups: list[dict]) -> list[dict]:
    """The toolbox makes a group a parameter; one group for each set of values is far fewer
    calls."""
    merged: dict[tuple, dict] = {}
    for group in groups:
        values = {k: v for k, v in group.items() if k != "params"}
        merged.setdefault(tuple(sorted(values.items())), {**values, "params": []})["params"] += (
            group["params"]
        )
    return list(merged.values())
