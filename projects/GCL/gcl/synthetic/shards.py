"""Drawn arrays in files of some items each: drawn once, completed after an interruption.

What the items are, the caller knows: a named tuple of arrays with one row an item, and a function
that draws the items with given numbers. Kinds of different prefixes can share a folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from gcl.atomic_files import atomic, remove_leftovers
from gcl.structure.array_files import read_npz

from .figure import Tailor
from .plan import VERSION
from .set_files import get_tailor, one_thread
from .set_folder import in_processes

BATCH = 16
"""Items that are drawn together; with another number, sums round otherwise."""

Arrays = TypeVar("Arrays", bound=tuple)
"""A named tuple."""
Draw = Callable[[Tailor, int, Sequence[int]], Arrays]
"""``draw(tailor, seed, numbers)``: one row for each number, whatever the others are. It can be
pickled, so that other processes find it."""


def write_shards(
    folder: str,
    draw: Draw,
    count: int,
    seed: int,
    *,
    shard: int,
    prefix: str,
    desc: str,
    unit: str,
    workers: int = 1,
) -> list[str]:
    """Draw what is missing of ``count`` items (rounded up to whole files).

    Args:
        seed: of ``draw``; each has files of its own.
        shard: items in a file.
        prefix: of the names of files; tells one kind from the others in the folder.
        desc, unit: of the bar: what is drawn, and what one item is.
        workers: processes that draw.

    Returns:
        The files, for :func:`read_shards`.
    """
    os.makedirs(folder, exist_ok=True)
    remove_leftovers(folder)
    # the version in the name: what another version of this software drew is not taken for ours
    name = f"{prefix}v{VERSION}-{seed}"
    paths = [os.path.join(folder, f"{name}-{i:05d}.npz") for i in range(-(-count // shard))]
    todo = [
        (path, draw, seed, range(i * shard, (i + 1) * shard))
        for i, path in enumerate(paths)
        if not os.path.exists(path)
    ]
    with tqdm(total=len(paths) * shard, desc=desc, unit=unit, dynamic_ncols=True) as bar:
        bar.update((len(paths) - len(todo)) * shard)
        for drawn in in_processes(_write_shard, todo, workers):
            bar.update(drawn)
    return paths


def read_shards(kind: type[Arrays], paths: Sequence[str]) -> Arrays:
    """All items of some files.

    Raises:
        OSError: a file is broken; the message names it and the remedy.
    """
    shards: list[Arrays] = []
    for path in paths:
        try:
            arrays = read_npz(path)
            shard = kind(*(arrays[name] for name in kind._fields))
            _check(shard, shards[0] if shards else shard)
        except Exception as error:  # a damaged archive can raise nearly anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise OSError(f"{path} is broken ({reason}): remove it, it is drawn anew.") from error
        shards.append(shard)
    return _joined(kind, shards)


def _check(shard: Arrays, first: Arrays) -> None:
    """Raises ValueError where a file's arrays go with each other's, or with another's, not."""
    if len({len(array) for array in shard}) != 1:
        raise ValueError("its arrays are of different lengths")
    for array, other in zip(shard, first, strict=True):
        if (array.dtype, array.shape[1:]) != (other.dtype, other.shape[1:]):
            raise ValueError(f"{array.dtype} {array.shape} beside {other.dtype} {other.shape}")


def _write_shard(path: str, draw: Draw, seed: int, numbers: range) -> int:
    """Returns how many items were drawn."""
    batches = [numbers[i : i + BATCH] for i in range(0, len(numbers), BATCH)]
    with one_thread():
        parts = [draw(get_tailor(), seed, batch) for batch in batches]
    with atomic(path) as file:
        np.savez(file, **_joined(type(parts[0]), parts)._asdict())
    return len(numbers)


def _joined(kind: type[Arrays], parts: Sequence[Arrays]) -> Arrays:
    return kind(*map(np.concatenate, zip(*parts, strict=True)))
