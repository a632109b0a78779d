"""Triangles to pixels: a batched z-buffer of plain tensor operations, and of compiled loops on a
CPU (`zbuffer_loops`), which give the same bits in a fifth of the time.

Shapes: `B` images, `V` vertices, `F` triangles, `T` triangles that may be seen (of all images),
`P` covered pixels, `H` x `W` the picture. Inside, a coordinate of all meshes is a "column" (V, B).

The centre of pixel (row, column) is at (row + 0.5, column + 0.5), as in OpenGL and PyTorch3D.
Vertices are moved to a grid of 1/64 pixel, on which inside tests of small triangles are exact in
float32: two triangles with a common edge leave no gap, in whatever order sums are done. The grid
avoids pixel centres, so that rounded coordinates alone tell in which boxes no centre lies; that
drops most triangles of a dense mesh early.

Which side is drawn: the mesh decides. Of a closed mesh (every edge between two triangles that pass
it in opposite directions: all of Anny and SMPL) back faces can never be seen and are left out;
which side is out follows from the sign of the volume, so a file with the other winding is drawn
alike. Of an open mesh both sides are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import zbuffer_loops
from .compiled import arrays, looped
from .topology import outward

GRID = 64  # positions a pixel; in boxes up to EXACT pixels all products fit a float32
EXACT = 16
BLOCK = 1 << 21  # candidate pixels at a time: bounds the memory of large triangles
EMPTY = 0x7FFFFFFF << 32  # behind everything, payload 0


class Fragments(NamedTuple):
    """The nearest triangle of every covered pixel, in the order of the pixels.

    Attributes:
        pixel: (P,) int64 index into the (B, H, W) pictures laid out one after another.
        image: (P,) int64 number of the picture.
        face: (P,) int64 triangle.
        barycentric: (P, 3) float32 weights of the triangle's vertices, not negative, sum 1. They
            are linear on the picture (not perspective-correct: body triangles are a few pixels).
        depth: (P,) float32 depth at the pixel centre.
        shape: (B, H, W).
    """

    pixel: Tensor
    image: Tensor
    face: Tensor
    barycentric: Tensor
    depth: Tensor
    shape: tuple[int, int, int]

    def interpolate(self, values: Tensor, faces: Tensor) -> Tensor:
        """(P, C) at the pixels, from `values` (B or 1, V, C) at the vertices."""
        corner = faces[self.face]
        image = self.image if len(values) > 1 else torch.zeros_like(self.image)
        return sum(values[image, corner[:, k]] * self.barycentric[:, k, None] for k in range(3))

    def picture(self, values: Tensor, background: float = 0.0) -> Tensor:
        """(B, H, W, ...) with `values` (P, ...) where something is."""
        canvas = values.new_full((math.prod(self.shape), *values.shape[1:]), background)
        canvas[self.pixel] = values
        return canvas.view(*self.shape, *values.shape[1:])


def rasterize(pixels: Tensor, faces: Tensor, size: tuple[int, int]) -> Fragments:
    """Find the nearest triangle of every pixel.

    Of triangles at the same depth the first in `faces` is taken: the answer is the same bit by bit
    in every run.

    Args:
        pixels: (B, V, 3) column, row (in pixels, from the top left corner) and depth (any unit and
            sign, smaller is nearer, linear on the picture).
        faces: (F, 3) integers.
        size: (H, W), each from 1 to 32,000.

    Raises:
        ValueError: wrong shapes or sizes, indices without vertex, NaN or infinite coordinates.
    """
    check_vertices(pixels)
    check_device(pixels, faces)
    check_size(size)
    columns = [pixels[..., k].T.float().contiguous() for k in range(3)]
    if looped(*columns):
        points, index, winding = _for_loops(columns, faces, outward(columns, faces))
        none = np.empty((0, points.shape[2]), np.float32)
        buffer = zbuffer_loops.nearest(points, index, winding, none, *size)
        found = zbuffer_loops.fragments(buffer, points, index, size[1])
        return Fragments(*map(torch.from_numpy, found), (len(pixels), *size))
    triangles = _set_up(columns, faces.long(), size, outward(columns, faces))
    buffer = _buffer(columns, size)
    depth = triangles.corners(columns[2])
    for which, pixel, weights in _covered(triangles, size):
        _keep_nearest(buffer, pixel, _interpolate(triangles, depth, which, weights), which)
    pixel = indices_of(buffer != EMPTY)
    which = buffer[pixel] & 0xFFFFFFFF
    weights = _weights(triangles, which, pixel, size)
    seen = triangles.seen[which]
    return Fragments(
        pixel,
        seen % len(pixels),
        seen // len(pixels),
        torch.stack([*weights], 1),
        _interpolate(triangles, depth, which, weights),
        (len(pixels), *size),
    )


def paint(
    columns: list[Tensor],
    faces: Tensor,
    size: tuple[int, int],
    grey: Tensor,
    winding: Tensor | None,
) -> Tensor:
    """Picture of grey values at the vertices, linear over each triangle: what `rasterize`, then
    `interpolate` and `picture` give, but faster, because the grey value itself travels in the low
    half of the z-buffer's entries.

    Args:
        columns: column, row and depth, (V, B) each, finite.
        faces: (F, 3) int64.
        size: (H, W).
        grey: (V, B), not negative.
        winding: `outward(columns, faces)`.

    Returns:
        (B, H, W) float32, 0 where nothing is.
    """
    if looped(*columns, grey):
        points, index, winding = _for_loops(columns, faces, winding)
        buffer = zbuffer_loops.nearest(points, index, winding, *arrays(grey.T), *size)
        return torch.from_numpy(buffer.astype(np.int32).view(np.float32)).view(-1, *size)
    triangles = _set_up(columns, faces, size, winding)
    buffer = _buffer(columns, size)
    depth, shade = triangles.corners(columns[2]), triangles.corners(grey)
    for which, pixel, weights in _covered(triangles, size):
        value = _interpolate(triangles, shade, which, weights).clamp_(min=0)
        z = _interpolate(triangles, depth, which, weights)
        _keep_nearest(buffer, pixel, z, value.view(torch.int32))
    return buffer.int().view(torch.float32).view(-1, *size)


def indices_of(mask: Tensor) -> Tensor:
    """Indices of what is true in `mask` (N,), in order. On a CPU numpy finds them five times faster
    than torch.nonzero, which takes a quarter of a picture's time."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.nonzero()[:, 0]


def check_vertices(vertices: Tensor) -> None:
    """Raises ValueError unless (B, V, 3) finite floats."""
    if vertices.ndim != 3 or vertices.shape[2] != 3 or not vertices.is_floating_point():
        raise ValueError(
            f"vertices must be floats of shape (B, V, 3); they are {vertices.dtype} of shape"
            f" {tuple(vertices.shape)}."
        )
    # one sum instead of a test of each number: infinity and NaN stay in it
    if not math.isfinite(float(vertices.sum())):
        bad = (~torch.isfinite(vertices)).flatten(1).any(1).nonzero()[:, 0].tolist()
        if bad:  # a sum may also overflow
            raise ValueError(
                f"vertices has NaN or infinite coordinates in meshes {bad[:8]}: leave them out."
            )


def check_device(vertices: Tensor, faces: Tensor) -> None:
    """Raises ValueError unless both are in the same place."""
    if vertices.device != faces.device:
        raise ValueError(
            f"vertices are on {vertices.device} and faces on {faces.device}: move one of them."
        )


def check_size(size: tuple[int, int]) -> None:
    """Raises ValueError unless boxes fit 16 bits."""
    if not (1 <= size[0] <= 32000 and 1 <= size[1] <= 32000):
        raise ValueError(f"size must be (H, W), each from 1 to 32,000; it is {tuple(size)}.")


def _for_loops(
    columns: list[Tensor], faces: Tensor, winding: Tensor | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points on the grid, faces and winding as the loops take them."""
    points = np.stack(arrays(*(column.T for column in columns)))
    points[:2] = (np.floor(points[:2] * np.float32(GRID)) + np.float32(0.5)) * np.float32(1 / GRID)
    both_sides = torch.empty(0)
    way = both_sides if winding is None else winding.expand(points.shape[1])
    return points, *arrays(faces.long(), way)


class _Triangles(NamedTuple):
    """Triangles that face the camera and whose box of pixel centres is not empty.

    Attributes:
        corner: (3F,) int64 vertices, the first of all triangles first.
        x, y: (3, F * B), the corners' pixels.
        seen: (T,) int64 index of such a triangle in (F, B), ascending.
        left, top, width, height: (T,) int16, its box, cut at the border of the picture.
        base: (T,) int64 index of the box's first pixel in the (B, H, W) pictures.
    """

    corner: Tensor
    x: Tensor
    y: Tensor
    seen: Tensor
    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor
    base: Tensor

    def corners(self, column: Tensor) -> Tensor:
        """(V, B) -> (3, F * B). Whole rows are copied, which is several times faster than picking
        numbers."""
        return column.index_select(0, self.corner).view(3, -1)


def _set_up(
    columns: list[Tensor], faces: Tensor, size: tuple[int, int], winding: Tensor | None
) -> _Triangles:
    b = columns[0].shape[1]
    height, width = size
    corner = faces.T.reshape(-1)
    shape = (3, len(faces), b)
    x, y = ((c * GRID).floor_().add_(0.5).mul_(1 / GRID) for c in columns[:2])
    xs, ys = (c.index_select(0, corner).view(shape) for c in (x, y))
    area = (xs[1] - xs[0]).mul_(ys[2] - ys[0])
    area -= (xs[2] - xs[0]).mul_(ys[1] - ys[0])
    left, right = _span(_cell(x, width).index_select(0, corner).view(shape))
    top, bottom = _span(_cell(y, height).index_select(0, corner).view(shape))
    wide, high = right.sub_(left), bottom.sub_(top)
    seen = torch.minimum(wide, high) > 0
    seen &= area != 0
    if winding is not None:
        seen &= (area < 0) == (winding > 0)
    seen = indices_of(seen.view(-1))
    left, top, wide, high = (c.view(-1).index_select(0, seen) for c in (left, top, wide, high))
    base = (seen % b * height + top) * width + left
    return _Triangles(corner, xs.view(3, -1), ys.view(3, -1), seen, left, top, wide, high, base)


def _cell(position: Tensor, limit: int) -> Tensor:
    """The first pixel whose centre lies right of (below) the vertex, within the picture."""
    return (position + 0.5).floor_().clamp_(0, limit).to(torch.int16)


def _span(corners: Tensor) -> tuple[Tensor, Tensor]:
    a, b, c = corners
    return torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)


def _covered(
    triangles: _Triangles, size: tuple[int, int]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (which of the seen triangles, pixel, weights (3, P) of the corners) of covered pixels.

    Candidates are the pixels of all boxes, one after another, row by row. Boxes up to EXACT pixels
    are done in float32, then larger ones in float64; those of the other kind count 0 candidates,
    so that the host asks the GPU for two numbers, not for lists.
    """
    small = torch.maximum(triangles.width, triangles.height) <= EXACT
    area = triangles.width.int() * triangles.height
    count = torch.stack((area * small, area * ~small))
    ends = count.cumsum(1)
    begins = ends - count
    totals = count.sum(1).tolist()
    for end, begin, total, exact in zip(
        ends, begins, totals, (torch.float32, torch.float64), strict=True
    ):
        if not total:
            continue
        edges = _edges(triangles, exact)
        for first in range(0, total, BLOCK):
            number = torch.arange(first, min(first + BLOCK, total), device=end.device)
            which = torch.searchsorted(end, number, right=True)
            offset = number.sub_(begin.index_select(0, which)).int()
            width = triangles.width.index_select(0, which)
            row = offset // width
            column = offset.sub_(row * width)
            value = _values(edges, which, row, column)
            inside = indices_of(torch.minimum(torch.minimum(value[0], value[1]), value[2]) >= 0)
            which, row, column = (c.index_select(0, inside) for c in (which, row, column))
            pixel = triangles.base.index_select(0, which) + row * size[1] + column
            yield which, pixel, _normalised(value.index_select(1, inside))


def _edges(triangles: _Triangles, exact: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Edge functions, (3, T): at the box's first pixel, and their growth per column and row.

    W_a(p) = (b - p) x (c - p) is twice the area of (p, b, c): not negative inside, and the weight
    of corner a when it is divided by the sum of all three.
    """
    x, y = (
        corners.index_select(1, triangles.seen).sub_(origin + 0.5).to(exact)
        for corners, origin in ((triangles.x, triangles.left), (triangles.y, triangles.top))
    )
    (xb, yb), (xc, yc) = ((x.roll(by, 0), y.roll(by, 0)) for by in (-1, 1))
    start, right, down = xb * yc - xc * yb, yb - yc, xc - xb
    sign = (start[0] + start[1] + start[2]).sign_()
    return start.mul_(sign), right.mul_(sign), down.mul_(sign)


def _values(
    edges: tuple[Tensor, Tensor, Tensor], which: Tensor, row: Tensor, column: Tensor
) -> Tensor:
    """(3, P) edge functions of triangles (P,) at a row and column of their boxes. Kernels of their
    own for products and sums: one that joins them rounds otherwise."""
    start, right, down = (part.index_select(1, which) for part in edges)
    return start.add_(down.mul_(row)).add_(right.mul_(column))


def _weights(triangles: _Triangles, which: Tensor, pixel: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, P) weights of the corners of seen triangles at the pixels (P,), in float64."""
    column = pixel % size[1] - triangles.left[which]
    row = pixel // size[1] % size[0] - triangles.top[which]
    return _normalised(_values(_edges(triangles, torch.float64), which, row, column))


def _normalised(value: Tensor) -> Tensor:
    return (value / (value[0] + value[1] + value[2])).float()


def _interpolate(triangles: _Triangles, corners: Tensor, which: Tensor, weights: Tensor) -> Tensor:
    seen = triangles.seen.index_select(0, which)
    a, b, c = corners.index_select(1, seen).mul_(weights)
    return a.add_(b).add_(c)


def _buffer(columns: list[Tensor], size: tuple[int, int]) -> Tensor:
    count = columns[0].shape[1] * size[0] * size[1]
    return torch.full((count,), EMPTY, dtype=torch.int64, device=columns[0].device)


def _keep_nearest(buffer: Tensor, pixel: Tensor, depth: Tensor, payload: Tensor) -> None:
    """Depth in the high half, payload (>= 0, below 2^31) in the low: the smallest entry stays."""
    bits = depth.view(torch.int32)
    # the bits of negative floats count backwards
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    buffer.scatter_reduce_(0, pixel, (bits.long() << 32) | payload, "amin")
