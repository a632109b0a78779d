"""Pickles read without running what is in them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

# The functions by which numpy rebuilds arrays, scalars and (protocol 5) arrays over a buffer. The
# package was called numpy.core once.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]


_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): dict,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _RECONSTRUCT),
            ("multiarray", "scalar", _SCALAR),
            ("numeric", "_frombuffer", _FROM_BUFFER),
        )
    },
}


class ArrayUnpickler(pickle.Unpickler):
    """Builds containers, numbers and numpy arrays; a file that asks for anything else is refused.

    Python 3 writes protocol 3 and later, which need no more.
    """

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None
