"""Training of an encoder that tells people apart, on drawn people, as the toolbox trains on
photographs with labels."""

from __future__ import annotations

import os

import torch
from fastreid.config import CfgNode as CN
from fastreid.config import get_cfg
from fastreid.modeling import build_model
from torch import Tensor

from gcl.config import ConfigError, add_gcl_config
from gcl.cores import usable_cores
from gcl.modeling.encoder_weights import PACKAGED, architecture
from gcl.synthetic.people import (
    SEEN_BY,
    SHOTS,
    canvas_of,
    read_people,
    whole_files,
    write_people,
)

from .people_batches import PeopleBatches, film, load_batches
from .step_trainer import StepTrainer
from .weight_files import export_weights

LOSSES = ("CrossEntropyLoss", "TripletLoss", "CircleLoss", "Cosface")
"""The toolbox's."""

CLASSIFIER = "heads.weight"
"""Of people whom nobody meets again: not in the file of weights."""


def get_encoder_cfg() -> CN:
    """Every key of tools/pretrain_encoder.py: the toolbox's, SEED, and PRETRAIN.

    Of the former count MODEL (the toolbox's Baseline, without MODEL.WEIGHTS; as many classes as
    people), INPUT.SIZE_TRAIN, SOLVER.IMS_PER_BATCH, SOLVER.WEIGHT_DECAY, SOLVER.AMP.ENABLED (the
    backbone in bfloat16 on CUDA), DATALOADER.NUM_INSTANCE, DATALOADER.NUM_WORKERS (processes that
    make batches: any number makes the same ones), CUDNN_BENCHMARK, SEED and OUTPUT_DIR.
    """
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.SEED = 0
    cfg.SOLVER.AMP.ENABLED = False  # None, a run of GCL's, means nothing here
    cfg.PRETRAIN = CN()
    # Where the drawn people are kept; a folder can serve several trainings.
    cfg.PRETRAIN.DATA = "logs/encoder/people"
    # How many, each in 20 pictures of 4 cameras: 20 (half a core) to 95 pictures a second and core.
    cfg.PRETRAIN.PEOPLE = 2400
    # Processes that draw them; 0: one a core.
    cfg.PRETRAIN.WORKERS = 0
    cfg.PRETRAIN.STEPS = 15000
    # Highest rate of Adam; rises over the first tenth of the steps and falls to 0 (one cycle, which
    # also leads the first of its betas).
    cfg.PRETRAIN.LR = 1e-3
    # Steps between checkpoints: what a kill costs at most. Divides STEPS.
    cfg.PRETRAIN.CHECKPOINT_PERIOD = 500
    return cfg


def check_encoder_cfg(cfg: CN) -> None:
    """Stop on values that can not work, before people are drawn.

    Raises:
        ConfigError: one sentence that names the key and says what to set.
    """

    def require(condition: bool, message: str) -> None:
        if not condition:
            raise ConfigError(message)

    model, node = cfg.MODEL, cfg.PRETRAIN
    require(
        model.META_ARCHITECTURE == "Baseline",
        f"MODEL.META_ARCHITECTURE is {model.META_ARCHITECTURE}: an encoder is pre-trained as"
        " Baseline.",
    )
    require(
        not model.WEIGHTS,
        f"MODEL.WEIGHTS is {model.WEIGHTS}: pre-training starts from MODEL.BACKBONE.PRETRAIN or"
        " from scratch; leave it empty.",
    )
    names = model.LOSSES.NAME
    unknown = [repr(name) for name in names if name not in LOSSES]
    require(
        bool(names) and not unknown,
        f"MODEL.LOSSES.NAME contains {', '.join(unknown) or 'nothing'}: choose from"
        f" {', '.join(LOSSES)}.",
    )
    for key, value, least in (
        ("SEED", cfg.SEED, 0),
        ("DATALOADER.NUM_WORKERS", cfg.DATALOADER.NUM_WORKERS, 0),
        ("DATALOADER.NUM_INSTANCE", cfg.DATALOADER.NUM_INSTANCE, 1),
        ("PRETRAIN.PEOPLE", node.PEOPLE, 2),
        ("PRETRAIN.WORKERS", node.WORKERS, 0),
        ("PRETRAIN.STEPS", node.STEPS, 1),
        ("PRETRAIN.CHECKPOINT_PERIOD", node.CHECKPOINT_PERIOD, 1),
    ):
        require(value >= least, f"{key} is {value}: it must be at least {least}.")
    require(
        node.STEPS % node.CHECKPOINT_PERIOD == 0,
        f"PRETRAIN.STEPS is {node.STEPS}: PRETRAIN.CHECKPOINT_PERIOD, {node.CHECKPOINT_PERIOD},"
        " must divide it.",
    )
    require(node.LR > 0, f"PRETRAIN.LR is {node.LR}: it must be above 0.")
    batch, shots = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    require(
        shots <= SEEN_BY * SHOTS,
        f"DATALOADER.NUM_INSTANCE is {shots}: there are {SEEN_BY * SHOTS} pictures of a person.",
    )
    require(
        batch % shots == 0 and batch >= 2 * shots,
        f"SOLVER.IMS_PER_BATCH is {batch}: it must be DATALOADER.NUM_INSTANCE, {shots}, times two"
        " people or more.",
    )
    require(
        batch // shots <= node.PEOPLE,
        f"SOLVER.IMS_PER_BATCH {batch} with DATALOADER.NUM_INSTANCE {shots} needs"
        f" {batch // shots} people, PRETRAIN.PEOPLE is {node.PEOPLE}: draw more or lower it.",
    )
    try:
        torch.empty(0, device=model.DEVICE)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"MODEL.DEVICE {model.DEVICE} can not be used: {reason}") from error


class EncoderTrainer(StepTrainer):
    """Trains the toolbox's Baseline on drawn people, everybody a class.

    Args:
        cfg: :func:`get_encoder_cfg`, checked.

    Raises:
        ImportError: the weights of EfficientNet-Lite0 are wanted and not installed.
        OSError: the drawn people can not be written or read.
    """

    def __init__(self, cfg: CN) -> None:
        self.cfg, node = cfg, cfg.PRETRAIN
        self.size = tuple(cfg.INPUT.SIZE_TRAIN)
        torch.manual_seed(cfg.SEED)
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
        # first: what is wrong with it is told before people are drawn
        model = _build_model(cfg).train()
        self.device = torch.device(cfg.MODEL.DEVICE)
        # channels last makes a step of EfficientNet-Lite0 on the CPU a third shorter
        on_cpu = self.device.type == "cpu"
        self.layout = torch.channels_last if on_cpu else torch.contiguous_format
        model.to(memory_format=self.layout)
        workers = node.WORKERS or usable_cores()
        paths = write_people(node.DATA, node.PEOPLE, canvas_of(self.size), cfg.SEED, workers)
        self.files = [read_people([path]) for path in paths]
        super().__init__(
            model,
            torch.optim.Adam(model.parameters(), lr=node.LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY),
            lr=node.LR,
            steps=node.STEPS,
            period=node.CHECKPOINT_PERIOD,
            seed=cfg.SEED,
            folder=cfg.OUTPUT_DIR,
        )

    def train(self) -> str:
        """Train to the end; returns the file of weights."""
        super().train()
        path = os.path.join(self.cfg.OUTPUT_DIR, f"{PACKAGED.stem}.safetensors")
        made_with = {k: self.cfg.PRETRAIN[k] for k in ("PEOPLE", "STEPS", "LR")}
        made_with |= {"SEED": self.cfg.SEED, "BATCH": self.cfg.SOLVER.IMS_PER_BATCH}
        made_with |= {"architecture": architecture(self.cfg)}
        export_weights(self.model, path, leave_out=(CLASSIFIER,), **made_with)
        return path

    def before_train(self) -> None:
        super().before_train()
        cfg, shots = self.cfg, self.cfg.DATALOADER.NUM_INSTANCE
        steps = range(self.start_epoch * self.period, self.max_iter)
        people = cfg.SOLVER.IMS_PER_BATCH // shots
        on_gpu = self.device.type == "cuda"
        # a GPU waits half of its time for fifteen workers that film: there they collect pictures
        batches = PeopleBatches(
            self.files, people, shots, self.size, cfg.SEED, steps, cut=not on_gpu
        )
        self._batches = iter(load_batches(batches, cfg.DATALOADER.NUM_WORKERS, pinned=on_gpu))

    def losses(self) -> dict[str, Tensor]:
        batch = next(self._batches)
        batch = {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}
        if "images" in batch:
            images = batch["images"]
        else:
            images = film(batch["pictures"], batch["box"], self.size)
        targets = batch["targets"]
        images = self.model.preprocess_image(images.float()).contiguous(memory_format=self.layout)
        amp = self.cfg.SOLVER.AMP.ENABLED and self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=amp):
            maps = self.model.backbone(images)
        # the losses stay in float32: distances of a batch are too close for bfloat16
        return self.model.losses(self.model.heads(maps.float(), targets), targets)


def _build_model(cfg: CN) -> torch.nn.Module:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.HEADS.NUM_CLASSES = whole_files(cfg.PRETRAIN.PEOPLE)
    return build_model(cfg)
