"""Triangles to pixels: a batched z-buffer of plain tensor operations, for CPU and CUDA alike.

Shapes: `B` images, `V` vertices, `F` triangles, `P` covered pixels, `H` x `W` the picture.

Pixel (row, column) has its centre at (row + 0.5, column + 0.5), as in OpenGL and PyTorch3D. Vertices
are moved to a grid of 1/128 pixel, on which inside tests of small triangles are exact in float32:
two triangles with a common edge leave no gap, in whatever order the sums are done, and the picture
of a mesh does not depend on the batch that it came in. The grid avoids pixel centres, so that a
box in which no centre lies is seen from rounded coordinates alone; that drops most triangles of a
dense mesh early.

Which side is drawn: the mesh decides. Of a closed mesh (every edge between two triangles that pass
it in opposite directions: all of Anny and SMPL) back faces can never be seen and are left out;
which side is out follows from the sign of its volume, so a file with the other winding is drawn
alike. Of an open mesh both sides are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .topology import outward, topology

GRID = 128  # positions a pixel; with boxes up to EXACT pixels all products fit a float32
EXACT = 8
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
        """(P, C) values at the pixels of `values` (B or 1, V, C) at the vertices."""
        corner = faces[self.face]
        image = self.image if len(values) > 1 else torch.zeros_like(self.image)
        return sum(values[image, corner[:, k]] * self.barycentric[:, k, None] for k in range(3))

    def picture(self, values: Tensor, background: float = 0.0) -> Tensor:
        """(B, H, W, ...) picture with `values` (P, ...) where something is."""
        canvas = values.new_full((self.shape[0] * self.shape[1] * self.shape[2],
                                  *values.shape[1:]), background)
        canvas[self.pixel] = values
        return canvas.view(*self.shape, *values.shape[1:])


class _Triangles(NamedTuple):
    """Triangles that may cover a pixel centre, `T` of them over all images.

    Attributes:
        face, image: (T,) int64.
        x, y: three times (T,), corners in pixels from the centre of the box's first pixel.
        width, height: (T,) int16 pixels of the box of pixel centres, within the picture.
        base: (T,) int64 index of the box's first pixel in the (B, H, W) pictures.
        area: (T,) twice the signed area, never 0.
    """

    face: Tensor
    image: Tensor
    x: list[Tensor]
    y: list[Tensor]
    width: Tensor
    height: Tensor
    base: Tensor
    area: Tensor


def rasterize(
    pixels: Tensor, faces: Tensor, size: tuple[int, int], winding: Tensor | None = None
) -> Fragments:
    """Find the nearest triangle of every pixel.

    Equal depths go to the triangle with the lower number, so the answer is the same bit by bit in
    every run.

    Args:
        pixels: (B, V, 3) column, row (in pixels, from the top left corner) and depth (any unit and
            sign, smaller is nearer, linear on the picture).
        faces: (F, 3) integers.
        size: (H, W), each from 1 to 32,000.
        winding: (B,) what `outward` of topology.py says of a closed mesh, when it is known.

    Raises:
        ValueError: wrong shapes or sizes, indices without vertex, NaN or infinite coordinates.
    """
    _check(pixels, faces, size)
    if winding is None:
        winding = outward(pixels, faces)
    faces = faces.long()
    triangles = _set_up(pixels, faces, size, winding)
    buffer = _buffer(pixels, size)
    depth = _corners(triangles, faces, pixels[..., 2])
    kept_face, kept_weights, kept_depth, kept_image = [], [], [], []
    count = 0
    depth[:2] -= depth[2]
    for which, pixel, first, second in _covered(triangles, size):
        z = depth[2, which] + first * depth[0, which] + second * depth[1, which]
        order = torch.arange(count, count + len(which), device=which.device)
        _keep_nearest(buffer, pixel, z, order)
        count += len(which)
        kept_face.append(triangles.face[which])
        kept_image.append(triangles.image[which])
        kept_weights.append(torch.stack((first, second), 1))
        kept_depth.append(z)
    pixel = (buffer != EMPTY).nonzero()[:, 0]
    if not count:
        none = pixel.new_empty(0)
        empty = pixels.new_empty((0, 3), dtype=torch.float32)
        return Fragments(none, none, none, empty, empty[:, 0], (len(pixels), *size))
    winner = buffer[pixel] & 0xFFFFFFFF
    two = torch.cat(kept_weights)[winner]
    return Fragments(
        pixel,
        torch.cat(kept_image)[winner],
        torch.cat(kept_face)[winner],
        torch.cat((two, (1 - two[:, :1] - two[:, 1:]).clamp(min=0)), 1),
        torch.cat(kept_depth)[winner],
        (len(pixels), *size),
    )


def paint(
    pixels: Tensor,
    faces: Tensor,
    size: tuple[int, int],
    grey: Tensor,
    winding: Tensor | None = None,
) -> Tensor:
    """(B, H, W) float32 picture of `grey` (B, V) at the vertices, linear over each triangle, 0 where
    nothing is. The same picture as by :func:`rasterize`, without the fragments: the grey value
    travels in the low half of the z-buffer's entries.
    """
    _check(pixels, faces, size)
    if winding is None:
        winding = outward(pixels, faces)
    faces = faces.long()
    triangles = _set_up(pixels, faces, size, winding)
    buffer = _buffer(pixels, size)
    depth = _corners(triangles, faces, pixels[..., 2])
    shade = _corners(triangles, faces, grey)
    depth[:2] -= depth[2]
    shade[:2] -= shade[2]
    for which, pixel, first, second in _covered(triangles, size):
        z = depth[2, which] + first * depth[0, which] + second * depth[1, which]
        value = shade[2, which] + first * shade[0, which] + second * shade[1, which]
        _keep_nearest(buffer, pixel, z, value.clamp_(min=0).view(torch.int32))
    return buffer.int().view(torch.float32).view(len(pixels), *size)


def _check(pixels: Tensor, faces: Tensor, size: tuple[int, int]) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.is_floating_point():
        raise ValueError(
            f"pixels must be floats of shape (B, V, 3); they are {pixels.dtype} of shape"
            f" {tuple(pixels.shape)}."
        )
    if not (1 <= size[0] <= 32000 and 1 <= size[1] <= 32000):
        raise ValueError(f"size must be (H, W), each from 1 to 32,000; it is {tuple(size)}.")
    if not bool(torch.isfinite(pixels).all()):
        raise ValueError("vertices has NaN or infinite coordinates: leave that mesh out.")
    topology(faces, pixels.shape[1])


def _corners(triangles: _Triangles, faces: Tensor, values: Tensor) -> Tensor:
    """(3, T) values of (B, V) at the corners of the triangles."""
    flat = values.float().reshape(-1)
    first = triangles.image * values.shape[1]
    return torch.stack([flat[faces[:, k][triangles.face] + first] for k in range(3)])


def _set_up(
    pixels: Tensor, faces: Tensor, size: tuple[int, int], winding: Tensor | None
) -> _Triangles:
    b, v = pixels.shape[:2]
    height, width = size
    # (V, B) a coordinate: gathering a corner of all triangles for all images copies whole rows,
    # and one flat index is good for everything that is known of a triangle
    x, y = (
        (((pixels[..., k].T.float() * GRID).floor() + 0.5) / GRID).contiguous() for k in (0, 1)
    )
    xs, ys = _of_corners(x, faces), _of_corners(y, faces)
    area = (xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0])
    # the first pixel whose centre lies right of (below) the vertex, within the picture
    left, right = _span(_of_corners(_cell(x, width), faces))
    top, bottom = _span(_of_corners(_cell(y, height), faces))
    seen = torch.minimum(right - left, bottom - top) > 0
    seen &= (area != 0) if winding is None else (area * winding < 0)
    seen = seen.view(-1).nonzero()[:, 0]
    face = seen // b
    image = seen - face * b
    left, right, top, bottom = (cell.view(-1)[seen] for cell in (left, right, top, bottom))
    column, row = left.long(), top.long()
    return _Triangles(
        face,
        image,
        [corner.view(-1)[seen] - (left + 0.5) for corner in xs],
        [corner.view(-1)[seen] - (top + 0.5) for corner in ys],
        right - left,
        bottom - top,
        (image * height + row) * width + column,
        area.view(-1)[seen],
    )


def _of_corners(values: Tensor, faces: Tensor) -> list[Tensor]:
    """(V, B) -> three times (F, B)."""
    return [values.index_select(0, faces[:, k]) for k in range(3)]


def _cell(position: Tensor, limit: int) -> Tensor:
    return (position + 0.5).floor_().clamp_(0, limit).to(torch.int16)


def _span(corners: list[Tensor]) -> tuple[Tensor, Tensor]:
    a, b, c = corners
    return torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)


def _covered(
    triangles: _Triangles, size: tuple[int, int]
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield (triangle, pixel, weight of its first corner, of its second) of covered pixels.

    Triangles go by the size of their boxes, so that every group is one dense calculation: most
    triangles of a body have a single candidate pixel.
    """
    extent = torch.maximum(triangles.width, triangles.height)
    largest = int(extent.max()) if len(extent) else 0
    low, side = 0, 1
    while low < largest:
        group = ((extent > low) & (extent <= side)).nonzero()[:, 0]
        for part in group.split(max(1, BLOCK // (side * side))):
            if len(part):
                yield _cover(triangles, part, side, size[1])
        low, side = side, 2 * side


def _cover(
    triangles: _Triangles, part: Tensor, side: int, stride: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    exact = torch.float32 if side <= EXACT else torch.float64
    x = [corner[part].to(exact) for corner in triangles.x]
    y = [corner[part].to(exact) for corner in triangles.y]
    area = triangles.area[part].to(exact)
    # W_a(p) = (b - p) x (c - p) is twice the area opposite to corner a, and so on; it is taken at
    # the first pixel and grows by constants from pixel to pixel
    sign = area.sign()
    area = area * sign
    wa = (x[1] * y[2] - x[2] * y[1]) * sign
    wb = (x[2] * y[0] - x[0] * y[2]) * sign
    if side == 1:
        inside = (torch.minimum(torch.minimum(wa, wb), area - wa - wb) >= 0).nonzero()[:, 0]
        which = part[inside]
        pixel = triangles.base[which]
        wa, wb, area = wa[inside], wb[inside], area[inside]
        return which, pixel, (wa / area).float(), (wb / area).float()
    step = torch.arange(side * side, device=part.device)
    right, down = step % side, step // side
    wa = torch.addcmul(wa[:, None], ((y[1] - y[2]) * sign)[:, None], right.to(exact))
    wa = torch.addcmul(wa, ((x[2] - x[1]) * sign)[:, None], down.to(exact))
    wb = torch.addcmul(wb[:, None], ((y[2] - y[0]) * sign)[:, None], right.to(exact))
    wb = torch.addcmul(wb, ((x[0] - x[2]) * sign)[:, None], down.to(exact))
    inside = torch.minimum(torch.minimum(wa, wb), area[:, None] - wa - wb) >= 0
    # a box is cut at the border of the picture, the square that is tried is not
    inside &= right < triangles.width[part, None]
    inside &= down < triangles.height[part, None]
    inside = inside.view(-1).nonzero()[:, 0]
    row = inside // (side * side)
    step = inside - row * (side * side)
    which = part[row]
    pixel = triangles.base[which] + (step // side) * stride + step % side
    wa, wb, area = wa.view(-1)[inside], wb.view(-1)[inside], area[row]
    return which, pixel, (wa / area).float(), (wb / area).float()


def _buffer(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    count = len(pixels) * size[0] * size[1]
    return torch.full((count,), EMPTY, dtype=torch.int64, device=pixels.device)


def _keep_nearest(buffer: Tensor, pixel: Tensor, depth: Tensor, payload: Tensor) -> None:
    """Depth in the high half, payload (>= 0, int32) in the low: the smallest entry stays."""
    bits = depth.view(torch.int32)
    # the bits of negative floats count backwards
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    buffer.scatter_reduce_(0, pixel, (bits.long() << 32) | payload, "amin")
