"""Who does which rows: threads inside a process, ranks of torch.distributed across processes.

Everything here is about contiguous ranges of rows, so that results are joined by concatenation and
can not depend on how many took part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.distributed as dist


def even_bounds(n: int, parts: int) -> np.ndarray:
    """(parts + 1,) bounds of ranges of equal length over n rows."""
    return np.linspace(0, n, parts + 1).astype(np.int64)


def work_bounds(work: np.ndarray, parts: int) -> np.ndarray:
    """(parts + 1,) bounds of contiguous ranges of about equal total `work` (N,)."""
    total = np.cumsum(work, dtype=np.float64)
    if len(total) == 0 or total[-1] == 0:
        return even_bounds(len(work), parts)
    inner = np.searchsorted(total, total[-1] * np.arange(1, parts) / parts, side="left") + 1
    return np.concatenate([[0], np.minimum(inner, len(work)), [len(work)]]).astype(np.int64)


def map_rows(
    function: Callable[[int, int], tuple], a: int, b: int, threads: int, step: int
) -> list[tuple]:
    """`function(i, j)` over ranges of at most `step` rows that cover a..b, results in order."""
    ranges = [(i, min(b, i + step)) for i in range(a, b, step)]
    if threads == 1 or len(ranges) < 2:
        return [function(i, j) for i, j in ranges]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda r: function(*r), ranges))


def join(parts: list[tuple], dtypes: Sequence[type]) -> tuple[np.ndarray, ...]:
    """Concatenate column by column, freeing the pieces on the way: the peak stays near the
    result."""
    sizes = [sum(len(part[c]) for part in parts) for c in range(len(dtypes))]
    out = tuple(np.empty(size, dtype) for size, dtype in zip(sizes, dtypes, strict=True))
    at = [0] * len(dtypes)
    parts.reverse()
    while parts:
        part = parts.pop()
        for c, piece in enumerate(part):
            out[c][at[c] : at[c] + len(piece)] = piece
            at[c] += len(piece)
    return out


class Ranks:
    """The processes that share one labelling: the default torch.distributed group, or just this
    one."""

    def __init__(self) -> None:
        on = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if on else 0
        self.world = dist.get_world_size() if on else 1
        # NCCL moves only CUDA tensors; gloo moves CPU tensors.
        nccl = on and dist.get_backend() == "nccl"
        self.device = torch.device("cuda", torch.cuda.current_device()) if nccl else "cpu"

    def range_of(self, bounds: np.ndarray) -> tuple[int, int]:
        """This rank's (a, b) out of (world + 1,) bounds."""
        return int(bounds[self.rank]), int(bounds[self.rank + 1])

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Every rank's `array` (any length along axis 0, the rest equal), in the order of ranks."""
        if self.world == 1:
            return array
        array = np.ascontiguousarray(array)
        lengths = self._all_gather(torch.tensor([len(array)])).view(-1).tolist()
        longest = max(lengths)
        padded = np.zeros((longest, *array.shape[1:]), array.dtype)
        padded[: len(array)] = array
        pieces = self._all_gather(torch.from_numpy(padded)).numpy()
        return np.concatenate([pieces[r, :n] for r, n in enumerate(lengths)])

    def total(self, array: np.ndarray) -> np.ndarray:
        """The int64 `array` summed over ranks."""
        if self.world == 1:
            return array
        tensor = torch.from_numpy(np.ascontiguousarray(array, np.int64)).to(self.device)
        dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def first(self, array: np.ndarray) -> np.ndarray:
        """The array of rank 0 (equal shapes and types), for what must not differ by a rounding."""
        if self.world == 1:
            return array
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
        dist.broadcast(tensor, 0)
        return tensor.cpu().numpy()

    def _all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.to(self.device)
        out = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(out, tensor)
        return torch.stack(out).cpu()
