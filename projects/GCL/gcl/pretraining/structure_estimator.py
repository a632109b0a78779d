"""Training of the estimator crop -> body on synthetic pedestrians (gcl.structure.estimate)."""

from __future__ import annotations

import os

import torch
from fastreid.config import CfgNode as CN
from torch import Tensor

from gcl.cores import usable_cores
from gcl.structure.estimate.augment import occlude, photometric, random_crop
from gcl.structure.estimate.estimator import WEIGHTS as PACKAGED
from gcl.structure.estimate.network import SIZE, StructureNet
from gcl.structure.estimate.structure_losses import Truth, levers, structure_losses
from gcl.synthetic.examples import read_examples, write_examples

from .step_trainer import StepTrainer
from .weight_files import export_weights

WEIGHTS = PACKAGED.name


def get_estimator_cfg() -> CN:
    """Every key of tools/pretrain_estimator.py, with the values of the packaged weights."""
    cfg = CN()
    # Where the examples are drawn, once; a folder can serve several trainings.
    cfg.DATA = "logs/estimator/examples"
    # How many; every one is another person before another camera. About 60 a second and core.
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


class EstimatorTrainer(StepTrainer):
    """Trains a :class:`~gcl.structure.estimate.network.StructureNet`.

    Args:
        cfg: :func:`get_estimator_cfg`.

    Raises:
        OSError: examples can not be written or read.
    """

    def __init__(self, cfg: CN) -> None:
        self.cfg = cfg
        workers = cfg.WORKERS or usable_cores()
        examples = read_examples(write_examples(cfg.DATA, cfg.EXAMPLES, cfg.SEED, workers))
        self.examples = type(examples)(*map(torch.from_numpy, examples))
        torch.manual_seed(cfg.SEED)
        model = StructureNet()
        model.backbone.load_imagenet()
        model.to(cfg.DEVICE, memory_format=torch.channels_last).train()
        self.lever = levers().to(cfg.DEVICE)
        parameters = list(model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": cfg.WEIGHT_DECAY},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        super().__init__(
            model,
            torch.optim.AdamW(groups, lr=cfg.LR),
            lr=cfg.LR,
            steps=cfg.STEPS,
            period=cfg.CHECKPOINT_PERIOD,
            seed=cfg.SEED,
            folder=cfg.OUTPUT_DIR,
        )

    def train(self) -> str:
        """Train to the end; returns the file of weights."""
        super().train()
        path = os.path.join(self.cfg.OUTPUT_DIR, WEIGHTS)
        keys = ("EXAMPLES", "SEED", "BATCH", "STEPS", "LR", "WEIGHT_DECAY")
        export_weights(self.model, path, **{k: self.cfg[k] for k in keys})
        return path

    def losses(self) -> dict[str, Tensor]:
        crops, truth = self._batch()
        return structure_losses(self.model(crops), truth, self.lever)

    def _batch(self) -> tuple[Tensor, Truth]:
        """(B, 3, 128, 64) crops and what is true of them."""
        rows = torch.randint(len(self.examples.yaw), (self.cfg.BATCH,))
        data = type(self.examples)(*(field[rows] for field in self.examples))
        cropped = random_crop(data.crops.permute(0, 3, 1, 2).float(), data.box, SIZE)
        truth = Truth(data.yaw, data.rotations[..., :2], data.phenotype, cropped.framing)
        truth = Truth(*(v.to(self.cfg.DEVICE) for v in truth.mirrored_where(cropped.flipped)))
        return photometric(occlude(cropped.crops)).to(self.cfg.DEVICE), truth
