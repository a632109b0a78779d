"""From metres to pixels: the perspective of each camera, and the box round each person.

Camera space: x right, y down, z forward, metres, here with the origin on the ground under the
person. Shapes: `B` pictures, `W` vertices, H x W crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
import torch
from torch import Tensor

from gcl.structure.compiled import jit
from gcl.structure.render import turn

from .scene import AIM, Scene

FILLED = 0.95
"""Share of the crop's height (or width) that a person fills in a well-cut box."""


def about_pelvis(points: Tensor, yaw: Tensor) -> Tensor:
    """(B, W, 3) points, or directions, turned about the vertical axis through the origin."""
    # `turn` goes about the mean of the points: a last one at the origin shows what that moves
    both = torch.cat((points, torch.zeros_like(points[:, :1])), 1)
    turned = turn(both, yaw)
    return turned[:, :-1] - turned[:, -1:]


class Projection:
    """Projects what stands where the people of ``scenes`` stand.

    Args:
        vertices: (B, W, 3) figures at their yaw; the box of each is that of its figure.
        size: (H, W).
    """

    def __init__(self, vertices: Tensor, scenes: Sequence[Scene], size: tuple[int, int]) -> None:
        self.scenes, self.size = scenes, size
        elevation = np.deg2rad([scene.elevation for scene in scenes])
        self.cos, self.sin = _column(np.cos(elevation)), _column(np.sin(elevation))
        self.distance = _column([scene.distance for scene in scenes])
        low, high = _extent(self._plane(vertices))
        room = torch.tensor([size[1], size[0]], dtype=torch.float32)
        moments = [scene.moment for scene in scenes]
        across, upright = (FILLED * room / (high - low)).split(1, 1)
        zoom = torch.minimum(across, upright)
        widened = torch.minimum(zoom * _column([m.widen for m in moments]), across)
        zoom = torch.cat((widened, zoom), 1) * _column([m.zoom for m in moments])
        off = torch.tensor([(m.left, m.down) for m in moments], dtype=torch.float32)
        self.zoom = zoom[:, None]
        self.shift = (room * (0.5 + off) - zoom * (low + high) / 2)[:, None]

    def __call__(self, vertices: Tensor) -> Tensor:
        """(B, W, 3) metres -> (B, W, 3) column and row in pixels, and depth."""
        plane = self._plane(vertices)
        return torch.cat((plane[..., :2] * self.zoom + self.shift, plane[..., 2:]), -1)

    def following(self, before: Tensor, after: Tensor) -> Projection:
        """The same cameras after people have turned: their boxes follow them, so that a body has
        its highest and lowest row and its middle column where it had them. Those are the framing
        of its structures, which turning does not change (:mod:`gcl.structure.geometry`).

        Args:
            before, after: (B, V, 3) bodies.
        """
        (low, high), (least, most) = (_extent(self._plane(body)) for body in (before, after))
        moved = copy(self)
        moved.zoom = self.zoom * ((high - low) / (most - least))[:, None, 1:]
        middle = (low + high)[:, None] / 2, (least + most)[:, None] / 2
        moved.shift = self.shift + (middle[0] * self.zoom - middle[1] * moved.zoom)
        return moved

    def rays(self, i: int) -> np.ndarray:
        """(H, W, 3) directions through the centres of the pixels of picture ``i``, in the axes of
        its camera's place."""
        scale = (self.zoom[i, 0] * self.distance[i]).tolist()
        left, up = self.shift[i, 0].tolist()
        elevation = float(self.cos[i]), float(self.sin[i])
        azimuth = self.scenes[i].azimuth
        return _rays(*self.size, left, up, *scale, *elevation, np.cos(azimuth), np.sin(azimuth))

    def _plane(self, vertices: Tensor) -> Tensor:
        """x and y in metres at the person's distance, and depth, linear on the picture."""
        x, y, z = vertices.unbind(-1)
        y = y + AIM
        y, z = self.cos * y - self.sin * z, self.sin * y + self.cos * z
        scale = self.distance / (z + self.distance)
        return torch.stack((x * scale, y * scale, self.distance * (1 - scale)), -1)


@jit
def _rays(height, width, left, up, wide, high, cos, sin, c, s):
    out = np.empty((height, width, 3))
    for row in range(height):
        y = (row + 0.5 - up) / high
        down, away = cos * y + sin, cos - sin * y
        for column in range(width):
            x = (column + 0.5 - left) / wide
            out[row, column, 0] = c * x + s * away
            out[row, column, 1] = down
            out[row, column, 2] = c * away - s * x
    return out


def _extent(plane: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2) least and greatest column and row."""
    return plane[..., :2].amin(1), plane[..., :2].amax(1)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)[:, None]
