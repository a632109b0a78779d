"""Whom do views show? Search for a person by a turned view, and what a blind guess would find.

Shapes: `T` pairs, `M` targets, `D` features.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .view_pairs import ViewPairs


def ranks(queries: Tensor, targets: Tensor, pairs: ViewPairs) -> Tensor:
    """Rank of the match of each pair among the people seen in its camera at its orientation.

    The gallery of a query has one picture a person: its match, and everybody else's first. Others
    that are as near as the match rank before it.

    Args:
        queries: (T, D) of the turned crops, L2-normalised.
        targets: (M, D), L2-normalised.

    Returns:
        (T,) from 1; NaN where there is no match.
    """
    found = torch.full((len(queries),), float("nan"))
    person, match = torch.from_numpy(pairs.person), torch.from_numpy(pairs.match)
    truth = torch.from_numpy(pairs.truth)
    for rows, gallery in pairs.galleries():
        rows, gallery = torch.from_numpy(rows), torch.from_numpy(gallery)
        rows = rows[match[rows] >= 0]
        query = queries[rows]
        own = (query * targets[match[rows]]).sum(1, keepdim=True)
        others = person[gallery] != person[truth[rows], None]
        # equal features must tie, whichever way their products are summed
        nearer = (query @ targets[gallery].T).cpu() >= own.cpu() - 1e-6
        found[rows] = 1.0 + (nearer & others).sum(1)
    return found


def gallery_sizes(pairs: ViewPairs) -> Tensor:
    """(T,) people among whom each pair's match is searched; NaN where there is none."""
    sizes = np.full(len(pairs.crop), np.nan)
    for rows, gallery in pairs.galleries():
        sizes[rows] = len(gallery)
    sizes[pairs.match < 0] = np.nan
    return torch.from_numpy(sizes)


def blind_rank1(sizes: Tensor) -> Tensor:
    """1 / n: how often the first of n people in any order is the one."""
    return 1 / sizes


def blind_precision(sizes: Tensor) -> Tensor:
    """(1 + 1/2 + ... + 1/n) / n: the mean reciprocal rank of one of n people in any order."""
    sizes, known = sizes.double(), ~sizes.isnan()
    top = int(sizes[known].max()) if known.any() else 0
    harmonic = torch.cat((torch.zeros(1), 1 / torch.arange(1, top + 1))).double().cumsum(0)
    out = torch.full_like(sizes, float("nan"))
    out[known] = harmonic[sizes[known].long()] / sizes[known]
    return out
