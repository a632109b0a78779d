"""Pictures of people: (identity, camera, moment) -> crop, mask and bare body.

All functions are pure: the same arguments give the same pixels, and of two pictures that differ in
the yaw alone everything else is the same, down to the noise.
Shapes: `B` pictures, H x W crop, `W` vertices of a figure, `P` pixels of figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gcl.structure.geometry import Geometry
from gcl.structure.render import Fragments, rasterize, vertex_normals

from . import cloth, light, places, things
from .cameras import develop
from .figure import Figure, Tailor
from .patterns import Spot
from .projection import Projection, about_pelvis
from .scene import Scene, poses

SUPERSAMPLE = 2
"""Pixels each way that are averaged into one of the person; what is behind is smooth enough."""

_CREASES, _PLACE = 2, 1  # purposes of chance


class Pictures(NamedTuple):
    """Attributes:
    crops: (B, H, W, 3) uint8, before JPEG.
    masks: (B, H, W) share of each pixel that the person covers.
    """

    crops: np.ndarray
    masks: np.ndarray


def dress(tailor: Tailor, scenes: Sequence[Scene]) -> Figure:
    """People in the clothes and poses of ``scenes``, facing the camera."""
    return tailor.dress([scene.person for scene in scenes], poses(scenes))


@torch.no_grad()
def photographs(
    tailor: Tailor,
    scenes: Sequence[Scene],
    size: tuple[int, int],
    figure: Figure | None = None,
    turns: Sequence[float] | None = None,
) -> Pictures:
    """Crops as the cameras of ``scenes`` take them.

    Args:
        size: (H, W).
        figure: ``dress(tailor, scenes)``, when it is there already.
        turns: (B,) degrees by which people turn in their boxes, which follow them
            (:meth:`Projection.following`); None: they stay. A scene that is turned itself
            (:meth:`Scene.turned`) has a box of its own instead.
    """
    figure = figure or dress(tailor, scenes)
    large = (SUPERSAMPLE * size[0], SUPERSAMPLE * size[1])
    yaw = torch.tensor([scene.moment.yaw for scene in scenes])
    projection = Projection(about_pelvis(figure.vertices, yaw), scenes, size)
    if turns is not None:
        before = about_pelvis(figure.body, yaw)
        scenes = [scene.turned(turn) for scene, turn in zip(scenes, turns, strict=True)]
        yaw = torch.tensor([scene.moment.yaw for scene in scenes])
        projection = projection.following(before, about_pelvis(figure.body, yaw))
    pixels = projection(about_pelvis(figure.vertices, yaw))
    fragments = rasterize(pixels * SUPERSAMPLE, tailor.figure_faces, large)
    painted = _painted(tailor, scenes, figure, fragments, yaw)
    small = torch.nn.functional.avg_pool2d(painted, SUPERSAMPLE).numpy()
    person, masks = small[:, :3].transpose(0, 2, 3, 1), small[:, 3]
    shade = about_pelvis(figure.body[:, ::3], yaw)
    crops = []
    for i, scene in enumerate(scenes):
        rng = scene.rng(_PLACE)
        free = masks[i] < 1
        behind = np.zeros((*size, 3))
        behind[free] = _backdrop(scene, projection.rays(i), shade[i], free, rng)
        light_in = behind * (1 - masks[i])[..., None] + person[i]
        crops.append(develop(light_in, scene.camera, rng))
    return Pictures(np.stack(crops), masks)


@torch.no_grad()
def bodies(
    tailor: Tailor, scenes: Sequence[Scene], size: tuple[int, int], figure: Figure | None = None
) -> list[Geometry]:
    """The bare bodies at their yaw, with the framing that :func:`photographs` gives them: what
    there is to find in each picture. Its structures are rendered from that as those of any crop
    (:func:`gcl.structure.geometry.render_views`)."""
    figure = figure or dress(tailor, scenes)
    yaw = [scene.moment.yaw for scene in scenes]
    vertices = about_pelvis(figure.body, torch.tensor(yaw))
    left, top, right, bottom = torch.from_numpy(boxes(scenes, size, figure)).unbind(1)
    framing = torch.stack((top / size[0], bottom / size[0], (left + right) / (2 * size[1])), 1)
    return [
        Geometry(body, tailor.faces, yaw=degrees, framing=place)
        for body, degrees, place in zip(vertices, yaw, framing, strict=True)
    ]


def boxes(scenes: Sequence[Scene], size: tuple[int, int], figure: Figure) -> np.ndarray:
    """(B, 4) float32 left, top, right and bottom of the bare bodies, in pixels of
    :func:`photographs` of that size; parts that are outside count."""
    yaw = torch.tensor([scene.moment.yaw for scene in scenes])
    projection = Projection(about_pelvis(figure.vertices, yaw), scenes, size)
    body = projection(about_pelvis(figure.body, yaw))[..., :2]
    return torch.cat((body.amin(1), body.amax(1)), 1).numpy()


def _painted(
    tailor: Tailor, scenes: Sequence[Scene], figure: Figure, fragments: Fragments, yaw: Tensor
) -> Tensor:
    """(B, 4, H, W) lit colours of the figures, and 1 where they are; 0 elsewhere."""
    batch, height, width = fragments.shape
    faces, suns = tailor.figure_faces, light.suns(scenes, yaw)
    known = (vertex_normals(figure.vertices, faces), figure.rest, figure.place)
    known = torch.cat((*known, tailor.groups.expand(batch, -1, -1)), 2)
    bright = light.occlusion(fragments)
    painted = torch.zeros(batch, 4, height * width)
    # one person at a time: their pixels stay in the processor's cache
    counts = torch.bincount(fragments.image, minlength=batch).tolist()
    pixels, face, weights, bright = (
        values.split(counts)
        for values in (fragments.pixel, fragments.face, fragments.barycentric, bright)
    )
    for i, scene in enumerate(scenes):
        values = _interpolated(known[i], faces[face[i]], weights[i])
        spot = Spot(
            tailor.part[face[i]],
            values[3:6],
            values[6:8],
            dict(zip(tailor.anatomy.shares, values[8:], strict=True)),
            {name: height[i] for name, height in figure.heights.items()},
        )
        colour = _lit(scene, spot, values[:3], suns[i], bright[i])
        painted[i, :3].index_copy_(1, pixels[i] - i * height * width, colour)
        painted[i, 3].index_fill_(0, pixels[i] - i * height * width, 1.0)
    return painted.view(batch, 4, height, width)


def _interpolated(values: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """(C, P) at the pixels of one picture, from (W, C) at the vertices: corners and weights (P, 3)
    are of the triangle that each pixel shows."""
    return sum(
        values.index_select(0, corner).T.contiguous() * weight
        for corner, weight in zip(corners.T, weights.T, strict=True)
    )


def _lit(scene: Scene, spot: Spot, normal: Tensor, sun: Tensor, bright: Tensor) -> Tensor:
    """(3, P) colours of one person's pixels in the light; ``normal`` (3, P)."""
    colour, crease = cloth.albedo(scene.person, spot)
    crumple = torch.from_numpy(scene.rng(_CREASES).random((cloth.WAVES, 4))).float()
    height, slope = cloth.folds(spot.rest, crumple)
    # rest axes (left, back, up) are nearly those of the upright body in camera axes
    bump = torch.stack((slope[0], -slope[2], slope[1]))
    normal = torch.nn.functional.normalize((normal - 0.24 * crease * bump).T.contiguous(), dim=1)
    shine = light.daylight(scene.camera.sunlight, sun, normal.T.contiguous())
    return colour * shine * ((1 + 0.05 * crease * height) * bright)


def _backdrop(
    scene: Scene, rays: np.ndarray, body: Tensor, free: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(N, 3) the place where the person does not hide it all, ``free`` (H, W), with the person's
    shadow on the ground."""
    moment, camera = scene.moment, scene.camera
    passers = [
        things.draw_passer(rng, moment.x + rng.uniform(-3, 3), moment.z + rng.uniform(1.0, 8.0))
        for _ in range(rng.choice(3, p=(0.6, 0.28, 0.12)))
    ]
    passers.sort(key=lambda thing: -thing.z)
    eye = np.array([0.0, -camera.height, 0.0])
    picture, ground = places.view(camera.place, eye, rays, tuple(passers), free)
    return picture * (1 - light.shadow(scene, ground, body))[:, None]
