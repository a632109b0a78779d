"""A figure that looks different from every side, in next to no triangles."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import trimesh
from PIL import Image

from gcl.structure.geometry import Geometry


def figure(shift: tuple[float, float, float] = (0.1, -0.2, 5.0)) -> Geometry:
    """A trunk, a head, the left arm (at +x when facing the camera) held out to the front and a
    right foot to the side: camera space, metres, 1.7 m tall, 5 m away."""
    parts = (
        ((0.0, 0.0, 0.0), (0.22, 0.6, 0.13)),
        ((0.0, -0.72, 0.0), (0.1, 0.13, 0.1)),
        ((0.3, -0.3, -0.25), (0.06, 0.06, 0.3)),
        ((-0.2, 0.75, 0.05), (0.25, 0.1, 0.1)),
    )
    vertices, faces = [], []
    for centre, radii in parts:
        ball = trimesh.creation.icosphere(2)
        faces.append(np.asarray(ball.faces) + sum(map(len, vertices)))
        vertices.append(np.asarray(ball.vertices) * radii + centre)
    return Geometry(np.concatenate(vertices) + shift, np.concatenate(faces))


PUBLISHED = (
    "render",
    "render_45",
    "render_90",
    "render_135",
    "render_180",
    "render_225",
    "render_270",
    "render_315",
)
"""Folders of the published layout."""


def write_pictures(folder: str, name: str, views: Sequence[Image.Image], kind: str = "PNG") -> None:
    """Eight views in the published layout: a folder a view below that of the split, whatever the
    suffix of ``name`` says."""
    for view, image in zip(PUBLISHED, views, strict=True):
        path = os.path.join(folder, view, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        image.save(path, kind)
