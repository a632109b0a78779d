"""A set of pedestrians with their structures on disk (kept as set_folder says).

``<folder>/Market-1501-v15.09.15/`` has the crops, ``<folder>/meshes/`` the structure renders in the
layout of :mod:`gcl.structure.store`.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image

from gcl.structure.geometry import render_views
from gcl.structure.poses import ACTIVITIES
from gcl.structure.store import FOLDERS, TURNS

from .draw import bodies, dress, photographs
from .figure import Tailor
from .plan import VERSION, Settings, Shot, plan
from .set_folder import Batch, begin, draw_batches, finish, missing, write_file

logger = logging.getLogger(__name__)

FOLDER = "synthetic-pedestrians"
CROPS = "Market-1501-v15.09.15"
COLUMNS = (
    "image", "folder", "person", "camera", "yaw", "elevation", "activity", "phase", "pose_seed",
)  # fmt: skip
BATCH = 16

_tailor: Tailor | None = None


def write_set(
    root: str | os.PathLike,
    settings: Settings | None = None,
    *,
    workers: int = 1,
    progress: bool = True,
) -> str:
    """Draw what is missing of a set, which is nothing when it is whole, and all of it when another
    version of this software drew it.

    Args:
        root: the set is the folder ``synthetic-pedestrians`` in it.
        settings: None: those of the set that is there, or the usual ones.
        workers: processes that draw.
        progress: whether to show a bar.

    Returns:
        The folder.

    Raises:
        ValueError: another set is there.
        OSError: the folder can not be written.
    """
    folder = os.path.join(root, FOLDER)
    settings = begin(folder, settings, Settings(), _folders(folder))
    if settings is None:
        return folder
    shots = plan(settings)
    batches = []
    for batch in (shots[i : i + BATCH] for i in range(0, len(shots), BATCH)):
        paths = [path for shot in batch for path in _paths(folder, shot)]
        batches.append(Batch(len(batch), paths, (batch, folder, settings.size)))
    todo = missing(batches)
    logger.info("Drawing %d of %d pictures into %s", sum(b.crops for b in todo), len(shots), folder)
    draw_batches(
        draw_batch, todo, len(shots), desc="pedestrians", workers=workers, progress=progress
    )
    finish(folder, COLUMNS, map(_row, shots))
    return folder


def check_version(folder: str | os.PathLike, settings: Settings) -> None:
    """Raises ValueError when another version of this software drew the set."""
    if settings.version != VERSION:
        raise ValueError(
            f"{folder} was drawn by another version of this software, which drew otherwise: draw"
            " the set anew with python -m gcl.synthetic."
        )


def draw_batch(batch: list[Shot], folder: str, size: tuple[int, int]) -> None:
    """Draw the crops and renders of ``batch`` and write them."""
    scenes = [shot.scene for shot in batch]
    with one_thread():
        tailor = get_tailor()
        figure = dress(tailor, scenes)
        crops = photographs(tailor, scenes, size, figure).crops
        renders = [
            render_views(body, (0, *TURNS), size) for body in bodies(tailor, scenes, size, figure)
        ]
    for shot, crop, views in zip(batch, crops, renders, strict=True):
        pictures = [jpeg(np.asarray(view), 95) for view in views]
        pictures.insert(0, jpeg(crop, shot.scene.camera.quality))
        for path, picture in zip(_paths(folder, shot), pictures, strict=True):
            write_file(path, picture)


def get_tailor() -> Tailor:
    """One for a process: it takes a second to load."""
    global _tailor
    if _tailor is None:
        _tailor = Tailor()
    return _tailor


@contextmanager
def one_thread() -> Iterator[None]:
    """The tensors are small: threads that wait for each other cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _folders(folder: str) -> list[str]:
    crops = [os.path.join(folder, CROPS, name) for name in
             ("bounding_box_train", "query", "bounding_box_test")]  # fmt: skip
    views = [os.path.join(folder, "meshes", split, view) for split in ("train", "test")
             for view in FOLDERS]  # fmt: skip
    return [*crops, *views]


def _paths(folder: str, shot: Shot) -> list[str]:
    """Of the crop and of its eight renders."""
    crop = os.path.join(folder, CROPS, shot.folder, shot.name)
    return [crop, *(os.path.join(folder, "meshes", shot.split, v, shot.name) for v in FOLDERS)]


def jpeg(picture: np.ndarray, quality: int) -> bytes:
    """A picture (H, W, 3) or (H, W) uint8 as a file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def developed(picture: np.ndarray, quality: int) -> Image.Image:
    """What :func:`jpeg` leaves of a picture (H, W, 3) uint8, mode "RGB"."""
    return Image.open(io.BytesIO(jpeg(picture, quality))).convert("RGB")


def _row(shot: Shot) -> tuple:
    """Of the table: what COLUMNS name."""
    scene = shot.scene
    pose = scene.pose()
    return (
        shot.name,
        shot.folder,
        shot.person,
        shot.camera,
        f"{scene.moment.yaw:.2f}",
        f"{scene.elevation:.2f}",
        ACTIVITIES[int(pose.activity)],
        f"{float(pose.phase):.4f}",
        scene.moment.seed,
    )
