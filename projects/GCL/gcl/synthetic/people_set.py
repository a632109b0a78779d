"""Drawn people on disk, as crops with labels that the toolbox trains on as on photographs.

``<folder>/Market-1501-v15.09.15/`` has the crops, cut as detectors cut (kept as set_folder says). A
person's files follow from the seed, the size and the person's number alone, the split too: a set
grows to more people by drawing those, and keeps its files.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from gcl.structure.estimate.augment import random_crop

from .people import GROUP, SHOTS, People, cameras_of, canvas_of, draw_people
from .plan import VERSION, check_least
from .set_files import CROPS, get_tailor, jpeg, one_thread
from .set_folder import Batch, begin, draw_batches, finish, missing, write_file

logger = logging.getLogger(__name__)

FOLDER = "drawn-people"
COLUMNS = ("image", "folder", "person", "camera")
SPLITS = ("bounding_box_train", "query", "bounding_box_test")
TESTED = 10
"""One group of siblings in so many, the second of them, is there to test."""
FRAMES = 25
"""Between the numbers of shots in names. Numbers from 1 to 8 would be read as orientations, which
names of PKU-Reid have in this place."""
QUALITY = 95
"""Of JPEG: the pictures that crops are cut from have been through their cameras' own before."""
_SPEED = 40
"""Crops that a process draws in a second, about."""


@dataclass(frozen=True)
class PeopleSettings:
    """What a set is drawn from; the same settings give the same files.

    Attributes:
        people: how many, each in SEEN_BY x SHOTS crops; every tenth is there to test.
        height, width: of crops, in pixels.
        seed: of everything.
        version: of the drawing code.
        FILE: where a set keeps them.

    Raises:
        ValueError: there is nothing to draw or to evaluate with these numbers.
    """

    FILE: ClassVar[str] = "people.json"

    people: int = 300
    height: int = 128
    width: int = 64
    seed: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        # one group to train on, and somebody to test
        check_least(self, people=GROUP + 1, height=16, width=8)


def write_people_set(
    root: str | os.PathLike,
    settings: PeopleSettings | None = None,
    *,
    workers: int = 1,
    progress: bool = True,
) -> str:
    """Draw what is missing of a set, which is nothing when it is whole, and all of it when another
    version of this software drew it.

    Args:
        root: the set is the folder ``drawn-people`` in it.
        settings: None: those of the set that is there, or the usual ones. A set that is there may
            have fewer people.
        workers: processes that draw.
        progress: whether to show a bar.

    Returns:
        The folder.

    Raises:
        ValueError: another set is there, or one of more people.
        OSError: the folder can not be written.
    """
    folder = os.path.join(root, FOLDER)
    pictures = [os.path.join(folder, CROPS, split) for split in SPLITS]
    settings = begin(folder, settings, PeopleSettings(), pictures, grows="people")
    if settings is None:
        return folder
    rows = [_rows(settings.seed, number) for number in range(settings.people)]
    batches = [
        Batch(len(own), _paths(folder, own), (number, folder, settings))
        for number, own in enumerate(rows)
    ]
    todo, total = missing(batches), sum(batch.crops for batch in batches)
    crops, workers = sum(batch.crops for batch in todo), max(workers, 1)
    logger.info(
        "Drawing %d of %d crops of %d people into %s, in about %d min (processes: %d)."
        " Another number of people: python -m gcl.synthetic.draw_people %s --people N",
        crops, total, settings.people, folder, -(-crops // (60 * _SPEED * workers)), workers, root,
    )  # fmt: skip
    draw_batches(draw_person, todo, total, desc="people", workers=workers, progress=progress)
    finish(folder, COLUMNS, [row for own in rows for row in own])
    return folder


def draw_person(number: int, folder: str, settings: PeopleSettings) -> None:
    """Draw the crops of the person with this number, from 0, and write them."""
    seed, size = settings.seed, (settings.height, settings.width)
    with one_thread():
        people = draw_people(canvas_of(size), get_tailor(), seed, [number], sharp=False)
        crops = _cut(people, size, (seed, number))
    for path, crop in zip(_paths(folder, _rows(seed, number)), crops, strict=True):
        write_file(path, jpeg(crop, QUALITY))


def is_tested(number: int) -> bool:
    """Whether the person with this number is of the test set; siblings are together."""
    return number // GROUP % TESTED == 1


def _rows(seed: int, number: int) -> list[tuple[str, str, int, int]]:
    """What COLUMNS name, of the crops of a person; person and camera are counted from 1.

    The first shot of a visit of a test person is a query.
    """
    rows = []
    for shot, camera in enumerate(cameras_of(seed, number).tolist()):
        split = SPLITS[0] if not is_tested(number) else SPLITS[1 if shot % SHOTS == 0 else 2]
        name = f"{number + 1:04d}_c{camera + 1:02d}s1_{FRAMES * (shot + 1):06d}_00.jpg"
        rows.append((name, split, number + 1, camera + 1))
    return rows


def _paths(folder: str, rows: Sequence[tuple[str, str, int, int]]) -> list[str]:
    return [os.path.join(folder, CROPS, split, name) for name, split, _, _ in rows]


def _cut(people: People, size: tuple[int, int], chance: tuple[int, int]) -> np.ndarray:
    """(S, H, W, 3) uint8 crops of one person, as detectors cut them."""
    pictures = torch.from_numpy(people.crops[0]).permute(0, 3, 1, 2).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.default_rng(chance).integers(2**63)))
        cut = random_crop(pictures, torch.from_numpy(people.box[0]), size)
    # a detector takes no mirror images: a bag stays on its side
    crops = torch.where(cut.flipped[:, None, None, None], cut.crops.flip(3), cut.crops)
    return crops.round().byte().permute(0, 2, 3, 1).numpy()
