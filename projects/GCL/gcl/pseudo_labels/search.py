"""Exact search of a block of rows: candidates by a coarse product, decision in float64, proof.

A search is a function of (a, b, index, similarity): it fills the neighbour lists (b - a, k) of rows
a..b. Three make candidates in different ways; all give the same lists.

Shapes: `N` images, `D` embedding size, `k` neighbours, `B` = b - a query rows, `m` candidates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from .backend import kernels
from .scores import LOWEST_KEY, make_keys, pair_dots, split_keys
from .sharding import map_rows

Search = Callable[[int, int, np.ndarray, np.ndarray], None]

DATABASE_ROWS = 4096  # 512 x 4096 scores stay in the cache between product and selection
TORCH_DATABASE_ROWS = 65536
# Candidates beyond k: float32 misorders only near-ties, bfloat16 needs room for its coarse steps.
SPARE = {torch.float32: 4, torch.bfloat16: 34}
LIST = 512  # a compiled row's candidates; what is proven has 40 to 150 in bfloat16


def coarse_error(low: torch.Tensor) -> float:
    """Bound on |coarse - exact| of the inner product of two unit rows of `low` (N, D).

    float32: D products and sums, each off by 2^-24 of a total that Cauchy-Schwarz holds at 1.
    bfloat16: both inputs and the result are off by 2^-9 (round to nearest, 8 bits of mantissa); the
    same holds for float32 matrices that torch is allowed to multiply in a shorter format.
    """
    sums = (low.shape[1] + 2) * 2.0**-24
    if low.dtype == torch.float32 and torch.get_float32_matmul_precision() == "highest":
        return sums
    return 3.1 * 2.0**-9 + sums


def compiled_search(x: torch.Tensor, low: torch.Tensor, k: int) -> Search | None:
    """Product by torch, selection and decision by numba; None where that can not run."""
    run = kernels()
    if x.device.type != "cpu" or not run.COMPILED:
        return None
    from . import kernels_search

    threads = torch.get_num_threads()
    margin = np.float32(2 * coarse_error(low))
    capacity = max(LIST, 4 * k)
    dtype, lowest = (np.float32, -np.inf) if low.dtype == torch.float32 else (np.int16, -32768)
    x_rows, table = x.numpy(), kernels_search.BFLOAT16_VALUES

    def search(a: int, b: int, index: np.ndarray, similarity: np.ndarray) -> None:
        size = b - a
        rows = np.arange(a, b)
        order, columns = np.empty((size, capacity), dtype), np.empty((size, capacity), np.int32)
        count, bars = np.zeros(size, np.int64), np.full(size, lowest, dtype)
        share = -(-size // threads)
        for c in range(0, len(low), DATABASE_ROWS):
            scores = low[a:b] @ low[c : c + DATABASE_ROWS].T
            scores = (scores if dtype == np.float32 else scores.view(torch.int16)).numpy()
            select = functools.partial(
                kernels_search.select, scores, c, k, margin, table, order, columns, count, bars
            )
            map_rows(select, 0, size, threads, share)
        decide = functools.partial(
            kernels_search.decide, x_rows, rows, k, margin, table, order, columns, count
        )
        map_rows(functools.partial(decide, index, similarity), 0, size, threads, share)
        again = np.flatnonzero(count < 0)
        if len(again):
            index[again], similarity[again] = _numpy(_float64(x, torch.from_numpy(rows[again]), k))

    return search


def torch_search(x: torch.Tensor, low: torch.Tensor, k: int) -> Search:
    """Product and running top-m by torch on the device of `x`."""
    m = min(len(x), k + SPARE[low.dtype])

    def candidates(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        query = low[rows]
        best = index = None
        for c in range(0, len(low), TORCH_DATABASE_ROWS):
            scores = query @ low[c : c + TORCH_DATABASE_ROWS].T
            s, j = scores.topk(min(m, scores.shape[1]), dim=1)
            j += c
            if best is not None:
                s, j = torch.cat([best, s], 1), torch.cat([index, j], 1)
                s, at = s.topk(min(m, s.shape[1]), dim=1)
                j = j.gather(1, at)
            best, index = s, j
        return best, index

    return _decided(x, k, candidates, coarse_error(low))


def faiss_search(x: torch.Tensor, k: int) -> Search:
    """Candidates from a flat inner-product index of faiss."""
    import faiss

    flat = faiss.IndexFlatIP(x.shape[1])
    if x.device.type == "cuda" and hasattr(faiss, "StandardGpuResources"):
        flat = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), x.device.index or 0, flat)
    flat.add(x.cpu().numpy())
    m = min(len(x), k + SPARE[torch.float32])

    def candidates(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores, index = flat.search(x[rows].cpu().numpy(), m)
        return torch.from_numpy(scores).to(x.device), torch.from_numpy(index).to(x.device)

    return _decided(x, k, candidates, (x.shape[1] + 2) * 2.0**-24)


def _decided(
    x: torch.Tensor,
    k: int,
    candidates: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    error: float,
) -> Search:
    """A search from (scores, index) (B, m) of the m best candidates of each row."""

    def search(a: int, b: int, out_index: np.ndarray, out_similarity: np.ndarray) -> None:
        rows = torch.arange(a, b, device=x.device)
        coarse, index = candidates(rows)
        decided, similarity = decide(x, rows, index, k)
        if index.shape[1] < len(x):
            # What was not proposed scored at most the last candidate, so its exact score is at most
            # that plus the error: strictly below the k-th it can not belong to the list.
            limit = coarse.amin(dim=1).double() + error
            again = (similarity[:, -1] <= limit).nonzero()[:, 0]
            if len(again):
                decided[again], similarity[again] = _float64(x, rows[again], k)
        out_index[:], out_similarity[:] = _numpy((decided, similarity))

    return search


def decide(
    x: torch.Tensor, rows: torch.Tensor, candidates: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The image itself, then the k - 1 best candidates by float64 score: (index, similarity) (B, k).

    candidates: (B, m) int64, m >= k, without repeats.
    """
    size, m = candidates.shape
    exact = pair_dots(x, rows.repeat_interleave(m), candidates.reshape(-1)).view(size, m)
    return _lists(x, rows, make_keys(exact, candidates), candidates, k)


def _lists(
    x: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor, index: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    keys = keys.masked_fill(index == rows[:, None], LOWEST_KEY)
    similarity, index = split_keys(keys.topk(k - 1, dim=1).values)
    own = pair_dots(x, rows, rows)
    return torch.cat([rows[:, None], index], 1), torch.cat([own[:, None], similarity], 1)


def _float64(x: torch.Tensor, rows: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(index, similarity) (B, k) by float64 products with every image."""
    query = x[rows].double()
    best = torch.empty((len(rows), 0), dtype=torch.int64, device=x.device)
    for c in range(0, len(x), DATABASE_ROWS):
        block = x[c : c + DATABASE_ROWS].double()
        index = torch.arange(c, c + len(block), device=x.device).expand(len(rows), -1)
        keys = make_keys(query @ block.T, index)
        keys = keys.masked_fill(index == rows[:, None], LOWEST_KEY)
        best = torch.cat([best, keys.topk(min(k, keys.shape[1]), dim=1).values], 1)
        best = best.topk(min(k, best.shape[1]), dim=1).values
    similarity, index = split_keys(best[:, : k - 1])
    own = pair_dots(x, rows, rows)
    return torch.cat([rows[:, None], index], 1), torch.cat([own[:, None], similarity], 1)


def _numpy(pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    return pair[0].cpu().numpy(), pair[1].cpu().numpy()
