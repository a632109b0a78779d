"""Running statistics that all ranks share."""

from __future__ import annotations

import torch.distributed as dist
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm


class StatisticsHook(HookBase):
    """Gives all ranks the running statistics of rank 0 at the end of each epoch.

    Before readiness, evaluation and the checkpointer. Every rank normalises its own share of a
    batch and the toolbox broadcasts no buffers: each rank would fill its bank with the features of
    another encoder and cluster them into other labels, and a resumed run would not go on as if it
    had never stopped, as checkpoints hold the statistics of rank 0.
    """

    def after_epoch(self) -> None:
        if comm.get_world_size() > 1:
            for name, buffer in self.trainer.gcl.named_buffers():
                # these are large, and the same everywhere by themselves
                if not name.startswith(("bank.", "proxies.", "source.centroids")):
                    dist.broadcast(buffer, 0)
