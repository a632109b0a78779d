"""Loops compiled by numba: equal bit by bit to the same arithmetic of numpy and torch.

Sums keep their order and products are not fused into them (no fast mathematics). Sines, powers and
the like stay with numpy and torch, which round each in their own way.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import torch
from torch import Tensor


def jit(function: Callable) -> Callable:
    """Compile at the first call; later processes find it on the disk, where a folder can be
    written. A division by zero gives infinity or NaN, as theirs does."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return numba.njit(**options)(function)


def looped(*tensors: Tensor) -> bool:
    """Whether loops can do the work: float32 on a CPU, of which numpy may see the numbers."""
    usual = [t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors]
    return all(usual) and not any(t.requires_grad for t in tensors)


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    """Without gaps, so that a loop is compiled for one layout."""
    return [np.ascontiguousarray(tensor.numpy()) for tensor in tensors]
