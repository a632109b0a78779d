"""Where the colours of a garment lie: patterns, seams and open fronts, by the point at rest.

A person's pixels are coloured one person at a time: what is theirs is a number then, and what they
do not wear costs nothing.
Shapes: `P` pixels of a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .figure import PARTS
from .identity import Identity, Lower, Upper


class Spot(NamedTuple):
    """What is known of P pixels of one person.

    Attributes:
        part: (P,) number in PARTS.
        rest: (3, P) the point at rest, own left, back, up, in metres.
        place: (2, P) along and round the part.
        shares: name of a group of bones -> (P,) share, of the body's pixels.
        heights: name -> height at rest, a tensor without dimensions.
    """

    part: Tensor
    rest: Tensor
    place: Tensor
    shares: dict[str, Tensor]
    heights: dict[str, Tensor]


def number(value: float) -> Tensor:
    """In the precision of the pixels, so that what is calculated from it alone has it, too."""
    return torch.tensor(float(value))


def rgb(colour: Sequence[float]) -> Tensor:
    """(3, 1)"""
    return torch.tensor(colour)[:, None]


def put(values: Tensor, where: Tensor, new: Tensor | float) -> Tensor:
    """(..., P) with ``new`` at the pixels ``where`` (P,)."""
    return torch.where(where, new, values)


def pattern(garment: Upper | Lower, weave: int, spot: Spot, limb: Tensor) -> Tensor:
    """(3, P) a garment's two colours by its pattern; ``limb``: pixels of arms or legs."""
    first, second = rgb(garment.colour), rgb(garment.second)
    share = _share(garment, weave % 1000, spot, limb)
    return first + share * (second - first)


def _share(garment: Upper | Lower, seed: int, spot: Spot, limb: Tensor) -> Tensor:
    """(P,) share of the second colour."""
    x, y, z = spot.rest
    h, kind = spot.heights, garment.pattern
    sleeve = limb & (spot.part == PARTS.index("body"))
    if kind == "sleeves":
        return sleeve.float()
    if kind == "halves":
        border = h["hip"] + (0.3 + 0.4 * (number(seed * 11 % 10) / 10)) * (h["shoulder"] - h["hip"])
        return (z > border).float()
    if kind == "print":
        chest = h["hip"] + 0.72 * (h["shoulder"] - h["hip"])
        wide = 0.07 + 0.05 * number(seed * 7 % 10) / 10
        high = 0.05 + 0.07 * number(seed * 3 % 10) / 10
        square = (x.abs() < wide) & ((z - chest).abs() < high) & ~limb
        return (square if seed % 3 == 0 else square & (y < 0)).float()
    if kind == "flecks":
        blot = torch.sin(61 * x + seed) + torch.sin(53 * z + 2 * seed)
        return 0.75 * (blot + torch.sin(47 * y + 41 * z) > 1.1).float()
    if kind == "plain":
        return torch.zeros_like(x)
    pitch = number(garment.pitch)
    # arms hang aside at rest: what goes round them is neither level nor upright
    down = torch.where(sleeve, -2.4 * (x.abs() - z), z) / pitch
    if kind == "stripes":
        return (down % 1 < 0.45).float()
    # round a leg a whole number of repeats, so that they meet
    girth = (0.5 / pitch).round() * spot.place[1]
    across = torch.where(limb & ~sleeve, girth, (x + 0.5 * y) / pitch)
    if kind == "pinstripes":
        return 0.6 * (3 * across % 1 < 0.3).float()
    return 0.5 * (down % 1 < 0.42).float() + 0.5 * (across % 1 < 0.42).float()  # a check


def seam(spot: Spot, is_part: dict[str, Tensor]) -> Tensor:
    """(P,) bool: a stripe along the outer seam of sports trousers."""
    turn = spot.place[1]
    out = torch.where(is_part["left leg"], turn, turn - 0.5)
    out = (out - out.round()).abs() < 0.045
    return out & (is_part["left leg"] | is_part["right leg"])


def front_of(person: Identity, spot: Spot, colour: Tensor, trunk: Tensor) -> Tensor:
    """An open front, a zip or a row of buttons, and what shows at the neck."""
    x, y, z = spot.rest
    h = spot.heights
    front = trunk & (y < 0.0)
    inner = rgb(person.upper.inner)
    if person.upper.opening > 0:
        half = number(person.upper.opening)
        up = ((z - h["waist"]) / (h["shoulder"] - h["waist"])).clamp(-1, 1)
        width = half * (1 - 0.45 * up.clamp(min=0)) * (1 + 0.3 * (-up).clamp(min=0))
        colour = put(colour, front & (x.abs() < width), inner)
        return put(colour, front & ((x.abs() - width).abs() < 0.008), 0.7 * colour)
    # a notch of the shirt below: jackets, cardigans, shirts with an open button
    if person.weave % 5 < 2:
        notch = (x.abs() < 0.9 * (z - h["shoulder"] + 0.04)) & (z > h["shoulder"] - 0.04)
        colour = put(colour, front & notch, inner)
    if person.weave % 3 == 0:
        colour = put(colour, front & (x.abs() < 0.008), 0.72 * colour)
    return colour
