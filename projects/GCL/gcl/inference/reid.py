"""Features of crops, and whether two crops show one person: a trained encoder for one's own code.

    from gcl import ReID
    model = ReID.load("logs/mine")
    features = model.embed(["a.jpg", "b.jpg"])         # (2, D), of unit length
    model.same("a.jpg", "b.jpg")                       # probability

Shapes: N crops, D features.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from gcl.compat import device_type
from gcl.config import ConfigError
from gcl.cores import usable_cores
from gcl.data.crop_list import CropList
from gcl.data.own_crops import folder_pattern, list_folder, no_crops_in, path_below
from gcl.modeling.encoder_weights import architecture
from gcl.photographs import PhotographError

from .calibration import Calibration, read_calibration
from .crop_input import Crop, CropInput, listed
from .trained_encoder import TrainedEncoder, open_encoder

logger = logging.getLogger(__name__)

BATCH = 64
MANY = 1000
"""Crops from which data workers read them."""

Camera = str | int | None


class ReID:
    """A trained encoder in use.

    **Cameras.** The encoder of a run with GCL.CAMERA_NORM standardises a crop by the statistics of
    its camera. Which that is, ``cameras`` says: the camera's name in the run's crops.csv or, of a
    data set of the toolbox, its number. A crop without a camera (None), or of one that was not
    trained on, is standardised by the statistics of all training images. Other encoders know no
    cameras. No statistics are ever taken of the crops given: a feature depends on its crop alone.

    Attributes:
        encoder: what it is made of.
    """

    def __init__(self, encoder: TrainedEncoder) -> None:
        self.encoder = encoder

    @classmethod
    def load(cls, source: str | os.PathLike, device: str | torch.device | None = None) -> ReID:
        """The encoder of a run.

        Args:
            source: OUTPUT_DIR, a checkpoint with config.yaml beside it, or "packaged"
                (:func:`~.trained_encoder.open_encoder`).
            device: None: CUDA, where there is a GPU.

        Raises:
            ConfigError: there is none, or it can not be read.
        """
        return cls(open_encoder(source, device or device_type()))

    def embed(
        self,
        crops: Crop | Sequence[Crop],
        cameras: Camera | Sequence[Camera] = None,
        *,
        bar: bool = False,
    ) -> np.ndarray:
        """Features (N, D) float32 of unit length; the cosine of two is their inner product.

        Args:
            crops: a path, picture or RGB array, or several; or a folder, whose crops
                :meth:`list_crops` lists, in its order and with its cameras.
            cameras: of all crops, or of each.
            bar: show how far it is.

        Raises:
            PhotographError: a file is no crop.
            ConfigError: something else that is given can not be used.
        """
        if isinstance(crops, str | os.PathLike) and os.path.isdir(crops):
            found = self.list_crops(crops)
            crops = paths_of(found)
            cameras = [crop.camera for crop in found.crops] if cameras is None else cameras
        features, problems = self.embed_good(crops, cameras, bar=bar)
        if problems:
            raise PhotographError(problems[min(problems)])
        return features

    @torch.no_grad()
    def embed_good(
        self,
        crops: Crop | Sequence[Crop],
        cameras: Camera | Sequence[Camera] = None,
        *,
        bar: bool = False,
    ) -> tuple[np.ndarray, dict[int, str]]:
        """As :meth:`embed`, but goes on where a file is no crop: such a row is zero.

        Returns:
            The features, and why there is none of which row.
        """
        crops = listed(crops)
        numbers = torch.from_numpy(self.camera_numbers(cameras, len(crops)))
        features = torch.zeros(len(crops), self.dimension)
        problems: dict[int, str] = {}
        workers = usable_cores() if len(crops) > MANY else 0
        loader = DataLoader(CropInput(crops, self.encoder.cfg), BATCH, num_workers=workers)
        shown = {"total": len(crops), "desc": "features", "unit": "crop"}
        with tqdm(**shown, disable=not bar or not crops) as progress:
            for index, images, reasons in loader:
                features[index] = self.forward(images, numbers[index]).cpu()
                for i, reason in zip(index.tolist(), reasons, strict=True):
                    if reason:
                        problems[i] = reason
                progress.update(len(index))
        features[list(problems)] = 0
        return features.numpy(), problems

    def forward(self, images: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) of 0-255 and numbers of cameras (B,) of which -1 is none -> (B, D) of
        unit length."""
        model, norm = self.encoder.model, self.encoder.camera_norm
        images = images.to(model.device, torch.float32)
        feature_map = model.backbone(model.preprocess_image({"images": images}))
        if norm is None:
            return F.normalize(model.heads(feature_map))
        camids = None if numbers is None else numbers.to(model.device)
        # not by the head's own call: that warns of unknown cameras, as an evaluation has to
        with model.heads.standardised_by(lambda pooled, cameras: norm(pooled, cameras)):
            return F.normalize(model.heads(feature_map, camids=camids))

    def same(self, a: Crop, b: Crop, cameras: tuple[Camera, Camera] = (None, None)) -> float:
        """Probability that two crops show one person, by the run's result/calibration.json.

        Raises:
            ConfigError: the run has none.
        """
        calibration = self.calibration  # before any work
        features = self.embed([*listed(a), *listed(b)], list(cameras))
        return float(calibration.probability(features[0] @ features[1]))

    @functools.cached_property
    def calibration(self) -> Calibration:
        """From cosines to probabilities: ``model.calibration.probability(cosines)``.

        Raises:
            ConfigError: the run has none.
        """
        return read_calibration(self.encoder.folder)

    @functools.cached_property
    def dimension(self) -> int:
        """D."""
        height, width = self.encoder.size
        with torch.no_grad():
            return self.forward(torch.zeros(1, 3, height, width)).shape[1]

    @functools.cached_property
    def digest(self) -> str:
        """Of all that a feature depends on beside its crop: two encoders of one digest are one."""
        cfg, found = self.encoder.cfg, hashlib.sha256()
        made = {**architecture(cfg), "SIZE": list(self.encoder.size), "CROP": cfg.INPUT.CROP}
        found.update(json.dumps(made, sort_keys=True, default=list).encode())
        for name, value in sorted(self.encoder.model.state_dict().items()):
            if name != "heads.weight":  # of the classifier
                found.update(name.encode())
                found.update(value.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def camera_numbers(self, cameras: Camera | Sequence[Camera], count: int) -> np.ndarray:
        """(N,) int64 numbers of cameras, -1 for those without statistics, of which a warning tells.

        Raises:
            ConfigError: there are not as many as crops.
        """
        if cameras is None or isinstance(cameras, str | int):
            cameras = [cameras] * count
        if len(cameras) != count:
            raise ConfigError(f"{len(cameras)} cameras were given for {count} crops: give as many.")
        names = ["" if camera is None else str(camera) for camera in cameras]
        known = self.encoder.cameras
        if strange := sorted({name for name in names if name and name not in known}):
            if self.encoder.camera_norm is None:
                what = "the encoder has no statistics of cameras (GCL.CAMERA_NORM)"
            else:
                what = (
                    f"of camera {strange[0]}{' and others' * (len(strange) > 1)} the encoder has no"
                    f" statistics ({', '.join(known) or 'nor of any other that has a name'}): those"
                    " of all training images take their place"
                )
            _warn_once(f"cameras: {what}.")
        return np.array(
            [
                -1 if camera is None else known.get(name, -1)
                for camera, name in zip(cameras, names, strict=True)
            ],
            np.int64,
        )

    def list_crops(self, folder: str | os.PathLike, pattern: str = "") -> CropList:
        """The crops of a folder and of the folders below it, as a run on it would list them: by its
        crops.csv, if it has one, and by a pattern of names.

        Args:
            pattern: as GCL.DATA.PATTERN; "": that of the run, if a crop is named so.

        Raises:
            ConfigError: there are no crops, or the pattern or the table can not be used.
        """
        folder, given = os.fspath(folder), pattern
        data = self.encoder.cfg.get("GCL", {}).get("DATA", {})
        trained = data.get("FOLDER", "")
        same = os.path.isdir(trained) and os.path.realpath(trained) == os.path.realpath(folder)
        table, closed = (data["TABLE"], no_crops_in(self.encoder.cfg)) if same else ("", [])
        own = [path for path in (self.encoder.folder, *closed) if path and _inside(path, folder)]
        try:
            found = list_folder(folder, table=table, without=own)
            pattern = pattern or data.get("PATTERN", "")
            if pattern and (given or _names_some(pattern, found)):
                found = list_folder(folder, pattern, table, own)
        except ConfigError as error:  # which speaks of a training's keys
            text = str(error).replace("GCL.DATA.FOLDER ", "").replace("GCL.DATA.PATTERN", "pattern")
            raise ConfigError(text) from error
        return found


def paths_of(crops: CropList) -> list[str]:
    """Files of a list of crops, in its order."""
    return [path_below(crops.folder, crop.name) for crop in crops.crops]


def _inside(inner: str, outer: str) -> bool:
    inner, outer = (os.path.join(os.path.realpath(path), "") for path in (inner, outer))
    return inner.startswith(outer) and inner != outer


def _names_some(pattern: str, crops: CropList) -> bool:
    names = folder_pattern(pattern)
    return any(names.match(os.path.splitext(crop.name)[0]) for crop in crops.crops)


@functools.cache
def _warn_once(sentence: str) -> None:
    logger.warning(sentence)
