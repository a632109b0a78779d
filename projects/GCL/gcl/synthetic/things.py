"""Flat shapes that stand in a place: cars, bushes, trunks, poles, bins and passers-by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .noise import noise

_REACH = {
    "person": (0.7, 1.9),
    "car": (2.1, 1.6),
    "bush": (1.6, 1.8),
    "trunk": (2.0, np.inf),
    "pole": (0.1, 5.1),
    "bin": (0.4, 1.1),
    "bench": (1.0, 1.0),
}
"""No thing of size 1 reaches further to either side of its foot, or further up, in metres."""

_FIXTURES = ("car", "car", "bush", "bush", "trunk", "pole", "bin", "bench")
_DARK = ((0.10, 0.10, 0.11), (0.16, 0.19, 0.28), (0.30, 0.31, 0.33), (0.55, 0.54, 0.52))
_CLOTHES = (*_DARK, (0.80, 0.79, 0.77), (0.38, 0.20, 0.20), (0.42, 0.50, 0.62))
_CARS = ((0.12, 0.12, 0.13), (0.72, 0.73, 0.74), (0.45, 0.46, 0.48), (0.24, 0.28, 0.38),
         (0.33, 0.14, 0.14))  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """A shape that faces the camera, its foot at (x, z) metres on the ground.

    Attributes:
        kind: "person" or one of the fixtures.
        size: 1 is usual.
        colour, second: sRGB in [0, 1].
        phase: makes its texture and its stride its own.
    """

    kind: str
    x: float
    z: float
    size: float
    colour: tuple[float, float, float]
    second: tuple[float, float, float]
    phase: float


def draw_fixture(rng: np.random.Generator, x: float, z: float) -> Thing:
    """Something that stands at (x, z) every day."""
    kind = str(rng.choice(_FIXTURES))
    colour = {
        "car": _CARS[rng.integers(len(_CARS))],
        "bush": (0.24, 0.29, 0.17),
        "trunk": (0.29, 0.25, 0.21),
        "pole": (0.42, 0.43, 0.43),
        "bin": (0.26, 0.30, 0.27),
        "bench": (0.36, 0.29, 0.22),
    }[kind]
    colour = tuple(float(c) for c in np.clip(np.array(colour) * rng.uniform(0.8, 1.25), 0.04, 0.9))
    size = float(rng.uniform(0.85, 1.25))
    return Thing(kind, x, z, size, colour, (0.2, 0.22, 0.25), float(rng.uniform(0, 50)))


def draw_passer(rng: np.random.Generator, x: float, z: float) -> Thing:
    """Somebody who happens to be at (x, z)."""
    clothes = [_CLOTHES[i] for i in rng.integers(0, (len(_CLOTHES), len(_DARK)))]
    size = float(rng.uniform(0.92, 1.06))
    return Thing("person", x, z, size, clothes[0], clothes[1], float(rng.uniform(0, 50)))


def reach(thing: Thing) -> tuple[float, float]:
    """How far aside of its foot, and how far up, a thing can be seen at most, in metres."""
    aside, high = _REACH[thing.kind]
    return thing.size * aside, thing.size * high


def look(thing: Thing, x: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., 3) colours and (...) cover in [0, 1] at ``x`` beside and ``up`` above its foot."""
    return _LOOKS[thing.kind](thing, x / thing.size, up / thing.size)


def _paint(shape: tuple[int, ...], *layers) -> tuple[np.ndarray, np.ndarray]:
    """Layers of (cover, colour), the last on top."""
    colour, cover = np.zeros((*shape, 3)), np.zeros(shape)
    for mask, paint in layers:
        colour += mask[..., None] * (np.asarray(paint) - colour)
        cover = np.maximum(cover, mask)
    return colour, cover


def _inside(distance: np.ndarray, soft: float = 0.03) -> np.ndarray:
    """1 inside (distance < 0), 0 outside, soft at the rim."""
    return np.clip(0.5 - distance / soft, 0, 1)


def _box(x, y, left, right, low, high) -> np.ndarray:
    return np.maximum(np.maximum(left - x, x - right), np.maximum(low - y, y - high))


def _limb(x, y, x0, y0, x1, y1, thick) -> np.ndarray:
    """Distance to a segment less ``thick``."""
    dx, dy = x1 - x0, y1 - y0
    t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(x - x0 - t * dx, y - y0 - t * dy) - thick


def _person(thing: Thing, x, up):
    stride = 0.22 * np.sin(thing.phase)
    light = 0.85 + 0.3 * np.clip(up / 1.7, 0, 1) + 0.1 * noise(x, up, 0.05, 1.0)
    trunk = np.minimum(_limb(x, up, 0, 1.0, 0, 1.32, 0.155), _limb(x, up, 0, 0.9, 0, 1.0, 0.14))
    arms = np.minimum(
        _limb(x, up, -0.2, 1.38, -0.25 - 0.4 * stride, 0.88, 0.045),
        _limb(x, up, 0.2, 1.38, 0.25 - 0.4 * stride, 0.88, 0.045),
    )
    legs = np.minimum(
        _limb(x, up, -0.08, 0.85, -0.08 - stride, 0.07, 0.07),
        _limb(x, up, 0.08, 0.85, 0.08 + stride, 0.07, 0.07),
    )
    head = np.hypot(x, (up - 1.6) / 1.25) - 0.095
    shade = light[..., None]
    return _paint(
        x.shape,
        (_inside(legs), shade * thing.second),
        (_inside(_limb(x, up, -0.08 - stride, 0.04, 0.06 - stride, 0.04, 0.04)), 0.1 * shade),
        (_inside(_limb(x, up, 0.08 + stride, 0.04, 0.22 + stride, 0.04, 0.04)), 0.1 * shade),
        (_inside(np.minimum(trunk, arms)), shade * thing.colour),
        (_inside(_limb(x, up, 0, 1.45, 0, 1.55, 0.05)), shade * (0.7, 0.54, 0.44)),
        (_inside(head), shade * (0.7, 0.54, 0.44)),
        (_inside(np.maximum(head, 1.62 - up)), shade * (0.1, 0.08, 0.07)),
    )


def _car(thing: Thing, x, up):
    body = _box(x, up, -2.0, 2.0, 0.25, 0.85)
    cabin = np.maximum(_box(x, up, -1.5, 1.3, 0.8, 1.42), np.abs(x + 0.1) + 0.9 * up - 2.35)
    panes = np.maximum(np.maximum(cabin + 0.09, 0.9 - up), 0.05 - np.abs(x + 0.1))
    wheels = np.minimum(np.hypot(x + 1.25, up - 0.31), np.hypot(x - 1.25, up - 0.31))
    light = (0.7 + 0.45 * np.clip(up, 0, 1))[..., None]
    return _paint(
        x.shape,
        (_inside(_box(x, up, -1.9, 1.9, 0.0, 0.3)), np.full(3, 0.06)),
        (_inside(np.minimum(body, cabin)), light * thing.colour),
        (_inside(panes), np.array(thing.second) * (0.8 + 0.4 * noise(x, up, 0.1))[..., None]),
        (_inside(wheels - 0.31), np.full(3, 0.09)),
        (_inside(wheels - 0.17), np.full(3, 0.45)),
    )


def _bush(thing: Thing, x, up):
    rough = noise(x + thing.phase, up, 0.05, 0.9)
    rim = np.hypot(x / 0.9, (up - 0.5) / 0.7) - 1 + 0.12 * rough
    light = np.clip(0.9 + 0.3 * (up - 0.5) + 0.3 * rough, 0.3, 1.7)[..., None]
    return _paint(x.shape, (_inside(rim, 0.1), light * thing.colour))


def _trunk(thing: Thing, x, up):
    trunk = np.abs(x) - 0.14 - 0.05 * np.exp(-6 * np.clip(up, 0, None))
    light = (1 - 1.5 * x) * (1 + 0.15 * noise(3 * x + thing.phase, up / 2, 0.02, 0.5))
    crown = np.maximum(2.0 + 0.3 * noise(x + thing.phase, up, 0.06, 1.0) - up, np.abs(x) - 1.8)
    return _paint(
        x.shape,
        (_inside(np.maximum(trunk, -up)), light[..., None] * thing.colour),
        (
            _inside(crown, 0.15),
            np.clip(1 + 0.35 * noise(x, up + thing.phase, 0.05, 0.7), 0.3, 2)[..., None]
            * (0.22, 0.27, 0.15),
        ),
    )


def _pole(thing: Thing, x, up):
    shade = (1 - 5 * x)[..., None]
    return _paint(x.shape, (_inside(_box(x, up, -0.06, 0.06, 0, 5), 0.02), shade * thing.colour))


def _bin(thing: Thing, x, up):
    shade = (0.95 - 0.5 * x)[..., None]
    return _paint(
        x.shape,
        (_inside(_box(x, up, -0.25, 0.25, 0, 0.9)), shade * thing.colour),
        (_inside(_box(x, up, -0.28, 0.28, 0.78, 0.95)), 1.3 * shade * thing.colour),
    )


def _bench(thing: Thing, x, up):
    seat = np.minimum(_box(x, up, -0.9, 0.9, 0.38, 0.48), _box(x, up, -0.9, 0.9, 0.62, 0.82))
    posts = np.minimum(_box(x, up, -0.8, -0.7, 0, 0.8), _box(x, up, 0.7, 0.8, 0, 0.8))
    return _paint(x.shape, (_inside(posts), np.full(3, 0.2)), (_inside(seat), thing.colour))


_LOOKS = {
    "person": _person,
    "car": _car,
    "bush": _bush,
    "trunk": _trunk,
    "pole": _pole,
    "bin": _bin,
    "bench": _bench,
}
