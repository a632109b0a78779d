"""Light on people, and the shadows they throw.

Shapes: `B` pictures, `P` pixels of figures, H x W crop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gcl.structure.compiled import jit
from gcl.structure.render import Fragments

from .filters import blurred, looked_up
from .projection import about_pelvis
from .scene import Scene

SUNNY = 0.35
"""Share of the sun in the light from which on shadows have an outline."""

_F = np.float32


def suns(scenes: Sequence[Scene], yaw: Tensor) -> Tensor:
    """(B, 3) directions to the sun in the axes of figures that are turned by ``yaw`` (B,) degrees:
    turning the sun against a body is cheaper than turning its normals."""
    sun = torch.tensor([_sun_before(scene) for scene in scenes], dtype=torch.float32)
    return about_pelvis(sun[:, None], -yaw)[:, 0]


@jit
def bumpy(normal, crease, slope):
    """(P, 3) normals (3, P) on cloth that creases by (P,) with a slope (3, P) in rest axes."""
    out = np.empty((normal.shape[1], 3), np.float32)
    for p in range(len(out)):
        deep = _F(0.24) * crease[p]
        # rest axes (left, back, up) are nearly those of the upright body in camera axes
        out[p, 0] = normal[0, p] - deep * slope[0, p]
        out[p, 1] = normal[1, p] + deep * slope[2, p]
        out[p, 2] = normal[2, p] - deep * slope[1, p]
    return out


@jit
def lit(colour, normal, crease, height, bright, sun, sunlight):
    """Light of sky, ground and sun on P pixels of one figure.

    Args:
        colour: (3, P) before light.
        normal: (P, 3) unit normals of the figure that is not turned yet, camera axes.
        crease, height: (P,) how much the cloth creases, and its height there.
        bright: (P,) share of the light that reaches a pixel.
        sun: (3,) direction to it (:func:`suns`).
        sunlight: share of the sun in the light.

    Returns:
        (3, P), about ``colour`` where a cloudy sky lights from above.
    """
    blue, white = (_F(0.97), _F(1.0), _F(1.05)), (_F(1.02), _F(1.0), _F(0.96))
    out = np.empty(colour.shape, np.float32)
    cloudy, sunny = _F(1.15) * (_F(1) - sunlight), _F(1.55) * sunlight
    for p in range(colour.shape[1]):
        x, y, z = normal[p, 0], normal[p, 1], normal[p, 2]
        sky = cloudy * (_F(0.62) - _F(0.38) * y)
        direct = sunny * max(x * sun[0] + y * sun[1] + z * sun[2], _F(0))
        deep = (_F(1) + _F(0.05) * crease[p] * height[p]) * bright[p]
        for c in range(3):
            out[c, p] = colour[c, p] * (sky * blue[c] + direct * white[c]) * deep
    return out


def occlusion(fragments: Fragments) -> Tensor:
    """(P,) share of the light that reaches a pixel: less where what is beside it lies nearer, as
    between legs and under arms."""
    pixel, depth = fragments.pixel.numpy(), fragments.depth.numpy()
    return torch.from_numpy(_occlusion(pixel, depth, *fragments.shape))


@jit
def _occlusion(pixel, depth, batch, height, width):
    rows, columns = height // 2, width // 2
    # sums of depths and numbers of pixels: of 2 x 2, then of 7 x 7 of these
    both = np.zeros((2, batch, rows, columns), np.float32)
    for p in range(len(pixel)):
        image, row = pixel[p] // (height * width), pixel[p] // width % height
        column = pixel[p] % width // 2
        both[0, image, row // 2, column] += depth[p]
        both[1, image, row // 2, column] += _F(1)
    beside = np.empty((batch, rows, columns), np.float32)
    down, across = np.empty((2, rows, columns), np.float32), np.empty(2, np.float32)
    for image in range(batch):
        for k in range(2):
            for row in range(rows):
                line = down[k, row]
                line[:] = 0
                for near in range(max(row - 3, 0), min(row + 4, rows)):
                    line += both[k, image, near] / _F(4)
                line /= _F(7)
        for row in range(rows):
            for column in range(columns):
                across[:] = 0
                for near in range(max(column - 3, 0), min(column + 4, columns)):
                    across += down[:, row, near]
                across /= _F(7)
                # what is not the person does not count
                beside[image, row, column] = across[0] / max(across[1], _F(1e-3))
    out = np.empty(len(pixel), np.float32)
    for p in range(len(pixel)):
        image, row = pixel[p] // (height * width), pixel[p] // width % height
        deeper = depth[p] - beside[image, row // 2, pixel[p] % width // 2]
        out[p] = _F(1) - _F(2.6) * min(max(deeper, _F(0)), _F(0.15))
    return out


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
    grid = blurred(grid.reshape(along, across, 1), width / cell, mirror=True)[..., 0]
    x, y = (here / cell + (cells - 1) / 2 - low).reshape(-1, 2).T
    return 4 * looked_up(grid, x, y).reshape(here.shape[:-1])


def _sun_before(scene: Scene) -> list[float]:
    """Direction to the sun in the axes of a camera that looks level at the person."""
    c, s = np.cos(scene.azimuth), np.sin(scene.azimuth)
    x, y, z = scene.camera.sun
    return [c * x - s * z, y, s * x + c * z]
