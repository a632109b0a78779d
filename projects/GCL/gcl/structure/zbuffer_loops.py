"""The z-buffer on a CPU: loops over triangles and their pixels, equal bit by bit to the tensor
operations of `zbuffer`, which say why things are calculated as they are.

Shapes: `B` images, `V` vertices, `F` triangles, `P` covered pixels, `H` x `W` the picture.
"""

from __future__ import annotations

import numpy as np

from .compiled import jit

F32, F64 = np.float32, np.float64
EXACT = 16  # boxes up to this side are calculated in float32
EMPTY = 0x7FFFFFFF << 32


@jit
def nearest(points, faces, winding, shade, height, width):
    """The nearest triangle of every pixel.

    Args:
        points: (3, B, V) float32 column, row (on the grid) and depth.
        faces: (F, 3) int64.
        winding: (B,) float32, or (0,) to draw both sides.
        shade: (B, V) float32, or (0, V).

    Returns:
        (B, H * W) int64, the depth's bits above the payload: what `shade` is there (its bits), or
        the number of the triangle.
    """
    batch = points.shape[1]
    buffer = np.full((batch, height * width), EMPTY, np.int64)
    number = np.empty(2, F32)
    bits = number.view(np.int32)
    for image in range(batch):
        x, y, z = points[0, image], points[1, image], points[2, image]
        across, down = _cells(x, width), _cells(y, height)
        seen = buffer[image]
        for face in range(len(faces)):
            a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
            left = min(across[a], across[b], across[c])
            right = max(across[a], across[b], across[c])
            if right <= left:
                continue
            top, bottom = min(down[a], down[b], down[c]), max(down[a], down[b], down[c])
            if bottom <= top:
                continue
            area = (x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a])
            if area == 0 or (len(winding) and (area < 0) != (winding[image] > 0)):
                continue
            box = (left, top, right, bottom)
            depth = (z[a], z[b], z[c])
            if len(shade):
                grey = (shade[image, a], shade[image, b], shade[image, c])
            else:
                grey = (F32(0), F32(0), F32(0))
            corners = _corners(x, y, a, b, c, left, top)
            if max(right - left, bottom - top) <= EXACT:
                start, right_by, down_by = _edges(corners, F32(1))
                _fill(seen, width, box, start, right_by, down_by, depth, grey, face,
                      len(shade) > 0, number, bits, F32(1))  # fmt: skip
            else:
                start, right_by, down_by = _edges(corners, F64(1))
                _fill(seen, width, box, start, right_by, down_by, depth, grey, face,
                      len(shade) > 0, number, bits, F64(1))  # fmt: skip
    return buffer


@jit
def fragments(buffer, points, faces, width):
    """What is nearest, of `nearest` without shade, in the order of the pixels.

    Returns:
        (P,) int64 pixel, image and face, (P, 3) float32 weights of its corners, (P,) float32 depth.
    """
    count = 0
    for value in buffer.flat:
        count += value != EMPTY
    pixel, which, face = np.empty((3, count), np.int64)
    weights, depth = np.empty((count, 3), F32), np.empty(count, F32)
    n = 0
    for image in range(len(buffer)):
        x, y, z = points[0, image], points[1, image], points[2, image]
        across, down = _cells(x, width), _cells(y, buffer.shape[1] // width)
        for place in range(buffer.shape[1]):
            if buffer[image, place] == EMPTY:
                continue
            number = buffer[image, place] & 0xFFFFFFFF
            a, b, c = faces[number, 0], faces[number, 1], faces[number, 2]
            left, top = min(across[a], across[b], across[c]), min(down[a], down[b], down[c])
            start, right_by, down_by = _edges(_corners(x, y, a, b, c, left, top), F64(1))
            column, row = F64(place % width - left), F64(place // width - top)
            wa, wb, wc = _shares(
                start[0] + column * right_by[0] + row * down_by[0],
                start[1] + column * right_by[1] + row * down_by[1],
                start[2] + column * right_by[2] + row * down_by[2],
            )
            pixel[n], which[n], face[n] = image * buffer.shape[1] + place, image, number
            weights[n, 0], weights[n, 1], weights[n, 2] = wa, wb, wc
            depth[n] = z[a] * wa + z[b] * wb + z[c] * wc
            n += 1
    return pixel, which, face, weights, depth


@jit
def _cells(position, limit):
    """(V,) the first pixel whose centre lies right of (below) each vertex, within the picture."""
    cells = np.empty(len(position), np.int32)
    for i in range(len(position)):
        cells[i] = min(max(np.floor(position[i] + F32(0.5)), F32(0)), F32(limit))
    return cells


@jit
def _corners(x, y, a, b, c, left, top):
    """Corners of a triangle from the centre of its box's first pixel."""
    x0, y0 = F32(left) + F32(0.5), F32(top) + F32(0.5)
    return (x[a] - x0, x[b] - x0, x[c] - x0), (y[a] - y0, y[b] - y0, y[c] - y0)


@jit
def _edges(corners, one):
    """Edge functions of the corners at the first pixel, and their growth per column and row, in the
    type of `one`."""
    x0, x1, x2 = corners[0][0] * one, corners[0][1] * one, corners[0][2] * one
    y0, y1, y2 = corners[1][0] * one, corners[1][1] * one, corners[1][2] * one
    start = (x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0)
    total = start[0] + start[1] + start[2]
    sign = one if total > 0 else (-one if total < 0 else one * 0)
    return (
        (start[0] * sign, start[1] * sign, start[2] * sign),
        ((y1 - y2) * sign, (y2 - y0) * sign, (y0 - y1) * sign),
        ((x2 - x1) * sign, (x0 - x2) * sign, (x1 - x0) * sign),
    )


@jit
def _shares(va, vb, vc):
    """Barycentric weights, float32, of edge functions."""
    area = va + vb + vc
    return F32(va / area), F32(vb / area), F32(vc / area)


@jit
def _fill(seen, width, box, start, right_by, down_by, depth, grey, face, shaded, number, bits, one):
    """Put a triangle into the buffer of its picture where it is nearest."""
    left, top, right, bottom = box
    row = one * 0
    for line in range(top, bottom):
        wa, wb = start[0] + row * down_by[0], start[1] + row * down_by[1]
        wc = start[2] + row * down_by[2]
        column = one * 0
        for place in range(line * width + left, line * width + right):
            va, vb = wa + column * right_by[0], wb + column * right_by[1]
            vc = wc + column * right_by[2]
            column += one
            if not min(va, vb, vc) >= 0:
                continue
            sa, sb, sc = _shares(va, vb, vc)
            number[0] = depth[0] * sa + depth[1] * sb + depth[2] * sc
            payload = np.int64(face)
            if shaded:
                number[1] = max(grey[0] * sa + grey[1] * sb + grey[2] * sc, F32(0))
                payload = np.int64(bits[1])
            # the bits of negative floats count backwards
            order = np.int64(bits[0])
            order ^= (order >> 31) & 0x7FFFFFFF
            seen[place] = min(seen[place], (order << 32) | payload)
        row += one
