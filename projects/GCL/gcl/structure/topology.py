"""What follows from a mesh's face list alone, worked out once a list.

Shapes: `F` triangles, `V` vertices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from . import normals_loops
from .compiled import arrays, looped


@dataclass(frozen=True)
class Topology:
    """Attributes:
    closed: every edge belongs to two triangles that pass it in opposite directions, so that the
        mesh has an inside and its back faces can never be seen.
    incident: (3F,) int64 triangles, those of vertex 0 first.
    offsets: (V,) int64, where each vertex's triangles begin in `incident`.
    version: counter of in-place changes of the face list that this was made of.
    """

    closed: bool
    incident: Tensor
    offsets: Tensor
    version: int


_known: WeakIdKeyDictionary = WeakIdKeyDictionary()


def topology(faces: Tensor, num_vertices: int) -> Topology:
    """Topology of `faces` (F, 3), remembered as long as that very tensor lives.

    Raises:
        ValueError: not (F, 3) integers, or an index outside [0, V).
    """
    known = _known.get(faces)
    if (
        known is not None
        and known.version == _changes(faces)
        and len(known.offsets) == num_vertices
        and known.offsets.device == faces.device
    ):
        return known
    _check(faces, num_vertices)
    index = faces.long()
    edges = torch.cat((index[:, [0, 1]], index[:, [1, 2]], index[:, [2, 0]]))
    there = torch.unique(edges[:, 0] * num_vertices + edges[:, 1], return_counts=True)
    back = torch.unique(edges[:, 1] * num_vertices + edges[:, 0])
    corners = index.reshape(-1)
    count = torch.bincount(corners, minlength=num_vertices)
    made = Topology(
        closed=len(faces) > 0 and bool((there[1] == 1).all()) and torch.equal(there[0], back),
        incident=torch.argsort(corners, stable=True) // 3,
        offsets=count.cumsum(0) - count,
        version=_changes(faces),
    )
    _known[faces] = made
    return made


def face_normals(columns: list[Tensor], faces: Tensor) -> tuple[list[Tensor], Tensor]:
    """Normals as long as twice the triangle's area, and which way they point.

    Args:
        columns: x, y and z of the vertices, (V, B) each.
        faces: (F, 3) int64.

    Returns:
        x, y and z of (b - a) x (c - a), (F, B) each; (B,) sign of the enclosed volume, which says
        something of closed meshes only: 1 where the normals point out, -1 where they point in.
    """
    vertex = [faces[:, k].contiguous() for k in range(3)]
    a, u, v = [], [], []
    for column in columns:
        first, second, third = (column.index_select(0, index) for index in vertex)
        a.append(first)
        u.append(second.sub_(first))
        v.append(third.sub_(first))
    normal = [u[i] * v[j] - u[j] * v[i] for i, j in ((1, 2), (2, 0), (0, 1))]
    # six times the volume is the sum of a . n, from any origin: one near the body loses no digits
    volume = sum(
        (corner.sub_(corner[:1].clone()) * part).sum(0)
        for corner, part in zip(a, normal, strict=True)
    )
    return normal, volume.sign()


def outward(columns: list[Tensor], faces: Tensor) -> Tensor | None:
    """(B,) 1 where the normals of a closed mesh point out, -1 where in; None for an open mesh."""
    if not topology(faces, len(columns[0])).closed:
        return None
    if looped(*columns):
        _, volume = normals_loops.normals(*arrays(*columns, faces.long()))
        return torch.from_numpy(volume).sign().to(columns[0].dtype)
    return face_normals(columns, faces.long())[1]


def _changes(faces: Tensor) -> int:
    return 0 if faces.is_inference() else faces._version  # of those torch does not count


def _check(faces: Tensor, num_vertices: int) -> None:
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"faces must have shape (F, 3); the shape is {tuple(faces.shape)}.")
    if faces.dtype.is_floating_point or faces.dtype.is_complex or faces.dtype == torch.bool:
        raise ValueError(f"faces must be integers; the dtype is {faces.dtype}.")
    if len(faces) and (int(faces.min()) < 0 or int(faces.max()) >= num_vertices):
        raise ValueError(
            f"faces names vertices {int(faces.min())} to {int(faces.max())}, but there are"
            f" {num_vertices}: the face list belongs to another mesh."
        )
