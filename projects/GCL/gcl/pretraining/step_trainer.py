"""Training by a number of steps on examples that are all in memory, as the tools do that make the
weights of this package."""

from __future__ import annotations

import os
from abc import abstractmethod

import torch
from fastreid.engine import hooks
from fastreid.engine.train_loop import TrainerBase
from fastreid.utils.events import CommonMetricPrinter, JSONWriter, TensorboardXWriter
from torch import Tensor, nn

from gcl.config import ConfigError
from gcl.engine.checkpoint import AtomicCheckpointer


class StepTrainer(TrainerBase):
    """The toolbox's loop, led by a one-cycle learning rate.

    An "epoch" is ``period`` steps, a checkpoint each. Every step's chance follows from the seed and
    the step's number, so that a resumed run goes on as if it had never stopped.

    Args:
        model: what is trained and kept in checkpoints.
        optimizer: its parameters'.
        lr: highest rate; rises over the first tenth of the steps and falls to 0.
        steps, period: of the run, and between checkpoints; ``period`` divides ``steps``.
        seed: of all chance in the steps.
        folder: for log, curves and checkpoints.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        lr: float,
        steps: int,
        period: int,
        seed: int,
        folder: str,
    ) -> None:
        super().__init__()
        self.model, self.optimizer, self.period, self.seed = model, optimizer, period, seed
        # torch divides by rise * steps - 1: in a short trial the rise is longer
        rise = 0.1 if steps > 10 else 0.45
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, lr, steps, pct_start=rise
        )
        self.max_iter = steps
        self.start_epoch, self.max_epoch = 0, steps // period
        self.checkpointer = AtomicCheckpointer(
            model, folder, optimizer=optimizer, schedule=self.schedule
        )
        writers = [
            CommonMetricPrinter(steps),
            JSONWriter(os.path.join(folder, "metrics.json")),
            TensorboardXWriter(folder),
        ]
        # Without a time the printer divides by the steps since its last line, at the end by none:
        # even an epoch of one step must have one. The writer writes at the end of an epoch by
        # itself.
        timer = hooks.IterationTimer(min(3, period))
        self.register_hooks([timer, hooks.PeriodicWriter(writers, steps)])

    @abstractmethod
    def losses(self) -> dict[str, Tensor]:
        """Of a batch that is drawn by torch's chance; their sum is what the step makes smaller."""

    def resume(self) -> None:
        """Go on from the last checkpoint in the folder, if there is one.

        Raises:
            ConfigError: it is of a run of other lengths, or of another model.
        """
        if not self.checkpointer.has_checkpoint():
            return
        state = self.checkpointer.resume_or_load("", resume=True)
        self.start_epoch = state["epoch"] + 1
        done, steps = self.schedule.last_epoch, self.schedule.total_steps
        if steps != self.max_iter or done != self.start_epoch * self.period:
            raise ConfigError(
                f"the checkpoint in {self.checkpointer.save_dir} is of a run of STEPS {steps},"
                f" CHECKPOINT_PERIOD {done // self.start_epoch}: resume with these, or start anew"
                " without --resume."
            )

    def train(self) -> None:
        super().train(self.start_epoch, self.max_epoch, self.period)

    def after_epoch(self) -> None:
        super().after_epoch()
        self.checkpointer.save("last", epoch=self.epoch)

    def run_step(self) -> None:
        torch.manual_seed(hash((self.seed, self.iter)))
        losses = self.losses()
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.storage.put_scalar("lr", self.schedule.get_last_lr()[0], smoothing_hint=False)
        self.schedule.step()
        self.storage.put_scalars(**{name: loss.item() for name, loss in losses.items()})
