"""Crops as the network takes them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gcl.photographs import read_photograph

from .network import SIZE

Crop = str | os.PathLike | np.ndarray
"""A path, or an (H, W, 3) uint8 RGB array."""


def load_crops(crops: Sequence[Crop]) -> Tensor:
    """(B, 3, 128, 64) uint8.

    Raises:
        PhotographError: a file is missing or broken; the message names it.
        ValueError: an array that is no picture; the message tells its place in ``crops``.
        TypeError: one path instead of a list.
    """
    if isinstance(crops, str | os.PathLike):
        raise TypeError(f"crops must be a list: [{str(crops)!r}].")
    pictures = [
        _resized(_from_array(crop, i)) if isinstance(crop, np.ndarray) else load_crop(crop)
        for i, crop in enumerate(crops)
    ]
    if not pictures:
        return torch.empty(0, 3, *SIZE, dtype=torch.uint8)
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def load_crop(path: str | os.PathLike) -> np.ndarray:
    """A photograph at the network's size, (128, 64, 3) uint8 RGB.

    Raises:
        PhotographError: it is missing, broken or no crop of a person; the message names it.
    """
    return _resized(read_photograph(path, at_least=SIZE))


def _from_array(crop: np.ndarray, index: int) -> Image.Image:
    if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8 or not crop.size:
        raise ValueError(
            f"crop {index} is an array {crop.dtype} {crop.shape}: it must be uint8 (H, W, 3), RGB."
        )
    return Image.fromarray(crop)


def _resized(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC))
