"""Compiled loops where numba is installed, numpy otherwise; the warning says what that costs."""

from __future__ import annotations

import functools
import warnings
from types import ModuleType


@functools.cache
def kernels() -> ModuleType:
    """`kernels_numba`, or `kernels_numpy` with one warning when numba can not be imported."""
    try:
        from . import kernels_numba
    except ImportError as error:
        from . import kernels_numpy

        warnings.warn(
            f"numba can not be imported ({error}): pseudo labels are the same, but come "
            f"{kernels_numpy.SLOWER} slower, by numpy. Remedy: pip install numba.",
            RuntimeWarning,
            stacklevel=2,
        )
        return kernels_numpy
    return kernels_numba
