"""What one picture shows: who, before which camera, at which moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from gcl.structure.poses import Pose, sample_each

from .cameras import Camera
from .identity import Identity

AIM = 0.9
"""Metres above the ground of what a camera that looks at a person has in the middle."""

_ROOM = 0.8
"""Of a picture with room round the person, the share of a well-cut box's size that is theirs."""


@dataclass(frozen=True)
class Moment:
    """What is of one picture alone.

    Attributes:
        yaw: degrees; 0 faces the camera, 90 the image's right.
        x, z: metres, where in the camera's place the person stands.
        zoom, left, down: how a detector's box is off: the person's size and place in it as shares
            of the crop.
        widen: by which the person is wider than true, because boxes of all shapes become crops of
            one shape.
        seed: of the pose, of creases, of passers-by and of noise.
    """

    yaw: float
    x: float
    z: float
    zoom: float
    widen: float
    left: float
    down: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """One picture to draw."""

    person: Identity
    camera: Camera
    moment: Moment

    @property
    def azimuth(self) -> float:
        """Radians by which the camera turns to the person, from straight on to the right."""
        return float(np.arctan2(self.moment.x, self.moment.z))

    @property
    def elevation(self) -> float:
        """Degrees by which the camera looks down at the person."""
        flat = np.hypot(self.moment.x, self.moment.z)
        return float(np.rad2deg(np.arctan2(self.camera.height - AIM, flat)))

    @property
    def distance(self) -> float:
        """Metres from the camera to the person."""
        return float(np.hypot(self.camera.height - AIM, np.hypot(self.moment.x, self.moment.z)))

    def turned(self, yaw: float) -> Scene:
        """The same with the person turned by ``yaw`` degrees."""
        return replace(self, moment=replace(self.moment, yaw=(self.moment.yaw + yaw) % 360))

    def uncut(self, sharp: bool = True) -> Scene:
        """The same with the person in the middle and with room on all sides: for boxes that are cut
        later.

        Args:
            sharp: for training that blurs in many ways itself; else the camera's resolution stays.
        """
        camera = replace(self.camera, rows=self.camera.rows * (2 if sharp else 1 / _ROOM))
        moment = replace(self.moment, zoom=_ROOM, widen=1.0, left=0.0, down=0.0)
        return replace(self, camera=camera, moment=moment)

    def pose(self) -> Pose:
        """The pose of the person, (1, ...)."""
        return poses([self])

    def rng(self, purpose: int) -> np.random.Generator:
        """Chance of this picture; what one purpose draws does not move another's, nor does yaw."""
        return np.random.default_rng((self.moment.seed, purpose))


def poses(scenes: Sequence[Scene]) -> Pose:
    """The poses of the people of B scenes, (B, ...)."""
    return sample_each([torch.Generator().manual_seed(scene.moment.seed) for scene in scenes])


def draw_moment(rng: np.random.Generator, camera: Camera, yaw: float) -> Moment:
    """Somewhere on the ways that ``camera`` sees, as a detector would cut it out."""
    z = float(rng.uniform(camera.near, camera.far))
    return Moment(
        yaw=float(yaw % 360),
        x=float(rng.uniform(-0.3, 0.3) * z),
        z=z,
        zoom=float(np.clip(rng.normal(0.98, 0.05), 0.85, 1.12)),
        widen=float(rng.uniform(1.0, 1.2)),
        left=float(np.clip(rng.normal(0, 0.04), -0.1, 0.1)),
        down=float(np.clip(rng.normal(0, 0.018), -0.05, 0.05)),
        seed=int(rng.integers(2**62)),
    )
