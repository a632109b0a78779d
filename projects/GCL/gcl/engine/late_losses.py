"""Losses of a GPU for the log, without waiting for them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class LateLosses:
    """In the place of a toolbox trainer's ``_write_metrics``: a step's losses are written, and
    looked at for what is not finite, in the step after it, or by :meth:`flush`.

    Reading a number waits until the GPU has computed it, and the GPU then waits for its next work:
    here it is copied meanwhile. A run that has diverged stops one step later, before anything was
    written. On a CPU there is nothing to wait for, and losses are written at once.

    Args:
        write: the toolbox's, of (losses by name, seconds that the batch took to come).
    """

    def __init__(self, write: Callable[[dict[str, Tensor], float], None]) -> None:
        self._write = write
        self._waiting: tuple[torch.cuda.Event, list[str], Tensor, float] | None = None

    def __call__(self, losses: dict[str, Tensor], data_time: float) -> None:
        self.flush()
        if next(iter(losses.values())).device.type != "cuda":
            self._write(losses, data_time)
            return
        values = torch.stack([loss.detach().float() for loss in losses.values()])
        host = torch.empty(len(values), pin_memory=True)
        host.copy_(values, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        self._waiting = copied, list(losses), host, data_time

    def flush(self) -> None:
        """Write what waits. Raises FloatingPointError: it is not finite."""
        if self._waiting is None:
            return
        (copied, names, host, data_time), self._waiting = self._waiting, None
        copied.synchronize()
        self._write(dict(zip(names, host, strict=True)), data_time)
