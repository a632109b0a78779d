"""Fitting the network to a user's cameras, without labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def adapt_statistics(network: nn.Module, crops: Tensor, batch_size: int = 64) -> None:
    """Give the batch norm layers the statistics of ``crops`` (Li et al., "Revisiting batch
    normalization for practical domain adaptation", 2016)."""
