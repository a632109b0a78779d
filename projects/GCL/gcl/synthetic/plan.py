"""Which pictures a set consists of: everything that is decided before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .cameras import Camera, draw_camera
from .identity import Identity, draw_identity
from .scene import Scene, draw_moment

VERSION = 2
"""Of the way things are drawn: goes up when the same settings give other pictures."""


@dataclass(frozen=True)
class Settings:
    """What a set is drawn from; the same settings give the same files.

    Attributes:
        people, test_people: identities of the training set, and other ones of the test set.
        cameras: all of them see everybody.
        shots: pictures of each person in each camera, from ``shots`` directions.
        height, width: of crops and renders, in pixels.
        seed: of everything.
        version: of the drawing code.
        FILE: where a set keeps them.

    Raises:
        ValueError: there is nothing to draw or to evaluate with these numbers.
    """

    FILE: ClassVar[str] = "set.json"

    people: int = 32
    test_people: int = 24
    cameras: int = 4
    shots: int = 5
    height: int = 128
    width: int = 64
    seed: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        least = {"people": 1, "test_people": 1, "cameras": 2, "shots": 2, "height": 16, "width": 8}
        check_least(self, **least)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)"""
        return self.height, self.width


def check_least(settings: object, **least: int) -> None:
    """Raises ValueError when one of these settings of a set is too low, or its seed negative."""
    for name, low in least.items():
        if getattr(settings, name) < low:
            raise ValueError(
                f"a synthetic set needs {name} of at least {low}, not {getattr(settings, name)}."
            )
    if settings.seed < 0:
        raise ValueError(f"seed must not be negative; it is {settings.seed}.")


@dataclass(frozen=True)
class Shot:
    """One picture of a set.

    Attributes:
        name: ``<person>_c<camera>s1_<frame>_00.jpg``.
        folder: "bounding_box_train", "query" or "bounding_box_test".
        person, camera: numbers from 1.
        scene: what to draw.
    """

    name: str
    folder: str
    person: int
    camera: int
    scene: Scene

    @property
    def split(self) -> str:
        """ "train" or "test"."""
        return "train" if self.folder == "bounding_box_train" else "test"


def plan(settings: Settings) -> list[Shot]:
    """All pictures of a set. More people, cameras or shots do not change the ones there are."""
    cameras = [draw_camera(_rng(settings, 0, c)) for c in range(settings.cameras)]
    out = []
    for index in range(settings.people + settings.test_people):
        train = index < settings.people
        # training and test people are counted apart, so that each set can grow
        key = (1, index) if train else (2, index - settings.people)
        person = draw_identity(_rng(settings, *key))
        for number, camera in enumerate(cameras, 1):
            out += _visit(settings, key, index + 1, person, number, camera)
    return out


def _visit(
    settings: Settings,
    key: tuple[int, int],
    number: int,
    person: Identity,
    camera_number: int,
    camera: Camera,
) -> list[Shot]:
    """The shots of one person in one camera, from all around."""
    rng = _rng(settings, *key, camera_number)
    start = rng.uniform(0, 360)
    shots = []
    for frame in range(settings.shots):
        yaw = start + 360 * frame / settings.shots + rng.normal(0, 12)
        moment = draw_moment(_rng(settings, *key, camera_number, frame), camera, yaw)
        folder = "bounding_box_train"
        if key[0] == 2:
            folder = "query" if frame == 0 else "bounding_box_test"
        name = f"{number:04d}_c{camera_number}s1_{frame + 1:06d}_00.jpg"
        shots.append(Shot(name, folder, number, camera_number, Scene(person, camera, moment)))
    return shots


def _rng(settings: Settings, *key: int) -> np.random.Generator:
    return np.random.default_rng((settings.seed, *key))
