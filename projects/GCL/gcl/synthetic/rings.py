"""Tubes of rings round a body: the mesh of skirts, coats, trouser legs, shoes and bags.

Shapes: `B` people, `V` vertices of the body, `L` rings, `K` corners of a ring.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def tube_faces(rings: int, corners: int, first: int = 0) -> Tensor:
    """(F, 3) triangles of a closed tube whose vertices, ring by ring and then one for each end, are
    numbered from ``first``. They face outwards when corners turn counter-clockwise seen from
    beyond the first ring."""
    i = torch.arange(rings - 1)[:, None] * corners
    k = torch.arange(corners)
    after = (k + 1) % corners
    a, b, c, d = (i + k, i + after, i + corners + k, i + corners + after)
    sides = torch.stack((a, c, b, b, c, d), -1).reshape(-1, 3)
    start, end, last = rings * corners, rings * corners + 1, (rings - 1) * corners
    lids = torch.cat(
        (
            torch.stack((k, after, torch.full_like(k, start)), 1),
            torch.stack((last + after, last + k, torch.full_like(k, end)), 1),
        )
    )
    return torch.cat((sides, lids)) + first


def closed(rings: Tensor) -> Tensor:
    """(B, L, K, 3) rings -> (B, L K + 2, 3) vertices, the last two closing the ends."""
    ends = torch.stack((rings[:, 0].mean(1), rings[:, -1].mean(1)), 1)
    return torch.cat((rings.flatten(1, 2), ends), 1)


def directions(corners: int) -> Tensor:
    """(K, 2) unit vectors, counter-clockwise from +x."""
    angle = torch.arange(corners) * (2 * math.pi / corners)
    return torch.stack((angle.cos(), angle.sin()), 1)


def support(points: Tensor, which: Tensor, levels: Tensor, corners: int, band: float) -> Tensor:
    """How far the body reaches in each direction at each level.

    Args:
        points: (B, V, 3), level along z.
        which: (V,) bool, the vertices that count.
        levels: (B, L) heights.
        corners: K directions in the plane.
        band: half the thickness of a level.

    Returns:
        (B, L, K) of max over vertices near the level of <(x, y), direction>, smooth over K.
    """
    points = points[:, which]
    along = (points[..., :2] @ directions(corners).T).transpose(1, 2).contiguous()
    # vertices outside the band count less the further they are, so that no level is empty
    far = ((points[:, None, :, 2] - levels[:, :, None]).abs() - band).clamp(min=0)
    # one person at a time, vertices last: eight times as fast as all in one
    reach = [(a - f[:, None]).amax(2) for a, f in zip(along, far, strict=True)]
    reach = torch.stack(reach)
    return 0.5 * reach + 0.25 * (reach.roll(1, 2) + reach.roll(-1, 2))


def outline(reach: Tensor) -> Tensor:
    """(..., K) support in K directions -> (..., K, 2) corners of the convex outline with it."""
    corners = reach.shape[-1]
    normal = directions(corners)
    tangent = torch.stack((-normal[:, 1], normal[:, 0]), 1)
    step = 4 * math.pi / corners
    slope = (reach.roll(-1, -1) - reach.roll(1, -1)) / step
    return reach[..., None] * normal + slope[..., None] * tangent


def hang(reach: Tensor, hold: Tensor) -> Tensor:
    """Cloth over a body (B, L, K), from above: each level keeps the share ``hold`` (B,) of what the
    one above it stands out."""
    out = [reach[:, 0]]
    for level in range(1, reach.shape[1]):
        kept = hold[:, None] * (out[-1] - reach[:, level])
        out.append(reach[:, level] + kept.clamp(min=0))
    return torch.stack(out, 1)
