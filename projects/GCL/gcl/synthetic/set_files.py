"""A set on disk: drawn once, completed after an interruption, never drawn twice.

``<folder>/Market-1501-v15.09.15/`` has the crops, ``<folder>/meshes/`` the structure renders in the
layout of :mod:`gcl.structure.store`, ``<folder>/set.json`` the settings, and ``<folder>/crops.csv``
a row for each crop; it is written last, so a folder with it is whole. A set that another version of
this software drew is drawn anew.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from gcl.atomic_files import atomic, remove_leftovers
from gcl.structure.geometry import render_views
from gcl.structure.poses import ACTIVITIES
from gcl.structure.store import FOLDERS, TURNS

from .draw import bodies, dress, photographs
from .figure import Tailor
from .plan import VERSION, Settings, Shot, as_dict, plan

logger = logging.getLogger(__name__)

FOLDER = "synthetic-pedestrians"
CROPS = "Market-1501-v15.09.15"
TABLE, SETTINGS = "crops.csv", "set.json"
COLUMNS = (
    "image", "folder", "person", "camera", "yaw", "elevation", "activity", "phase", "pose_seed",
)  # fmt: skip
BATCH = 16

T = TypeVar("T")

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
    there = read_settings(folder)
    if there is not None and there.version != VERSION:
        there = dataclasses.replace(there, version=VERSION)
        if settings in (None, there):
            logger.warning(
                "%s was drawn by another version of this software, which drew otherwise: it is"
                " drawn anew.",
                folder,
            )
            _remove(folder)
    if os.path.exists(os.path.join(folder, TABLE)) and settings in (None, there):
        return folder
    settings = settings or there or Settings()
    if there is not None and there != settings:
        raise ValueError(
            f"{folder} holds another synthetic set ({_differences(there, settings)}): remove it or"
            " choose another folder."
        )
    shots = plan(settings)
    for path in _folders(folder):
        os.makedirs(path, exist_ok=True)
        remove_leftovers(path)
    _write(os.path.join(folder, SETTINGS), json.dumps(as_dict(settings), indent=1).encode())
    # batches are always the same, so that a resumed set has the same files, bit by bit
    batches = [shots[i : i + BATCH] for i in range(0, len(shots), BATCH)]
    todo = [batch for batch in batches if not _is_there(folder, batch)]
    logger.info("Drawing %d of %d pictures into %s", sum(map(len, todo)), len(shots), folder)
    with tqdm(
        total=len(shots), desc="pedestrians", unit="crop", disable=not progress, dynamic_ncols=True
    ) as bar:
        bar.update(len(shots) - sum(map(len, todo)))
        jobs = [(batch, folder, settings.size) for batch in todo]
        for batch in in_processes(draw_batch, jobs, workers):
            bar.update(len(batch))
    _write(os.path.join(folder, TABLE), _table(shots))
    return folder


def read_settings(folder: str | os.PathLike) -> Settings | None:
    """Settings of the set in ``folder``, None when there is none.

    Raises:
        ValueError: the file is not such a file.
    """
    path = os.path.join(folder, SETTINGS)
    try:
        with open(path, "rb") as file:
            return Settings(**json.load(file))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is broken ({error}): remove {folder}.") from error


def check_version(folder: str | os.PathLike, settings: Settings) -> None:
    """Raises ValueError when another version of this software drew the set."""
    if settings.version != VERSION:
        raise ValueError(
            f"{folder} was drawn by another version of this software, which drew otherwise: draw"
            " the set anew with python -m gcl.synthetic."
        )


def draw_batch(batch: list[Shot], folder: str, size: tuple[int, int]) -> list[Shot]:
    """Draw the crops and renders of ``batch`` and write them; returns ``batch``."""
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
            _write(path, picture)
    return batch


def in_processes(draw: Callable[..., T], jobs: Sequence[tuple], workers: int) -> Iterator[T]:
    """``draw(*job)`` of each job, in their order, by so many processes; 1: by this one."""
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield draw(*job)
        return
    spawn = multiprocessing.get_context("spawn")  # torch does not survive a fork
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=spawn) as pool:
        yield from pool.map(draw, *zip(*jobs, strict=True))


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


def _remove(folder: str) -> None:
    """Remove the pictures of a set; the table first, so that it is not taken for whole meanwhile,
    and not the settings, so that a run that is killed here is gone on with."""
    for path in (os.path.join(folder, TABLE), *_folders(folder)[1:]):
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)


def _folders(folder: str) -> list[str]:
    crops = [os.path.join(folder, CROPS, name) for name in
             ("bounding_box_train", "query", "bounding_box_test")]  # fmt: skip
    views = [os.path.join(folder, "meshes", split, view) for split in ("train", "test")
             for view in FOLDERS]  # fmt: skip
    return [folder, *crops, *views]


def _paths(folder: str, shot: Shot) -> list[str]:
    """Of the crop and of its eight renders."""
    crop = os.path.join(folder, CROPS, shot.folder, shot.name)
    return [crop, *(os.path.join(folder, "meshes", shot.split, v, shot.name) for v in FOLDERS)]


def _is_there(folder: str, batch: list[Shot]) -> bool:
    return all(os.path.exists(path) for shot in batch for path in _paths(folder, shot))


def jpeg(picture: np.ndarray, quality: int) -> bytes:
    """A picture (H, W, 3) or (H, W) uint8 as a file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def developed(picture: np.ndarray, quality: int) -> Image.Image:
    """What :func:`jpeg` leaves of a picture (H, W, 3) uint8, mode "RGB"."""
    return Image.open(io.BytesIO(jpeg(picture, quality))).convert("RGB")


def _write(path: str, content: bytes) -> None:
    with atomic(path) as file:
        file.write(content)


def _table(shots: list[Shot]) -> bytes:
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(COLUMNS)
    for shot in shots:
        scene = shot.scene
        pose = scene.pose()
        rows.writerow(
            (
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
        )
    return stream.getvalue().encode()


def _differences(there: Settings, wanted: Settings) -> str:
    a, b = as_dict(there), as_dict(wanted)
    return ", ".join(f"{k} {a[k]} instead of {b[k]}" for k in a if a[k] != b[k])
