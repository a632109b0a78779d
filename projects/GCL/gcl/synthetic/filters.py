"""Filters of pictures and look-ups in them, equal bit by bit to those of scipy.ndimage in a part of
the time that its generality takes.

Shapes: H x W picture, `N` places in it.
"""

from __future__ import annotations

import numpy as np

from gcl.structure.compiled import jit

DEVIATIONS = 4
"""How far a Gaussian reaches."""


def gaussian(deviation: float) -> np.ndarray:
    """(2 r + 1,) weights of the pixels about one, r being `DEVIATIONS` deviations."""
    radius = int(DEVIATIONS * deviation + 0.5)
    weights = np.exp(-0.5 / (deviation * deviation) * np.arange(-radius, radius + 1) ** 2)
    return weights / weights.sum()


def blurred(picture: np.ndarray, deviation: float, mirror: bool = False) -> np.ndarray:
    """(H, W, C) float64 after a Gaussian filter. Beyond the border a picture goes on as its last
    pixels do, or is mirrored."""
    return _blurred(picture, gaussian(deviation), mirror)


@jit
def _blurred(picture, weights, mirror):
    height, width, channels = picture.shape
    radius = len(weights) // 2
    flat = picture.reshape(height, width * channels)
    out = np.empty_like(flat)
    # a row between two borders; columns are filtered into it, and it is filtered then
    line = np.empty((width + 2 * radius) * channels)
    start, end = radius * channels, (width + radius) * channels
    for row in range(height):
        middle = line[start:end]
        _scale(middle, flat[row], weights[radius])
        for step in range(radius, 0, -1):
            above = flat[_inside(row - step, height, mirror)]
            below = flat[_inside(row + step, height, mirror)]
            _add(middle, above, below, weights[radius - step])
        for step in range(1, radius + 1):
            left, right = _inside(-step, width, mirror), _inside(width - 1 + step, width, mirror)
            for c in range(channels):
                line[start - step * channels + c] = middle[left * channels + c]
                line[end + (step - 1) * channels + c] = middle[right * channels + c]
        _scale(out[row], middle, weights[radius])
        for step in range(radius, 0, -1):
            left, right = line[start - step * channels :], line[start + step * channels :]
            _add(out[row], left, right, weights[radius - step])
    return out.reshape(picture.shape)


@jit
def _scale(out, values, weight):
    for i in range(len(out)):
        out[i] = values[i] * weight


@jit
def _add(out, one, other, weight):
    for i in range(len(out)):
        out[i] += (one[i] + other[i]) * weight


@jit
def _inside(i, size, mirror):
    """The pixel that stands for one beyond the border."""
    if not mirror:
        return min(max(i, 0), size - 1)
    i %= 2 * size
    return min(i, 2 * size - 1 - i)


@jit
def looked_up(picture, x, y):
    """(N,) of an (H, W) picture, linear between its pixels, at (N,) places; 0 beyond the border."""
    height, width = picture.shape
    out = np.zeros(len(x))
    for i in range(len(x)):
        if not (0 <= y[i] <= height - 1 and 0 <= x[i] <= width - 1):
            continue
        r, c = int(np.floor(y[i])), int(np.floor(x[i]))
        s, d = min(r + 1, height - 1), min(c + 1, width - 1)
        out[i] = between(picture, (r, s), (c, d), y[i] - r, x[i] - c)
    return out


@jit
def between(picture, rows, columns, down, right):
    """Linear between four pixels of an (H, W) picture, ``down`` and ``right`` in [0, 1] from the
    first of two rows and of two columns."""
    upper, before = 1 - down, 1 - right
    lower, after = 1 - upper, 1 - before
    (r, s), (c, d) = rows, columns
    return (
        picture[r, c] * upper * before
        + picture[r, d] * upper * after
        + picture[s, c] * lower * before
        + picture[s, d] * lower * after
    )
