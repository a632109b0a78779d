"""``.npy`` and ``.npz`` read to the sizes that their headers declare, and no further.

An archive of a megabyte can hold gigabytes; numpy reads entries to their end, and builds dtypes of
any kind. Here arrays are of plain numbers or text, and of a size that was agreed on before.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np

from .unpickle import MOST_BYTES, plain_dtype

_HEADER = 10_000
"""Bytes of the description of an array, at most; numpy's own limit."""
_READERS = {
    (1, 0): ("<H", np.lib.format.read_array_header_1_0),
    (2, 0): ("<I", np.lib.format.read_array_header_2_0),
}


def read_npy(
    file: BinaryIO, most: int = MOST_BYTES, objects: Callable[[bytes], Any] | None = None
) -> Any:
    """The array of an open ``.npy``, read-only.

    Args:
        most: bytes that it may have.
        objects: what to do with the pickle in the place of an array of objects; None: refuse it.

    Raises:
        ValueError: damaged, too large, or not of plain numbers.
        Exception: a damaged archive can raise nearly anything.
    """
    shape, fortran, dtype = _header(file)
    if dtype == np.dtype(object) and objects is not None:
        content = file.read(most + 1)
        if len(content) > most:
            raise ValueError(f"objects of more than {most} bytes")
        return objects(content)
    dtype = plain_dtype(dtype.str)
    if any(n < 0 for n in shape):
        raise ValueError(f"an array of the shape {shape}")
    size = math.prod(shape) * dtype.itemsize
    if size > most:
        raise ValueError(f"an array of {size} bytes, more than {most}")
    content = file.read(size)
    if len(content) < size:
        raise ValueError(f"an array of {size} bytes with {len(content)}")
    if not size:
        return np.empty(shape, dtype)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def read_npz(
    file: BinaryIO | str,
    names: Iterable[str] | None = None,
    most: int = MOST_BYTES,
    objects: Callable[[bytes], Any] | None = None,
) -> dict[str, Any]:
    """Arrays of a ``.npz`` by name.

    Args:
        names: which to read, of those that are there; None: all.
        most: bytes that all of them may have.
        objects: see :func:`read_npy`.

    Raises:
        ValueError: as for :func:`read_npy`.
        Exception: a damaged archive can raise nearly anything.
    """
    arrays: dict[str, Any] = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if names is not None and name not in names:
                continue
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{name} is compressed in a way that numpy does not write")
            with archive.open(info) as entry:
                arrays[name] = read_npy(entry, most, objects)
                if entry.read(1):
                    raise ValueError(f"{name} is longer than its header says")
            most -= getattr(arrays[name], "nbytes", info.file_size)
    return arrays


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"a .npy of version {version}")
    kind, read = _READERS[version]
    length = file.read(struct.calcsize(kind))
    (size,) = struct.unpack(kind, length)
    if size > _HEADER:
        raise ValueError(f"a header of {size} bytes")
    return read(io.BytesIO(length + file.read(size)))
