"""Meshes whose pictures are known: (V, 3) float32 vertices, (F, 3) int64 faces, wound outward."""

from __future__ import annotations

import torch
from torch import Tensor


def cube(half: float = 0.5) -> tuple[Tensor, Tensor]:
    """Corners at (+-half, +-half, +-half)."""
    signs = torch.tensor([-1.0, 1.0])
    corners = torch.cartesian_prod(signs, signs, signs) * half
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = torch.tensor([f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))])
    return corners, outward(corners, faces)


def sphere(radius: float = 0.5, rings: int = 24) -> tuple[Tensor, Tensor]:
    """Corners on the sphere, poles at y = +-radius."""
    polar = torch.linspace(0, torch.pi, rings + 1)[1:-1]
    around = torch.arange(2 * rings) * (torch.pi / rings)
    p, a = torch.meshgrid(polar, around, indexing="ij")
    ring = torch.stack((p.sin() * a.cos(), -p.cos(), p.sin() * a.sin()), -1).view(-1, 3)
    poles = torch.tensor([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
    n, faces = 2 * rings, []
    top, bottom = len(ring), len(ring) + 1
    for j in range(n):
        k = (j + 1) % n
        faces.append((top, j, k))
        for i in range(rings - 2):
            a, b, c, d = i * n + j, i * n + k, (i + 1) * n + j, (i + 1) * n + k
            faces += [(a, c, b), (b, c, d)]
        faces.append((bottom, (rings - 2) * n + k, (rings - 2) * n + j))
    corners = torch.cat((ring, poles)) * radius
    return corners, outward(corners, torch.tensor(faces))


def outward(corners: Tensor, faces: Tensor) -> Tensor:
    """Turn each triangle of a convex mesh about the origin so that its normal points out."""
    a, b, c = corners[faces].unbind(1)
    wrong = (torch.linalg.cross(b - a, c - a) * (a + b + c)).sum(1) < 0
    return torch.where(wrong[:, None], faces[:, [0, 2, 1]], faces)
