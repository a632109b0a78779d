"""One pass over the training images in evaluation mode: the bank's rows and the cameras'
statistics."""

from __future__ import annotations

import torch
from fastreid.evaluation.evaluator import inference_context
from fastreid.utils import comm
from torch import Tensor


@torch.no_grad()
def extract_features(model, loader) -> Tensor:
    """Embeddings of the loader's images in order, (N, D) on the model's device, on every rank.

    With GCL.CAMERA_NORM the head's statistics are measured first, from the same pass.
    """
    with inference_context(model):
        pooled, camids = pool_features(model, loader)
        model.heads.measure(pooled, camids)
        return torch.cat(
            [
                model.heads.neck(p, c)
                for p, c in zip(pooled.split(1024), camids.split(1024), strict=True)
            ]
        )


@torch.no_grad()
def pool_features(model, loader) -> tuple[Tensor, Tensor]:
    """Pooled features (N, C) and cameras (N,) of the loader's images in order, on the model's
    device, on every rank; the model is in evaluation mode."""
    pooled, camids = [], []
    for batch in loader:
        pooled.append(model.heads.pool(model.backbone(model.preprocess_image(batch))).cpu())
        camids.append(batch["camids"].cpu())
    gathered = comm.all_gather((torch.cat(pooled), torch.cat(camids)))
    pooled = torch.cat([part[0] for part in gathered]).to(model.device)
    camids = torch.cat([part[1] for part in gathered]).to(model.device)
    return pooled, camids
