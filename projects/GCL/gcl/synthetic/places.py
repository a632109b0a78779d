"""What stands behind people: ground in strips, walls, things and passers-by, seen along rays.

A place has axes of its own in metres: x to the right and z away as its camera looks, y down, the
ground at y = 0. A :class:`Place` is drawn once for a camera; where on its ground a person stands
decides which part of it is behind the person. Colours are sRGB in [0, 1].
Shapes: H x W pixels of a crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gcl.structure.compiled import jit

from . import things
from .noise import noise

GROUNDS = ("asphalt", "slabs", "bricks", "concrete", "grass", "earth")
WALLS = ("plaster", "brick", "hedge", "glass", "fence")

_GROUND_COLOURS = {
    "asphalt": (0.40, 0.40, 0.41),
    "slabs": (0.58, 0.57, 0.55),
    "bricks": (0.50, 0.42, 0.39),
    "concrete": (0.60, 0.60, 0.58),
    "grass": (0.36, 0.42, 0.25),
    "earth": (0.45, 0.38, 0.31),
}
_WALL_COLOURS = {
    "plaster": (0.68, 0.65, 0.60),
    "brick": (0.50, 0.38, 0.33),
    "hedge": (0.22, 0.28, 0.17),
    "glass": (0.30, 0.34, 0.37),
    "fence": (0.30, 0.31, 0.31),
}


@dataclass(frozen=True)
class Strip:
    """Ground from ``start`` on, across the place's direction of strips; ``pitch`` of its slabs."""

    start: float
    kind: str
    colour: tuple[float, float, float]
    pitch: float
    line: bool  # whether a kerb or painted line begins it


@dataclass(frozen=True)
class Wall:
    """Upright at distance ``z``, from ``left`` to ``right``."""

    z: float
    left: float
    right: float
    height: float
    kind: str
    colour: tuple[float, float, float]
    pitch: float


@dataclass(frozen=True)
class Place:
    """Ground, walls and things that stand there every day.

    Attributes:
        turn: direction across the strips, in radians from z towards x.
        strips: by growing ``start``.
        walls, fixtures: from far to near.
        haze: colour behind everything.
        phase: (x, z) that makes the texture of this place its own.
    """

    turn: float
    strips: tuple[Strip, ...]
    walls: tuple[Wall, ...]
    fixtures: tuple[things.Thing, ...]
    haze: tuple[float, float, float]
    phase: tuple[float, float]


def draw_place(rng: np.random.Generator, near: float, far: float) -> Place:
    """A place whose people walk between ``near`` and ``far`` metres from the camera."""
    kinds = rng.permutation(GROUNDS)
    starts = np.sort(rng.uniform(near, far + 8, rng.integers(1, 4)))
    strips = [_strip(rng, -1e9, kinds[0])]
    strips += [_strip(rng, start, kinds[i % 6]) for i, start in enumerate(starts, 1)]
    walls, z = [], far + rng.uniform(1.0, 7.0)
    for _ in range(rng.integers(1, 4)):
        kind = str(rng.choice(WALLS))
        left = rng.uniform(-14, 4)
        walls.append(
            Wall(
                z=z,
                left=left if walls else -60,
                right=left + rng.uniform(5, 14) if walls else 60,
                height={"hedge": rng.uniform(0.8, 2.2), "fence": rng.uniform(1.0, 2.0)}.get(
                    kind, rng.uniform(4, 12)
                ),
                kind=kind,
                colour=_varied(rng, _WALL_COLOURS[kind]),
                pitch=float(rng.uniform(0.8, 1.3)),
            )
        )
        z = z - rng.uniform(0.3, 2.0)
    wide = 0.45 * far + 3
    fixtures = [
        things.draw_fixture(rng, float(rng.uniform(-wide, wide)), float(rng.uniform(far, far + 5)))
        for _ in range(rng.integers(4, 10))
    ]
    return Place(
        turn=float(rng.uniform(-1.2, 1.2)),
        strips=tuple(strips),
        walls=tuple(sorted(walls, key=lambda wall: -wall.z)),
        fixtures=tuple(sorted(fixtures, key=lambda thing: -thing.z)),
        haze=_varied(rng, (0.66, 0.69, 0.70)),
        phase=(float(rng.uniform(0, 100)), float(rng.uniform(0, 100))),
    )


def view(
    place: Place,
    eye: np.ndarray,
    rays: np.ndarray,
    passers: tuple[things.Thing, ...] = (),
    free: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What is seen along ``rays`` from ``eye``.

    Args:
        eye: (3,) above the ground, so y < 0.
        rays: (H, W, 3) directions with z > 0.
        passers: people who happen to be there.
        free: (H, W) bool, the pixels to look at; None: all. What is elsewhere costs no time.

    Returns:
        (N, 3) colours of the N free pixels, row by row, and (N, 2) where each hits the ground,
        (x, z); far away where it does not.
    """
    free = np.arange(rays[..., 0].size) if free is None else np.flatnonzero(free)
    across, down, away, reach, z, blur = _meet_ground(rays, eye, free)
    x = eye[0] + reach * across

    def hit(distance: float, *bounds: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _hit(eye, across, down, away, distance, *map(float, bounds))

    picture = np.zeros((len(x), 3))
    hidden = np.zeros(len(x), bool)
    for wall in place.walls[::-1]:
        here, wx, up = hit(wall.z, 0.0, wall.left, wall.right, wall.height)
        seen = ~hidden[here]  # a nearer wall covers what is behind it
        if seen.any():
            here = here[seen]
            picture[here] = _wall(place, wall, wx[seen], up[seen])
            hidden[here] = True
    open_ground = np.flatnonzero(~hidden)
    if len(open_ground):
        ground = _ground(place, x[open_ground], z[open_ground], blur[open_ground])
        far = np.clip((reach[open_ground] - 60) / 120, 0, 1)[:, None]
        picture[open_ground] = ground + far * (np.array(place.haze) - ground)

    for thing in (*place.fixtures, *passers):
        aside, high = things.reach(thing)
        near, wx, up = hit(thing.z, thing.x, -aside, aside, high)
        if len(near):
            colour, cover = things.look(thing, wx, up)
            behind = picture[near]
            picture[near] = behind + cover[:, None] * (colour - behind)
    return picture, np.stack([x, z], -1)


@jit
def _meet_ground(rays, eye, free):
    """(6, N) of the pixels ``free`` (N,) along their rays: x, y and z, how far down these meet the
    ground, and there z, and how many metres along z a pixel covers."""
    height, width = rays.shape[:2]
    out, z = np.empty((6, len(free))), np.empty((height, width))
    reach = np.empty((height, width))
    for row in range(height):
        for column in range(width):
            down = rays[row, column, 1]
            reach[row, column] = -eye[1] / down if down > 1e-3 else 1e4
            z[row, column] = eye[2] + reach[row, column] * rays[row, column, 2]
    for i, pixel in enumerate(free):
        row, column = pixel // width, pixel % width
        below, above = min(row + 1, height - 1), max(row - 1, 0)
        wide = abs(z[below, column] - z[above, column]) / (below - above)
        for k in range(3):
            out[k, i] = rays[row, column, k]
        out[3, i], out[4, i], out[5, i] = reach[row, column], z[row, column], min(wide, 50)
    return out


@jit
def _hit(eye, across, down, away, distance, x, left, right, top):
    """Which rays (N,) pass an upright plane within bounds, there x from a foot at ``x``, and height
    above the ground."""
    where, beside, up = np.empty(len(away), np.int64), np.empty(len(away)), np.empty(len(away))
    count = 0
    for i in range(len(away)):
        hit = (distance - eye[2]) / away[i]
        high = -(eye[1] + hit * down[i])
        if 0 < high < top:
            aside = eye[0] + hit * across[i] - x
            if left < aside < right:
                where[count], beside[count], up[count] = i, aside, high
                count += 1
    return where[:count], beside[:count], up[:count]


def _ground(place: Place, x: np.ndarray, z: np.ndarray, blur: np.ndarray) -> np.ndarray:
    across = z * np.cos(place.turn) + x * np.sin(place.turn)
    along = x * np.cos(place.turn) - z * np.sin(place.turn)
    across = across + 0.04 * noise(along, across, 0.2)
    picture = np.empty((*x.shape, 3))
    u, v = along + place.phase[0], across + place.phase[1]
    clouds = noise(u, v, 0.15, 1.2)
    for i, strip in enumerate(place.strips):
        end = place.strips[i + 1].start if i + 1 < len(place.strips) else 1e9
        here = (across >= strip.start) & (across < end)
        if here.any():
            picture[here] = _surface(strip, u[here], v[here], clouds[here], blur[here])
    for strip in place.strips:
        if strip.line:
            edge = np.clip(1.5 - np.abs(across - strip.start) / (0.06 + 0.5 * blur), 0, 1)
            picture += (edge * np.minimum(1, 0.12 / (0.12 + blur)))[..., None] * (0.72 - picture)
    return picture


def _surface(strip: Strip, u, v, clouds, blur) -> np.ndarray:
    """(M, 3) colours of one material at M places (u, v) in metres, a pixel being ``blur`` wide."""
    colour = np.array(strip.colour)
    sharp = 0.05 / (0.05 + blur)
    grain = noise(u, v, 0.012, 0.3) * sharp
    light = 1 + 0.06 * clouds
    if strip.kind in ("asphalt", "concrete"):
        light += 0.05 * grain
    elif strip.kind in ("slabs", "bricks"):
        p = strip.pitch * (0.25 if strip.kind == "bricks" else 1)
        row = np.floor(v / p)
        shifted = u / (2 * p) + 0.5 * (row % 2) if strip.kind == "bricks" else u / p
        tone = np.sin(127.1 * row + 311.7 * np.floor(shifted)) * 43758.5453
        beside = np.maximum(np.abs(v / p - row - 0.5), np.abs(shifted % 1 - 0.5))
        joint = np.clip(1 - (0.5 - beside) * p / 0.02, 0, 1)
        seen = p / (p + 2 * blur)
        light += seen * (0.10 * (tone - np.floor(tone) - 0.5) - 0.28 * joint * sharp**0.5)
        light += 0.03 * grain
    else:
        light += 0.16 * grain + 0.14 * noise(u, v, 0.05, 0.8)
        spots = np.clip(noise(v, u, 0.05, 0.4) - 1.2, 0, 1)[:, None]
        leaf = np.array((0.55, 0.46, 0.30) if strip.kind == "grass" else (0.62, 0.50, 0.36))
        colour = colour + spots * 0.7 * (leaf - colour)
        return colour * light[:, None]
    return np.clip(colour * light[:, None], 0, 1)


def _wall(place: Place, wall: Wall, x: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(M, 3) colours of a wall at M places, ``up`` metres above the ground."""
    u, v = x + place.phase[0], up + place.phase[1]
    colour = np.array(wall.colour)
    light = (0.82 + 0.18 * np.clip(up / 2, 0, 1)) * (1 + 0.05 * noise(u, v, 0.1, 1.2))
    if wall.kind == "hedge":
        light += 0.3 * noise(u, v, 0.04, 0.6)
        return np.clip(colour * np.clip(light, 0.3, 1.8)[:, None], 0, 1)
    if wall.kind == "fence":
        bars = ((u / (0.16 * wall.pitch)) % 1 < 0.3) | (np.abs(up % wall.height - 0.12) < 0.04)
        behind = np.array((0.42, 0.43, 0.40)) * (1 + 0.15 * noise(u, v, 0.1, 1.0))[:, None]
        return np.where(bars[:, None], colour * light[:, None], behind)
    if wall.kind == "brick":
        row = np.floor(v / 0.075)
        light += 0.08 * np.sin(91.7 * row + 57.3 * np.floor(u / 0.25 + 0.5 * (row % 2)))
        light -= 0.12 * (v / 0.075 - row < 0.15)
    if wall.kind == "glass":
        frame = ((u / (1.4 * wall.pitch)) % 1 < 0.05) | ((up / (2.6 * wall.pitch)) % 1 < 0.04)
        mirrored = colour * (1 + 0.35 * noise(u, v, 0.12, 1.3))[:, None]
        return np.clip(np.where(frame[:, None], 0.55, mirrored), 0, 1)
    # windows of plaster and brick houses, from a metre up
    across, level = (u / (2.2 * wall.pitch)) % 1, (up - 1.0) / 2.7
    window = (np.abs(across - 0.5) < 0.24) & (level > 0) & (level % 1 < 0.5)
    pane = np.array((0.24, 0.27, 0.30)) * (1 + 0.25 * noise(u, v, 0.1, 1.2))[:, None]
    rim = window & ((np.abs(across - 0.5) > 0.215) | (level % 1 > 0.47) | (level % 1 < 0.03))
    out = np.where(window[:, None], pane, colour * light[:, None])
    out[rim] = 0.74
    base = up < 0.35
    out[base] *= 0.72
    return np.clip(out, 0, 1)


def _strip(rng: np.random.Generator, start: float, kind: str) -> Strip:
    return Strip(
        float(start),
        str(kind),
        _varied(rng, _GROUND_COLOURS[kind]),
        float(rng.uniform(0.3, 0.7)),
        bool(rng.random() < 0.5),
    )


def _varied(rng: np.random.Generator, colour: tuple) -> tuple[float, float, float]:
    colour = np.asarray(colour) * rng.uniform(0.8, 1.2) + rng.normal(0, 0.02, 3)
    return tuple(float(c) for c in np.clip(colour, 0.05, 0.9))
