"""A run that has diverged stops, with a sentence that says when and what to lower."""

from __future__ import annotations

import torch
from fastreid.data.build import fast_batch_collator
from fastreid.engine.train_loop import HookBase
from fastreid.evaluation.evaluator import inference_context
from torch import Tensor

NUM_IMAGES = 64
"""Training images whose features are looked at after each epoch."""


class DivergedError(RuntimeError):
    """Training has blown up: losses or features are no usable numbers any more."""


def diverged(trainer, what: str, epoch: int | None = None) -> DivergedError:
    """The error to raise; ``what`` went wrong in the run's epoch number ``epoch`` (None: in this
    one)."""
    cfg = trainer.cfg
    epoch = trainer.epoch if epoch is None else epoch
    phase = trainer.plan.place(epoch).phase
    keys = {"contrast": ["GCL.CONTRAST.BASE_LR"], "joint": ["SOLVER.BASE_LR"]}.get(phase, [])
    if phase == "generator" or (phase == "joint" and cfg.GCL.JOINT.LEARNS != "encoder"):
        keys.append("GCL.GENERATOR.BASE_LR")
    rates = {
        "GCL.CONTRAST.BASE_LR": cfg.GCL.CONTRAST.BASE_LR,
        "SOLVER.BASE_LR": cfg.SOLVER.BASE_LR,
        "GCL.GENERATOR.BASE_LR": cfg.GCL.GENERATOR.BASE_LR,
    }
    remedy = "lower " + " and ".join(f"{key} ({rates[key]:g})" for key in keys)
    if cfg.SOLVER.AMP.ENABLED:
        remedy += ", or set SOLVER.AMP.ENABLED False"
    return DivergedError(f"Training diverged in epoch {epoch} (phase {phase}): {what}; {remedy}.")


def unusable(features: Tensor) -> str | None:
    """What is wrong with features (N, D) of an encoder that has blown up or died; None: nothing.

    A feature whose length is beyond float32 normalises to 0, so that no loss shows it.
    """
    lengths = features.float().norm(dim=1)
    lost = int((~lengths.isfinite()).sum())
    if lost:
        return f"{lost} of {len(features)} features are not finite"
    if len(features) and not lengths.any():
        return f"all {len(features)} features are zero"
    if len(features) > 1 and (features == features[0]).all():
        return f"all {len(features)} features are the same"
    return None


def check_start(trainer, features: Tensor) -> Tensor:
    """Features (N, D) of all training images at the start of an epoch, as they are.

    Raises:
        DivergedError: they are unusable; it names the epoch that taught E_id last.
    """
    problem = unusable(features)
    if problem is None:
        return features
    taught = [e for e in range(trainer.epoch) if trainer.plan.place(e).phase != "generator"]
    if not taught:
        raise DivergedError(
            f"Before any training {problem}: E_id starts from damaged weights (MODEL.WEIGHTS,"
            " MODEL.BACKBONE.PRETRAIN_PATH), give others."
        )
    raise diverged(trainer, problem, taught[-1])


class DivergenceHook(HookBase):
    """Stops after an epoch in which E_id learnt and its features became useless.

    After the hook that shares statistics among ranks; before readiness, evaluation and checkpoints,
    so that the last checkpoint is one from before. In training a batch is normalised by its own
    statistics and losses stay harmless while evaluation, by running ones, has long blown up: the
    features are those of evaluation.
    """

    def after_epoch(self) -> None:
        trainer = self.trainer
        if trainer.plan.place(trainer.epoch).phase == "generator":
            return
        model, dataset = trainer.gcl, trainer.train_set.feature_loader().dataset
        step = -(-len(dataset) // NUM_IMAGES)
        with torch.no_grad(), inference_context(model), torch.random.fork_rng(devices=[]):
            batch = fast_batch_collator([dataset[i] for i in range(0, len(dataset), step)])
            problem = unusable(model(batch))
        if problem:
            raise diverged(trainer, problem)
