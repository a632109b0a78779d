"""Pictures of people: (identity, camera, moment, yaw) -> crop, its mask and its structure render.

All functions here are pure: the same arguments give the same pixels, and of two pictures that differ
in the yaw alone everything else is the same, down to the noise.
Shapes: `B` pictures, H x W crop, `W` vertices of a figure, `P` pixels of a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor

from gcl.structure.poses import Pose, sample_pose
from gcl.structure.render import Fragments, rasterize, shade, turn, vertex_normals

from . import cloth, places, things
from .cameras import Camera, develop
from .figure import Figure, Tailor
from .identity import Identity

SUPERSAMPLE = 2
AIM = 0.9
"""Metres above the ground of what a camera that looks at a person has in the middle."""


@dataclass(frozen=True)
class Moment:
    """What is of one picture alone.

    Attributes:
        yaw: degrees; 0 faces the camera, 90 the image's right.
        x, z: metres, where in the camera's place the person stands.
        zoom, left, down: how a detector's box is off: the person's size and place in it as shares
            of the crop.
        widen: by which the person is wider than true, because boxes of all shapes become crops of
            one shape.
        seed: of the pose, of creases, of passers-by and of noise.
    """

    yaw: float
    x: float
    z: float
    zoom: float
    widen: float
    left: float
    down: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """One picture to draw."""

    person: Identity
    camera: Camera
    moment: Moment

    @property
    def elevation(self) -> float:
        """Degrees by which the camera looks down at the person."""
        flat = np.hypot(self.moment.x, self.moment.z)
        return float(np.rad2deg(np.arctan2(self.camera.height - AIM, flat)))

    def turned(self, yaw: float) -> Scene:
        """The same with the person turned by ``yaw`` degrees."""
        return replace(self, moment=replace(self.moment, yaw=(self.moment.yaw + yaw) % 360))


@dataclass(frozen=True)
class Pictures:
    """Attributes:
    crops: (B, H, W, 3) uint8, before JPEG.
    masks: (B, H, W) share of each pixel that the person covers.
    """

    crops: np.ndarray
    masks: np.ndarray


def draw_moment(rng: np.random.Generator, camera: Camera, yaw: float) -> Moment:
    """Somewhere on the ways that ``camera`` sees, as a detector would cut it out."""
    z = float(rng.uniform(camera.near, camera.far))
    return Moment(
        yaw=float(yaw % 360),
        x=float(rng.uniform(-0.3, 0.3) * z),
        z=z,
        zoom=float(rng.uniform(0.93, 1.05)),
        widen=float(rng.uniform(1.0, 1.2)),
        left=float(np.clip(rng.normal(0, 0.03), -0.08, 0.08)),
        down=float(np.clip(rng.normal(0, 0.012), -0.03, 0.03)),
        seed=int(rng.integers(2**62)),
    )


def pose_of(moment: Moment) -> Pose:
    """The pose of one person, (1, ...)."""
    return sample_pose(1, torch.Generator().manual_seed(moment.seed))


def dress(tailor: Tailor, scenes: Sequence[Scene]) -> Figure:
    """People in the clothes and poses of ``scenes``, facing the camera."""
    poses = [pose_of(scene.moment) for scene in scenes]
    pose = Pose(*(torch.cat(field) for field in zip(*poses, strict=True)))
    return tailor.dress([scene.person for scene in scenes], pose)


@torch.no_grad()
def photographs(
    tailor: Tailor, scenes: Sequence[Scene], size: tuple[int, int], figure: Figure | None = None
) -> Pictures:
    """Crops as the cameras of ``scenes`` take them.

    Args:
        size: (H, W).
        figure: ``dress(tailor, scenes)``, when it is there already.
    """
    figure = figure or dress(tailor, scenes)
    large = (SUPERSAMPLE * size[0], SUPERSAMPLE * size[1])
    yaw = torch.tensor([scene.moment.yaw for scene in scenes])
    projection = _Projection(_turned(figure.vertices, yaw), scenes, size)
    fragments = rasterize(projection.pixels * SUPERSAMPLE, tailor.figure_faces, large)
    colour = _colours(tailor, scenes, figure, fragments, yaw)
    mask = fragments.picture(torch.ones_like(colour[:, :1]))
    person = fragments.picture(colour)
    person, mask = (_smaller(t).numpy() for t in (person, mask))
    crops = []
    for i, scene in enumerate(scenes):
        rng = np.random.default_rng((scene.moment.seed, 1))
        behind = _backdrop(scene, projection.rays(i, size), figure.body[i], float(yaw[i]), rng)
        picture = behind * (1 - mask[i]) + person[i]
        crops.append(develop(picture, scene.camera, rng))
    return Pictures(np.stack(crops), mask[..., 0])


@torch.no_grad()
def structures(
    tailor: Tailor,
    scenes: Sequence[Scene],
    turns: Sequence[float],
    size: tuple[int, int],
    figure: Figure | None = None,
) -> np.ndarray:
    """(B, T, H, W) uint8 renders of the bare bodies in their poses, turned by each of ``turns``, in
    the very place in which :func:`photographs` has the person at that yaw."""
    figure = figure or dress(tailor, scenes)
    many = [scene for scene in scenes for _ in turns]
    yaw = torch.tensor([scene.moment.yaw + t for scene in scenes for t in turns])
    repeat = torch.arange(len(scenes)).repeat_interleave(len(turns))
    count = figure.body.shape[1]
    both = _turned(torch.cat((figure.body, figure.vertices), 1)[repeat], yaw)
    projection = _Projection(both[:, count:], many, size)
    pixels = projection(both[:, :count])
    normals = _turned(vertex_normals(figure.body, tailor.faces)[repeat], yaw)
    fragments = rasterize(pixels, tailor.faces, size)
    grey = fragments.interpolate(shade(normals)[..., None], tailor.faces)
    pictures = (fragments.picture(grey[:, 0]) * 255).round().byte().numpy()
    return pictures.reshape(len(scenes), len(turns), *size)


def _turned(vertices: Tensor, yaw: Tensor) -> Tensor:
    """Turned about the vertical axis through the pelvis."""
    # `turn` goes about the mean of the vertices: take back what that moves
    still = torch.zeros_like(vertices[:, :1])
    pair = torch.cat((vertices, still), 1)
    turned = turn(pair, yaw)
    return turned[:, :-1] - turned[:, -1:] * torch.tensor([1.0, 0.0, 1.0])


class _Projection:
    """Perspective of one camera a picture, and the box that a detector puts round the person.

    Args:
        vertices: (B, W, 3) figures, turned.
        size: (H, W).
    """

    def __init__(self, vertices: Tensor, scenes: Sequence[Scene], size: tuple[int, int]) -> None:
        column = lambda a: torch.tensor(a, dtype=torch.float32)[:, None]  # noqa: E731
        stand = np.array([(s.moment.x, s.moment.z) for s in scenes])
        elevation = np.deg2rad([s.elevation for s in scenes])
        self.around = np.arctan2(stand[:, 0], stand[:, 1])
        self.distance = column(np.hypot(*stand.T) / np.cos(elevation))
        self.cos, self.sin = column(np.cos(elevation)), column(np.sin(elevation))
        plane = self._plane(vertices)
        low, high = plane[..., :2].amin(1), plane[..., :2].amax(1)
        room = torch.tensor([size[1], size[0]], dtype=torch.float32)
        moments = [s.moment for s in scenes]
        off = torch.tensor([(m.left, m.down) for m in moments], dtype=torch.float32)
        wide, tall = (0.95 * room / (high - low)).unbind(1)
        zoom = torch.minimum(wide, tall)
        widen = torch.minimum(zoom * torch.tensor([m.widen for m in moments]), wide)
        zoom = torch.stack((widen, zoom), 1) * torch.tensor([[m.zoom] for m in moments])
        self.zoom = zoom[:, None].float()
        self.shift = (room * (0.5 + off) - zoom * (low + high) / 2)[:, None]
        self.pixels = self._pixels(plane)

    def __call__(self, vertices: Tensor) -> Tensor:
        """(B, W, 3) -> (B, W, 3) column, row in pixels, and depth."""
        return self._pixels(self._plane(vertices))

    def rays(self, i: int, size: tuple[int, int]) -> np.ndarray:
        """(H, W, 3) directions in the place of camera ``i`` through the pixels' centres."""
        rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
        scale = (self.zoom[i, 0] * self.distance[i]).tolist()
        left, up = self.shift[i, 0].tolist()
        x, y = (columns - left) / scale[0], (rows - up) / scale[1]
        cos, sin = float(self.cos[i]), float(self.sin[i])
        down, away = cos * y + sin, cos - sin * y
        c, s = np.cos(self.around[i]), np.sin(self.around[i])
        return np.stack((c * x + s * away, down, c * away - s * x), -1)

    def _plane(self, vertices: Tensor) -> Tensor:
        """x and y in metres at the person's distance, and depth, linear on the picture."""
        x, y, z = vertices.unbind(-1)
        y = y + AIM
        y, z = self.cos * y - self.sin * z, self.sin * y + self.cos * z
        scale = self.distance / (z + self.distance)
        return torch.stack((x * scale, y * scale, self.distance * (1 - scale)), -1)

    def _pixels(self, plane: Tensor) -> Tensor:
        return torch.cat((plane[..., :2] * self.zoom + self.shift, plane[..., 2:]), -1)


def _colours(
    tailor: Tailor, scenes: Sequence[Scene], figure: Figure, fragments: Fragments, yaw: Tensor
) -> Tensor:
    """(P, 3) lit colours of the pixels of the figures."""
    faces = tailor.figure_faces
    normals = vertex_normals(figure.vertices, faces)
    values = fragments.interpolate(torch.cat((normals, figure.rest, figure.place), 2), faces)
    groups = fragments.interpolate(tailor.groups[None], faces)
    normal, rest, place = values.split((3, 3, 2), 1)
    people = [scene.person for scene in scenes]
    image = fragments.image
    spot = cloth.spot_of(image, tailor.part[fragments.face], rest, place, groups, figure.heights,
                         tailor.anatomy)  # fmt: skip
    colour, crease = cloth.albedo(people, spot)
    rngs = [np.random.default_rng((scene.moment.seed, 2)) for scene in scenes]
    crumple = torch.from_numpy(np.stack([rng.random((cloth.WAVES, 4)) for rng in rngs])).float()
    height, slope = cloth.folds(people, spot, crumple)
    # rest axes (left, back, up) are nearly those of the upright body in camera axes
    bump = torch.stack((slope[:, 0], -slope[:, 2], slope[:, 1]), 1)
    normal = torch.nn.functional.normalize(normal - 0.24 * crease[:, None] * bump, dim=1)
    light = _light(scenes, yaw, image, normal)
    light = light * (1 + 0.05 * crease * height)[:, None]
    light = light * _occlusion(fragments)[:, None]
    return colour * light


def _light(scenes: Sequence[Scene], yaw: Tensor, image: Tensor, normal: Tensor) -> Tensor:
    """(P, 3) of sky, ground and sun, for normals of the body that faces the camera."""
    sun = torch.tensor([_sun_before(scene) for scene in scenes], dtype=torch.float32)
    # turning the sun against the body is cheaper than turning normals
    sun = _turned(sun[:, None], -yaw)[:, 0]
    share = torch.tensor([scene.camera.sunlight for scene in scenes])[image]
    up = -normal[:, 1]
    sky = 0.62 + 0.38 * up
    direct = (normal * sun[image]).sum(1).clamp(min=0)
    white = torch.tensor([1.02, 1.0, 0.96])
    blue = torch.tensor([0.97, 1.0, 1.05])
    return (1.15 * (1 - share) * sky)[:, None] * blue + (1.55 * share * direct)[:, None] * white


def _sun_before(scene: Scene) -> list[float]:
    """Direction to the sun in the axes of a camera that looks level at the person."""
    around = np.arctan2(scene.moment.x, scene.moment.z)
    c, s = np.cos(around), np.sin(around)
    x, y, z = scene.camera.sun
    return [c * x - s * z, y, s * x + c * z]


def _occlusion(fragments: Fragments) -> Tensor:
    """(P,) share of the light that reaches a pixel: less where what is beside it lies nearer."""
    there = fragments.picture(torch.ones_like(fragments.depth))
    depth = fragments.picture(fragments.depth)
    both = torch.nn.functional.avg_pool2d(torch.stack((depth, there), 1), 2)
    for kernel in ((7, 1), (1, 7)):
        padding = (kernel[0] // 2, kernel[1] // 2)
        both = torch.nn.functional.avg_pool2d(both, kernel, 1, padding)
    # what is not the person does not count
    beside = (both[:, 0] / both[:, 1].clamp(min=1e-3)).repeat_interleave(2, 1)
    beside = beside.repeat_interleave(2, 2).flatten()[fragments.pixel]
    return 1 - 2.6 * (fragments.depth - beside).clamp(0, 0.15)


def _smaller(picture: Tensor) -> Tensor:
    """(B, H, W, C) averaged over SUPERSAMPLE pixels each way."""
    smaller = torch.nn.functional.avg_pool2d(picture.permute(0, 3, 1, 2), SUPERSAMPLE)
    return smaller.permute(0, 2, 3, 1)


def _backdrop(
    scene: Scene, rays: np.ndarray, body: Tensor, yaw: float, rng: np.random.Generator
) -> np.ndarray:
    """(H, W, 3) the place behind the person, with the person's shadow on the ground."""
    moment, camera = scene.moment, scene.camera
    passers = [
        things.draw_passer(rng, moment.x + rng.uniform(-3, 3), moment.z + rng.uniform(1.0, 8.0))
        for _ in range(rng.choice(3, p=(0.6, 0.28, 0.12)))
    ]
    passers.sort(key=lambda thing: -thing.z)
    eye = np.array([0.0, -camera.height, 0.0])
    picture, ground = places.view(camera.place, eye, rays, tuple(passers))
    return picture * (1 - _shadow(scene, ground, body, yaw))[..., None]


def _shadow(scene: Scene, ground: np.ndarray, body: Tensor, yaw: float) -> np.ndarray:
    """(H, W) how much of the light the person takes from the ground at ``ground`` (H, W, 2)."""
    moment, sun = scene.moment, scene.camera.sun
    around = np.arctan2(moment.x, moment.z)
    points = _turned(body[None, ::3], torch.tensor([yaw]))[0].numpy()
    c, s = np.cos(around), np.sin(around)
    foot = np.stack((c * points[:, 0] + s * points[:, 2], c * points[:, 2] - s * points[:, 0]), 1)
    up = -points[:, 1:2]
    here = ground - (moment.x, moment.z)
    # sharp under the feet, wide and weak under all the body
    contact = _spread(foot, here, np.exp(-up[:, 0] / 0.04), 0.05)
    under = _spread(foot, here, np.exp(-up[:, 0] / 0.4), 0.16)
    light = (1 - 0.5 * np.tanh(1.2 * contact)) * (1 - 0.35 * np.tanh(0.6 * under))
    share = scene.camera.sunlight
    if share > 0.35:
        reach = foot - up / -sun[1] * (sun[0], sun[2])
        light *= 1 - share * np.tanh(1.5 * _spread(reach, here, np.ones(len(up)), 0.045))
    return 1 - light


def _spread(points: np.ndarray, here: np.ndarray, weight: np.ndarray, width: float) -> np.ndarray:
    """(H, W) sum of Gaussians about ``points`` (N, 2) at the places ``here`` (H, W, 2), 1 where
    points of weight 1 lie about as dense as a body's that were pressed flat."""
    cells, cell = 112, 0.04
    index = np.clip((points / cell + cells / 2).astype(int), 0, cells - 1)
    grid = np.bincount(index[:, 1] * cells + index[:, 0], weight, cells * cells)
    grid = gaussian_filter(grid.reshape(cells, cells), width / cell)
    where = here / cell + (cells - 1) / 2
    return 2.5 * map_coordinates(grid, (where[..., 1], where[..., 0]), order=1, mode="constant")
