"""Reading what other programs wrote, without running what is in it.

Pickles and torch files can run any code when they are loaded. Here they may build containers,
numbers, numpy arrays and tensors, and nothing else.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from typing import Any, BinaryIO

import numpy as np
import torch

from gcl.structure.unpickle import ArrayUnpickler

SUFFIXES = (".npz", ".npy", ".pkl", ".pickle", ".pt", ".pth", ".json")


class PayloadError(ValueError):
    """A file that can not be read, or that is not safe to read; the message names it."""


def read_payload(path: str) -> Any:
    """What a file of a mesh-recovery tool holds: containers of numpy arrays and numbers.

    Args:
        path: one of :data:`SUFFIXES`. A ``.npz`` becomes a dict; a ``.npy`` made of a dict or list
            by ``numpy.save`` becomes that; tensors become arrays.

    Raises:
        PayloadError: it is missing, broken, of another kind, or needs more than arrays and
            containers to be loaded.
    """
    suffix = os.path.splitext(path)[1].lower()
    try:
        if suffix in (".pt", ".pth"):
            return _to_arrays(_load_torch(path))
        with open(path, "rb") as file:
            if suffix == ".npz":
                return _read_npz(file)
            if suffix == ".npy":
                return _read_npy(file)
            if suffix in (".pkl", ".pickle"):
                return ArrayUnpickler(file).load()
            if suffix == ".json":
                return json.load(file)
    except pickle.UnpicklingError as error:
        raise PayloadError(
            f"{path} is refused, because loading it could run code that is in it ({error}):"
            " save plain numpy arrays in .npz instead."
        ) from error
    # a damaged pickle can raise nearly anything
    except Exception as error:
        reason = " ".join(str(error).split())
        raise PayloadError(f"{path} can not be read ({type(error).__name__}: {reason}).") from error
    raise PayloadError(f"{path}: {suffix or 'no suffix'} is none of {', '.join(SUFFIXES)}.")


def _load_torch(path: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own text is a page, and tells how to switch the check off
        raise pickle.UnpicklingError("it holds more than tensors in containers") from error


def _read_npz(file: BinaryIO) -> dict:
    with zipfile.ZipFile(file) as archive:
        payload = {}
        for name in archive.namelist():
            with archive.open(name) as entry:
                payload[name.removesuffix(".npy")] = _read_npy(entry)
        return payload


def _read_npy(file: BinaryIO) -> Any:
    """An array; an array of Python objects, which numpy pickles, by the restricted unpickler."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format
    read = {(1, 0): header.read_array_header_1_0, (2, 0): header.read_array_header_2_0}[version]
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        value = ArrayUnpickler(file).load()
        return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    data = file.read()
    count = int(np.prod(shape, dtype=np.int64))
    array = np.frombuffer(data, dtype, count)
    return array.reshape(shape, order="F" if fortran else "C")


def _to_arrays(value: Any) -> Any:
    """Tensors in containers as numpy arrays."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, dict):
        return {key: _to_arrays(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_arrays(item) for item in value]
    return value
