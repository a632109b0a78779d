"""Where the two colours of a garment lie, by the point at rest.

A person's pixels are coloured one person at a time: what is theirs is a number then, and what they
do not wear costs nothing. Numbers are float32. Shapes: `P` pixels of a figure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from .figure import PARTS
from .identity import Lower, Upper


class Spot(NamedTuple):
    """What is known of P pixels of one person.

    Attributes:
        part: (P,) number in PARTS.
        rest: (3, P) the point at rest, own left, back, up, in metres.
        place: (2, P) along and round the part.
        shares: name of a group of bones -> (P,) share, of the body's pixels.
        heights: name -> height at rest.
    """

    part: np.ndarray
    rest: np.ndarray
    place: np.ndarray
    shares: dict[str, np.ndarray]
    heights: dict[str, np.float32]


def second_share(garment: Upper | Lower, weave: int, spot: Spot, limb: np.ndarray) -> np.ndarray:
    """(P,) share of a garment's second colour; ``limb``: pixels of arms or legs."""
    seed = weave % 1000
    x, y, z = spot.rest
    h, kind = spot.heights, garment.pattern
    sleeve = limb & (spot.part == PARTS.index("body"))
    if kind == "sleeves":
        return _number(sleeve)
    if kind == "halves":
        share = 0.3 + 0.4 * (np.float32(seed * 11 % 10) / 10)
        return _number(z > h["hip"] + share * (h["shoulder"] - h["hip"]))
    if kind == "print":
        chest = h["hip"] + 0.72 * (h["shoulder"] - h["hip"])
        wide = 0.07 + 0.05 * np.float32(seed * 7 % 10) / 10
        high = 0.05 + 0.07 * np.float32(seed * 3 % 10) / 10
        square = (np.abs(x) < wide) & (np.abs(z - chest) < high) & ~limb
        return _number(square if seed % 3 == 0 else square & (y < 0))
    if kind == "flecks":
        blot = _sin(61 * x + seed) + _sin(53 * z + 2 * seed)
        return 0.75 * _number(blot + _sin(47 * y + 41 * z) > 1.1)
    if kind == "plain":
        return np.zeros_like(x)
    pitch = np.float32(garment.pitch)
    # arms hang aside at rest: what goes round them is neither level nor upright
    down = np.where(sleeve, -2.4 * (np.abs(x) - z), z) / pitch
    if kind == "stripes":
        return _number(down % 1 < 0.45)
    # round a leg a whole number of repeats, so that they meet
    girth = np.round(0.5 / pitch) * spot.place[1]
    across = np.where(limb & ~sleeve, girth, (x + 0.5 * y) / pitch)
    if kind == "pinstripes":
        return 0.6 * _number(3 * across % 1 < 0.3)
    return 0.5 * _number(down % 1 < 0.42) + 0.5 * _number(across % 1 < 0.42)  # a check


def _number(where: np.ndarray) -> np.ndarray:
    return where.astype(np.float32)


def _sin(angle: np.ndarray) -> np.ndarray:
    """By torch, whose rounding drawn sets of earlier versions have."""
    return torch.from_numpy(angle).sin().numpy()
