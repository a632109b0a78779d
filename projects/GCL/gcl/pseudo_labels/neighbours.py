"""The k nearest neighbours of every image by cosine similarity: exact, on any device.

A fast, coarse search (float32, or bfloat16 where the hardware has it) proposes m > k candidates a
row; float64 scores decide among them; and a bound on the coarse error proves, row by row, that no
candidate was missed. Rows without the proof (duplicates, near-ties) are searched again in a finer arithmetic, so the
answer is the float64 one whatever proposed the candidates.

Shapes: `N` images, `D` embedding size, `k` neighbours, `B` query rows, `m` candidates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from .features import unit_rows
from .scores import LOWEST_KEY, make_keys, pair_dots, split_keys
from .sharding import Ranks, even_bounds

METHODS = ("auto", "torch", "faiss")
QUERY_ROWS = 1024
DATABASE_ROWS = 16384
# Candidates beyond k: float32 misorders only near-ties, bfloat16 needs room for its coarse steps.
SPARE_FLOAT32 = 4
SPARE_BFLOAT16 = 34


class Neighbours(NamedTuple):
    """index (N, k) int32, the image itself first, then by descending similarity, ties to the lower
    index; similarity (N, k) float64 = <x_i, x_j> of the unit rows on a grid of 2^-36."""

    index: np.ndarray
    similarity: np.ndarray


def nearest_neighbours(
    features: torch.Tensor | np.ndarray, k: int, *, method: str = "auto"
) -> Neighbours:
    """Find the `k` nearest images of every image, itself included.

    Args:
        features: (N, D), any real dtype, any device; rows are scaled to unit length.
        k: neighbours per image, the image itself counted; min(k, N) are returned.
        method: "torch" (blocked matrix product on the features' device), "faiss" (flat index),
            "auto".

    Returns:
        `Neighbours` of all N rows, the same on every rank.

    Raises:
        ValueError: k < 1, an unknown method, or NaN/Inf in the features.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}.")
    if method not in METHODS:
        raise ValueError(f"knn must be one of {', '.join(METHODS)}; got {method!r}.")
    x = unit_rows(features)
    n = len(x)
    k = min(k, n)
    ranks = Ranks()
    a, b = ranks.range_of(even_bounds(n, ranks.world))
    low = x.bfloat16() if x.device.type == "cuda" else x
    index = np.empty((b - a, k), np.int32)
    similarity = np.empty((b - a, k), np.float64)
    for i in range(a, b, QUERY_ROWS):
        rows = torch.arange(i, min(b, i + QUERY_ROWS), device=x.device)
        j, s = _search(x, low, rows, k)
        index[i - a : i - a + len(rows)] = j.cpu().numpy()
        similarity[i - a : i - a + len(rows)] = s.cpu().numpy()
    return Neighbours(ranks.gather(index), ranks.gather(similarity))


def _search(
    x: torch.Tensor, low: torch.Tensor, rows: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Exact (index, similarity) (B, k) of the query `rows`."""
    spare = SPARE_FLOAT32 if low.dtype == torch.float32 else SPARE_BFLOAT16
    m = min(len(x), k + spare)
    coarse, candidates = _candidates(low, rows, m)
    index, similarity, proven = _rescore(x, low, rows, coarse, candidates, k)
    again = (~proven).nonzero()[:, 0]
    if len(again):
        index[again], similarity[again] = _exact(x, rows[again], k)
    return index, similarity


def _candidates(low: torch.Tensor, rows: torch.Tensor, m: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The m best columns of each row by the coarse product: (scores, index) (B, m)."""
    query = low[rows]
    best = index = None
    for c in range(0, len(low), DATABASE_ROWS):
        scores = query @ low[c : c + DATABASE_ROWS].T
        s, j = scores.topk(min(m, scores.shape[1]), dim=1)
        j += c
        if best is not None:
            s, j = torch.cat([best, s], 1), torch.cat([index, j], 1)
            s, at = s.topk(min(m, s.shape[1]), dim=1)
            j = j.gather(1, at)
        best, index = s, j
    return best, index


def _rescore(
    x: torch.Tensor,
    low: torch.Tensor,
    rows: torch.Tensor,
    coarse: torch.Tensor,
    candidates: torch.Tensor,
    k: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Order the candidates by float64 score: (index, similarity) (B, k) and proven (B,) bool."""
    size, m = candidates.shape
    exact = pair_dots(x, rows.repeat_interleave(m), candidates.reshape(-1)).view(size, m)
    index, similarity = _take(x, rows, make_keys(exact, candidates), candidates, k)
    if m == len(x):
        return index, similarity, torch.ones(size, dtype=torch.bool, device=x.device)
    # A column that was not proposed scored at most coarse[:, -1], so its exact score is at most
    # that plus the error bound; strictly below the k-th it can not belong to the list.
    # Without room for k - 1 others beside the image itself nothing is proven.
    limit = coarse.amin(dim=1).double() + _coarse_error(low)
    return index, similarity, similarity[:, -1] > limit


def _take(
    x: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor, index: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The image itself, then the k - 1 largest keys: (index, similarity) (B, k)."""
    keys = keys.masked_fill(index == rows[:, None], LOWEST_KEY)
    similarity, index = split_keys(keys.topk(k - 1, dim=1).values)
    own = pair_dots(x, rows, rows)
    return torch.cat([rows[:, None], index], 1), torch.cat([own[:, None], similarity], 1)


def _exact(x: torch.Tensor, rows: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(index, similarity) (B, k) by float64 products with every image."""
    query = x[rows].double()
    best = None
    for c in range(0, len(x), DATABASE_ROWS):
        block = x[c : c + DATABASE_ROWS].double()
        index = torch.arange(c, c + len(block), device=x.device).expand(len(rows), -1)
        keys = make_keys(query @ block.T, index)
        keys = keys.masked_fill(index == rows[:, None], LOWEST_KEY)
        keys = keys.topk(min(k, keys.shape[1]), dim=1).values
        best = keys if best is None else torch.cat([best, keys], 1)
        best = best.topk(min(k, best.shape[1]), dim=1).values
    similarity, index = split_keys(best[:, : k - 1])
    own = pair_dots(x, rows, rows)
    return torch.cat([rows[:, None], index], 1), torch.cat([own[:, None], similarity], 1)


def _coarse_error(low: torch.Tensor) -> float:
    """Bound on |coarse - exact| of two unit rows.

    float32: D products and sums, each off by 2^-24 of a total that Cauchy-Schwarz holds at 1.
    bfloat16: both inputs and the result are off by 2^-9 (round to nearest, 8 bits of mantissa).
    """
    d = low.shape[1]
    sums = (d + 2) * 2.0**-24
    if low.dtype == torch.float32 and torch.get_float32_matmul_precision() == "highest":
        return sums
    return 3.1 * 2.0**-9 + sums
