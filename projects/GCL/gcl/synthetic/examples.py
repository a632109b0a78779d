"""What an estimator of body and view learns from: pictures of other people every time, with the
body, its view and its place in the picture.

They show more than a crop, so that training cuts boxes of its own. Kept in files of :data:`SHARD`
examples (shards).
Shapes: `N` examples, H x W canvas, `P` parts of a pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gcl.structure.body import PHENOTYPES

from .cameras import draw_camera
from .draw import boxes, dress, photographs
from .figure import Tailor
from .identity import draw_identity
from .scene import Scene, draw_moment, poses
from .shards import read_shards, write_shards

SIZE = (160, 96)
"""Of the canvas; a person is about two thirds as high."""
SHARD = 480


class Examples(NamedTuple):
    """Attributes:
    crops: (N, H, W, 3) uint8 pictures.
    masks: (N, H, W) uint8, 255 where the person covers a pixel.
    yaw: (N,) float32 degrees; 0 faces the camera, 90 the image's right.
    rotations: (N, P, 3, 3) float32, the pose.
    phenotype: (N, 6) float32 in the order of PHENOTYPES.
    box: (N, 4) float32 left, top, right and bottom of the bare body in pixels.
    """

    crops: np.ndarray
    masks: np.ndarray
    yaw: np.ndarray
    rotations: np.ndarray
    phenotype: np.ndarray
    box: np.ndarray


def write_examples(folder: str, count: int, seed: int, workers: int = 1) -> list[str]:
    """Draw what is missing of ``count`` examples (rounded up to whole files).

    Args:
        seed: other seeds show other people.
        workers: processes that draw.

    Returns:
        The files, for :func:`read_examples`.
    """
    return write_shards(
        folder,
        draw_examples,
        count,
        seed,
        shard=SHARD,
        prefix="",
        desc="examples",
        unit="crop",
        workers=workers,
    )


def read_examples(paths: Sequence[str]) -> Examples:
    """All examples of some files.

    Raises:
        OSError: a file is broken; the message names it and the remedy.
    """
    return read_shards(Examples, paths)


def draw_examples(tailor: Tailor, seed: int, indices: Sequence[int]) -> Examples:
    """The examples with these numbers; each has a person, a camera and a moment of its own."""
    scenes = [_scene(np.random.default_rng((seed, index))) for index in indices]
    figure = dress(tailor, scenes)
    pictures = photographs(tailor, scenes, SIZE, figure)
    return Examples(
        pictures.crops,
        (pictures.masks * 255).round().astype(np.uint8),
        np.array([scene.moment.yaw for scene in scenes], np.float32),
        poses(scenes).rotations.numpy(),
        np.array([[s.person.phenotype[n] for n in PHENOTYPES] for s in scenes], np.float32),
        boxes(scenes, SIZE, figure),
    )


def _scene(rng: np.random.Generator) -> Scene:
    camera, person = draw_camera(rng), draw_identity(rng)
    return Scene(person, camera, draw_moment(rng, camera, rng.uniform(0, 360))).uncut()
