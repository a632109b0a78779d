"""Checkpoints: of a run that is resumed, of others to start from, and the track of the last."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from engine import runs
from fastreid.modeling import build_model
from faults.kinds import Kind
from faults.mutations import hostile, mutated, rearranged
from faults.tiny_runs import TINY
from pretraining.test_step_trainer import Fit
from safetensors.torch import save

from gcl.engine import GCLTrainer
from gcl.evaluation.run_comparison import RunError, table
from gcl.evaluation.trained_model import load_generator
from gcl.modeling import packaged_encoder
from gcl.modeling.encoder_weights import architecture
from gcl.modeling.generator_weights import load_generator_weights
from gcl.pretraining.weight_files import export_weights
from gcl.structure.estimate import StructureEstimator
from gcl.structure.estimate.estimator import WEIGHTS as ESTIMATOR


def checkpoint_kinds(folder: str, data: str) -> list[Kind]:
    """In ``folder``, with a toy data set ``data``."""
    trainer = GCLTrainer(runs.config(folder, data, **TINY))
    trainer.checkpointer.save("whole", epoch=0, metric=0.5)
    whole = _taken(folder, "whole.pth")
    fit = Fit(folder)
    fit.train()
    steps = _taken(folder, "last.pth")
    canary = os.path.join(folder, "canary")
    weights = {k: v.contiguous() for k, v in trainer.model.state_dict().items()}
    bare = {k: v for k, v in weights.items() if k.startswith("backbone.")}
    written = io.BytesIO()
    torch.save({"state_dict": bare, "best_mAP": np.float64(0.5), "epoch": 3}, written)

    def pth(name: str, content: bytes, read: Callable[[str], None]) -> Kind:
        return Kind(name, content, read, lambda c, rng: _damaged(c, rng, canary))

    return [
        pth("model_0000.pth", whole, _resumer(trainer)),
        pth("last.pth", steps, _step_resumer(fit)),
        pth("model.pth", whole, _starter(trainer)),
        pth("trained.pth", whole, lambda path: _read_trained(trainer, path)),
        pth("bare.pth", written.getvalue(), _starter(trainer)),
        Kind("last_checkpoint", b"model_0000.pth", _track_reader(trainer, whole)),
        Kind("start.safetensors", save(bare, {"made_with": "{}"}), _starter(trainer)),
        *_exported_kinds(trainer, folder),
        Kind("estimator.safetensors", ESTIMATOR.read_bytes(), _read_estimator),
        Kind("metrics.json", b'{"mAP": 50.5, "iteration": 3}\n' * 3, _read_metrics,
             refusals=(RunError,)),
    ]  # fmt: skip


def _exported_kinds(trainer: GCLTrainer, folder: str) -> list[Kind]:
    """As pre-training writes them."""
    gcl, path = trainer.gcl, Path(folder, "exported")
    views = torch.nn.ModuleDict({"generator": gcl.generator, "discriminator": gcl.discriminator})
    export_weights(views, path, size=(32, 16))
    generator = _taken(folder, "exported")
    cfg = trainer.cfg.clone()
    cfg.defrost()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.HEADS.NAME = "Baseline", "EmbeddingHead"
    cfg.MODEL.HEADS.NUM_CLASSES, cfg.MODEL.LOSSES.NAME = 2, ("CrossEntropyLoss",)
    made_with = {"architecture": architecture(cfg)}
    export_weights(build_model(cfg), path, leave_out=("heads.weight",), **made_with)
    encoder = _taken(folder, "exported")

    def read_generator(path: str) -> None:
        cfg = trainer.cfg.clone()
        cfg.defrost()
        cfg.GCL.GENERATOR.WEIGHTS = path
        load_generator_weights(gcl.generator, gcl.discriminator, cfg)

    def read_encoder(path: str) -> None:
        features = packaged_encoder(path)(torch.zeros(1, 3, 32, 16))
        assert features.shape[0] == 1

    return [
        Kind("generator.safetensors", generator, read_generator),
        Kind("encoder.safetensors", encoder, read_encoder),
    ]


def _taken(folder: str, name: str) -> bytes:
    path = Path(folder, name)
    content = path.read_bytes()
    path.unlink()
    for track in Path(folder).glob("last_checkpoint"):
        track.unlink()
    return content


def _damaged(content: bytes, rng: np.random.Generator, canary: str) -> bytes:
    chance = rng.random()
    if chance < 0.5:
        return mutated(content, rng)
    value = torch.load(io.BytesIO(content), weights_only=False)
    if chance < 0.9:
        value = rearranged(value, rng)
    else:
        codes = hostile(canary)
        value["epoch"] = codes[sorted(codes)[rng.integers(len(codes))]]
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _resumer(trainer: GCLTrainer) -> Callable[[str], None]:
    def read(path: str) -> None:
        Path(path).with_name("last_checkpoint").write_text(os.path.basename(path))
        try:
            trainer.resume_or_load(resume=True)
        finally:
            Path(path).with_name("last_checkpoint").unlink()
        assert isinstance(trainer.start_epoch, int) and trainer.start_epoch >= 0
        assert trainer.gcl.bank.features.shape == (32, 16)

    return read


def _step_resumer(fit: Fit) -> Callable[[str], None]:
    def read(path: str) -> None:
        Path(path).with_name("last_checkpoint").write_text(os.path.basename(path))
        try:
            fit.resume()
        finally:
            Path(path).with_name("last_checkpoint").unlink()
        assert fit.start_epoch == 2

    return read


def _starter(trainer: GCLTrainer) -> Callable[[str], None]:
    shapes = {name: value.shape for name, value in trainer.model.state_dict().items()}

    def read(path: str) -> None:
        trainer.checkpointer.load(path, checkpointables=[])
        assert {n: v.shape for n, v in trainer.model.state_dict().items()} == shapes

    return read


def _track_reader(trainer: GCLTrainer, whole: bytes) -> Callable[[str], None]:
    def read(path: str) -> None:
        checkpoint = Path(path).with_name("model_0000.pth")
        checkpoint.write_bytes(whole)
        try:
            trainer.resume_or_load(resume=True)
        finally:
            checkpoint.unlink()
        assert trainer.start_epoch == 1

    return read


def _read_trained(trainer: GCLTrainer, path: str) -> None:
    load_generator(trainer.cfg, path)


def _read_metrics(path: str) -> None:
    assert "mAP" in table({"a run": [os.path.dirname(path)]})


def _read_estimator(path: str) -> None:
    StructureEstimator.from_pretrained(path)
