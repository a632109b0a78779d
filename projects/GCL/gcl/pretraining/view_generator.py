"""Training of a view generator on drawn people, of whom there is a true picture of every view.

Shapes: B batch, H x W crop, h x w view.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from fastreid.config import CfgNode as CN
from fastreid.config import get_cfg
from fastreid.modeling import build_model
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from torch import Tensor, nn

from gcl.config import add_gcl_config, generator_size
from gcl.cores import usable_cores
from gcl.losses import perceptual_distance, reconstruction_loss
from gcl.modeling.generator_weights import PACKAGED
from gcl.modeling.imagenet import ImageNet
from gcl.structure.estimate.augment import photometric
from gcl.synthetic.turns import Turns, read_turns, write_turns

from .step_trainer import StepTrainer
from .weight_files import export_weights

STAGES = (0, 1, 2)
"""Of EfficientNet-Lite0 in the perceptual loss, strides 2, 4 and 8: edges, colours, textures."""


class Batch(NamedTuple):
    """Crops x and the same people turned, (B, 3, H, W) of 0-255, each with its structure,
    (B, 1, h, w) in [0, 1]."""

    x: Tensor
    s_ori: Tensor
    x_new: Tensor
    s_new: Tensor


def get_pretraining_cfg() -> CN:
    """Every key of tools/pretrain_generator.py: those of GCL, and PRETRAIN.

    Of the former count MODEL (the encoder, where the generator needs one, as MODEL.BACKBONE builds
    it, without MODEL.WEIGHTS; the losses AdversarialLoss and R1Penalty, beside the
    ReconstructionLoss that there always is, with weight 1), INPUT.SIZE_TRAIN, GCL.GENERATOR but for
    its EPOCHS and BASE_LR, GCL.DISCRIMINATOR, SEED and OUTPUT_DIR.
    """
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.SEED = 0
    cfg.MODEL.LOSSES.NAME = ("ReconstructionLoss",)
    cfg.PRETRAIN = CN()
    # Where the drawn people are kept; a folder can serve several trainings.
    cfg.PRETRAIN.DATA = "logs/generator/turns"
    # How many, each before a camera of their own, in 4 views. About 170 pictures a second and core.
    cfg.PRETRAIN.PEOPLE = 4000
    # Processes that draw them; 0: one a core.
    cfg.PRETRAIN.WORKERS = 0
    cfg.PRETRAIN.STEPS = 3000
    # Highest rate of Adam; rises over the first tenth of the steps and falls to 0 (one cycle, which
    # also leads the first of GCL.GENERATOR.BETAS).
    cfg.PRETRAIN.LR = 5e-4
    # Share of the batch that is drawn as it is, without a turn.
    cfg.PRETRAIN.OWN = 0.2
    # Weight of the perceptual distance to the true view, beside |x_new - x'_new|_1.
    cfg.PRETRAIN.PERCEPTUAL = 1.5
    # Steps between checkpoints: what a kill costs at most. Divides STEPS.
    cfg.PRETRAIN.CHECKPOINT_PERIOD = 200
    return cfg


class GeneratorTrainer(StepTrainer):
    """Trains E_str and G to draw the true view and, on request, D to tell it from theirs.

    Args:
        cfg: :func:`get_pretraining_cfg`.

    Raises:
        ConfigError: as ``load_generator_weights`` and ``freeze_layers`` do.
        ImportError: the weights of EfficientNet-Lite0 are not installed.
        OSError: the drawn people can not be written or read.
    """

    def __init__(self, cfg: CN) -> None:
        self.cfg, node = cfg, cfg.PRETRAIN
        self.size = generator_size(cfg)
        torch.manual_seed(cfg.SEED)
        self.gcl = _build_model(cfg)  # first: what is wrong with it is told before people are drawn
        self.gcl.set_phase("generator")
        self.gcl.train()
        self.imagenet = ImageNet(STAGES, self.gcl.device)
        workers = node.WORKERS or usable_cores()
        files = write_turns(node.DATA, node.PEOPLE, tuple(cfg.INPUT.SIZE_TRAIN), cfg.SEED, workers)
        self.turns = Turns(*map(torch.from_numpy, read_turns(files)))
        model = nn.ModuleDict({"generator": self.gcl.generator})
        if "AdversarialLoss" in cfg.MODEL.LOSSES.NAME:
            model["discriminator"] = self.gcl.discriminator
        optimizer = torch.optim.Adam(
            model.parameters(),
            lr=node.LR,
            betas=tuple(map(float, cfg.GCL.GENERATOR.BETAS)),
            weight_decay=cfg.GCL.GENERATOR.WEIGHT_DECAY,
        )
        super().__init__(
            model,
            optimizer,
            lr=node.LR,
            steps=node.STEPS,
            period=node.CHECKPOINT_PERIOD,
            seed=cfg.SEED,
            folder=cfg.OUTPUT_DIR,
        )

    def train(self) -> str:
        """Train to the end; returns the file of weights."""
        super().train()
        path = os.path.join(self.cfg.OUTPUT_DIR, PACKAGED.name)
        keys = ("PEOPLE", "STEPS", "LR", "OWN", "PERCEPTUAL")
        made_with = {k: self.cfg.PRETRAIN[k] for k in keys}
        made_with |= {"SEED": self.cfg.SEED, "BATCH": self.cfg.GCL.GENERATOR.IMS_PER_BATCH}
        export_weights(self.model, path, size=self.size, **made_with)
        return path

    def before_epoch(self) -> None:
        super().before_epoch()
        self.gcl.set_phase("generator")  # R1.EVERY counts anew: checkpoints do not hold the count

    def losses(self) -> dict[str, Tensor]:
        gcl, batch = self.gcl, self._batch()
        x = gcl.preprocess_image({"images": batch.x})
        s_ori, s_new = (s.to(gcl.device) for s in (batch.s_ori, batch.s_new))
        view = gcl.draw(x, gcl.part_code(x, track=True), s_ori, s_new)
        true = gcl.resize(gcl.preprocess_image({"images": batch.x_new}), self.size)
        seen, there = (
            self.imagenet.maps(gcl.resize(images, x.shape[-2:]) * gcl.pixel_std + gcl.pixel_mean)
            for images in (view, true)
        )
        perceptual = self.cfg.PRETRAIN.PERCEPTUAL * perceptual_distance(seen, there).mean()
        return {
            "loss_image": reconstruction_loss(true, view),
            "loss_perceptual": perceptual,
            **gcl.adversarial_losses(true, view),
        }

    def _batch(self) -> Batch:
        """Pairs of pictures of a person, before a camera of chance: one for both, so that only the
        turn is between them."""
        count = self.cfg.GCL.GENERATOR.IMS_PER_BATCH
        people, views = self.turns.crops.shape[:2]
        rows, first = torch.randint(people, (count,)), torch.randint(views, (count,))
        second = (first + torch.randint(1, views, (count,))) % views
        second = torch.where(torch.rand(count) < self.cfg.PRETRAIN.OWN, first, second)
        flipped = torch.rand(count) < 0.5

        def side_by_side(pictures: Tensor) -> Tensor:
            """(N, V, H, W, C) -> (B, C, H, 2 W)."""
            both = torch.cat((pictures[rows, first], pictures[rows, second]), 2)
            both = both.permute(0, 3, 1, 2).float()
            halves = [half.flip(3) for half in both.chunk(2, 3)]
            return torch.where(flipped[:, None, None, None], torch.cat(halves, 3), both)

        x, x_new = photometric(side_by_side(self.turns.crops)).chunk(2, 3)
        structures = side_by_side(self.turns.structures[..., None]) / 255
        s_ori, s_new = (self.gcl.resize(s, self.size) for s in structures.chunk(2, 3))
        return Batch(x, s_ori, x_new, s_new)


def _build_model(cfg: CN) -> nn.Module:
    """GCL; without weights that would be fetched for an encoder that nobody asks."""
    cfg = cfg.clone()
    cfg.defrost()
    if not REID_HEADS_REGISTRY.get(cfg.GCL.GENERATOR.NAME).uses_code:
        cfg.MODEL.BACKBONE.PRETRAIN = False
    return build_model(cfg)
