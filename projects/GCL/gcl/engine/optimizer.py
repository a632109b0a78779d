"""Two optimizers behind the one that the toolbox steps, logs and checkpoints."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable

import torch
from fastreid.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from torch import nn

logger = logging.getLogger(__name__)


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
                **fused(torch.optim.Adam, parameters),
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
        kind = getattr(torch.optim, name)
        options |= fused(kind, self._encoder.parameters())
        self._encoder_optimizer = maybe_add_gradient_clipping(self.cfg, kind)(groups, **options)

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
        return {
            "phase": self.phase,
            "encoder_phase": self._encoder_phase,
            "encoder_kind": self._encoder_kind,
            "encoder_names": self._encoder_names,
            **states,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on with the moments of a checkpoint. Rates, decay and the like are those of the
        configuration, as in a new run; a warning says which were others."""
        self.begin(state["encoder_phase"])  # in "generator" E_id's is that of the phase before
        self.phase = state["phase"]
        ours, kind = self._encoder_names, state.get("encoder_kind", self._encoder_kind)
        if kind != self._encoder_kind:
            logger.warning(
                "The checkpoint's optimizer of E_id is %s, the configuration's %s: it starts anew.",
                kind,
                self._encoder_kind,
            )
        else:
            theirs = state.get("encoder_names", ours)
            _go_on("E_id", self._encoder_optimizer, state["encoder"], ours, theirs)
        if self._generator is not None and "generator" in state:
            _go_on("E_str, G and D", self._generator, state["generator"])

    @property
    def _encoder_kind(self) -> str:
        """The optimizer's name in torch.optim; the toolbox's clipping puts a class before it."""
        name = type(self._encoder_optimizer).__name__
        return name.removesuffix("WithGradientClip")

    @property
    def _encoder_names(self) -> list[str]:
        """Names of E_id's parameters in the order of its groups, which follows from their rates."""
        names = {id(p): name for name, p in self._encoder.named_parameters()}
        return [names[id(p)] for group in self.encoder_groups for p in group["params"]]


def fused(kind: type[torch.optim.Optimizer], parameters: Iterable[nn.Parameter]) -> dict:
    """Options that make a torch optimizer step all parameters by one kernel, where it can: on a
    GPU."""
    knows = "fused" in inspect.signature(kind).parameters
    on_gpu = all(parameter.is_cuda for parameter in parameters)
    return {"fused": True} if knows and on_gpu else {}


def _go_on(
    who: str,
    optimizer: torch.optim.Optimizer,
    saved: dict,
    ours: list[str] | None = None,
    theirs: list[str] | None = None,
) -> None:
    """Load the moments of a state dict into an optimizer that keeps the options of its groups.

    Args:
        who: whose optimizer, for the warning.
        ours, theirs: the parameters' names in the order of the optimizer's and the state dict's
            groups; None: the orders are the same.
    """
    new = optimizer.state_dict()
    both = set(new["param_groups"][0]).intersection(*saved["param_groups"]) - {"params", "fused"}
    if "initial_lr" in both:
        both.remove("lr")  # the schedule's, at the epoch of the checkpoint
    for key in sorted(both):
        before, now = (
            ", ".join(sorted({str(group[key]) for group in groups}))
            for groups in (saved["param_groups"], new["param_groups"])
        )
        if now != before:
            logger.warning(
                "The optimizer of %s goes on with the configuration's %s %s; the checkpoint was"
                " trained with %s.",
                who,
                "rate" if key in ("lr", "initial_lr") else key,
                now,
                before,
            )
    order = [i for group in saved["param_groups"] for i in group["params"]]
    moments = saved["state"]
    if ours is not None and theirs is not None:
        by_name = {name: moments[i] for name, i in zip(theirs, order, strict=True) if i in moments}
        moments = {i: by_name[name] for i, name in enumerate(ours) if name in by_name}
    optimizer.load_state_dict({"state": moments, "param_groups": new["param_groups"]})


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
