"""k-reciprocal Jaccard distance (Zhong et al., "Re-ranking Person Re-identification with
k-reciprocal Encoding", CVPR 2017), sparse from the first step to the last.

1. Reciprocal sets (eq. 2): R(i, k) = {j in N(i, k) : i in N(j, k)}.
2. Expansion (eq. 3-4): R*(i) = R(i, k1) with every R(j, k1/2), j in R(i, k1), more than two thirds
   of which lies in R(i, k1).
3. Weights (eq. 7): V[i, j] = exp(-d(i, j)) for j in R*(i), scaled to sum 1; d = 2 - 2 <x_i, x_j>.
4. Local query expansion (eq. 11): V[i] = mean of V[j] over the k2 nearest j of i.
5. Jaccard distance (eq. 10): 1 - sum_g min(V[i, g], V[j, g]) / sum_g max(V[i, g], V[j, g]). As
   rows sum to 1, the sum of the maxima is 2 minus the sum of the minima; pairs whose rows share no
   entry have distance exactly 1 and are not listed.

Shapes: `N` images, `n` rows of this rank, `P` listed pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .backend import kernels
from .eps import Limit
from .neighbours import Neighbours
from .ranks import Ranks, even_bounds, join, map_rows, work_bounds
from .scores import pair_dots

STEP = 1024  # rows a task: small enough to bound the buffers, large enough to hide the call


@dataclass(frozen=True)
class SparseDistance:
    """Upper triangle of a symmetric (N, N) distance: pairs (i, j), i < j, that are not listed have
    distance exactly 1 (with a `Limit`, at least its value); listed ones may be 0.

    indptr (n + 1,) int64, indices (P,) int32 and data (P,) float32 hold rows first_row, ...,
    first_row + n - 1 (all N rows in a single process). Indices of a row are not sorted.
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    num_points: int
    first_row: int = 0

    def rows(self, pairs: np.ndarray) -> np.ndarray:
        """The row of each of the listed pairs at positions `pairs`: int32, same shape."""
        rows = np.searchsorted(self.indptr, pairs, side="right") - 1 + self.first_row
        return rows.astype(np.int32)


def jaccard_distance(
    x: torch.Tensor,
    neighbours: Neighbours,
    k1: int = 30,
    k2: int = 6,
    *,
    published_weights: bool = False,
    limit: Limit | None = None,
) -> SparseDistance:
    """Jaccard distance of all pairs that share a neighbour; this rank's rows of it.

    Args:
        x: (N, D) float32 rows of unit length (`unit_rows`).
        neighbours: of `nearest_neighbours(x, k1)`.
        k1: size of the neighbour lists, the image itself counted, as in the published unsupervised
            re-ID code (the CVPR 2017 code takes k1 + 1 columns). Lists end at N where N < k1.
        k2: rows averaged in step 4; 1 skips it.
        published_weights: step 3 by the two float32 torch operations of the published code, row by
            row, instead of float64. Slower; for bit-for-bit comparisons only.
        limit: leaves out pairs that the labels can not depend on, which saves memory; None lists
            all.
    """
    rank = neighbours.index
    n = len(rank)
    columns = min(k1, rank.shape[1])
    half_columns = min(int(np.around(k1 / 2)) + 1, rank.shape[1])
    k2 = min(k2, rank.shape[1])
    run = kernels()
    ranks = Ranks()
    threads = torch.get_num_threads()
    a, b = ranks.range_of(even_bounds(n, ranks.world))

    half = run.reciprocal(rank, half_columns, 0, n)
    indices, counts = join(
        map_rows(lambda i, j: run.expand(rank, columns, half, i, j), a, b, threads, STEP),
        (np.int32, np.int64),
    )
    if published_weights:
        data = _published_weights(x, _pointers(counts), indices, a)
    else:
        data = _weights(x, neighbours, _pointers(counts), indices, a, b)
    indptr, indices, data = _gather(ranks, counts, indices, data)
    if k2 > 1:
        indices, data, counts = join(
            map_rows(
                lambda i, j: run.mean_rows(rank, k2, indptr, indices, data, i, j),
                a,
                b,
                threads,
                STEP,
            ),
            (np.int32, np.float32, np.int64),
        )
        indptr, indices, data = _gather(ranks, counts, indices, data)

    colptr, rows, values = run.columns(indptr, indices, data)
    starts, work = run.upper_starts(indptr, indices, colptr)
    a, b = ranks.range_of(work_bounds(work, ranks.world))

    def distances(i: int, j: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        below = np.float32(2) if limit is None else limit.value
        part = run.jaccard_rows(indptr, indices, data, starts, colptr, rows, values, below, i, j)
        if limit is not None:
            limit.add(part[1])
        return part

    pair_indices, pair_data, counts = join(
        map_rows(distances, a, b, threads, STEP), (np.int32, np.float32, np.int64)
    )
    return SparseDistance(_pointers(counts), pair_indices, pair_data, n, a)


def _pointers(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _gather(
    ranks: Ranks, counts: np.ndarray, indices: np.ndarray, data: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _pointers(ranks.gather(counts)), ranks.gather(indices), ranks.gather(data)


def _weights(
    x: torch.Tensor, neighbours: Neighbours, indptr: np.ndarray, indices: np.ndarray, a: int, b: int
) -> np.ndarray:
    """Step 3 for rows a..b in float64, rounded to float32; the search knows most products."""
    run = kernels()
    dots = run.known_dots(neighbours.index, neighbours.similarity, indptr, indices, a, b)
    missing = np.flatnonzero(np.isnan(dots))
    if len(missing):
        left = np.searchsorted(indptr, missing, side="right") - 1 + a
        right = indices[missing].astype(np.int64)
        pair = [torch.from_numpy(v).to(x.device) for v in (left, right)]
        dots[missing] = pair_dots(x, *pair).cpu().numpy()
    return run.softmax_rows(indptr, dots)


def _published_weights(
    x: torch.Tensor, indptr: np.ndarray, indices: np.ndarray, a: int
) -> np.ndarray:
    """Step 3 as published: softmax(-(2 - 2 x_i X^T)) in float32, one row at a time."""
    x = x.cpu()
    data = np.empty(len(indices), np.float32)
    members = torch.from_numpy(indices.astype(np.int64))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a row is too small to share, and the sum must not depend on sharing
    try:
        for r in range(len(indptr) - 1):
            p, q = int(indptr[r]), int(indptr[r + 1])
            d = 2 - 2 * torch.mm(x[a + r : a + r + 1], x[members[p:q]].t())
            data[p:q] = torch.softmax(-d, dim=1).view(-1).numpy()
    finally:
        torch.set_num_threads(threads)
    return data
