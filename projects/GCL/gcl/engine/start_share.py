"""Weights of the start in those of the end."""

from __future__ import annotations

import logging

import torch
from fastreid.engine.train_loop import HookBase
from torch import Tensor, nn

logger = logging.getLogger(__name__)


class StartShareHook(HookBase):
    """After the last epoch, replaces each weight w of E_id by (1 - s) w + s w_0, where w_0 is what
    it started from (WiSE-FT: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).

    Training on some people forgets of others what a start knew that has seen people; a mean of the
    weights keeps more of both than either end, and costs nothing. Statistics of neither end are the
    mean's: those of the neck and of the cameras are measured anew by
    :class:`~.hooks.PhaseEvalHook`, before which this one stands as the last of all. A backbone
    whose batch norm moved would need the same; :func:`gcl.config.check_gcl_config` refuses it.

    Checkpoints hold w_0.

    Args:
        share: s, in (0, 1).
        model: with E_id in ``backbone`` and ``heads``.
    """

    def __init__(self, share: float, model) -> None:
        self.share = share
        self.parts = nn.ModuleDict({"backbone": model.backbone, "heads": model.heads})
        self.start: dict[str, Tensor] = {}

    def before_train(self) -> None:
        if not self.start:  # a resumed run has its own
            named = self.parts.named_parameters()
            self.start = {name: weight.detach().clone() for name, weight in named}

    @torch.no_grad()
    def after_epoch(self) -> None:
        trainer = self.trainer
        if trainer.epoch != trainer.plan.num_epochs - 1:
            return
        for name, weight in self.parts.named_parameters():
            weight.lerp_(self.start[name], self.share)
        logger.info("E_id's weights now hold %g of those it started from", self.share)

    def state_dict(self) -> dict[str, Tensor]:
        return self.start

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        devices = {name: weight.device for name, weight in self.parts.named_parameters()}
        self.start = {name: value.to(devices[name]) for name, value in state.items()}
