"""Light on people, and the shadows they throw.

Shapes: `B` pictures, `P` pixels of figures, H x W crop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor

from gcl.structure.render import Fragments

from .projection import about_pelvis
from .scene import Scene

SUNNY = 0.35
"""Share of the sun in the light from which on shadows have an outline."""


def suns(scenes: Sequence[Scene], yaw: Tensor) -> Tensor:
    """(B, 3) directions to the sun in the axes of figures that are turned by ``yaw`` (B,) degrees:
    turning the sun against a body is cheaper than turning its normals."""
    sun = torch.tensor([_sun_before(scene) for scene in scenes], dtype=torch.float32)
    return about_pelvis(sun[:, None], -yaw)[:, 0]


def daylight(sunlight: float, sun: Tensor, normal: Tensor) -> Tensor:
    """Light of sky, ground and sun on P pixels of one figure.

    Args:
        sunlight: share of the sun in it.
        sun: (3,) direction to it (:func:`suns`).
        normal: (3, P) of the figure that is not turned yet, camera axes.

    Returns:
        (3, P), about 1 where a cloudy sky lights from above.
    """
    share = torch.tensor(sunlight)
    sky = 0.62 - 0.38 * normal[1]
    direct = normal[0] * sun[0] + normal[1] * sun[1] + normal[2] * sun[2]
    blue, white = torch.tensor([[0.97], [1.0], [1.05]]), torch.tensor([[1.02], [1.0], [0.96]])
    return 1.15 * (1 - share) * sky * blue + 1.55 * share * direct.clamp(min=0) * white


def occlusion(fragments: Fragments) -> Tensor:
    """(P,) share of the light that reaches a pixel: less where what is beside it lies nearer, as
    between legs and under arms."""
    there = fragments.picture(torch.ones_like(fragments.depth))
    depth = fragments.picture(fragments.depth)
    both = torch.nn.functional.avg_pool2d(torch.stack((depth, there), 1), 2)
    for axis in (2, 3):
        both = _mean_of_7(both, axis)
    # what is not the person does not count
    beside = (both[:, 0] / both[:, 1].clamp(min=1e-3)).repeat_interleave(2, 1)
    beside = beside.repeat_interleave(2, 2).flatten()[fragments.pixel]
    return 1 - 2.6 * (fragments.depth - beside).clamp(0, 0.15)


def _mean_of_7(picture: Tensor, axis: int) -> Tensor:
    """(B, C, H, W) averaged with its 3 neighbours on both sides along an axis, black beyond the
    border: what ``avg_pool2d`` gives, but faster."""
    size = picture.shape[axis]
    padding = (0, 0, 3, 3) if axis == 2 else (3, 3, 0, 0)
    padded = torch.nn.functional.pad(picture, padding)
    total = padded.narrow(axis, 0, size).clone()
    for start in range(1, 7):
        total += padded.narrow(axis, start, size)
    return total / 7


def shadow(scene: Scene, ground: np.ndarray, body: Tensor) -> np.ndarray:
    """How much of its light the person takes from the ground.

    Args:
        ground: (H, W, 2) the places (x, z) that pixels show.
        body: (V, 3) the bare body at its yaw, or some points of it.

    Returns:
        (H, W) in [0, 1].
    """
    sun, share = scene.camera.sun, scene.camera.sunlight
    x, y, z = body.numpy().T
    c, s = np.cos(scene.azimuth), np.sin(scene.azimuth)
    foot, up = np.stack((c * x + s * z, c * z - s * x), 1), -y
    here = ground - (scene.moment.x, scene.moment.z)
    # sharp under the feet, wide and weak under all the body
    contact = _spread(foot, here, np.exp(-up / 0.04), 0.05)
    under = _spread(foot, here, np.exp(-up / 0.4), 0.16)
    light = (1 - 0.55 * np.tanh(1.2 * contact)) * (1 - 0.35 * np.tanh(0.4 * under))
    if share > SUNNY:
        cast = foot - up[:, None] / -sun[1] * (sun[0], sun[2])
        light *= 1 - share * np.tanh(_spread(cast, here, np.ones(len(up)), 0.045))
    return 1 - light


def _spread(points: np.ndarray, here: np.ndarray, weight: np.ndarray, width: float) -> np.ndarray:
    """(H, W) sum of Gaussians about ``points`` (N, 2) at the places ``here`` (H, W, 2), about 1
    where a body that were pressed flat would lie."""
    cells, cell = 112, 0.04
    index = np.clip((points / cell + cells / 2).astype(int), 0, cells - 1)
    # a window of the grid beyond which all is 0, even after the filter, which goes 4 deviations far
    wide = int(4 * width / cell + 0.5) + 2
    low = np.maximum(index.min(0) - wide, 0)
    across, along = (np.minimum(index.max(0) + wide + 1, cells) - low).tolist()
    index -= low
    grid = np.bincount(index[:, 1] * across + index[:, 0], weight, along * across)
    grid = gaussian_filter(grid.reshape(along, across), width / cell)
    where = here / cell + (cells - 1) / 2 - low
    lit = np.flatnonzero(((where >= 0) & (where <= (across - 1, along - 1))).all(-1))
    spread = np.zeros(where.shape[:-1])
    if len(lit):
        x, y = where.reshape(-1, 2)[lit].T
        spread.reshape(-1)[lit] = 4 * map_coordinates(grid, (y, x), order=1, mode="constant")
    return spread


def _sun_before(scene: Scene) -> list[float]:
    """Direction to the sun in the axes of a camera that looks level at the person."""
    c, s = np.cos(scene.azimuth), np.sin(scene.azimuth)
    x, y, z = scene.camera.sun
    return [c * x - s * z, y, s * x + c * z]
