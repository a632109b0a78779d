"""From vertices to the pixels of one figure, and from fine pixels to those of a crop.

Shapes: `P` fine pixels of a figure, `W` its vertices, `F` triangles, `C` values, H x W crop.
"""

from __future__ import annotations

import numpy as np

from gcl.structure.compiled import jit


@jit
def interpolated(values, faces, face, weights):
    """(C, P) float32 at pixels from (W, C) at the vertices: each shows the triangle `face` (P,) of
    `faces` (F, 3), at the point with barycentric `weights` (P, 3)."""
    out = np.empty((values.shape[1], len(face)), np.float32)
    for p in range(len(face)):
        a, b, c = faces[face[p], 0], faces[face[p], 1], faces[face[p], 2]
        wa, wb, wc = weights[p, 0], weights[p, 1], weights[p, 2]
        for k in range(values.shape[1]):
            out[k, p] = values[a, k] * wa + values[b, k] * wb + values[c, k] * wc
    return out


@jit
def averaged(colour, pixel, height, width, fine):
    """(H, W, 4) float32 mean colour, and share that is covered, of `fine` x `fine` pixels each:
    those with numbers `pixel` (P,), ascending, have a `colour` (3, P), the others are black."""
    out = np.zeros((height, width, 4), np.float32)
    for p in range(len(pixel)):
        row, column = pixel[p] // (fine * width) // fine, pixel[p] % (fine * width) // fine
        for c in range(3):
            out[row, column, c] += colour[c, p]
        out[row, column, 3] += np.float32(1)
    for row in range(height):
        for column in range(width):
            for c in range(4):
                out[row, column, c] /= np.float32(fine * fine)
    return out
