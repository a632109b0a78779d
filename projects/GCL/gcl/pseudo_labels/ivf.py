"""Approximate neighbours for a million images: compare only images of nearby cells.

k-means divides the images into cells of about 256; the images of a cell are searched, exactly,
among the images of the `probes` cells whose centres are nearest to its own. That is an inverted file
(IVF) whose queries are answered a cell at a time, so that the work is matrix products and
the exact search's selection. The cost is N * probes * 256 instead of N^2 products; what is
lost are neighbours across cells that are not each other's `probes` nearest.

Labels are the same whatever the world size, but k-means runs in float32, so they may differ between
machines.

Shapes: `N` images, `D` embedding size, `k` neighbours, `C` cells.
"""

from __future__ import annotations

import numpy as np
import torch

from .search import compiled_search, torch_search
from .sharding import Ranks, work_bounds

CELL = 256
ROUNDS = 8
SAMPLE_PER_CELL = 40
QUERY_ROWS = 512


def ivf_neighbours(
    x: torch.Tensor, k: int, probes: int, coarse: torch.dtype, ranks: Ranks
) -> tuple[np.ndarray, np.ndarray]:
    """Approximate (index (N, k) int32, similarity (N, k) float64) of unit rows x (N, D)."""
    n = len(x)
    low = x.to(coarse)
    cell, centres = _cells(low, max(1, round(n / CELL)))
    cell, centres = ranks.first(cell.cpu().numpy()), ranks.first(centres.float().cpu().numpy())
    members = np.argsort(cell, kind="stable")
    size = np.bincount(cell, minlength=len(centres))
    start = np.concatenate([[0], np.cumsum(size)])
    visited = _visited(centres, size, probes, k)
    work = np.array([size[c] * size[v].sum() for c, v in enumerate(visited)])

    first, last = ranks.range_of(work_bounds(work, ranks.world))
    index = np.empty((start[last] - start[first], k), np.int32)
    similarity = np.empty(index.shape, np.float64)
    search = compiled_search(x, low, k) or torch_search(x, low, k)
    for c in range(first, last):
        # Ascending, as in the exact search, so that ties go to the lower index.
        columns = np.sort(np.concatenate([members[start[v] : start[v + 1]] for v in visited[c]]))
        columns = torch.from_numpy(columns).to(x.device)
        for i in range(start[c], start[c + 1], QUERY_ROWS):
            j = min(start[c + 1], i + QUERY_ROWS)
            rows = torch.from_numpy(members[i:j]).to(x.device)
            done = slice(i - start[first], j - start[first])
            search(rows, columns, index[done], similarity[done])
    back = np.argsort(members)
    return ranks.gather(index)[back], ranks.gather(similarity)[back]


def _visited(centres: np.ndarray, size: np.ndarray, probes: int, k: int) -> list[np.ndarray]:
    """Per cell the cells it is compared with: the `probes` nearest, more where they hold under k."""
    similarity = centres @ centres.T
    np.fill_diagonal(similarity, np.inf)  # its own comes first even if k-means left it empty
    order = np.argsort(-similarity, axis=1, kind="stable")
    enough = np.array([np.searchsorted(np.cumsum(size[o]), k) + 1 for o in order])
    return [o[: max(probes, e)] for o, e in zip(order, enough, strict=True)]


def _cells(low: torch.Tensor, cells: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Spherical k-means: cell (N,) int64 and centres (C, D) of unit length, from a fixed seed."""
    n = len(low)
    generator = torch.Generator().manual_seed(0)
    shuffled = torch.randperm(n, generator=generator).to(low.device)
    sample = low[shuffled[: SAMPLE_PER_CELL * cells]]
    centres = sample[:cells].clone()
    for _ in range(ROUNDS):
        near = _nearest(sample, centres)
        total = torch.zeros(centres.shape, dtype=torch.float32, device=low.device)
        total.index_add_(0, near, sample.float())
        length = total.norm(dim=1, keepdim=True)
        # A cell that lost every image keeps its centre.
        centres = torch.where(length > 0, total / length.clamp_min(1e-12), centres.float())
        centres = centres.to(low.dtype)
    return _nearest(low, centres), centres


def _nearest(x: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    parts = [(rows @ centres.T).argmax(dim=1) for rows in x.split(4096)]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)
