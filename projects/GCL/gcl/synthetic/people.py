"""What an encoder can learn to tell people apart from: people that several cameras saw.

Everybody is seen by some of many cameras, a few times each; clothes stay, while place, light and
camera change. Pictures show more than a crop, so that training cuts boxes of its own.
Shapes: `N` people, `S` shots of each, H x W canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from .cameras import Camera, draw_camera
from .draw import boxes, dress, photographs
from .figure import Tailor
from .identity import Identity, draw_identity
from .scene import Scene, draw_moment
from .set_files import developed
from .shards import read_shards, write_shards
from .siblings import sibling

CAMERAS = 64
"""In all: a seed has its own."""
SEEN_BY = 4
"""Cameras that see a person."""
SHOTS = 5
"""Of a person in each of them."""
GROUP = 3
"""People with numbers 3 i, 3 i + 1 and 3 i + 2 may be siblings."""
SIBLINGS = 0.5
"""Share of these groups who are."""
GREY = 0.08
"""Share of the cameras that see no colours, as in infrared light."""
SHARD = 12
"""People in a file."""

_CHANCE = 2**31 + 1
"""Keeps these people apart from examples and turns of the same seed, and from those of a set."""
_OF_CAMERAS, _OF_GROUPS, _OF_PEOPLE = range(3)


class People(NamedTuple):
    """Attributes:
    crops: (N, S, H, W, 3) uint8 pictures, after JPEG, camera by camera: SEEN_BY x SHOTS of them. A
        person is about two thirds as high as the canvas.
    cameras: (N, S) int32, which of CAMERAS took it.
    box: (N, S, 4) float32 left, top, right and bottom of the bare body in pixels.
    """

    crops: np.ndarray
    cameras: np.ndarray
    box: np.ndarray


def write_people(
    folder: str, count: int, size: tuple[int, int], seed: int, workers: int = 1
) -> list[str]:
    """Draw what is missing of ``count`` people (rounded up to whole files).

    Args:
        size: (H, W).
        seed: other seeds show other people, before other cameras.
        workers: processes that draw.

    Returns:
        The files, for :func:`read_people`.
    """
    return write_shards(
        folder,
        partial(draw_people, size),
        count,
        seed,
        shard=SHARD,
        prefix="people-{}x{}-".format(*size),
        desc="people",
        unit="person",
        workers=workers,
    )


def read_people(paths: Sequence[str]) -> People:
    """All people of some files.

    Raises:
        OSError: a file is broken; the message names it and the remedy.
    """
    return read_shards(People, paths)


def whole_files(count: int) -> int:
    """``count`` people, rounded up as :func:`write_people` does."""
    return -(-count // SHARD) * SHARD


def draw_people(
    size: tuple[int, int],
    tailor: Tailor,
    seed: int,
    numbers: Sequence[int],
    sharp: bool = True,
) -> People:
    """The people with these numbers, each the same whoever the others are.

    Args:
        sharp: see :meth:`Scene.uncut`.
    """
    drawn = [_draw_person(size, tailor, seed, number, sharp) for number in numbers]
    return People(*map(np.stack, zip(*drawn, strict=True)))


def person_of(seed: int, number: int) -> Identity:
    """The person with this number: of their own, or a sibling of their group's first."""
    group, place = divmod(number, GROUP)
    related = _rng(seed, _OF_GROUPS, group).random() < SIBLINGS
    rng = _rng(seed, _OF_PEOPLE, number)
    if place and related:
        return sibling(rng, person_of(seed, number - place))
    return draw_identity(rng)


@lru_cache(CAMERAS)
def camera_of(seed: int, number: int) -> Camera:
    """The camera with this number, from 0 to CAMERAS - 1."""
    rng = _rng(seed, _OF_CAMERAS, number)
    camera = draw_camera(rng)
    if rng.random() < GREY:
        camera = replace(camera, saturation=0.0, gain=(1.0, 1.0, 1.0))
    return camera


def canvas_of(size: tuple[int, int]) -> tuple[int, int]:
    """(H, W) of a canvas on which people are about as high as in crops of ``size``."""
    return size[0] * 5 // 4, size[1] * 3 // 2


def cameras_of(seed: int, number: int) -> np.ndarray:
    """(S,) int32, which camera takes each picture of the person with this number."""
    return _cameras(_rng(seed, _OF_PEOPLE, number, 1))


def _draw_person(
    size: tuple[int, int], tailor: Tailor, seed: int, number: int, sharp: bool
) -> People:
    """Of one person: shapes without N."""
    cameras, scenes = _visits(seed, number, sharp)
    figure = dress(tailor, scenes)
    pictures = photographs(tailor, scenes, size, figure).crops
    crops = [developed(p, s.camera.quality) for p, s in zip(pictures, scenes, strict=True)]
    return People(np.stack(crops), cameras, boxes(scenes, size, figure))


def _cameras(rng: np.random.Generator) -> np.ndarray:
    return rng.choice(CAMERAS, SEEN_BY, replace=False).astype(np.int32).repeat(SHOTS)


def _visits(seed: int, number: int, sharp: bool = True) -> tuple[np.ndarray, list[Scene]]:
    """(S,) numbers of cameras and the scenes before them: shots of a visit from all around."""
    person, rng = person_of(seed, number), _rng(seed, _OF_PEOPLE, number, 1)
    cameras = _cameras(rng)
    scenes = []
    for i, camera in enumerate(camera_of(seed, int(c)) for c in cameras):
        if i % SHOTS == 0:
            start = rng.uniform(0, 360)
        yaw = start + 360 * (i % SHOTS) / SHOTS + rng.normal(0, 12)
        scenes.append(Scene(person, camera, draw_moment(rng, camera, yaw)).uncut(sharp))
    return cameras, scenes


def _rng(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng((seed, _CHANCE, *key))
