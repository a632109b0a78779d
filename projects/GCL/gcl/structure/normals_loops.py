"""Normals of meshes on a CPU: a loop over triangles, equal bit by bit to tensor operations.

Shapes: `B` meshes, `V` vertices, `F` triangles.
"""

from __future__ import annotations

import numpy as np

from .compiled import jit


@jit
def normals(x, y, z, faces):
    """Sums of (b - a) x (c - a) over triangles (a, b, c).

    Args:
        x, y, z: (V, B) float32, people last.
        faces: (F, 3) int64.

    Returns:
        (3, V, B) float32 sum over the triangles of each vertex, in their order; (B,) float64 sum of
        its product with a over all: six times the volume that a closed mesh encloses, negative when
        the normals point in.
    """
    total, volume = np.zeros((3, *x.shape), np.float32), np.zeros(x.shape[1])
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        start = faces[0, 0]  # any origin will do: one near the body loses no digits
        for k in range(x.shape[1]):
            ux, uy, uz = x[b, k] - x[a, k], y[b, k] - y[a, k], z[b, k] - z[a, k]
            vx, vy, vz = x[c, k] - x[a, k], y[c, k] - y[a, k], z[c, k] - z[a, k]
            nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            for corner in (a, b, c):
                total[0, corner, k] += nx
                total[1, corner, k] += ny
                total[2, corner, k] += nz
            wx, wy, wz = x[a, k] - x[start, k], y[a, k] - y[start, k], z[a, k] - z[start, k]
            volume[k] += wx * nx + wy * ny + wz * nz
    return total, volume
