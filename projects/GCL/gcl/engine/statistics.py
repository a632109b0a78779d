"""Batch norm statistics that all ranks share."""

from __future__ import annotations

import torch.distributed as dist
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm
from torch import nn


class StatisticsHook(HookBase):
    """Averages the running statistics of E_id's batch norm over ranks at the end of each epoch.

    Before readiness, evaluation and the checkpointer. Every rank normalises its own share of a
    batch and the toolbox broadcasts no buffers: each rank would fill its bank with the features of
    another encoder, cluster them into other labels, and checkpoints would hold rank 0's alone.
    """

    def after_epoch(self) -> None:
        phase = self.trainer.plan.place(self.trainer.epoch).phase
        if comm.get_world_size() > 1 and phase != "generator":  # there they do not move
            average_statistics(self.trainer.gcl)


def average_statistics(model: nn.Module) -> None:
    """Replace running means and variances by their mean over ranks."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            for statistic in (module.running_mean, module.running_var):
                dist.all_reduce(statistic)
                statistic /= comm.get_world_size()
