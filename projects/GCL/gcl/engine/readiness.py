"""How much identity the generated views carry: the best look into a run while it goes on.

r = 1 - E[L_vi] / E[log(1 + K)], with L_vi of generated views against all K rows of other classes,
under E_id in evaluation mode: 0 when E_id recognises a generated view no better than by a blind
guess among them, 1 when it recognises it without doubt.
"""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from fastreid.data.build import fast_batch_collator
from fastreid.evaluation.evaluator import inference_context
from torch import Tensor

from gcl.losses import own_view_loss

IMAGES = 16
"""That are compared with all rows of the bank at once: a million rows fill 64 MB then."""


class Readiness(NamedTuple):
    """``score`` r in [0, 1]; ``loss`` mean L_vi in nats, ``chance`` = log(1 + K); ``rank1``: share
    of views whose nearest bank row is the own image's, ``rank1_class``: one of its pseudo class."""

    score: float
    loss: float
    chance: float
    rank1: float
    rank1_class: float


@torch.no_grad()
def measure_readiness(
    model, dataset, indices: list[int], temperature: float, batch_size: int = 64
) -> Readiness:
    """Readiness over the images ``indices`` of ``dataset``, each in one turned view, the same every
    time; on this process alone, whatever the others do.

    With GCL.CAMERA_NORM they are standardised by their own statistics, from the same pass.

    Args:
        model: the GCL model; its bank must be filled.
        dataset: :class:`~gcl.data.view_dataset.ViewDataset` with structures.
    """
    bank = model.bank
    pooled, rows, camids = [], [], []
    with inference_context(model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for start in range(0, len(indices), batch_size):
            batch = fast_batch_collator([dataset[i] for i in indices[start : start + batch_size]])
            x = model.preprocess_image(batch)
            s_ori, s_new = (batch[k].to(model.device) for k in ("structure_ori", "structure_new"))
            view = model.resize(model.draw(x, model.part_code(x), s_ori, s_new), x.shape[-2:])
            pooled.append(model.heads.pool(model.backbone(view)))
            rows.append(batch["indices"].to(model.device))
            camids.append(batch["camids"].to(model.device))
        pooled, rows, camids = map(torch.cat, (pooled, rows, camids))
        norm = None
        if model.heads.camera_norm is not None:
            norm = copy.deepcopy(model.heads.camera_norm)
            norm.fit(pooled, camids)
        f_new = model.heads.neck(pooled, camids, norm)
    features = bank.features.float()
    losses, nearest, own_class = map(
        torch.cat,
        zip(
            *(
                _compared(f, features, r, bank.labels, temperature)
                for f, r in zip(f_new.split(IMAGES), rows.split(IMAGES), strict=True)
            ),
            strict=True,
        ),
    )
    own_hits = nearest == rows
    same_class = (bank.labels[nearest] == bank.labels[rows]) & (bank.labels[rows] >= 0)
    loss = losses.mean().item()
    labels = bank.labels[rows]
    negatives = len(bank.labels) - torch.where(labels >= 0, own_class, 1)
    chance = negatives.float().log1p().mean().item()
    # features that are not numbers (E_id has blown up) recognise nobody
    score = min(max(1 - loss / max(chance, 1e-6), 0.0), 1.0) if math.isfinite(loss) else 0.0
    return Readiness(
        score,
        loss,
        chance,
        own_hits.float().mean().item(),
        (own_hits | same_class).float().mean().item(),
    )


def _compared(
    f_new: Tensor, features: Tensor, rows: Tensor, labels: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Of views (B, D) of the images in these rows of the bank: L_vi, the nearest row, and how many
    rows have the image's label, each (B,)."""
    losses = own_view_loss(f_new, features, rows, labels, temperature=temperature)
    nearest = (F.normalize(f_new, dim=1) @ features.T).argmax(1)
    return losses, nearest, (labels[rows][:, None] == labels).sum(1)
