"""A person's mesh as the camera sees it: the format between mesh recovery and rendering.

A ``.npz`` holds ``vertices`` (V, 3) float32, and optionally ``faces`` (F, 3), ``yaw``,
``confidence``, ``framing`` and ``doubtful``; without ``faces`` the folder's ``faces.npy`` counts.
Coordinates are metres in camera space: x right, y down, z forward. ``framing`` (3,) float32 says
where the crop shows the person: rows of the body's highest and lowest point as shares of the
crop's height, and column of the middle of its bounding box as a share of the width; below 0 or
above 1 where the crop cuts it off. Renders have the person there; without it they have the whole
person in the middle. ``doubtful`` is True where ``vertices`` are only a stand-in, because the
confidence is too low.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gcl.atomic_files import atomic

from .array_files import read_npy, read_npz
from .render import check_framing, render_structure

FACES = "faces.npy"
SMALLEST, LARGEST = 0.3, 4.0
"""Metres between which the longest side of a person's bounding box lies."""
SHORTEST, TALLEST = 0.05, 10.0
"""Crop heights between which a person's height lies."""
ASIDE = 1.0
"""Crop widths by which a person's middle can be outside of the crop."""

MOST = 1_000_000
"""Vertices, and triangles, of a person's mesh: fifty times those of the densest body models."""
_ARRAYS = ("vertices", "faces", "yaw", "confidence", "framing", "doubtful")


class GeometryError(ValueError):
    """A mesh that can not be used, or a file that holds none; the message says which and why."""


@dataclass(frozen=True)
class Geometry:
    """One person.

    Args:
        vertices: (V, 3) metres in camera space, an array or a tensor; kept as a float32 tensor.
        faces: (F, 3) rows of ``vertices``; kept as an int64 tensor.
        yaw: degrees, when known: 0 faces the camera, 90 the image's right.
        confidence: of the mesh, in [0, 1], when known.
        framing: (top, bottom, centre) of the person in the crop, when known (see above); kept as a
            float32 tensor.
        doubtful: whether ``vertices`` are but a standing body at the likeliest yaw.

    Raises:
        GeometryError: wrong shapes, values that are not finite, faces without vertices, a size
            that no person has in metres, or a framing that has nobody in the crop.
    """

    vertices: Tensor
    faces: Tensor
    yaw: float | None = None
    confidence: float | None = None
    framing: Tensor | None = None
    doubtful: bool = False

    def __post_init__(self) -> None:
        vertices, faces = _tensor(self.vertices), _tensor(self.faces)
        for name, value in (("vertices", vertices), ("faces", faces)):
            if value.ndim != 2 or value.shape[1] != 3 or not len(value):
                raise GeometryError(f"{name} have the shape {tuple(value.shape)}, not (..., 3)")
            if len(value) > MOST:
                raise GeometryError(f"{len(value)} {name} are more than a person's mesh has")
        if faces.is_floating_point() or faces.is_complex():
            raise GeometryError(f"faces are {faces.dtype}, not integers")
        vertices, faces = vertices.detach().float(), faces.long()
        if not vertices.isfinite().all():
            raise GeometryError("some vertices are not finite")
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise GeometryError(
                f"faces name vertices {faces.min()} to {faces.max()} of a mesh of {len(vertices)}"
                " (the faces of another body model?)"
            )
        side = float((vertices.amax(0) - vertices.amin(0)).max())
        if not SMALLEST <= side <= LARGEST:
            raise GeometryError(
                f"the mesh is {side:.3g} long, which is no person in metres (another unit?)"
            )
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", _seen(faces))
        if self.framing is not None:
            object.__setattr__(self, "framing", _framing(self.framing))


_last_faces: list[Tensor] = []


def _seen(faces: Tensor) -> Tensor:
    """The tensor of the mesh before, where the faces are equal: what the renderer works out of a
    face list, in more time than a picture takes, it remembers with that very tensor."""
    if not (_last_faces and torch.equal(_last_faces[0], faces)):
        _last_faces[:] = [faces]
    return _last_faces[0]


def _framing(value: Tensor | np.ndarray | Sequence[float]) -> Tensor:
    """(3,) float32; raises GeometryError."""
    try:
        framing = torch.as_tensor(value, dtype=torch.float32).detach().cpu().clone()
        if framing.shape != (3,):
            raise ValueError(f"framing has the shape {tuple(framing.shape)}, not (3,).")
        check_framing(framing)
    except (TypeError, ValueError) as error:
        raise GeometryError(str(error).rstrip(".")) from error
    top, bottom, centre = framing.tolist()
    inside = top < 1 and bottom > 0 and -ASIDE <= centre <= 1 + ASIDE
    if not (inside and SHORTEST <= bottom - top <= TALLEST):
        raise GeometryError(
            f"framing {top:.3g}, {bottom:.3g}, {centre:.3g} has no person in the crop (shares of"
            " its height, height and width, not pixels?)"
        )
    return framing


def _tensor(value: Tensor | np.ndarray) -> Tensor:
    """A tensor on the CPU as it is, an array copied (it may be read-only)."""
    return value.cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))


def write_geometry(path: str, geometry: Geometry, folder_faces: Tensor | None = None) -> None:
    """Write ``path`` (.npz), all or nothing.

    Args:
        folder_faces: the folder's ``faces.npy``; equal faces are not written again.
    """
    arrays = {"vertices": geometry.vertices.numpy()}
    if folder_faces is None or not torch.equal(folder_faces, geometry.faces):
        arrays["faces"] = geometry.faces.int().numpy()
    for key in ("yaw", "confidence"):
        if getattr(geometry, key) is not None:
            arrays[key] = np.float32(getattr(geometry, key))
    if geometry.framing is not None:
        arrays["framing"] = geometry.framing.numpy()
    if geometry.doubtful:
        arrays["doubtful"] = np.True_
    with atomic(path) as file:
        np.savez(file, **arrays)


def read_geometry(path: str, folder_faces: Tensor | None = None) -> Geometry:
    """Read one ``.npz``.

    Args:
        folder_faces: the folder's ``faces.npy``, for a file without faces.

    Raises:
        GeometryError: it is missing, broken, or holds no usable mesh; the message names it.
    """
    try:
        arrays = read_npz(path, _ARRAYS)
        faces = arrays.get("faces", folder_faces)
        if faces is None:
            raise GeometryError(f"there are no faces in it and no {FACES} beside it")
        if "vertices" not in arrays:
            raise GeometryError("there are no vertices in it")
        extra = {key: float(arrays[key]) for key in ("yaw", "confidence") if key in arrays}
        if "framing" in arrays:
            extra["framing"] = np.array(arrays["framing"])  # a copy, for torch can not take others
        if "doubtful" in arrays:
            extra["doubtful"] = bool(arrays["doubtful"])
        return Geometry(arrays["vertices"], faces, **extra)
    except Exception as error:  # a damaged archive can raise nearly anything
        raise GeometryError(f"geometry {path} can not be used: {_reason(error)}.") from error


def usable(path: str, folder_faces: Tensor | None = None) -> bool:
    """Whether :func:`read_geometry` can read a file."""
    try:
        read_geometry(path, folder_faces)
    except GeometryError:
        return False
    return True


def _reason(error: Exception) -> str:
    return " ".join(str(error).rstrip(".").split()) or type(error).__name__


def write_faces(folder: str, faces: Tensor) -> None:
    """Write the faces that all meshes of ``folder`` share, unless it has some already."""
    path = os.path.join(folder, FACES)
    if not os.path.exists(path):
        with atomic(path) as file:
            np.save(file, faces.int().numpy())


def read_faces(folder: str) -> Tensor | None:
    """(F, 3) int64 faces that the meshes of ``folder`` share; None when there is no ``faces.npy``.

    Raises:
        GeometryError: the file is broken; the message names it.
    """
    path = os.path.join(folder, FACES)
    if not os.path.exists(path):
        return None
    try:
        # some body models keep unsigned integers, of which torch knows few
        with open(path, "rb") as file:
            faces = read_npy(file)
        if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
            raise ValueError(f"{faces.dtype} {faces.shape} is not (F, 3) integers")
    except Exception as error:  # as above
        raise GeometryError(f"{path} can not be used: {_reason(error)}.") from error
    return torch.from_numpy(faces.astype(np.int64))


def render_views(
    geometry: Geometry, turns: Sequence[float], size: tuple[int, int]
) -> list[Image.Image]:
    """Structure images of a mesh turned by each of ``turns``, mode "L", where its framing has it.

    Args:
        turns: degrees to add to the person's yaw; 0: as the camera sees it.
        size: (height, width) in pixels.
    """
    yaw = torch.tensor(turns, dtype=torch.float32)
    grey = render_structure(
        geometry.vertices[None], geometry.faces, yaw, size=size, framing=geometry.framing
    )
    return [Image.fromarray(view) for view in grey.mul(255).round().byte().numpy()]
