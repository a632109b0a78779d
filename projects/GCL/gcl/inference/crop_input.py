"""What a user can give as crops, as a data set of tensors. Shapes: N crops, H x W pixels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from fastreid.data.transforms import build_transforms
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from gcl.config import ConfigError
from gcl.photographs import PhotographError, read_photograph

Crop = str | os.PathLike | Image.Image | np.ndarray
"""A file, a picture of Pillow, or (h, w, 3) uint8 RGB (OpenCV's are BGR: ``frame[..., ::-1]``)."""


class CropInput(Dataset):
    """Item i is (index, tensor (3, H, W) of 0-255, "") of the i-th crop, read and resized as a test
    of the toolbox does; of a file that is none, (index, zeros, the reason).

    Args:
        crops: N of :data:`Crop`.
        cfg: of the encoder, whose INPUT.SIZE_TEST is (H, W).
    """

    def __init__(self, crops: Sequence[Crop], cfg) -> None:
        self.crops = list(crops)
        self.size = tuple(cfg.INPUT.SIZE_TEST)
        self.transform = build_transforms(cfg, is_train=False)

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> tuple[int, Tensor, str]:
        crop = self.crops[index]
        try:
            picture = crop if isinstance(crop, Image.Image) else read_photograph(crop, self.size)
        except PhotographError as error:
            return index, torch.zeros(3, *self.size), str(error)
        return index, self.transform(picture), ""


def listed(crops: Crop | Sequence[Crop]) -> list[Crop]:
    """One crop, or several, as a list; arrays as pictures.

    Raises:
        ConfigError: something among them is no crop.
    """
    one = isinstance(crops, str | os.PathLike | Image.Image)
    one = one or (isinstance(crops, np.ndarray) and crops.ndim < 4)
    one = one or not isinstance(crops, Iterable)  # for which there is the sentence below
    return [_checked(crop, i) for i, crop in enumerate([crops] if one else crops)]


def _checked(crop: Crop, index: int) -> Crop:
    if isinstance(crop, str | os.PathLike):
        return os.fspath(crop)
    if isinstance(crop, Image.Image):
        return crop.convert("RGB")
    if isinstance(crop, np.ndarray) and crop.dtype == np.uint8 and crop.ndim == 3:
        if crop.shape[2] == 3 and crop.size:
            return Image.fromarray(np.ascontiguousarray(crop))
    kind = f"of type {type(crop).__name__}"
    if isinstance(crop, np.ndarray):
        kind = f"an array {crop.shape} of {crop.dtype}"
    raise ConfigError(
        f"Crop {index} is {kind}: give paths, pictures of Pillow, or RGB arrays (h, w, 3) of uint8."
    )
