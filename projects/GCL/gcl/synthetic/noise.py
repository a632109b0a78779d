"""Smooth random textures that repeat, looked up by place."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import map_coordinates

_SIZE = 256


@cache
def _tile(power: float) -> np.ndarray:
    """(256, 256) noise of mean 0 and deviation 1 whose amplitude falls as frequency ** -power; its
    edges fit."""
    rng = np.random.default_rng(20210309)
    frequency = np.hypot(np.fft.fftfreq(_SIZE)[:, None], np.fft.rfftfreq(_SIZE)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((_SIZE, _SIZE))) / frequency**power
    spectrum[0, 0] = 0
    tile = np.fft.irfft2(spectrum, s=(_SIZE, _SIZE))
    return (tile / tile.std()).astype(np.float32)


def noise(x: np.ndarray, y: np.ndarray, grain: float, power: float = 1.0) -> np.ndarray:
    """Noise of mean 0 and deviation 1 at places (x, y), any shape.

    Args:
        grain: size of the finest detail, in the unit of x and y; the texture repeats after 256.
        power: 0 is white noise, 1 cloudy, 2 smooth.
    """
    return map_coordinates(
        _tile(power), (np.asarray(y) / grain, np.asarray(x) / grain), order=1, mode="grid-wrap"
    )
