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

from . import light, places, things
from .cameras import develop
from .cloth import albedo
from .creases import WAVES, folds
from .figure import Figure, Tailor
from .patterns import Spot
from .pixels import averaged, interpolated
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
    person, masks = painted[..., :3], painted[..., 3]
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
) -> np.ndarray:
    """(B, H, W, 4) lit colours of the figures and the share of each pixel that they cover, of
    fragments of SUPERSAMPLE times the size; 0 elsewhere."""
    batch, height, width = fragments.shape
    faces, suns = tailor.figure_faces, light.suns(scenes, yaw)
    known = (vertex_normals(figure.vertices, faces), figure.rest, figure.place)
    known = torch.cat((*known, tailor.groups.expand(batch, -1, -1)), 2).numpy()
    bright = light.occlusion(fragments)
    small, pictures = (height // SUPERSAMPLE, width // SUPERSAMPLE), []
    # one person at a time: their pixels stay in the processor's cache
    counts = torch.bincount(fragments.image, minlength=batch).tolist()
    pixels, face, weights, bright = (
        [part.numpy() for part in values.split(counts)]
        for values in (fragments.pixel, fragments.face, fragments.barycentric, bright)
    )
    for i, scene in enumerate(scenes):
        values = interpolated(known[i], faces.numpy(), face[i], weights[i])
        spot = Spot(
            tailor.part.numpy()[face[i]],
            values[3:6],
            values[6:8],
            dict(zip(tailor.anatomy.shares, values[8:], strict=True)),
            {name: height.numpy()[i] for name, height in figure.heights.items()},
        )
        colour = _lit(scene, spot, values[:3], suns[i].numpy(), bright[i])
        pictures.append(averaged(colour, pixels[i] - i * height * width, *small, SUPERSAMPLE))
    return np.stack(pictures)


def _lit(
    scene: Scene, spot: Spot, normal: np.ndarray, sun: np.ndarray, bright: np.ndarray
) -> np.ndarray:
    """(3, P) colours of one person's pixels in the light; ``normal`` (3, P)."""
    colour, crease = albedo(scene.person, spot)
    height, slope = folds(spot.rest, scene.rng(_CREASES).random((WAVES, 4)))
    bumpy = torch.from_numpy(light.bumpy(normal, crease, slope))
    normal = torch.nn.functional.normalize(bumpy, dim=1).numpy()
    return light.lit(colour, normal, crease, height, bright, sun, np.float32(scene.camera.sunlight))


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
