"""How far two pictures are apart to a network that has learnt to see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def perceptual_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """LPIPS without learnt weights (Zhang et al., "The unreasonable effectiveness of deep features
    as a perceptual metric", 2018): feature vectors are normalised at every place, their squared
    distance is averaged over the places of a map and over the maps.

    Args:
        a, b: maps (B, C, h, w) of the pictures in some network, of one size each.

    Returns:
        (B,) in [0, 4], 0 for equal maps.
    """
    distances = []
    for map_a, map_b in zip(a, b, strict=True):
        apart = F.normalize(map_a.float(), dim=1) - F.normalize(map_b.float(), dim=1)
        distances.append(apart.square().sum(1).mean((1, 2)))
    return torch.stack(distances).mean(0)
