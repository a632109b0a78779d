"""Exact scores: inner products in float64, put on a grid, and one integer key that orders them.

Different devices, libraries and block sizes add the D products in different orders, which moves a
float64 sum by about 1e-16. On a grid of 2^-36 = 1.5e-11 those sums are equal again (the products
themselves are exact: float32 x float32 fits float64), and a key made of (grid score, lower index
first) has no ties. So every sort or top-k of keys gives one answer.

Shapes: `N` images, `D` embedding size, `P` pairs, `B` query rows, `m` candidates.
"""

from __future__ import annotations

import numpy as np
import torch

from .backend import kernels

SCORE_BITS = 36
INDEX_BITS = 26  # 67 million images
GRID = float(1 << SCORE_BITS)
_INDEX_MASK = (1 << INDEX_BITS) - 1
# Gathered rows in flight: what a cache holds, what keeps a GPU busy.
_GATHER_BYTES = {"cpu": 1 << 21, "cuda": 1 << 28}


def pair_dots(x: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """<x[left[p]], x[right[p]]> in float64 on the grid.

    Args:
        x: (N, D) float32.
        left, right: (P,) int64 on the device of `x`.

    Returns:
        (P,) float64 on the device of `x`.
    """
    compiled = getattr(kernels(), "pair_dots", None)
    if x.device.type == "cpu" and compiled is not None:
        out = torch.from_numpy(compiled(x.numpy(), left.numpy(), right.numpy()))
    else:
        out = torch.empty(len(left), dtype=torch.float64, device=x.device)
        step = max(1, _GATHER_BYTES.get(x.device.type, 1 << 26) // (16 * x.shape[1]))
        for a in range(0, len(left), step):
            u, v = x[left[a : a + step]].double(), x[right[a : a + step]].double()
            out[a : a + step] = (u * v).sum(dim=1)
    return torch.round(out * GRID) / GRID


def make_keys(scores: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """int64 keys, larger = nearer, from grid scores in [-2, 2] and int64 indices of equal shape."""
    return (torch.round(scores * GRID).long() << INDEX_BITS) | (_INDEX_MASK - index)


def split_keys(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(scores float64, index int64) of `make_keys`."""
    return (keys >> INDEX_BITS).double() / GRID, _INDEX_MASK - (keys & _INDEX_MASK)


LOWEST_KEY = int(np.iinfo(np.int64).min)
