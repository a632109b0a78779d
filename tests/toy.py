"""A toy data set drawn in a second: people of shaded ellipsoids, in Market-1501's layout, with
structures.

The tests train on it: the synthetic pedestrians (gcl.synthetic) take longer to draw.

Coordinates: x to the image's right, y down, z away from the camera; lengths in body heights, origin
at the hips; yaw 0 faces the camera, 90 the image's right. A body's own axes are (left, down,
front). Shapes: H x W image, E ellipsoids.
"""

from __future__ import annotations

import colorsys
import os
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gcl.structure.store import FOLDERS

DATASET = "Market-1501-v15.09.15"

# Parts of a body, in the order in which Geometry.part numbers them from 1.
PARTS = ("head", "torso", "hips", "arm", "arm", "hand", "hand", "leg", "leg", "foot", "foot", "bag")

_LIGHT = np.array([-0.45, -0.55, -0.7]) / np.linalg.norm([-0.45, -0.55, -0.7])
_SKINS = ((0.95, 0.78, 0.66), (0.82, 0.62, 0.48), (0.55, 0.38, 0.28), (0.36, 0.25, 0.19))
_HAIRS = ((0.10, 0.08, 0.07), (0.35, 0.22, 0.12), (0.80, 0.65, 0.35), (0.55, 0.53, 0.52))


@dataclass(frozen=True)
class Person:
    """Looks of one identity: colours are RGB in [0, 1]."""

    shirt: np.ndarray
    second: np.ndarray
    pattern: str  # "plain", "stripes", "halves" or "badge"
    trousers: np.ndarray
    skin: np.ndarray
    hair: np.ndarray
    shoes: np.ndarray
    bag: np.ndarray
    bag_place: str  # "none", "back", "left" or "right"
    stature: float
    breadth: float


@dataclass(frozen=True)
class Geometry:
    """What a camera sees of a body: (H, W) part numbers (0 = nothing), (H, W) shade in [0, 1], and
    (H, W, 3) where on the body that is, in its own axes."""

    part: np.ndarray
    shade: np.ndarray
    point: np.ndarray


def write_toy_dataset(
    root: str | os.PathLike,
    *,
    people: int = 8,
    test_people: int = 4,
    cameras: int = 2,
    orientations: int = 8,
    size: tuple[int, int] = (64, 32),
    seed: int = 0,
) -> None:
    """Draw a data set that the toolbox reads as Market1501 under FASTREID_DATASETS = ``root``.

    Every person is seen once from each orientation in each camera. Identity is in the clothes, a
    camera has a colour cast and a background of its own. The structure renders, in ``root``/meshes,
    are the grey shading of the same ellipsoids without the bag; a mesh would not have it either.

    Args:
        root: folder to write into; made when it is not there.
        people, test_people: identities of the training set, and other ones of the test set.
        cameras: 1 to 6.
        orientations: 1 to 8 yaws, evenly spread in steps of 45 degrees.
        size: (H, W) of crops and renders.
        seed: of everything drawn: the same arguments give the same files.

    Raises:
        ValueError: a number is outside what Market-1501's file names or the renders can hold.
    """
    if not (1 <= cameras <= 6 and 1 <= orientations <= 8):
        raise ValueError(
            f"1 to 6 cameras and 1 to 8 orientations are possible, not {cameras} and {orientations}"
        )
    if not 2 <= people + test_people <= 1501:
        raise ValueError(f"2 to 1501 people are possible, not {people} + {test_people}")
    rng = np.random.default_rng(seed)
    looks = [_person(rng, i) for i in range(people + test_people)]
    scenes = [_Scene(rng, size) for _ in range(cameras)]
    seen_yaws = [45 * (8 * i // orientations) for i in range(orientations)]
    queries = seen_yaws[:: max(1, len(seen_yaws) // 2)][:2]

    for number, person in enumerate(looks, 1):
        train = number <= people
        for camera, scene in enumerate(scenes, 1):
            swing = rng.uniform(0.1, 0.45) * rng.choice((-1, 1))
            bodies = [render_body(person, 45 * k, swing, size) for k in range(8)]
            naked = [render_body(person, 45 * k, swing, size, bag=False) for k in range(8)]
            for frame, yaw in enumerate(seen_yaws, 1):
                name = f"{number:04d}_c{camera}s1_{frame:06d}_00.jpg"
                folder = "query" if yaw in queries else "bounding_box_test"
                folder = "bounding_box_train" if train else folder
                shift = rng.integers(-2, 3, 2) * size[0] // 64
                crop = scene.photograph(person, _shifted(bodies[yaw // 45], shift), rng)
                _save(crop, root, DATASET, folder, name)
                for k, view in enumerate(FOLDERS):
                    body = _shifted(naked[(yaw // 45 + k) % 8], shift)
                    render = np.where(body.part > 0, 0.15 + 0.85 * body.shade, 0)
                    _save(render, root, "meshes", "train" if train else "test", view, name)


def render_body(
    person: Person, yaw: float, swing: float, size: tuple[int, int], bag: bool = True
) -> Geometry:
    """Rays, parallel and along z, against the ellipsoids of a walking person.

    Args:
        yaw: in degrees.
        swing: angle of the legs in radians; the arms swing the other way.
        size: (H, W); a body of stature 1 fills nine tenths of H.
        bag: whether the person carries the bag.
    """
    a = np.deg2rad(yaw)
    # columns: where the body's left, down and front axes point
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [np.sin(a), 0, -np.cos(a)]])
    height, width = size
    scale = 0.9 * height
    y, x = np.mgrid[:height, :width]
    x, y = (x - (width - 1) / 2) / scale, (y - 0.5 * height) / scale

    depth = np.full(size, np.inf)
    part = np.zeros(size, np.uint8)
    shade, point = np.zeros(size), np.zeros((*size, 3))
    for number, ellipsoid in enumerate(_ellipsoids(person, swing), 1):
        if ellipsoid is None or (PARTS[number - 1] == "bag" and not bag):
            continue
        centre, radii, tilt = ellipsoid
        c, s = np.cos(tilt), np.sin(tilt)
        axes = turn @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        q = axes @ np.diag(1 / np.square(radii)) @ axes.T  # d' Q d = 1 on the surface
        ox, oy, oz = turn @ centre
        dx, dy = x - ox, y - oy
        half = q[0, 2] * dx + q[1, 2] * dy
        rest = q[0, 0] * dx**2 + 2 * q[0, 1] * dx * dy + q[1, 1] * dy**2 - 1
        under = half**2 - q[2, 2] * rest
        dz = (-half - np.sqrt(np.maximum(under, 0))) / q[2, 2]
        hit = (under > 0) & (oz + dz < depth)
        d = np.stack([dx[hit], dy[hit], dz[hit]], 1)
        normal = d @ q
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        depth[hit] = oz + dz[hit]
        part[hit] = number
        shade[hit] = 0.25 + 0.75 * np.maximum(normal @ _LIGHT, 0)
        point[hit] = d @ turn + centre
    return Geometry(part, shade, point)


def _ellipsoids(person: Person, swing: float) -> list[tuple | None]:
    """(centre, radii, tilt about the left axis) of each of PARTS, in the body's own axes."""
    w, h = person.breadth, person.stature
    parts = [
        ((0, -0.40 * h, 0.01), (0.065, 0.085, 0.075), 0),
        ((0, -0.175 * h, 0), (0.115 * w, 0.175 * h, 0.075 * w), 0),
        ((0, 0.01, 0), (0.095 * w, 0.09, 0.075 * w), 0),
    ]
    # of a joint height and place aside, of the limb length, thickness, offset and radii of its end
    limbs = (
        (-0.29 * h, 0.135 * w, 0.34 * h, 0.038, (0, 0, 0), (0.033, 0.045, 0.033), -0.8 * swing),
        (0.02, 0.055 * w, 0.42 * h, 0.055, (0, 0.01, 0.03), (0.04, 0.025, 0.07), swing),
    )
    for top, aside, length, thick, offset, radii, angle in limbs:
        uppers, ends = [], []
        for side, tilt in ((1, angle), (-1, -angle)):
            along = np.array([0, np.cos(tilt), np.sin(tilt)])
            joint = np.array([side * aside, top, 0])
            uppers.append((joint + along * length / 2, (thick * w, length / 2 + 0.02, thick), tilt))
            ends.append((joint + along * length + offset, radii, tilt))
        parts += [*uppers, *ends]
    places = {"none": None, "back": ((0, -0.2 * h, -0.1 * w), (0.09, 0.13, 0.075), 0)}
    for side, name in ((1, "left"), (-1, "right")):
        places[name] = ((side * 0.17 * w, 0.05, 0), (0.035, 0.085, 0.11), 0)
    return [*parts, places[person.bag_place]]


def _person(rng: np.random.Generator, index: int) -> Person:
    """Looks number ``index``; hues step by the golden ratio: neighbours differ most."""

    def colour(hue: float, low: float = 0.45) -> np.ndarray:
        return np.array(
            colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.35, 0.95), rng.uniform(low, 0.95))
        )

    hue = 0.618034 * index
    return Person(
        shirt=colour(hue),
        second=colour(hue + rng.uniform(0.3, 0.7)),
        pattern=str(rng.choice(("plain", "stripes", "halves", "badge"))),
        trousers=colour(hue + 0.382 * (index % 3 + 1), 0.2),
        skin=np.array(_SKINS[rng.integers(len(_SKINS))]),
        hair=np.array(_HAIRS[rng.integers(len(_HAIRS))]),
        shoes=np.full(3, rng.uniform(0.05, 0.9)),
        bag=colour(rng.uniform()),
        bag_place=str(rng.choice(("none", "back", "left", "right"))),
        stature=rng.uniform(0.92, 1.04),
        breadth=rng.uniform(0.9, 1.2),
    )


def _albedo(person: Person, body: Geometry) -> np.ndarray:
    """(H, W, 3) colour of what is seen, without light; undefined where nothing is."""
    left, down, front = np.moveaxis(body.point, 2, 0)
    colours = {
        "head": person.skin,
        "torso": person.shirt,
        "hips": person.trousers,
        "arm": person.shirt,
        "hand": person.skin,
        "leg": person.trousers,
        "foot": person.shoes,
        "bag": person.bag,
    }
    out = np.array([np.zeros(3), *(colours[name] for name in PARTS)])[body.part]
    top = -0.40 * person.stature
    out[(body.part == 1) & ((front < 0.02) | (down < top - 0.04))] = person.hair
    marked = {
        "plain": np.zeros_like(down, bool),
        "stripes": np.sin(down * 2 * np.pi / 0.09) > 0,
        "halves": left > 0,
        "badge": (front > 0.02) & (np.abs(left) < 0.06) & (np.abs(down + 0.2) < 0.07),
    }[person.pattern]
    out[(body.part == 2) & marked] = person.second
    return out


class _Scene:
    """One camera: gains of the colour channels, exposure, and a smooth background with its own
    texture."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.gains = rng.uniform(0.85, 1.1, 3)
        self.offset = rng.uniform(0.0, 0.08, 3)
        coarse = rng.uniform(0.38, 0.62, (int(rng.integers(3, 7)), 3, 3))
        self.background = np.stack(
            [
                np.asarray(
                    Image.fromarray(channel.astype(np.float32)).resize(
                        (2 * size[1], size[0]), Image.Resampling.BICUBIC
                    )
                )
                for channel in np.moveaxis(coarse, 2, 0)
            ],
            2,
        )
        y, x = np.mgrid[: size[0], : 2 * size[1]] / size[0]
        waves = np.sin(2 * np.pi * (rng.uniform(-8, 8) * x + rng.uniform(2, 8) * y))
        self.background = self.background + 0.03 * waves[..., None]

    def photograph(self, person: Person, body: Geometry, rng: np.random.Generator) -> np.ndarray:
        """(H, W, 3) in [0, 1], in front of a random piece of the background."""
        width = body.part.shape[1]
        start = int(rng.integers(width))
        lit = _albedo(person, body) * (0.35 + 0.75 * body.shade[..., None])
        picture = np.where(body.part[..., None] > 0, lit, self.background[:, start : start + width])
        picture = (picture * self.gains + self.offset) * rng.uniform(0.85, 1.1)
        return picture + rng.normal(0, 0.02, picture.shape)


def _shifted(body: Geometry, shift: np.ndarray) -> Geometry:
    """The body moved by whole pixels (down, right); nothing comes in at the border."""
    height, width = body.part.shape
    margin = int(np.abs(shift).max())
    top, left = margin - shift

    def moved(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, [(margin, margin)] * 2 + [(0, 0)] * (values.ndim - 2))
        return padded[top : top + height, left : left + width]

    return Geometry(moved(body.part), moved(body.shade), moved(body.point))


def _save(picture: np.ndarray, *path: str | os.PathLike) -> None:
    path = os.path.join(*path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pixels = (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=95)
