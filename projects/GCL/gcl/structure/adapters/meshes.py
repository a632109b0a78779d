"""Mesh files."""

from __future__ import annotations

import numpy as np

from .payload import PayloadError

SUFFIXES = (".obj", ".ply")


def read_mesh(path: str) -> tuple[np.ndarray, np.ndarray]:
    """One person's mesh file.

    4D-Humans (``--save_mesh``), TokenHMR and SAM 3D Body's notebook write such files with x right,
    y UP, z BACK (towards the camera), metres, the camera in the origin: they are turned by half a
    turn about x. A mesh that lies wholly in front of a camera that looks along +z has our axes
    already.

    Licence: that of the tool which made the mesh; TokenHMR's and PromptHMR's forbid surveillance.

    Returns:
        (V, 3) vertices in metres, x right, y down, z forward, and (F, 3) faces.

    Raises:
        PayloadError: it can not be read or has no faces; the message names it.
    """
    import trimesh  # slow to import, and only here

    try:
        mesh = trimesh.load(
            path, force="mesh", process=False, maintain_order=True, skip_materials=True
        )
        vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int64)
    # whatever a parser meets in a broken file
    except Exception as error:
        raise PayloadError(f"{path} can not be read ({type(error).__name__}: {error}).") from error
    if not len(vertices) or not len(faces):
        raise PayloadError(f"{path} has {len(vertices)} vertices and {len(faces)} faces: no mesh.")
    if not (vertices[:, 2] > 0).all():
        vertices = vertices * np.array([1, -1, -1], np.float32)
    return vertices, faces
