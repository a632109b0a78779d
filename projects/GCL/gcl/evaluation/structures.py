"""How good an estimator's bodies are on crops of which the truth is known.

Shapes: `N` crops, `B` of them at a time.
"""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from gcl.structure.estimate import Estimate, StructureEstimator
from gcl.structure.render import render_structure
from gcl.structure.render_files import read_render
from gcl.structure.verify import DARK

from .body_metrics import mpjpe, pa_mpjpe, silhouette_iou, summarize_yaw, yaw_errors
from .labelled_crops import LabelledCrops

COLUMNS = {
    "crops": ("", "{:d}"),
    "median": ("median error", "{:.1f}"),
    "within_22": ("<= 22.5", "{:.1%}"),
    "within_45": ("<= 45", "{:.1%}"),
    "flipped": ("> 135", "{:.1%}"),
    "doubtful": ("doubtful", "{:.1%}"),
    "mpjpe": ("MPJPE (mm)", "{:.0f}"),
    "pa_mpjpe": ("PA-MPJPE (mm)", "{:.0f}"),
    "iou": ("silhouette IoU", "{:.3f}"),
}
"""Figure -> title and format of its column; the first four errors are of the yaw in degrees."""


class Measured(NamedTuple):
    """Attributes:
    yaw, confidence, doubtful: (N,) as estimated.
    error: (N,) degrees in [0, 180].
    mpjpe, pa_mpjpe: (N,) millimetres; NaN where the keypoints are not known.
    iou: (N,) of the silhouette; NaN where that is not known.
    seconds: that estimating took.
    """

    yaw: Tensor
    confidence: Tensor
    doubtful: Tensor
    error: Tensor
    mpjpe: Tensor
    pa_mpjpe: Tensor
    iou: Tensor
    seconds: float


def measure(estimator: StructureEstimator, crops: LabelledCrops, batch_size: int = 64) -> Measured:
    """Estimate all crops and compare.

    Raises:
        OSError: an image can not be read; the message names it.
    """
    parts, seconds = [], 0.0
    for first in tqdm(range(0, len(crops.images), batch_size), "estimating", unit="batch"):
        rows = slice(first, first + batch_size)
        start = time.perf_counter()
        found = estimator(crops.images[rows], batch_size=batch_size)
        seconds += time.perf_counter() - start
        joints = bodies = iou = torch.full_like(found.yaw, math.nan)
        if crops.keypoints is not None:
            joints = mpjpe(found.keypoints, crops.keypoints[rows])
            bodies = pa_mpjpe(found.keypoints, crops.keypoints[rows])
        if crops.silhouettes is not None:
            iou = silhouette_iou(*_masks(found, crops.silhouettes[rows]))
        error = yaw_errors(found.yaw, crops.yaw[rows])
        given = (found.yaw, found.confidence, found.doubtful)
        parts.append((*given, error, joints, bodies, iou))
    return Measured(*map(torch.cat, zip(*parts, strict=True)), seconds)


def figures(crops: LabelledCrops, measured: Measured) -> dict[str, Any]:
    """Figures of all crops ("all"), of each "camera" by its number and of each "orientation" by its
    degrees, by the keys of :data:`COLUMNS`, without those that are not known; "left_out" of the
    images and "crops_per_second".

    An orientation is a true yaw rounded to 45 degrees."""
    everybody = np.ones(len(crops.images), bool)
    sector = (crops.yaw / 45).round().long().remainder(8).mul(45).numpy()
    camera = np.array(crops.cameras or [])
    return {
        "left_out": crops.left_out,
        "crops_per_second": round(len(crops.images) / measured.seconds, 2),
        "all": _figures(measured, everybody),
        "camera": {str(c): _figures(measured, camera == c) for c in np.unique(camera)},
        "orientation": {str(s): _figures(measured, sector == s) for s in np.unique(sector)},
    }


def report(found: dict[str, Any]) -> str:
    """Table of :func:`figures`: a row for all crops, for each camera, for each orientation."""
    groups = {"all": found["all"]}
    for kind in ("camera", "orientation"):
        groups |= {f"{kind} {name}": values for name, values in found[kind].items()}
    keys = [key for key in COLUMNS if key in found["all"]]
    rows = [
        [name, *(COLUMNS[key][1].format(values[key]) for key in keys)]
        for name, values in groups.items()
    ]
    titles = ["", "crops", *(COLUMNS[key][0] for key in keys if key != "crops")]
    align = ("left", *["right"] * len(keys))
    table = tabulate(rows, titles, "github", disable_numparse=True, colalign=align)
    if found["left_out"]:
        table += f"\n{found['left_out']} images without an orientation in their names left out"
    return f"{table}\n{found['crops_per_second']:.1f} crops/s"


def _figures(measured: Measured, chosen: np.ndarray) -> dict[str, float]:
    rows = torch.from_numpy(chosen)
    values = {
        "crops": int(rows.sum()),
        **summarize_yaw(measured.error[rows])._asdict(),
        "doubtful": float(measured.doubtful[rows].float().mean()),
    }
    for key in ("mpjpe", "pa_mpjpe", "iou"):
        mean = float(getattr(measured, key)[rows].mean())
        if not math.isnan(mean):
            values[key] = mean
    return values


def _masks(found: Estimate, silhouettes: list[str]) -> tuple[Tensor, Tensor]:
    """(B, H, W) of the estimated and of the true bodies."""
    # JPEG leaves a few grey values in what is black: of `> 0` a fifth would be background
    true = torch.from_numpy(np.stack([np.asarray(read_render(p)) for p in silhouettes])) >= DARK
    size = (true.shape[1], true.shape[2])
    picture = render_structure(found.vertices, found.faces, size=size, framing=found.framing)
    return picture > 0, true
