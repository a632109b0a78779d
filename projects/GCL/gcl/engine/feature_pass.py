"""Passes over the training images: the bank's rows, the cameras' statistics and those of views."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from fastreid.evaluation.evaluator import inference_context
from fastreid.utils import comm
from torch import Tensor

from gcl.data.build import TrainingSet
from gcl.modeling.heads import ROWS
from gcl.modeling.layers import untracked

logger = logging.getLogger(__name__)


@torch.no_grad()
def extract_features(model, loader, new_neck: bool = False, heads=None) -> Tensor:
    """Embeddings of the loader's images in evaluation mode, in order, (N, D) on the model's device,
    on every rank.

    With GCL.CAMERA_NORM the head's statistics are measured first, from the same pass.

    Args:
        new_neck: the neck has not seen these images yet: its statistics are measured in any case.
        heads: in the place of the model's, which stay as they are.
    """
    heads = heads or model.heads
    with inference_context(model):
        pooled, camids = pool_features(model, loader)
        if new_neck or heads.camera_norm is not None:
            heads.measure(pooled, camids)
        # over what they are made of, where they are as wide: a million would be there twice
        features, width = pooled, heads.embedding_dim
        if width != pooled.shape[1]:
            features = pooled.new_empty(len(pooled), width)
        for new, rows in zip(features.split(ROWS), pooled.split(ROWS), strict=True):
            new.copy_(heads.embed(rows))
        return features


@torch.no_grad()
def pool_features(model, loader) -> tuple[Tensor, Tensor]:
    """Pooled features (N, C) and cameras (N,) of the loader's images in order, on the model's
    device, on every rank; the model is in evaluation mode."""

    def pool(batch: dict[str, Tensor]) -> Tensor:
        return model.heads.pool(model.backbone(model.preprocess_image(batch)))

    pooled, camids = _gathered(model, loader, pool)
    return pooled, camids


@torch.no_grad()
def fit_view_statistics(model, loader) -> None:
    """Measure the statistics by which GCL.CAMERA_NORM standardises generated views, from those of a
    loader of the joint phase, drawn and seen as in its training steps.

    The first batches alone would have a handful of views of each camera.
    """
    model.heads.generated_norm.fit(*_gathered(model, loader, model.pool_views))


@torch.no_grad()
def fit_source(model, loader, people: int) -> None:
    """Measure the centroids of a labelled source's people and the statistics of its cameras, from
    those of a loader of a few crops of everybody, seen as in training steps.

    Args:
        model: in training mode.
        people: how many there are.
    """

    def pool(batch: dict[str, Tensor]) -> Tensor:
        with untracked(model.backbone):
            return model.heads.pool(model.backbone(model.preprocess_image(batch)))

    pooled, camids, targets = _gathered(model, loader, pool, ("camids", "targets"))
    model.source.fit(model.heads, pooled, targets, camids, people)


def complete_statistics(model, cfg) -> None:
    """Before an evaluation: measure the cameras' statistics from the training images, where
    GCL.CAMERA_NORM wants them and the weights bring none (ImageNet's, the packaged encoder's,
    another tool's). Without them nothing would be standardised, and nobody told."""
    norm = getattr(model.heads, "camera_norm", None)
    if norm is None or norm.count.any():
        return
    if cfg.GCL.FOREIGN_CAMERAS == "own" and not {*cfg.DATASETS.TESTS} & {*cfg.DATASETS.NAMES}:
        return  # nothing is standardised by them
    logger.info("The weights bring no statistics of cameras: measured from the training images.")
    cfg = cfg.clone()
    cfg.defrost()
    cfg.GCL.PHASES = ("contrast",)  # of images alone: no structures are needed
    extract_features(model, TrainingSet(cfg).feature_loader())


def _gathered(
    model,
    loader,
    pool: Callable[[dict[str, Tensor]], Tensor],
    keys: tuple[str, ...] = ("camids",),
) -> list[Tensor]:
    """What ``pool`` makes of each batch (N, C), and the batches' ``keys`` (N,), of all ranks.

    Raises:
        RuntimeError: another rank could not; this one has waited for nothing.
    """
    mine, problem = None, None
    try:
        mine = _filled(loader, lambda batch: [pool(batch), *(batch[key] for key in keys)])
    except Exception as error:  # noqa: BLE001  raised again, once the other ranks know
        problem = error
    gathered = comm.all_gather(mine)
    if problem is not None:
        raise problem
    if lost := [rank for rank, part in enumerate(gathered) if part is None]:
        raise RuntimeError(f"process {lost[0]} could not go through its images; it says why")
    if len(gathered) > 1:
        mine = [torch.cat(parts) for parts in zip(*gathered, strict=True)]
    return [whole.to(model.device) for whole in mine]


def _filled(loader, of_batch: Callable[[dict[str, Tensor]], list[Tensor]]) -> list[Tensor]:
    """What ``of_batch`` makes of each batch (B, ...), one after the other, (N, ...) each, on the
    CPU. It goes at once where it stays: to join a list of it takes twice the memory."""
    wholes, count = [], 0
    for batch in loader:
        parts = of_batch(batch)
        if not wholes:  # of the batches the last alone may be smaller
            rows = len(loader) * len(parts[0])
            wholes = [torch.empty(rows, *part.shape[1:], dtype=part.dtype) for part in parts]
        for whole, part in zip(wholes, parts, strict=True):
            whole[count : count + len(part)] = part
        count += len(parts[0])
    return [whole[:count] for whole in wholes]
