"""Pickles read without running what is in them.

Nothing that numpy builds from a pickle is trusted to numpy: a dtype, the state of an array or of a
scipy matrix that were made up can crash the process or read its memory. What a pickle may name are
the stand-ins of this file, which check what they are given; :func:`plain` puts arrays in their
place. Python's own unpickler of ``pickle`` in C would set aside memory by numbers in the file, so
that the one in Python is used.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

MOST_BYTES = 2**28
"""Of all arrays in one file of a crop together, each as often as it occurs."""
MOST_ITEMS = 5_000_000
"""Items in all containers of a file, each as often as it occurs."""
DEEPEST = 32
"""Containers in containers."""

_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c(8|16)|[SU]\d{1,6})|\?")
"""Booleans, integers, floats, complex numbers, text: no objects, fields or dates."""
_OBJECTS = re.compile(r"\|?O[48]?")


def plain_dtype(text: str) -> np.dtype:
    """The dtype of a string such as "f4" or "<i8".

    Raises:
        ValueError: it is not of plain numbers or text.
    """
    if not isinstance(text, str) or not _PLAIN.fullmatch(text):
        raise ValueError(f"an array of {text!r}, which are no plain numbers")
    return np.dtype(text)


class Held:
    """Stands in a loaded pickle for what :meth:`plain` makes of its state.

    Of its own making, so that a pickle can set nothing but ``state``.
    """

    __slots__ = ("state",)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def plain(self, resolve: Callable[[Any], Any]) -> Any:
        """Its value; ``resolve`` is :func:`plain` for what is in the state."""
        raise NotImplementedError


class _DType(Held):
    """A dtype of which only the byte order is taken from its pickled state."""

    __slots__ = ("text",)

    def __init__(self, text: str, *_: Any) -> None:
        self.text, self.state = text, None

    @property
    def objects(self) -> bool:
        return isinstance(self.text, str) and bool(_OBJECTS.fullmatch(self.text))

    def build(self) -> np.dtype:
        dtype = plain_dtype(self.text)
        swapped = isinstance(self.state, tuple) and len(self.state) > 1 and self.state[1] == ">"
        return dtype.newbyteorder(">") if swapped else dtype


class _Array(Held):
    """An array; one of objects becomes lists, one of no dimension its object."""

    __slots__ = ()

    def plain(self, resolve: Callable[[Any], Any]) -> Any:
        _, shape, dtype, fortran, content = self.state
        count = _count(shape)
        if dtype.objects:
            if not isinstance(content, list) or len(content) != count:
                raise ValueError(f"an array of {count} objects without them")
            objects = np.empty(count, object)
            for i, item in enumerate(resolve(content)):
                objects[i] = item
            return objects.reshape(shape, order="F" if fortran else "C").tolist()
        array = np.frombuffer(_bytes(content), dtype.build())
        if len(array) != count:
            raise ValueError(f"an array of {count} numbers with {len(array)}")
        return array.reshape(shape, order="F" if fortran else "C")


class Maker:
    """A function that a pickle may call; nothing of it can be set, unlike a function's."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise RefusedPickle("it changes a function")


class _JoblibArray(Held):
    """An array as joblib writes it: what it is, and behind that, outside of the pickle, its numbers
    as they are."""

    __slots__ = ()

    def take(self, read: Callable[[int], bytes]) -> np.ndarray:
        """The array; ``read`` goes on where the description ends."""
        dtype, shape = self.state["dtype"].build(), self.state["shape"]
        size = _count(shape) * dtype.itemsize
        # since joblib 1.2 the numbers start at a multiple of some bytes
        if self.state.get("numpy_array_alignment_bytes") is not None:
            (padding,) = read(1)
            read(padding)
        content = read(size)
        if len(content) < size:
            raise EOFError("it ends within an array")
        array = np.frombuffer(content, dtype)
        return array.reshape(shape, order="F" if self.state["order"] == "F" else "C")


def _scalar(dtype: _DType, content: Any) -> np.generic:
    return np.frombuffer(_bytes(content), dtype.build(), 1)[0]


def _from_buffer(content: Any, dtype: _DType, shape: Any, order: str, axes: Any = None) -> Any:
    """An array of protocol 5. Axes: those of one that is contiguous in none of the two orders."""
    array = np.frombuffer(_bytes(content), dtype.build())
    if len(array) != _count(shape if isinstance(shape, tuple) else (shape,)):
        raise ValueError(f"an array of {len(array)} numbers in the shape {shape}")
    if order == "K" and axes is not None:
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order=order)


def _count(shape: Any) -> int:
    if not (isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)):
        raise ValueError(f"an array of the shape {shape!r}")
    return math.prod(shape)


def _bytes(content: Any) -> bytes | bytearray:
    if isinstance(content, str):  # of Python 2, read as latin1
        return content.encode("latin1")
    if not isinstance(content, bytes | bytearray):
        raise ValueError(f"an array of a {type(content).__name__}")
    return content


NDARRAY = "numpy.ndarray"  # what _reconstruct is told to make; nothing else can be done with it
DICT = "builtins.dict"  # what a defaultdict is told to make


class RefusedPickle(pickle.UnpicklingError):
    """A pickle that could run code when it is loaded."""


class ArrayUnpickler(pickle._Unpickler):
    """Builds containers, numbers and stand-ins of numpy arrays; a file that asks for anything else
    is refused. Python 3 writes protocol 3 and later, which need no more. Files of ``joblib.dump``
    are pickles with arrays between their parts."""

    def _bytearray(self) -> None:
        """As large as what is there; Python's takes the memory first."""
        (size,) = struct.unpack("<Q", self.read(8))
        content = self.read(size)
        if len(content) < size:
            raise EOFError("it ends within an array")
        self.append(bytearray(content))

    def _build(self) -> None:
        self.load_build()
        if isinstance(self.stack[-1], _JoblibArray):
            self.stack.append(self.stack.pop().take(self.read))

    dispatch = {
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: _bytearray,
        pickle.BUILD[0]: _build,
    }
    allowed: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): NDARRAY,
        ("numpy", "dtype"): Maker(_DType),
        ("collections", "OrderedDict"): dict,
        ("collections", "defaultdict"): Maker(lambda *_: {}),
        ("builtins", "dict"): DICT,
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _JoblibArray,
        **{
            (f"numpy.{core}.{module}", name): Maker(make)  # the package was called core once
            for core in ("core", "_core")
            for module, name, make in (
                ("multiarray", "_reconstruct", lambda *_: _Array()),
                ("multiarray", "scalar", _scalar),
                ("numeric", "_frombuffer", _from_buffer),
            )
        },
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise RefusedPickle(f"it asks for {module}.{name}") from None


def load_arrays(
    content: bytes,
    unpickler: type[ArrayUnpickler] = ArrayUnpickler,
    most: int = MOST_BYTES,
    **options: Any,
) -> Any:
    """What a pickle holds: containers, numbers and numpy arrays.

    Args:
        most: bytes of its arrays; see :func:`plain`.
        options: of the unpickler.

    Raises:
        RefusedPickle: it asks for something else.
        Exception: a damaged pickle can raise nearly anything.
    """
    return plain(unpickler(io.BytesIO(content), **options).load(), most)


def plain(value: Any, most: int = MOST_BYTES) -> Any:
    """A value with numpy arrays in the place of stand-ins and torch tensors; containers are new.

    Args:
        most: bytes of arrays, each as often as it occurs.

    Raises:
        ValueError: it holds too much, is nested too deep, or contains itself.
    """
    return _Bounded(most).resolve(value)


class _Bounded:
    def __init__(self, most: int) -> None:
        self.items, self.bytes, self.depth = MOST_ITEMS, most, 0

    def resolve(self, value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            self._count_bytes(value.nbytes)
            return value
        if isinstance(value, torch.Tensor):
            return self._array(value)
        if isinstance(value, Held):
            return self._inside(lambda: self._held(value))
        if isinstance(value, dict):
            self._count_items(value)
            return self._inside(lambda: {k: self.resolve(v) for k, v in value.items()})
        if isinstance(value, list | tuple):
            self._count_items(value)
            return self._inside(lambda: type(value)([self.resolve(item) for item in value]))
        return value

    def _held(self, value: Held) -> Any:
        made = value.plain(self.resolve)
        if isinstance(made, np.ndarray):
            self._count_bytes(made.nbytes)
        return made

    def _array(self, tensor: torch.Tensor) -> np.ndarray:
        # before anything is copied: a tensor of a few bytes can have any shape
        self._count_bytes(tensor.numel() * tensor.element_size())
        tensor = tensor.detach()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()

    def _inside(self, make: Callable[[], Any]) -> Any:
        if self.depth == DEEPEST:
            raise ValueError(f"more than {DEEPEST} containers in one another")
        self.depth += 1
        made = make()
        self.depth -= 1
        return made

    def _count_items(self, container: Sequence | dict) -> None:
        self.items -= len(container)
        if self.items < 0:
            raise ValueError(f"more than {MOST_ITEMS} items")

    def _count_bytes(self, number: int) -> None:
        self.bytes -= number
        if self.bytes < 0:
            raise ValueError("arrays of more bytes than a crop's file can have")
