"""Smooth random textures that repeat, looked up by place."""

from __future__ import annotations

from functools import cache

import numpy as np

from gcl.structure.compiled import jit

from .filters import between

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
    """Noise of mean 0 and deviation 1 at places (x, y) of one shape.

    Args:
        grain: size of the finest detail, in the unit of x and y; the texture repeats after 256.
        power: 0 is white noise, 1 cloudy, 2 smooth.
    """
    return _looked_up(_tile(power), np.ravel(x), np.ravel(y), grain).reshape(np.shape(x))


@jit
def _looked_up(tile, x, y, grain):
    """(N,) float32 of a tile that repeats for ever, linear between its pixels, at (N,) places:
    what scipy.ndimage.map_coordinates gives with "grid-wrap", bit by bit."""
    out = np.empty(len(x), np.float32)
    for i in range(len(x)):
        row, column = _onto(y[i] / grain), _onto(x[i] / grain)
        top, left = np.floor(row), np.floor(column)
        r, c = int(top) % _SIZE, int(left) % _SIZE
        s, d = (r + 1) % _SIZE, (c + 1) % _SIZE
        out[i] = between(tile, (r, s), (c, d), row - top, column - left)
    return out


@jit
def _onto(place):
    """From 0 to the size of a tile, or a little off by rounding."""
    if place < 0:
        return place + _SIZE * (int((-1 - place) / _SIZE) + 1)
    if place > _SIZE - 1:
        return place - _SIZE * int(place / _SIZE)
    return place
