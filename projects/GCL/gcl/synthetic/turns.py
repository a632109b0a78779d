"""What a generator of views can learn from before it sees photographs: people from several sides at
the same moment, in the same clothes and place, before the same camera.

Shapes: `N` people, `V` views, H x W crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from gcl.structure.geometry import render_views
from gcl.structure.store import TURNS

from .cameras import draw_camera
from .draw import bodies, dress, photographs
from .figure import Tailor
from .identity import draw_identity
from .scene import Scene, draw_moment
from .set_files import developed
from .shards import read_shards, write_shards

VIEWS = 4
SHARD = 128
"""People in a file."""

_CHANCE = 2**31
"""Keeps these people apart from examples of the same seed, which have no such number, and from
those of a set."""


class Turns(NamedTuple):
    """Attributes:
    crops: (N, V, H, W, 3) uint8 pictures, after JPEG; the person is turned by 0 in the first and by
        different ones of TURNS, in any order, in the others.
    structures: (N, V, H, W) uint8 renders of the bare bodies, in the framing that all pictures of
        a person share.
    """

    crops: np.ndarray
    structures: np.ndarray


def write_turns(
    folder: str, count: int, size: tuple[int, int], seed: int, workers: int = 1
) -> list[str]:
    """Draw what is missing of ``count`` people (rounded up to whole files).

    Args:
        size: (H, W).
        seed: other seeds show other people.
        workers: processes that draw.

    Returns:
        The files, for :func:`read_turns`.
    """
    return write_shards(
        folder,
        partial(draw_turns, size),
        count,
        seed,
        shard=SHARD,
        prefix="turns-{}x{}-".format(*size),
        desc="turns",
        unit="person",
        workers=workers,
    )


def read_turns(paths: Sequence[str]) -> Turns:
    """All people of some files.

    Raises:
        OSError: a file is broken; the message names it and the remedy.
    """
    return read_shards(Turns, paths)


def draw_turns(size: tuple[int, int], tailor: Tailor, seed: int, indices: Sequence[int]) -> Turns:
    """The people with these numbers; each has a camera, a moment and turns of its own."""
    scenes, turns = zip(*(_scene(seed, index) for index in indices), strict=True)
    figure = dress(tailor, scenes)  # turning does not change it
    crops = []
    for of_each in zip(*turns, strict=True):
        pictures = photographs(tailor, scenes, size, figure, of_each).crops
        crops.append(
            [developed(p, s.camera.quality) for p, s in zip(pictures, scenes, strict=True)]
        )
    people = zip(bodies(tailor, scenes, size, figure), turns, strict=True)
    renders = [np.stack(render_views(body, of_one, size)) for body, of_one in people]
    return Turns(np.stack([np.stack(c) for c in crops], 1), np.stack(renders))


def _scene(seed: int, index: int) -> tuple[Scene, list[int]]:
    """Who is before which camera at which moment, and the turns of the views in degrees."""
    rng = np.random.default_rng((seed, _CHANCE, index))
    camera, person = draw_camera(rng), draw_identity(rng)
    moment = draw_moment(rng, camera, rng.uniform(0, 360))
    others = rng.choice(TURNS, VIEWS - 1, replace=False)
    return Scene(person, camera, moment), [0, *others.tolist()]
