"""What test_memory.py runs in several processes: the same updates of a bank, shared out."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from torch import Tensor
from torch import distributed as dist

from gcl.modeling import MemoryBank

ROWS, BATCH = 20, 16


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Features and rows: images that come several times, in one process's part and in others'; one
    feature that is not finite."""
    g = torch.Generator().manual_seed(0)
    for _ in range(3):
        features = torch.randn(BATCH, 8, generator=g)
        features[13] = float("nan")
        yield features, torch.randint(ROWS, (BATCH,), generator=g)


def updated(rank: int = 0, world: int = 1) -> MemoryBank:
    """The bank after each process has had its part of all batches."""
    bank = MemoryBank(8, 0.2, ROWS)
    bank.fill(torch.randn(ROWS, 8, generator=torch.Generator().manual_seed(1)))
    part = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    for features, indices in batches():
        bank.update(features[part], indices[part])
    return bank


def work(out: str, rank: int, world: int, store: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    torch.save(updated(rank, world).features, os.path.join(out, "bank.pth"))
    dist.destroy_process_group()
