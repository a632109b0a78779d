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

from .rasterize import Fragments, paint, rasterize
from .topology import face_normals, topology

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

LIGHT = (-0.35, -0.45, -0.82)
"""Direction to the light, camera space: over the camera's left shoulder."""
AMBIENT = 0.3
"""Grey of what the light does not reach: a body is never as black as the background."""
MARGIN = 0.04
"""Free border above and below (or left and right), as a share of the crop."""


@dataclass(frozen=True)
class Camera:
    """How the mesh is looked at.

    Attributes:
        elevation: degrees by which the camera looks down, a number or (B,).
        distance: metres from the camera to the middle of the body, a number or (B,); None is an
            orthographic camera.
    """

    elevation: float | Tensor = 0.0
    distance: float | Tensor | None = None


def turn(vertices: Tensor, yaw: float | Tensor) -> Tensor:
    """Turn meshes about the vertical axis through their own middle (the mean of the vertices).

    Args:
        vertices: (B or 1, V, 3) camera space.
        yaw: degrees, a number or (B,), on top of the view that the mesh has: a person who faces
            the camera looks to the image right at 90, away at 180, to the image left at 270.

    Returns:
        (B, V, 3).
    """
    middle = _middle(vertices)
    return _rotate(vertices - middle, *_cos_sin(yaw, vertices)) + middle


def _middle(vertices: Tensor) -> Tensor:
    """(B, 1, 3)."""
    return vertices.mean(1, keepdim=True)


def _rotate(vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(B, V, 3) turned about y: what points to the camera goes to the image right."""
    x, y, z = vectors.unbind(-1)
    return torch.stack(torch.broadcast_tensors(cos * x - sin * z, y, sin * x + cos * z), -1)


def _cos_sin(degrees: float | Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """(B or 1, 1) each; in float64 first, and multiples of 90 degrees exact."""
    angle = torch.as_tensor(degrees, dtype=torch.float64, device=like.device)
    if angle.ndim > 1:
        raise ValueError(f"an angle must be a number or (B,); its shape is {tuple(angle.shape)}.")
    angle = angle.reshape(-1, 1).remainder(360)
    quarter = (angle / 90).round()
    rest = (angle - 90 * quarter) * (math.pi / 180)
    cos, sin = rest.cos(), rest.sin()
    odd, minus = quarter.remainder(2) == 1, quarter.remainder(4) >= 2
    cos, sin = torch.where(odd, -sin, cos), torch.where(odd, cos, sin)
    return tuple(torch.where(minus, -t, t).to(like.dtype) for t in (cos, sin))


def frame(
    vertices: Tensor,
    size: tuple[int, int],
    camera: Camera | None = None,
    margin: float = MARGIN,
) -> Tensor:
    """Project meshes so that each one's bounding box fills the crop: centred, aspect kept, as large
    as fits within the margin.

    Args:
        vertices: (B, V, 3) camera space.
        size: (H, W).
        camera: elevation and distance; None: level and orthographic.
        margin: free border on each side as a share of the crop.

    Returns:
        (B, V, 3) column and row in pixels and depth. Depth is metres from the middle of the body
        (orthographic), or a quantity that agrees with it near the middle and is linear on the
        picture, as a z-buffer needs it (perspective).

    Raises:
        ValueError: the camera stands inside the body.
    """
    camera = camera or Camera()
    points = vertices - _middle(vertices)
    x, y, z = points.unbind(-1)
    if not isinstance(camera.elevation, (int, float)) or camera.elevation != 0:
        cos, sin = _cos_sin(camera.elevation, vertices)
        x, y, z = torch.broadcast_tensors(x, cos * y - sin * z, sin * y + cos * z)
    if camera.distance is not None:
        distance = torch.as_tensor(camera.distance, dtype=points.dtype, device=points.device)
        distance = distance.reshape(-1, 1)
        if bool((z + distance <= 0.05 * distance).any()) or not bool((distance > 0).all()):
            raise ValueError(
                "the camera stands inside the body or too near to it: Camera.distance is metres"
                f" and must exceed the body's reach; it is {camera.distance}."
            )
        scale = distance / (z + distance)
        x, y, z = torch.broadcast_tensors(x * scale, y * scale, distance * (1 - scale))
    low = torch.stack((x.amin(1), y.amin(1)), -1)
    high = torch.stack((x.amax(1), y.amax(1)), -1)
    room = torch.tensor([size[1], size[0]], dtype=points.dtype, device=points.device)
    extent = (high - low).clamp(min=1e-6)
    zoom = ((1 - 2 * margin) * room / extent).amin(1, keepdim=True)
    shift = room / 2 - zoom * (low + high) / 2
    return torch.stack((zoom * x + shift[:, :1], zoom * y + shift[:, 1:], z), -1)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """(B, V, 3) unit normals: the sum of the normals of the vertex's triangles, weighted by area.

    They point out of a closed mesh, whatever its winding; of an open mesh they point to where its
    triangles (a, b, c) have (b - a) x (c - a). A vertex without triangles gets (0, 0, 0).
    """
    return _normals(vertices, faces)[0]


def _normals(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor | None]:
    known = topology(faces, vertices.shape[1])
    components, winding = face_normals(vertices, faces.long())
    summed = [
        torch.nn.functional.embedding_bag(known.incident, c, known.offsets, mode="sum").T
        for c in components
    ]
    length = sum(s * s for s in summed).sqrt().clamp_(min=1e-20)
    if known.closed:
        length = length * winding[:, None]
    return torch.stack([s / length for s in summed], -1), winding if known.closed else None


def shade(normals: Tensor) -> Tensor:
    """(..., 3) unit normals in camera space -> (...) grey in [AMBIENT, 1], Lambert's law."""
    length = math.sqrt(sum(part * part for part in LIGHT))
    x, y, z = normals.unbind(-1)
    lit = (LIGHT[0] * x + LIGHT[1] * y + LIGHT[2] * z) / length
    return AMBIENT + (1 - AMBIENT) * lit.clamp(0, 1)


def render_structure(
    vertices: Tensor,
    faces: Tensor,
    yaw: float | Tensor = 0.0,
    elevation: float | Tensor = 0.0,
    size: tuple[int, int] = (256, 128),
    *,
    distance: float | Tensor | None = None,
    backend: str = "torch",
    supersample: int = 1,
) -> Tensor:
    """Structure images: the mesh turned by `yaw`, shaded grey, black around.

    Args:
        vertices: (B, V, 3) camera space, or (1, V, 3) for several views of one mesh (faster: the
            normals are shared).
        faces: (F, 3) integers, either winding.
        yaw, elevation, distance: as in :func:`turn` and :class:`Camera`; numbers or (B,).
        size: (H, W).
        backend: "torch", "pytorch3d", or "auto" (pytorch3d on a GPU when it is installed).
        supersample: pixels a side that are averaged into one (2: smooth outlines, a quarter of
            the speed).

    Returns:
        (B, H, W) float32 in [0, 1] on the device of `vertices`.

    Raises:
        ValueError: wrong shapes, NaN in the vertices, a camera inside the body.
    """
    if supersample < 1:
        raise ValueError(f"supersample must be at least 1; it is {supersample}.")
    vertices = vertices.detach().float()
    normals, winding = _normals(vertices, faces)
    cos, sin = _cos_sin(yaw, vertices)
    normals = _rotate(normals, cos, sin)
    turned = _rotate(vertices - _middle(vertices), cos, sin)
    large = (size[0] * supersample, size[1] * supersample)
    pixels = frame(turned, large, Camera(elevation, distance))
    picture = paint(pixels, faces, large, shade(normals), winding)
    if supersample > 1:
        picture = torch.nn.functional.avg_pool2d(picture[:, None], supersample)[:, 0]
    return picture
