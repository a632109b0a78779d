"""Crops of which the true view is known: by their names, or because they were drawn.

For evaluation only; training reads none of it. Shapes: `N` crops.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gcl.config import ConfigError
from gcl.data.build import load_dataset
from gcl.data.folder import images_in
from gcl.structure.body import AnnyBody
from gcl.structure.store import FOLDERS
from gcl.synthetic import Settings, SyntheticPedestrians
from gcl.synthetic.figure import phenotypes
from gcl.synthetic.plan import VERSION, Shot, plan
from gcl.synthetic.projection import about_pelvis
from gcl.synthetic.scene import poses
from gcl.synthetic.set_files import CROPS
from gcl.synthetic.set_folder import TABLE, read_settings

PATTERN = r"_c\d+s\d+_0*(\d+)_\d+\."
"""Finds the orientation in a name of the PKU development data."""
ORIENTATIONS = {"1": 90, "2": 135, "3": 180, "4": 225, "5": 270, "6": 315, "7": 0, "8": 45}
"""What it says there, in degrees."""
_CAMERA = re.compile(r"_c(\d+)")
_BATCH = 64


@dataclass(frozen=True)
class LabelledCrops:
    """Attributes:
    images: N paths.
    yaw: (N,) degrees.
    cameras: number of each one's camera; None when the names do not say.
    keypoints: (N, 17, 3) COCO keypoints in metres, camera axes, at the true yaw; None if unknown.
    silhouettes: paths of renders of the true bodies, of the crops' size; None if there are none.
    left_out: images that have no orientation in their names.
    """

    images: list[str]
    yaw: Tensor
    cameras: list[int] | None = None
    keypoints: Tensor | None = None
    silhouettes: list[str] | None = None
    left_out: int = 0


def labelled_crops(
    data: str, pattern: str = PATTERN, orientations: Mapping[str, float] = ORIENTATIONS
) -> LabelledCrops:
    """Crops with known views of a synthetic set's folder, of a folder of crops, or of a data set of
    the toolbox (all of its images).

    Args:
        pattern: finds the orientation in a file name: a regular expression with one group.
        orientations: what the group can be -> yaw in degrees; crops with anything else are left
            out. A synthetic set needs neither.

    Raises:
        ConfigError: no such data, or no crop with an orientation.
    """
    if os.path.exists(os.path.join(data, Settings.FILE)):
        return from_synthetic(data)
    if os.path.isdir(data):
        return from_names(images_in(data), pattern, orientations)
    dataset = load_dataset(data)
    if isinstance(dataset, SyntheticPedestrians):
        return from_synthetic(dataset.dataset_dir)
    items = dataset.train + dataset.query + dataset.gallery
    return from_names(sorted({item[0] for item in items}), pattern, orientations)


def from_names(
    images: Sequence[str], pattern: str = PATTERN, orientations: Mapping[str, float] = ORIENTATIONS
) -> LabelledCrops:
    """See :func:`labelled_crops`."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--orientation-pattern {pattern}: {error}.") from error
    if expression.groups != 1:
        raise ConfigError(
            f"--orientation-pattern {pattern} has {expression.groups} groups: put the orientation,"
            " and nothing else, in parentheses."
        )
    found = {image: expression.search(os.path.basename(image)) for image in images}
    yaw = {i: orientations[m[1]] for i, m in found.items() if m and m[1] in orientations}
    if not yaw:
        example = f", such as {os.path.basename(images[0])}," if images else ""
        raise ConfigError(
            f"none of {len(images)} image names{example} holds one of the orientations"
            f" {', '.join(orientations)} where {pattern} looks for it: set --orientation-pattern"
            " and --orientations."
        )
    cameras = [_CAMERA.search(os.path.basename(image)) for image in yaw]
    return LabelledCrops(
        list(yaw),
        torch.tensor(list(yaw.values()), dtype=torch.float32),
        [int(camera[1]) for camera in cameras] if all(cameras) else None,
        left_out=len(images) - len(yaw),
    )


def from_synthetic(folder: str) -> LabelledCrops:
    """All crops of the set in ``folder``, with their true bodies.

    Raises:
        ConfigError: the set is not whole, or another version of this software drew it.
    """
    try:
        settings = read_settings(folder, Settings)
        with open(os.path.join(folder, TABLE), newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} is no whole synthetic set: {error}") from error
    shots = {shot.name: shot for shot in plan(settings)} if settings.version == VERSION else {}
    seeds = {name: str(shot.scene.moment.seed) for name, shot in shots.items()}
    if any(seeds.get(row["image"]) != row["pose_seed"] for row in rows):
        raise ConfigError(
            f"{folder} was drawn by another version of this software, whose bodies are not known:"
            " draw a set with python -m gcl.synthetic."
        )
    drawn = [shots[row["image"]] for row in rows]
    yaw = torch.tensor([float(row["yaw"]) for row in rows])
    return LabelledCrops(
        [os.path.join(folder, CROPS, shot.folder, shot.name) for shot in drawn],
        yaw,
        [shot.camera for shot in drawn],
        about_pelvis(_keypoints(drawn), yaw),
        [os.path.join(folder, "meshes", shot.split, FOLDERS[0], shot.name) for shot in drawn],
    )


def _keypoints(shots: Sequence[Shot]) -> Tensor:
    """(N, 17, 3) of the bare bodies, facing the camera."""
    body, found = AnnyBody("reduced"), []
    for first in range(0, len(shots), _BATCH):
        scenes = [shot.scene for shot in shots[first : first + _BATCH]]
        shape = phenotypes([scene.person for scene in scenes])
        found.append(body(poses(scenes), shape).keypoints)
    return torch.cat(found)
