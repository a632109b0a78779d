"""Reading what other programs wrote, without running what is in it.

Pickles and torch files can run any code when they are loaded. Here they may build containers,
numbers, numpy arrays and tensors, and nothing else, and no more than a crop's file can have.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
import zlib
from typing import Any

import torch

from gcl.structure.array_files import read_npy, read_npz
from gcl.structure.unpickle import MOST_BYTES, RefusedPickle, load_arrays, plain

SUFFIXES = (".npz", ".npy", ".pkl", ".pickle", ".pt", ".pth", ".json")

_ZLIB = (b"\x78", b"\x1f\x8b")
"""How zlib's and gzip's files start; pickles start otherwise."""


class PayloadError(ValueError):
    """A file that can not be read, or that is not safe to read; the message names it."""


def read_payload(path: str, most: int = MOST_BYTES) -> Any:
    """What a file of a mesh-recovery tool holds: containers of numpy arrays and numbers.

    Args:
        path: one of :data:`SUFFIXES`. A ``.npz`` becomes a dict; a ``.npy`` made of a dict or list
            by ``numpy.save`` becomes that; tensors become arrays, arrays of objects lists. A
            ``.pkl`` may be joblib's, also compressed as its ``compress=3`` does.
        most: bytes that the file, and the arrays in it, may have.

    Raises:
        PayloadError: it is missing, broken, of another kind or too large, or needs more than
            arrays and containers to be loaded.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in SUFFIXES:
        raise PayloadError(f"{path}: {suffix or 'no suffix'} is none of {', '.join(SUFFIXES)}.")
    try:
        check_size(path, most)
        return plain(_load(path, suffix, most), most)
    except RefusedPickle as error:
        raise PayloadError(
            f"{path} is refused, because loading it could run code that is in it ({error}):"
            " save plain numpy arrays in .npz instead."
        ) from error
    # a damaged pickle can raise nearly anything
    except Exception as error:
        reason = " ".join(str(error).split())
        raise PayloadError(f"{path} can not be read ({type(error).__name__}: {reason}).") from error


def check_size(path: str, most: int = MOST_BYTES) -> None:
    """Raise ValueError for a file that is larger than one of a crop can be."""
    if os.path.getsize(path) > most:
        raise ValueError(f"it has more than {most >> 20} MiB")


def _load(path: str, suffix: str, most: int) -> Any:
    if suffix in (".pt", ".pth"):
        return _load_torch(path)
    with open(path, "rb") as file:
        if suffix == ".npz":
            return read_npz(file, most=most, objects=load_arrays)
        if suffix == ".npy":
            return read_npy(file, most=most, objects=load_arrays)
        if suffix == ".json":
            return json.load(file)
        return load_arrays(_decompressed(file.read(), most), most=most)


def _decompressed(content: bytes, most: int) -> bytes:
    """The pickle in a file of joblib that is compressed by zlib or gzip; others as they are."""
    if not content.startswith(_ZLIB):
        return content
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # of both kinds
    content = unpacker.decompress(content, most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most >> 20} MiB when it is decompressed")
    if not unpacker.eof:
        raise EOFError("its compressed content has no end")
    return content


def _load_torch(path: str) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # torch compresses nothing: what is compressed may be of any size
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is compressed, which torch's files are not")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text is a page, and tells how to switch the check off
        raise RefusedPickle("it holds more than tensors in containers") from error
