"""How cloth creases: a height field of waves over the body at rest.

Sines are torch's, for two of them may round differently; what is between them is compiled.
Shapes: `P` pixels of a figure, `W` = WAVES.
"""

from __future__ import annotations

import numpy as np
import torch

from gcl.structure.compiled import jit

WAVES = 6
"""How many waves crease a person's cloth."""

_F = np.float32


def folds(rest: np.ndarray, crumple: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Waves of cloth.

    Args:
        rest: (3, P) float32 points at rest.
        crumple: (W, 4) numbers in [0, 1) that decide the waves; new in every picture, because cloth
            falls differently each time.

    Returns:
        (P,) height, about [-1, 1], and (3, P) its gradient in rest axes per metre, scaled by the
        waves' length.
    """
    crumple = torch.from_numpy(crumple).float()
    tilt = (crumple[:, 0] - 0.5) * 2.4
    aside = crumple[:, 1] * 6.2832
    length = 0.09 + 0.25 * crumple[:, 2] ** 2
    # most creases lie level, round a limb; the others anyhow
    direction = torch.stack((tilt.sin() * aside.cos(), tilt.sin() * aside.sin(), tilt.cos()))
    wave = (direction * (6.2832 / length)).numpy()
    phase = (crumple[:, 3] * 6.2832).numpy()
    bend, where = _bends(rest, phase)
    angle = torch.from_numpy(_angles(rest, torch.from_numpy(bend).sin().numpy(), wave, phase))
    where = torch.from_numpy(where).sin().numpy()
    return _heights(where, angle.sin().numpy(), angle.cos().numpy(), direction.numpy())


@jit
def _bends(rest, phase):
    """(3, P) angles by which waves are bent, and (2, P) angles by which they come and go."""
    count = rest.shape[1]
    bend, where = np.empty((3, count), np.float32), np.empty((2, count), np.float32)
    for axis in range(3):
        one, other = rest[2 - axis], rest[axis - 1]
        for p in range(count):
            bend[axis, p] = one[p] * _F(13) + other[p] * _F(7)
    x, y, z = rest[0], rest[1], rest[2]
    for p in range(count):
        where[0, p] = _F(9) * z[p] + _F(5) * x[p] + phase[0]
        where[1, p] = _F(7) * y[p] + phase[1]
    return bend, where


@jit
def _angles(rest, sine, wave, phase):
    """(W, P) angles of the waves at the bent points."""
    count = rest.shape[1]
    bent = rest + _F(0.035) * sine
    angle = np.empty((WAVES, count), np.float32)
    for w in range(WAVES):
        for p in range(count):
            along = wave[0, w] * bent[0, p] + wave[1, w] * bent[1, p] + wave[2, w] * bent[2, p]
            angle[w, p] = along + phase[w]
    return angle


@jit
def _heights(where, sine, cosine, direction):
    """Height and slope; here and there: where cloth is stretched there are none."""
    count = sine.shape[1]
    height, slope = np.empty(count, np.float32), np.empty((3, count), np.float32)
    for p in range(count):
        much = _F(0.95) + _F(0.8) * where[0, p] * where[1, p]
        s = sine[:, p]
        height[p] = much * _mean(s[0], s[1], s[2], s[3], s[4], s[5]) * _F(1.6)
        s = cosine[:, p]
        for axis in range(3):
            d = direction[axis]
            waves = _mean(
                s[0] * d[0], s[1] * d[1], s[2] * d[2], s[3] * d[3], s[4] * d[4], s[5] * d[5]
            )
            slope[axis, p] = much * waves * _F(1.6)
    return height, slope


@jit
def _mean(a, b, c, d, e, f):
    """In the order in which torch adds six numbers that lie side by side: drawn sets of earlier
    versions stay as they are, bit by bit."""
    return (a + e + f + b + c + d) / _F(WAVES)
