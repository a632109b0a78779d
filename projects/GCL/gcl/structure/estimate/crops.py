"""Crops as the network takes them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .network import SIZE

Crop = str | os.PathLike | np.ndarray
"""A path, or an (H, W, 3) uint8 RGB array."""


def load_crops(crops: Sequence[Crop]) -> Tensor:
    """(B, 3, 128, 64) uint8.

    Raises:
        OSError: a file is missing or broken; the message names it.
        ValueError: an array that is no picture; the message tells its place in ``crops``.
        TypeError: one path instead of a list.
    """
    if isinstance(crops, str | os.PathLike):
        raise TypeError(f"crops must be a list: [{str(crops)!r}].")
    pictures = [_resized(_open(crop, i)) for i, crop in enumerate(crops)]
    if not pictures:
        return torch.empty(0, 3, *SIZE, dtype=torch.uint8)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def read_crop(path: str | os.PathLike) -> np.ndarray:
    """(H, W, 3) uint8 RGB.

    Raises:
        OSError: it is missing or broken; the message names it.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise OSError(f"image {path} can not be read ({error}): replace or remove it.") from error


def _open(crop: Crop, index: int) -> Image.Image:
    if isinstance(crop, np.ndarray):
        if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8 or not crop.size:
            raise ValueError(
                f"crop {index} is an array {crop.dtype} {crop.shape}: it must be uint8 (H, W, 3),"
                " RGB."
            )
        return Image.fromarray(crop)
    return Image.fromarray(read_crop(crop))


def _resized(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC))
