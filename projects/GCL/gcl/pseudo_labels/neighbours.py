"""The k nearest neighbours of every image by cosine similarity, exact or (on request) approximate.

A fast, coarse search (float32, or bfloat16 where the hardware multiplies that faster) proposes
candidates; float64 scores decide among them; and a bound on the coarse error proves, row by row,
that none was missed. Rows without the proof (more near-ties than a list holds) are searched again
in float64. So the answer is the float64 one whatever device, block size or library proposed.

Shapes: `N` images, `D` embedding size, `k` neighbours.
"""

from __future__ import annotations

import functools
import importlib.util
import time
import warnings
from typing import NamedTuple

import numpy as np
import torch

from .backend import kernels
from .block_search import Search, compiled_search, faiss_search, torch_search
from .features import unit_rows
from .ivf import ivf_neighbours
from .ranks import Ranks, even_bounds

METHODS = ("auto", "torch", "faiss", "ivf")
QUERY_ROWS = 2048  # see block_search.DATABASE_ROWS
GPU_QUERY_ROWS = 4096
BFLOAT16_ROWS = 4096  # below, the whole search takes less time than finding out what is faster


class Neighbours(NamedTuple):
    """index (N, k) int32: the image itself first, then by descending similarity, ties to the lower
    index. similarity (N, k) float64: <x_i, x_j> of the unit rows on a grid of 2^-36."""

    index: np.ndarray
    similarity: np.ndarray


def nearest_neighbours(
    features: torch.Tensor | np.ndarray,
    k: int,
    *,
    method: str = "auto",
    coarse: str = "auto",
    visit: int = 32768,
) -> Neighbours:
    """Find the `k` nearest images of every image, itself included.

    Args:
        features: (N, D), any real dtype, any device; rows are scaled to unit length.
        k: neighbours per image, the image itself counted; min(k, N) are returned.
        method: "torch": blocked matrix product on the features' device; exact. "faiss": candidates
            from a flat faiss index (its GPU one if faiss has it and the features are on a GPU);
            exact. "auto": "torch". "ivf": approximate, for a million images (`ivf.py`).
        coarse: arithmetic of the candidates of "torch" and "ivf", "float32" or "bfloat16"; "auto"
            is bfloat16 on a GPU and, on a CPU, whichever its matrix product does faster. It does
            not change the answer of an exact method.
        visit: images that each image is compared with by "ivf".

    Returns:
        `Neighbours` of all N rows, the same on every rank.

    Raises:
        ValueError: k < 1, an unknown method, or NaN/Inf in the features.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}.")
    check_method(method)
    x = unit_rows(features)
    k = min(k, len(x))
    low_type = _coarse(x, coarse)
    if len(x) == 0:
        return Neighbours(np.empty((0, 0), np.int32), np.empty((0, 0)))
    ranks = Ranks()
    if method == "ivf":
        return Neighbours(*ivf_neighbours(x, k, visit, low_type, ranks))
    a, b = ranks.range_of(even_bounds(len(x), ranks.world))
    index, similarity = np.empty((b - a, k), np.int32), np.empty((b - a, k), np.float64)
    search = _exact_search(x, k, method, low_type)
    step = QUERY_ROWS if x.device.type == "cpu" else GPU_QUERY_ROWS
    for i in range(a, b, step):
        rows = torch.arange(i, min(b, i + step), device=x.device)
        done = slice(i - a, i - a + len(rows))
        search(rows, None, index[done], similarity[done])
    return Neighbours(ranks.gather(index), ranks.gather(similarity))


def check_method(method: str) -> None:
    if method not in METHODS:
        raise ValueError(f"knn must be one of {', '.join(METHODS)}; got {method!r}.")


def _exact_search(x: torch.Tensor, k: int, method: str, coarse: torch.dtype) -> Search:
    if method == "faiss":
        if importlib.util.find_spec("faiss") is not None:
            return faiss_search(x, k)
        warnings.warn(
            "faiss can not be imported: knn='torch' takes its place (the same neighbours, at least "
            "as fast). Remedy: pip install faiss-cpu.",
            RuntimeWarning,
            stacklevel=3,
        )
    low = x.to(coarse)
    return compiled_search(x, low, k) or torch_search(x, low, k)


def _coarse(x: torch.Tensor, coarse: str) -> torch.dtype:
    if coarse == "auto":
        if x.device.type != "cpu":
            return torch.bfloat16
        # Without compiled selection the wider candidate lists cost more than the product saves.
        worth = len(x) >= BFLOAT16_ROWS and kernels().COMPILED and _bfloat16_is_faster()
        return torch.bfloat16 if worth else torch.float32
    if coarse not in ("float32", "bfloat16"):
        raise ValueError(f"coarse must be auto, float32 or bfloat16; got {coarse!r}.")
    return getattr(torch, coarse)


@functools.cache
def _bfloat16_is_faster() -> bool:
    """Tried out: no portable query says whether this CPU multiplies or emulates bfloat16."""
    took = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = torch.ones(512, 256, dtype=dtype), torch.ones(2048, 256, dtype=dtype)
        left @ right.T
        start = time.perf_counter()
        for _ in range(3):
            left @ right.T
        took[dtype] = time.perf_counter() - start
    return took[torch.bfloat16] < 0.5 * took[torch.float32]
