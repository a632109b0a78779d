"""Search of a block of rows: candidates by a coarse product, decision in float64, proof.

A search is a function of (rows, columns, index, similarity): it fills the neighbour lists (B, k) of
the images `rows` among the images `columns` (None: all). Three make candidates in different ways;
all give the same lists.

Shapes: `N` images, `D` embedding size, `k` neighbours, `B` query rows, `M` columns, `m` candidates.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from .backend import kernels
from .ranks import map_rows
from .scores import LOWEST_KEY, make_keys, pair_dots, split_keys

Search = Callable[[torch.Tensor, torch.Tensor | None, np.ndarray, np.ndarray], None]

DATABASE_ROWS = 2048  # with QUERY_ROWS, scores that stay near the cores until they are selected
TORCH_DATABASE_ROWS = 32768
# Candidates beyond k: float32 misorders only near-ties, bfloat16 needs room for its coarse steps.
SPARE = {torch.float32: 4, torch.bfloat16: 34}
LIST = 1024  # capacity of a compiled row; half of it may lie within the margin


def coarse_error(low: torch.Tensor) -> float:
    """Bound on |coarse - exact| of the inner product of two unit rows of `low` (N, D).

    float32: D products and sums, each off by 2^-24 of a total that Cauchy-Schwarz holds at 1.
    bfloat16: both inputs and the result are off by 2^-9 (round to nearest, 8 bits of mantissa); the
    same holds for float32 matrices that torch is allowed to multiply in a shorter format.
    """
    sums = (low.shape[1] + 2) * 2.0**-24
    if low.dtype == torch.float32 and _float32_is_full():
        return sums
    return 3.1 * 2.0**-9 + sums


def _float32_is_full() -> bool:
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # torch will not say where its old and new settings were mixed
        return False


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
    finer = _finer(x, low, k, compiled_search)
    everything = np.arange(len(x), dtype=np.int32)
    block = low.new_empty(0)  # kept: memory fresh from the system costs more than writing to it

    def products(query, base):
        nonlocal block
        size = len(query) * len(base)
        if len(block) < size:
            block = low.new_empty(size)
        scores = block[:size].view(len(query), len(base))
        return torch.mm(query, base.T, out=scores)

    def search(rows, columns, index, similarity):
        base = low if columns is None else low[columns]
        names = everything if columns is None else columns.numpy().astype(np.int32)
        size = len(rows)
        order, found = np.empty((size, capacity), dtype), np.empty((size, capacity), np.int32)
        count, bars = np.zeros(size, np.int64), np.full(size, lowest, dtype)
        query, share = _padded(low[rows]), -(-size // threads)
        for c in range(0, len(base), DATABASE_ROWS):
            scores = products(query, base[c : c + DATABASE_ROWS])
            scores = (scores if dtype == np.float32 else scores.view(torch.int16)).numpy()
            select = functools.partial(
                kernels_search.select, scores, c, k, margin, table, order, found, count, bars
            )
            map_rows(select, 0, size, threads, share)
        decide = functools.partial(
            kernels_search.decide,
            x_rows,
            rows.numpy(),
            names,
            k,
            margin,
            table,
            order,
            found,
            count,
        )
        map_rows(functools.partial(decide, index, similarity), 0, size, threads, share)
        again = np.flatnonzero(count < 0)
        if len(again):
            index[again], similarity[again] = finer(rows[again], columns)

    return search


def _finer(x: torch.Tensor, low: torch.Tensor, k: int, build: Callable) -> Callable:
    """(rows, columns) -> (index, similarity) (B, k) for rows without a proof: after bfloat16 the
    same search by float32 (`build`), after float32 all products in float64."""

    def finer(rows, columns):
        if low.dtype == torch.float32:
            return _numpy(_float64(x, rows, columns, k))
        out = np.empty((len(rows), k), np.int32), np.empty((len(rows), k))
        build(x, x, k)(rows, columns, *out)
        return out

    return finer


@contextlib.contextmanager
def _float32_sums(device: torch.device) -> Iterator[None]:
    """The bound counts on float32 sums; by default torch lets a GPU add parts in bfloat16."""
    if device.type != "cuda":
        yield
        return
    options = torch.backends.cuda.matmul
    before = options.allow_bf16_reduced_precision_reduction
    options.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        options.allow_bf16_reduced_precision_reduction = before


def _padded(query: torch.Tensor) -> torch.Tensor:
    """Zero rows up to a multiple of 64: matrix libraries prepare anew for every new shape."""
    return torch.nn.functional.pad(query, (0, 0, 0, -len(query) % 64))


def torch_search(x: torch.Tensor, low: torch.Tensor, k: int) -> Search:
    """Product and running top-m by torch on the device of `x`."""

    def candidates(rows, columns, m):
        query, base = low[rows], low if columns is None else low[columns]
        best = index = None
        for c in range(0, len(base), TORCH_DATABASE_ROWS):
            with _float32_sums(x.device):
                scores = query @ base[c : c + TORCH_DATABASE_ROWS].T
            s, j = scores.topk(min(m, scores.shape[1]), dim=1)
            j += c
            if best is not None:
                s, j = torch.cat([best, s], 1), torch.cat([index, j], 1)
                s, at = s.topk(min(m, s.shape[1]), dim=1)
                j = j.gather(1, at)
            best, index = s, j
        return best, index if columns is None else columns[index]

    finer = _finer(x, low, k, torch_search)
    return _decided(x, k, candidates, k + SPARE[low.dtype], coarse_error(low), finer)


def faiss_search(x: torch.Tensor, k: int) -> Search:
    """Candidates from a flat inner-product index of faiss; all images only."""
    import faiss

    flat = faiss.IndexFlatIP(x.shape[1])
    if x.device.type == "cuda" and hasattr(faiss, "StandardGpuResources"):
        flat = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), x.device.index or 0, flat)
    flat.add(x.cpu().numpy())

    def candidates(rows, columns, m):
        scores, index = flat.search(x[rows].cpu().numpy(), m)
        return torch.from_numpy(scores).to(x.device), torch.from_numpy(index).to(x.device)

    error = coarse_error(x[:0])
    finer = _finer(x, x, k, faiss_search)
    return _decided(x, k, candidates, k + SPARE[torch.float32], error, finer)


def _decided(
    x: torch.Tensor, k: int, candidates: Callable, m: int, error: float, finer: Callable
) -> Search:
    """A search from a function (rows, columns, m) -> (scores, index) (B, m), the m best columns."""

    def search(rows, columns, out_index, out_similarity):
        size = len(x) if columns is None else len(columns)
        coarse, index = candidates(rows, columns, min(m, size))
        out_index[:], out_similarity[:] = _numpy(_decide(x, rows, index, k))
        if m < size:
            # What was not proposed scored at most the last candidate, so its exact score is at most
            # that plus the error: strictly below the k-th it can not belong to the list.
            limit = coarse.amin(dim=1).double().cpu().numpy() + error
            again = np.flatnonzero(out_similarity[:, -1] <= limit)
            if len(again):
                out_index[again], out_similarity[again] = finer(rows[again], columns)

    return search


def _decide(
    x: torch.Tensor, rows: torch.Tensor, candidates: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The image itself, then the k - 1 best of `candidates` (B, m >= k) by float64 score."""
    size, m = candidates.shape
    exact = pair_dots(x, rows.repeat_interleave(m), candidates.reshape(-1)).view(size, m)
    return _lists(x, rows, _keys(exact, candidates, rows).topk(k - 1, dim=1).values)


def _float64(
    x: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor | None, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from float64 products with every column."""
    if columns is None:
        columns = torch.arange(len(x), device=x.device)
    query = x[rows].double()
    best = torch.empty((len(rows), 0), dtype=torch.int64, device=x.device)
    for c in range(0, len(columns), DATABASE_ROWS):
        index = columns[c : c + DATABASE_ROWS]
        keys = _keys(query @ x[index].double().T, index.expand(len(rows), -1), rows)
        best = torch.cat([best, keys.topk(min(k, keys.shape[1]), dim=1).values], 1)
        best = best.topk(min(k, best.shape[1]), dim=1).values
    return _lists(x, rows, best[:, : k - 1])


def _keys(scores: torch.Tensor, index: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return make_keys(scores, index).masked_fill(index == rows[:, None], LOWEST_KEY)


def _lists(
    x: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(index, similarity) (B, k): the image itself, then `keys` (B, k - 1) as they stand."""
    similarity, index = split_keys(keys)
    own = pair_dots(x, rows, rows)
    return torch.cat([rows[:, None], index], 1), torch.cat([own[:, None], similarity], 1)


def _numpy(pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    return pair[0].cpu().numpy(), pair[1].cpu().numpy()
