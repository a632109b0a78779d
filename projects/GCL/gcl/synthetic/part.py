"""A piece of a figure's mesh: rings round something, and the bones that it follows.

Rest axes are x to the own left, y to the back, z up, metres.
Shapes: `B` people, `V` vertices of the body, `W` vertices of a part, `J` bones, `L` rings,
`K` corners of a ring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from . import rings
from .anatomy import Anatomy
from .identity import Identity


class Part(NamedTuple):
    """Rest vertices (B, W, 3), their weights (B, W, J), and what colours go by: (B, W, 2), how far
    along the part (0 to 1) and round it (in turns)."""

    rest: Tensor
    weights: Tensor
    place: Tensor


class Body(NamedTuple):
    """Rest vertices (B, V, 3), their unit normals (B, V, 3), heads of bones (B, J, 3), and heights
    by name (B,)."""

    rest: Tensor
    normals: Tensor
    heads: Tensor
    marks: dict[str, Tensor]


def column(people: Sequence[Identity], value: Callable[[Identity], float]) -> Tensor:
    """(B,) a number of each person."""
    return torch.tensor([float(value(person)) for person in people])


def on_bones(anatomy: Anatomy, ring: Tensor, shares: dict[str, float]) -> Tensor:
    """Weights (..., J) that hang all of ``ring`` (..., 3) on a few bones."""
    row = torch.zeros(len(anatomy.labels))
    for label, share in shares.items():
        row[anatomy.bone(label)] = share
    return row.expand(*ring.shape[:-1], -1)


def make_part(ring: Tensor, weights: Tensor, step: Tensor, worn: Tensor) -> Part:
    """Rings (B, L, K, 3) as a part; where it is not ``worn`` (B,) it shrinks to the pelvis."""
    levels, corners = ring.shape[1:3]
    around = (torch.arange(corners) / corners).expand(levels, -1)
    place = torch.stack((step[:, None].expand(-1, corners), around), 2)[None]
    place = place.expand(len(ring), -1, -1, -1)
    rest = rings.closed(ring) * (worn > 0)[:, None, None]
    return Part(rest, _with_ends(weights), _with_ends(place))


def _with_ends(values: Tensor) -> Tensor:
    """(B, L, K, C) values of rings -> (B, L K + 2, C), those that close the ends as beside them."""
    return torch.cat((values.flatten(1, 2), values[:, 0, :1], values[:, -1, :1]), 1)
