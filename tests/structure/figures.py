"""A figure that looks different from every side, in next to no triangles."""

from __future__ import annotations

import numpy as np
import trimesh

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
