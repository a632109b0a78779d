"""Faults in files: of bytes, of lines, of what a container holds, and code that wants to run."""

from __future__ import annotations

import codecs
import io
import os
import pickle
import zipfile
from typing import Any

import numpy as np
import torch

NUMBERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
SUBSTITUTES = (None, True, 0, -1, 2.5, float("nan"), "", "text", b"bytes", [], {}, (1, 2, 3))


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A file with up to three faults. Of an archive it is one entry, packed again, every other
    time: a checksum would tell most others at once."""
    if content[:2] == b"PK" and rng.random() < 0.5:
        return _repacked(content, rng)
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data) + 1) if rng.random() < 0.5 else rng.integers(200))
        size = int(rng.choice([1, 2, 4, 8, 50]))
        fault = rng.integers(7)
        if fault == 0:
            data[at : at + 1] = bytes([rng.integers(256)])
        elif fault == 1:
            data[at : at + size] = rng.bytes(size)
        elif fault == 2:
            number = NUMBERS[rng.integers(len(NUMBERS))] % 256**size
            data[at : at + size] = number.to_bytes(size, "little")
        elif fault == 3:
            del data[at : at + size]
        elif fault == 4:
            data[at:at] = data[at : at + size]
        elif fault == 5:
            data[at : at + size] = str(NUMBERS[rng.integers(len(NUMBERS))]).encode()
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def _repacked(content: bytes, rng: np.random.Generator) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        chosen = rng.integers(len(old.infolist()))
        for i, entry in enumerate(old.infolist()):
            inside = old.read(entry)
            new.writestr(entry, mutated(inside, rng) if i == chosen and inside else inside)
    return packed.getvalue()


def rearranged(value: Any, rng: np.random.Generator) -> Any:
    """A copy of nested containers in which one entry is gone, under another name or another value.

    ``value`` has entries.
    """
    copy = type(value)(value)
    keys = list(copy) if isinstance(copy, dict) else list(range(len(copy)))
    key = keys[rng.integers(len(keys))]
    inner, deeper = copy[key], rng.random() < 0.7
    if deeper and isinstance(inner, dict | list) and len(inner):
        copy[key] = rearranged(inner, rng)
    elif rng.random() < 0.3:
        del copy[key]
    elif rng.random() < 0.3 and isinstance(copy, dict):
        copy[f"{key}x"] = copy.pop(key)
    else:
        copy[key] = _another(inner, rng)
    return copy


def _another(value: Any, rng: np.random.Generator) -> Any:
    """A value to put in the place of one."""
    if isinstance(value, torch.Tensor) and rng.random() < 0.7:
        others = (
            value.flatten(),
            value[None],
            value.double() if value.is_floating_point() else value.float(),
            value.new_zeros(0),
            torch.full_like(value, float("nan") if value.is_floating_point() else -1),
            value.to_sparse(),
            torch.empty(value.shape, device="meta"),
        )
        return others[rng.integers(len(others))]
    return SUBSTITUTES[rng.integers(len(SUBSTITUTES))]


class _Code:
    """Pickled, a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def hostile(canary: str) -> dict[str, Any]:
    """Objects whose unpickling makes the file ``canary``, by ways that a loader might allow."""
    python = f"open({canary!r}, 'w').close()"
    inside = io.BytesIO()
    torch.save(_Code(exec, python), inside)
    return {
        "exec": _Code(exec, python),
        "eval": _Code(eval, python),
        "system": _Code(os.system, f"touch '{canary}'"),
        "open": _Code(open, canary, "w"),
        "a pickle in a call": _Code(pickle.loads, pickle.dumps(_Code(exec, python))),
        "a pickle in a storage": _Code(torch.storage._load_from_bytes, inside.getvalue()),
        "behind an encoding": [_Code(codecs.encode, "x", "latin1"), _Code(exec, python)],
        "a key": {_Code(exec, python): 1},
    }
