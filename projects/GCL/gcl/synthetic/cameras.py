"""Where a camera hangs, what light it sees people in, and what it makes of a picture.

Shapes: H x W picture. Camera space: x right, y down, z forward, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gcl.structure.compiled import jit

from . import places
from .filters import blurred


@dataclass(frozen=True)
class Camera:
    """A camera that hangs in a place, and all that is its own.

    Attributes:
        place: what it looks at.
        height: in metres above the ground.
        near, far: distances in metres between which people walk.
        sun: (3,) direction to the sun in the place's axes (x right, y down, z away), length 1.
        sunlight: share of the light that comes from the sun; little under clouds.
        gain: (3,) of the colour channels, the white balance.
        exposure: factor on everything.
        contrast: exponent of the tone curve; above 1 dark parts get darker.
        saturation: of colours; 1 leaves them.
        veil: light that the lens adds everywhere.
        rows: of the sensor that a crop covers; a crop of more is enlarged from them.
        blur: deviation of the lens's blur, in rows of 128.
        sharpening: of edges, as cheap cameras do, with halos.
        noise: deviation of a pixel's noise.
        quality: of JPEG.
    """

    place: places.Place
    height: float
    near: float
    far: float
    sun: tuple[float, float, float]
    sunlight: float
    gain: tuple[float, float, float]
    exposure: float
    contrast: float
    saturation: float
    veil: float
    rows: float
    blur: float
    sharpening: float
    noise: float
    quality: int


def draw_camera(rng: np.random.Generator) -> Camera:
    """A camera: the same state of ``rng`` gives the same one."""
    near = float(rng.uniform(5.5, 10.0))
    far = near + float(rng.uniform(3.0, 7.0))
    around = rng.uniform(-np.pi, np.pi)
    rise = np.deg2rad(rng.uniform(30, 65))
    sun = np.array([np.cos(rise) * np.sin(around), -np.sin(rise), -np.cos(rise) * np.cos(around)])
    warm = rng.normal(0, 0.075)
    green = rng.normal(0, 0.02)
    return Camera(
        place=places.draw_place(rng, near, far),
        height=float(rng.uniform(1.9, 4.2)),
        near=near,
        far=far,
        sun=tuple(float(s) for s in sun),
        sunlight=float(rng.choice((rng.uniform(0.15, 0.3), rng.uniform(0.4, 0.6)), p=(0.65, 0.35))),
        gain=(float(1 + warm), float(1 + green), float(1 - warm)),
        exposure=float(rng.uniform(0.9, 1.55)),
        contrast=float(rng.uniform(1.0, 1.4)),
        saturation=float(rng.uniform(0.7, 1.15)),
        veil=float(rng.uniform(0.0, 0.04)),
        rows=float(rng.uniform(64, 128)),
        blur=float(rng.uniform(0.25, 0.7)),
        sharpening=float(rng.uniform(0.2, 1.4)),
        noise=float(rng.uniform(0.006, 0.022)),
        quality=int(rng.integers(45, 88)),
    )


def develop(picture: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """What ``camera`` makes of the light that falls into it.

    Args:
        picture: (H, W, 3) sRGB, about [0, 1].
        rng: of this picture's noise and exposure.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = picture.shape[:2]
    exposure = camera.exposure * rng.uniform(0.82, 1.2)  # clouds, automatic exposure
    picture = np.clip(picture * (exposure * np.array(camera.gain)), 0, None)
    picture = np.tanh(1.1 * picture**camera.contrast) / np.tanh(1.1)  # bright parts saturate softly
    grey = picture.mean(2, keepdims=True)
    picture = grey + camera.saturation * (picture - grey)
    picture = camera.veil + (1 - camera.veil) * picture

    rows = min(height, camera.rows * rng.uniform(0.9, 1.1))
    blur = np.hypot(camera.blur * height / 128, 0.4 * height / rows)
    picture = blurred(picture, blur)
    small = (max(8, round(rows)), max(4, round(rows * width / height)))
    picture = resized(picture, small)
    picture = picture + camera.noise * _grain(rng, picture.shape)
    picture = picture + camera.sharpening * (picture - blurred(picture, 1.0))
    picture = resized(picture, (height, width))
    return (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) float64 -> (H, W, 3), linear between the centres of pixels; equal bit by bit to
    ``scipy.ndimage.zoom(..., order=1, mode="nearest", grid_mode=True)`` in a fraction of its time,
    because rows and columns are found once each."""
    if picture.shape[:2] == size:
        return picture
    rows, columns = _neighbours(picture.shape[0], size[0]), _neighbours(picture.shape[1], size[1])
    return _resized(picture, *rows, *columns)


@jit
def _resized(picture, above, top, below, bottom, before, left, after, right):
    out = np.empty((len(top), len(left), 3))
    for row in range(len(top)):
        upper, lower = picture[above[row]] * top[row], picture[below[row]] * bottom[row]
        for column in range(len(left)):
            for c in range(3):
                out[row, column, c] = (
                    upper[before[column], c] * left[column]
                    + upper[after[column], c] * right[column]
                    + lower[before[column], c] * left[column]
                    + lower[after[column], c] * right[column]
                )
    return out


def _neighbours(old: int, new: int) -> tuple[np.ndarray, ...]:
    """Of ``new`` cells over ``old`` ones: cell before, its share, cell after, its share."""
    place = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(place)
    share = 1 - (place - first)
    before, after = (np.clip(first + i, 0, old - 1).astype(int) for i in (0, 1))
    return before, share, after, 1 - share


def _grain(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise that is mostly grey, as after a camera's own colour filter."""
    return 0.8 * rng.standard_normal((*shape[:2], 1)) + 0.5 * rng.standard_normal(shape)
