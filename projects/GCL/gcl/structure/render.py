"""Grey pictures of a person's mesh from any side, framed as a person detector frames a crop.

Shapes: `B` images, `V` vertices, `F` triangles, `H` x `W` the picture (rows first).
Camera space: x to the image right, y down, z forward (away from the camera), metres. A person at
yaw 0 faces the camera (looks along -z) and has the left hand at +x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from . import normals_loops
from .compiled import arrays, looped
from .render_pytorch3d import available, rasterize_pytorch3d
from .topology import face_normals, topology
from .zbuffer import (
    Fragments,
    check_device,
    check_size,
    check_vertices,
    paint,
    rasterize,
)

__all__ = [
    "Camera",
    "Fragments",
    "frame",
    "rasterize",
    "render_structure",
    "shade",
    "turn",
    "vertex_normals",
]

LIGHT = (0.0, -0.48, -0.88)
"""Direction to the light, camera space: from above the camera. Not from a side, so that a mirrored
picture is the picture of the mirrored body, as in training on mirrored crops."""
AMBIENT = 0.3
"""Grey of what the light does not reach: a body is never as black as the background."""
MARGIN = 0.04
"""Free border above and below, as a share of the crop."""


@dataclass(frozen=True)
class Camera:
    """How the mesh is looked at.

    Attributes:
        elevation: degrees by which the camera looks down on the body, a number or (B,).
        distance: metres from the camera to the middle of the body, a number or (B,); None is an
            orthographic camera.
    """

    elevation: float | Tensor = 0.0
    distance: float | Tensor | None = None


def render_structure(
    vertices: Tensor,
    faces: Tensor,
    yaw: float | Tensor = 0.0,
    elevation: float | Tensor = 0.0,
    size: tuple[int, int] = (256, 128),
    *,
    distance: float | Tensor | None = None,
    framing: Tensor | None = None,
    backend: str = "torch",
    supersample: int = 1,
) -> Tensor:
    """Structure images: the mesh turned by `yaw`, shaded grey, black around.

    On a CPU it is drawn by loops of one thread, which is what data workers have; repeated bit by
    bit there.

    Args:
        vertices: (B, V, 3) camera space, or (1, V, 3) for several views of one mesh (faster: the
            normals are shared). Eight views a call are twice as fast as one by one.
        faces: (F, 3) integers, either winding. Pass the same tensor every time: what follows from
            it alone is remembered with it.
        yaw, elevation, distance: as in :func:`turn` and :class:`Camera`; numbers or (B,).
        size: (H, W).
        framing: (3,) or (B, 3), where the person is in the crop: row of the top and of the bottom
            as shares of H, column of the bounding box's middle as a share of W. Turning changes
            none of them, so all views of a mesh share scale and place. None: :func:`frame`'s.
        backend: "torch", "pytorch3d", or "auto" (pytorch3d on a GPU when it is installed).
        supersample: pixels a side that are averaged into one (2: smooth outlines, under half the
            speed).

    Returns:
        (B, H, W) float32 in [0, 1] on the device of `vertices`.

    Raises:
        ValueError: wrong shapes, NaN in the vertices, a camera inside the body, a framing without
            height.
        ImportError: backend "pytorch3d" without PyTorch3D.
    """
    check_vertices(vertices)
    check_device(vertices, faces)
    if supersample < 1:
        raise ValueError(f"supersample must be at least 1; it is {supersample}.")
    large = (size[0] * supersample, size[1] * supersample)
    check_size(large)
    check_framing(framing)
    points, _ = _centred(vertices.detach().float())
    normals, winding = _normals(points, faces)
    way, rise = _cos_sin(yaw, points[0]), _rise(elevation, points[0])
    points, normals = (_tilt(_turn(c, way), rise) for c in (points, normals))
    if winding is None:  # an open mesh shows both sides, and both are lit
        normals = [torch.where(normals[2] > 0, -part, part) for part in normals]
    pixels = _frame(points, large, distance, MARGIN, framing)
    grey = _shade(normals).expand_as(pixels[0])
    if _backend(backend, vertices.device) == "pytorch3d":
        found = rasterize_pytorch3d(_stack(pixels), faces, large)
        picture = found.picture(found.interpolate(grey.T[..., None], faces)[:, 0])
    else:
        picture = paint(pixels, faces.long(), large, grey, winding)
    if supersample > 1:
        picture = torch.nn.functional.avg_pool2d(picture[:, None], supersample)[:, 0]
    return picture


def turn(vertices: Tensor, yaw: float | Tensor) -> Tensor:
    """Turn meshes about the vertical axis through their own middle (the mean of the vertices).

    Args:
        vertices: (B or 1, V, 3) camera space.
        yaw: degrees, a number or (B,), on top of the view that the mesh has: a person who faces
            the camera looks to the image right at 90, away at 180, to the image left at 270.

    Returns:
        (B, V, 3).
    """
    points, middle = _centred(vertices)
    turned = _turn(points, _cos_sin(yaw, points[0]))
    return _stack([c + m for c, m in zip(turned, middle, strict=True)])


def frame(
    vertices: Tensor,
    size: tuple[int, int],
    camera: Camera | None = None,
    margin: float = MARGIN,
) -> Tensor:
    """Project meshes as a person detector frames people: the height fills the crop within the
    margin, the bounding box is centred, the aspect is kept.

    The height alone decides on the scale, because turning does not change it: all views of a mesh
    have one scale, as in the authors' renders. In a crop that is narrower than the mesh (a stride
    from the side in a crop of the front) feet and hands are cut off. Were the width fitted too,
    that view would shrink by a quarter, and no detector's crop has people of that size.

    Args:
        vertices: (B, V, 3) camera space.
        size: (H, W).
        camera: elevation and distance; None: level and orthographic.
        margin: free border above and below as a share of the crop.

    Returns:
        (B, V, 3) column and row in pixels and depth. Depth is metres from the middle of the body
        (orthographic), or a quantity that agrees with it near the middle and is linear on the
        picture, as a z-buffer needs it (perspective).

    Raises:
        ValueError: the camera stands inside the body.
    """
    camera = camera or Camera()
    points = _centred(vertices)[0]
    points = _tilt(points, _rise(camera.elevation, points[0]))
    return _stack(_frame(points, size, camera.distance, margin))


def check_framing(framing: Tensor | None) -> None:
    """Raises ValueError unless None or (3,) or (B, 3) finite (top, bottom, centre), bottom below
    top."""
    if framing is None:
        return
    if framing.shape[-1:] != (3,) or framing.ndim > 2 or not framing.is_floating_point():
        raise ValueError(
            f"framing must be floats of shape (3,) or (B, 3); it is {framing.dtype} of shape"
            f" {tuple(framing.shape)}."
        )
    if not bool(framing.isfinite().all() and (framing[..., 1] > framing[..., 0]).all()):
        raise ValueError("framing must be finite, its bottom (a row) larger than its top.")


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """(B, V, 3) unit normals: the sum of the normals of the vertex's triangles, weighted by area.

    They point out of a closed mesh, whatever its winding; of an open mesh they point to where its
    triangles (a, b, c) have (b - a) x (c - a). A vertex without triangles gets (0, 0, 0).
    """
    return _stack(_normals(_centred(vertices)[0], faces)[0])


def shade(normals: Tensor) -> Tensor:
    """(..., 3) unit normals in camera space -> (...) grey in [AMBIENT, 1], Lambert's law."""
    return _shade(list(normals.unbind(-1)))


# Inside, x, y and z are tensors of their own, (V, B) with people last ("columns"): gathering the
# corners of all triangles for all people then copies whole rows.


def _centred(vertices: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """(B, V, 3) -> columns from the mean of the vertices, and that mean, (B,) a column."""
    columns = [vertices[..., k].T.contiguous() for k in range(3)]
    # in float64, so that the picture does not depend on the batch by the order of a sum
    middle = [column.mean(0, dtype=torch.float64).to(column.dtype) for column in columns]
    return [c - m for c, m in zip(columns, middle, strict=True)], middle


def _stack(columns: list[Tensor]) -> Tensor:
    """Columns -> (B, V, 3)."""
    return torch.stack(torch.broadcast_tensors(*columns), -1).transpose(0, 1)


def _turn(columns: list[Tensor], way: tuple[Tensor, Tensor]) -> list[Tensor]:
    """What points to the camera goes to the image right. `way`: :func:`_cos_sin` of the yaw."""
    (x, y, z), (cos, sin) = columns, way
    return [cos * x - sin * z, y, sin * x + cos * z]


def _tilt(columns: list[Tensor], rise: tuple[Tensor, Tensor] | None) -> list[Tensor]:
    """The camera rises and looks down: what is near goes down in the picture. `rise`:
    :func:`_rise` of the elevation."""
    if rise is None:
        return columns
    (x, y, z), (cos, sin) = columns, rise
    return [x, cos * y - sin * z, sin * y + cos * z]


def _rise(elevation: float | Tensor, like: Tensor) -> tuple[Tensor, Tensor] | None:
    """:func:`_cos_sin`, None for a level camera."""
    if isinstance(elevation, (int, float)) and elevation == 0:
        return None
    return _cos_sin(elevation, like)


def _cos_sin(degrees: float | Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """(B or 1,) each; exact at multiples of 90 degrees."""
    angle = _beside(degrees, like, torch.float64)
    if angle.ndim > 1:
        raise ValueError(f"an angle must be a number or (B,); its shape is {tuple(angle.shape)}.")
    angle = angle.reshape(-1).remainder(360)
    quarter = (angle / 90).round()
    rest = (angle - 90 * quarter) * (math.pi / 180)
    cos, sin = rest.cos(), rest.sin()
    odd, minus = quarter.remainder(2) == 1, quarter.remainder(4) >= 2
    cos, sin = torch.where(odd, -sin, cos), torch.where(odd, cos, sin)
    cos, sin = (torch.where(minus, -part, part).to(like.dtype) for part in (cos, sin))
    return cos, sin


def _beside(value: float | Tensor, like: Tensor, dtype: torch.dtype) -> Tensor:
    """On the device of `like`, without the host waiting for a GPU."""
    if isinstance(value, (int, float)):
        return torch.full((), value, dtype=dtype, device=like.device)
    return torch.as_tensor(value, dtype=dtype).to(like.device, non_blocking=True)


def _frame(
    columns: list[Tensor],
    size: tuple[int, int],
    distance: float | Tensor | None,
    margin: float,
    framing: Tensor | None = None,
) -> list[Tensor]:
    x, y, z = columns
    if distance is not None:
        metres = _beside(distance, x, x.dtype)
        if not bool((z > -0.95 * metres).all()):
            raise ValueError(
                "the camera stands inside the body or too near to it: distance is metres from the"
                f" camera to the middle of the body; it is {distance}."
            )
        scale = metres / (z + metres)
        # 1 / z is linear on the picture, z is not
        x, y, z = x * scale, y * scale, metres * (1 - scale)
    x, y, z = torch.broadcast_tensors(x, y, z)
    if not len(x):
        return [x, y, z]
    left, right = x.amin(0), x.amax(0)
    top, bottom = y.amin(0), y.amax(0)
    tall, column, row = (1 - 2 * margin) * size[0], size[1] / 2, size[0] / 2
    if framing is not None:
        high, low, centre = _beside(framing.detach(), x, x.dtype).unbind(-1)
        tall, column, row = (low - high) * size[0], centre * size[1], (high + low) * size[0] / 2
    zoom = tall / (bottom - top).clamp(min=1e-6)
    x = zoom * x + (column - zoom * (left + right) / 2)
    y = zoom * y + (row - zoom * (top + bottom) / 2)
    return list(torch.broadcast_tensors(x, y, z))


def _normals(columns: list[Tensor], faces: Tensor) -> tuple[list[Tensor], Tensor | None]:
    """Unit normals and :func:`~gcl.structure.topology.outward`."""
    known = topology(faces, len(columns[0]))
    if looped(*columns):
        total, volume = normals_loops.normals(*arrays(*columns, faces.long()))
        summed, winding = torch.from_numpy(total).unbind(), torch.from_numpy(volume).sign().float()
    else:
        components, winding = face_normals(columns, faces.long())
        summed = [
            torch.nn.functional.embedding_bag(known.incident, c, known.offsets, mode="sum")
            for c in components
        ]
    scale = 1 / sum(s * s for s in summed).sqrt().clamp_(min=1e-20)
    if known.closed:
        scale = scale * winding
    return [s * scale for s in summed], winding if known.closed else None


def _shade(normals: list[Tensor]) -> Tensor:
    length = math.sqrt(sum(part * part for part in LIGHT)) / (1 - AMBIENT)
    lit = sum(part * (light / length) for part, light in zip(normals, LIGHT, strict=True))
    return lit.clamp_(min=0).add_(AMBIENT)


def _backend(name: str, device: torch.device) -> str:
    if name not in ("auto", "torch", "pytorch3d"):
        raise ValueError(f'backend must be "torch", "pytorch3d" or "auto"; it is "{name}".')
    if name == "auto":
        return "pytorch3d" if device.type == "cuda" and available() else "torch"
    return name
