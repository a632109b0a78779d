"""Features of a folder of crops, kept in a file so that a crop is only ever seen once.

What is kept counts for the same pixels, camera and weights alone, whatever files are called and
whenever they were written. Shapes: N crops, D features.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence

import numpy as np

from gcl.atomic_files import atomic
from gcl.data.crop_list import CropList, Skipped

from .reid import ReID, paths_of

logger = logging.getLogger(__name__)


def folder_features(
    model: ReID, crops: CropList, kept: str = "", bar: bool = False
) -> tuple[CropList, np.ndarray]:
    """The crops that can be read, and their features (N, D); the others are among the skipped.

    Args:
        kept: file of features, read where it is there and written anew; its folder is made. "": no
            feature is kept.
        bar: show how far it is.

    Raises:
        OSError: the file can not be written.
    """
    paths = paths_of(crops)
    names = [crop.camera for crop in crops.crops]
    numbers = model.camera_numbers(names, len(paths))
    known = _read(kept, model.digest) if kept else {}
    keys = [_key(p, n) if kept else "" for p, n in zip(paths, numbers, strict=True)]
    new = [i for i, key in enumerate(keys) if key not in known]
    features = np.zeros((len(paths), model.dimension), np.float32)
    for i, key in enumerate(keys):
        if key in known:
            features[i] = known[key]
    if kept:
        logger.info("%s: features of %d crops, %d are new.", kept, len(paths), len(new))
    fresh, problems = model.embed_good([paths[i] for i in new], [names[i] for i in new], bar=bar)
    features[new] = fresh
    bad = {new[i]: reason.replace(paths[new[i]], "file") for i, reason in problems.items()}
    good = [i for i in range(len(paths)) if i not in bad]
    if kept and (new or len(known) != len(set(keys))):
        _write(kept, model.digest, [keys[i] for i in good], features[good])
    skipped = (*crops.skipped, *(Skipped(crops.crops[i].name, why) for i, why in bad.items()))
    readable = tuple(crops.crops[i] for i in good)
    return CropList(crops.folder, readable, tuple(sorted(skipped)), crops.notes), features[good]


def kept_file(folder: str, gallery: str) -> str:
    """The file in ``folder`` for the features of a gallery: one for each."""
    where = os.path.realpath(gallery)
    name = hashlib.sha256(os.fsencode(where)).hexdigest()[:12]
    return os.path.join(folder, f"{name}.npz")


def _key(path: str, camera: int) -> str:
    """Of a crop's bytes and its camera's number; "" of a file that can not be read."""
    try:
        with open(path, "rb") as file:
            return f"{hashlib.sha256(file.read()).hexdigest()} {camera}"
    except OSError:
        return ""


def _read(path: str, digest: str) -> dict[str, np.ndarray]:
    """Key -> feature; nothing of other weights, and nothing of a file that is broken."""
    if not os.path.isfile(path):
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["encoder"]) != digest:
                return {}
            keys, features = file["keys"].tolist(), file["features"]
            if len(keys) != len(features) or features.ndim != 2:
                raise ValueError("keys and features differ in number")
            return dict(zip(keys, features, strict=True))
    except Exception as error:  # noqa: BLE001  a damaged file can raise nearly anything
        logger.warning("%s can not be read (%s): its features are made anew.", path, error)
        return {}


def _write(path: str, digest: str, keys: Sequence[str], features: np.ndarray) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with atomic(path) as file:
        np.savez(file, encoder=digest, keys=np.array(keys, dtype=str), features=features)
