"""Training of the estimator crop -> body on synthetic pedestrians (gcl.structure.estimate)."""

from __future__ import annotations

import json
import os

import torch
from fastreid.config import CfgNode as CN
from fastreid.engine import hooks
from fastreid.engine.train_loop import TrainerBase
from fastreid.utils.events import CommonMetricPrinter, JSONWriter, TensorboardXWriter
from safetensors.torch import save
from torch import Tensor, nn

from gcl.config import ConfigError
from gcl.data.synthetic.examples import read_examples, write_examples
from gcl.structure.estimate.estimator import WEIGHTS as PACKAGED
from gcl.structure.estimate.losses import Truth, levers, structure_losses
from gcl.structure.estimate.network import SIZE, StructureNet
from gcl.structure.estimate.randomise import cut, film, hide
from gcl.structure.files import atomic

from .checkpoint import AtomicCheckpointer

WEIGHTS = PACKAGED.name


def get_estimator_cfg() -> CN:
    """Every key of tools/train_estimator.py, with the values of the packaged weights."""
    cfg = CN()
    # Where the examples are drawn, once; a folder can serve several trainings.
    cfg.DATA = "logs/estimator/examples"
    # How many; every one is another person before another camera. About 20 a second and core.
    cfg.EXAMPLES = 20000
    # Processes that draw them; 0: one a core.
    cfg.WORKERS = 0
    # Of examples, initial weights and randomisation: a CPU run repeats bit for bit.
    cfg.SEED = 0
    cfg.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    cfg.BATCH = 48
    cfg.STEPS = 2000
    # Highest rate of AdamW; rises over the first tenth of the steps and falls to 0 (one cycle).
    cfg.LR = 2.0e-3
    cfg.WEIGHT_DECAY = 0.02  # of matrices and kernels
    # Steps between checkpoints: what a kill costs at most. Divides STEPS.
    cfg.CHECKPOINT_PERIOD = 100
    cfg.OUTPUT_DIR = "logs/estimator"
    return cfg


class EstimatorTrainer(TrainerBase):
    """Trains a :class:`~gcl.structure.estimate.network.StructureNet` with the toolbox's loop.

    An "epoch" is CHECKPOINT_PERIOD steps. Every step's chance follows from the seed and the step's
    number, so that a resumed run goes on as if it had never stopped.

    Args:
        cfg: :func:`get_estimator_cfg`.

    Raises:
        OSError: examples can not be written or read.
    """

    def __init__(self, cfg: CN) -> None:
        super().__init__()
        self.cfg = cfg
        workers = cfg.WORKERS or os.cpu_count() or 1
        examples = read_examples(write_examples(cfg.DATA, cfg.EXAMPLES, cfg.SEED, workers))
        self.examples = type(examples)(*map(torch.from_numpy, examples))
        torch.manual_seed(cfg.SEED)
        self.model = StructureNet()
        self.model.backbone.load_imagenet()
        self.model.to(cfg.DEVICE, memory_format=torch.channels_last).train()
        self.lever = levers().to(cfg.DEVICE)
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": cfg.WEIGHT_DECAY},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=cfg.LR)
        # torch divides by rise * STEPS - 1: in a short trial the rise is longer
        rise = 0.1 if cfg.STEPS > 10 else 0.45
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, cfg.LR, cfg.STEPS, pct_start=rise
        )
        self.max_iter = cfg.STEPS
        self.start_epoch, self.max_epoch = 0, cfg.STEPS // cfg.CHECKPOINT_PERIOD
        self.checkpointer = AtomicCheckpointer(
            self.model, cfg.OUTPUT_DIR, optimizer=self.optimizer, schedule=self.schedule
        )
        writers = [
            CommonMetricPrinter(cfg.STEPS),
            JSONWriter(os.path.join(cfg.OUTPUT_DIR, "metrics.json")),
            TensorboardXWriter(cfg.OUTPUT_DIR),
        ]
        # writes at the end of every epoch by itself
        self.register_hooks([hooks.IterationTimer(), hooks.PeriodicWriter(writers, cfg.STEPS)])

    def resume(self) -> None:
        """Go on from the last checkpoint in OUTPUT_DIR, if there is one.

        Raises:
            ConfigError: it is of a run of other lengths.
        """
        if not self.checkpointer.has_checkpoint():
            return
        state = self.checkpointer.resume_or_load("", resume=True)
        self.start_epoch = state["epoch"] + 1
        done, steps = self.schedule.last_epoch, self.schedule.total_steps
        if steps != self.max_iter or done != self.start_epoch * self.cfg.CHECKPOINT_PERIOD:
            raise ConfigError(
                f"the checkpoint in {self.cfg.OUTPUT_DIR} is of a run of STEPS {steps},"
                f" CHECKPOINT_PERIOD {done // self.start_epoch}: resume with these, or start anew"
                " without --resume."
            )

    def train(self) -> str:
        """Train to the end; returns the file of weights."""
        super().train(self.start_epoch, self.max_epoch, self.cfg.CHECKPOINT_PERIOD)
        path = os.path.join(self.cfg.OUTPUT_DIR, WEIGHTS)
        keys = ("EXAMPLES", "SEED", "BATCH", "STEPS", "LR", "WEIGHT_DECAY")
        # one entry: the format does not keep several in order
        export_weights(self.model, path, made_with=json.dumps({k: self.cfg[k] for k in keys}))
        return path

    def after_epoch(self) -> None:
        super().after_epoch()
        self.checkpointer.save("last", epoch=self.epoch)

    def run_step(self) -> None:
        torch.manual_seed(hash((self.cfg.SEED, self.iter)))
        crops, truth = self._batch()
        losses = structure_losses(self.model(crops), truth, self.lever)
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.storage.put_scalar("lr", self.schedule.get_last_lr()[0], smoothing_hint=False)
        self.schedule.step()
        self.storage.put_scalars(**{name: loss.item() for name, loss in losses.items()})

    def _batch(self) -> tuple[Tensor, Truth]:
        """(B, 3, 128, 64) crops and what is true of them."""
        rows = torch.randint(len(self.examples.yaw), (self.cfg.BATCH,))
        data = type(self.examples)(*(field[rows] for field in self.examples))
        cuts = cut(data.crops.permute(0, 3, 1, 2).float(), data.box, SIZE)
        truth = Truth(data.yaw, data.rotations[..., :2], data.phenotype, cuts.framing)
        truth = Truth(*(v.to(self.cfg.DEVICE) for v in truth.mirrored_where(cuts.flipped)))
        return film(hide(cuts.crops)).to(self.cfg.DEVICE), truth


def export_weights(model: StructureNet, path: str, **metadata: str) -> None:
    """Write the weights, all or nothing, in half precision; counts stay whole numbers."""
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    with atomic(path) as file:
        file.write(save(state, metadata))
