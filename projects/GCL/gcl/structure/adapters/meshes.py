"""Mesh files."""

from __future__ import annotations

import io
import os

import numpy as np

from gcl.structure.geometry import MOST

from .payload import PayloadError, check_size

SUFFIXES = (".obj", ".ply", ".glb")
AXES = ("opencv", "opengl")
"""What files have: x right, y down, z forward, as we do, or x right, y up, z back, towards the
camera. Both in metres."""


def read_mesh(path: str) -> tuple[np.ndarray, np.ndarray]:
    """One person's mesh file.

    4D-Humans (``--save_mesh``), TokenHMR and SAM 3D Body's notebook write such files in "opengl"
    axes, with the camera in the origin. Nothing that a file names is read beside it: no textures,
    no other files.

    Licence: that of the tool which made the mesh; TokenHMR's and PromptHMR's forbid surveillance.

    Returns:
        (V, 3) vertices in the axes of the file, one of :data:`AXES`, and (F, 3) faces.

    Raises:
        PayloadError: it can not be read or has no faces; the message names it.
    """
    import trimesh  # slow to import, and only here

    try:
        check_size(path)
        with open(path, "rb") as file:
            content = io.BytesIO(file.read())  # without a path trimesh finds no other files
        mesh = trimesh.load(
            content,
            file_type=os.path.splitext(path)[1][1:].lower(),
            force="mesh",
            process=False,
            maintain_order=True,
            skip_materials=True,
        )
        if max(len(mesh.vertices), len(mesh.faces)) > MOST:
            raise ValueError("it has more vertices or faces than a person's mesh")
        if mesh.vertices.shape[1:] != (3,) or mesh.faces.shape[1:] != (3,):
            raise ValueError(f"vertices {mesh.vertices.shape} and faces {mesh.faces.shape}")
        vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int64)
    # whatever a parser meets in a broken file
    except Exception as error:
        reason = " ".join(str(error).split())
        raise PayloadError(f"{path} can not be read ({type(error).__name__}: {reason}).") from error
    if not len(vertices) or not len(faces):
        raise PayloadError(f"{path} has {len(vertices)} vertices and {len(faces)} faces: no mesh.")
    return vertices, faces


def guess_axes(vertices: np.ndarray) -> str:
    """Which of :data:`AXES` vertices (V, 3) have: "opencv" when all lie in front of a camera that
    looks along +z. Of a mesh about the origin nothing can be told, and "opengl" is what most tools
    write."""
    return "opencv" if (vertices[:, 2] > 0).all() else "opengl"


def to_camera(vertices: np.ndarray, axes: str) -> np.ndarray:
    """(V, 3) vertices that have ``axes`` in ours: x right, y down, z forward."""
    return vertices if axes == "opencv" else vertices * np.array([1, -1, -1], np.float32)
