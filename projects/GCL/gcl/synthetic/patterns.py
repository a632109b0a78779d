"""Where the colours of a garment lie: patterns, seams and open fronts, by the point at rest.

Shapes: `B` people, `P` pixels of figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .figure import PARTS
from .identity import PATTERNS, Identity
from .part import column


class Spot(NamedTuple):
    """What is known of P pixels.

    Attributes:
        image: (P,) which person it is.
        part: (P,) number in PARTS.
        rest: (P, 3) the point at rest, own left, back, up, in metres.
        place: (P, 2) along and round the part.
        shares: name of a group of bones -> (P,) share, of the body's pixels.
        heights: name -> (P,) height at rest.
    """

    image: Tensor
    part: Tensor
    rest: Tensor
    place: Tensor
    shares: dict[str, Tensor]
    heights: dict[str, Tensor]


class Of:
    """Looks up what belongs to the person of each pixel."""

    def __init__(self, people: Sequence[Identity], image: Tensor) -> None:
        self.people, self.image = people, image

    def __call__(self, value: Callable[[Identity], float]) -> Tensor:
        """(P,)"""
        return column(self.people, value)[self.image]

    def colour(self, value: Callable[[Identity], tuple]) -> Tensor:
        """(P, 3)"""
        return torch.tensor([value(person) for person in self.people])[self.image]


def put(values: Tensor, where: Tensor, new: Tensor) -> Tensor:
    return torch.where(where[:, None] if values.ndim > 1 else where, new, values)


def pattern(of: Of, garment: Callable, spot: Spot, limb: Tensor) -> Tensor:
    """(P, 3) a garment's two colours by its pattern; ``limb``: pixels of arms or legs."""
    x, y, z = spot.rest.unbind(1)
    kind = of(lambda p: PATTERNS.index(garment(p).pattern)).long()
    pitch = of(lambda p: garment(p).pitch)
    seed = of(lambda p: p.weave % 1000)
    h = spot.heights
    sleeve = limb & (spot.part == PARTS.index("body"))
    # arms hang aside at rest: what goes round them is neither level nor upright
    down = torch.where(sleeve, -2.4 * (x.abs() - z), z) / pitch
    # round a leg a whole number of repeats, so that they meet
    girth = (0.5 / pitch).round() * spot.place[:, 1]
    across = torch.where(limb & ~sleeve, girth, (x + 0.5 * y) / pitch)
    chest = h["hip"] + 0.72 * (h["shoulder"] - h["hip"])
    wide, high = 0.07 + 0.05 * ((seed * 7) % 10) / 10, 0.05 + 0.07 * ((seed * 3) % 10) / 10
    square = (x.abs() < wide) & ((z - chest).abs() < high)
    behind = torch.where((seed % 3) < 1, torch.ones_like(y, dtype=torch.bool), y < 0)
    blot = torch.sin(61 * x + seed) + torch.sin(53 * z + 2 * seed) + torch.sin(47 * y + 41 * z)
    border = h["hip"] + (0.3 + 0.4 * ((seed * 11) % 10) / 10) * (h["shoulder"] - h["hip"])
    share = torch.stack(
        (
            torch.zeros_like(x),
            (down % 1 < 0.45).float(),
            0.6 * (3 * across % 1 < 0.3).float(),
            0.5 * (down % 1 < 0.42).float() + 0.5 * (across % 1 < 0.42).float(),
            (z > border).float(),
            (square & ~limb & behind).float(),
            0.75 * (blot > 1.1).float(),
            sleeve.float(),
        ),
        1,
    ).gather(1, kind[:, None])
    first, second = (of.colour(lambda p, n=n: getattr(garment(p), n)) for n in ("colour", "second"))
    return first + share * (second - first)


def seam(of: Of, spot: Spot, is_part: dict[str, Tensor]) -> Tensor:
    """(P,) bool: a stripe along the outer seam of sports trousers."""
    turn = spot.place[:, 1]
    out = torch.where(is_part["left leg"], turn, turn - 0.5)
    out = (out - out.round()).abs() < 0.045
    striped = of(lambda p: p.lower.pattern == "sleeves") > 0
    return striped & out & (is_part["left leg"] | is_part["right leg"])


def front_of(of: Of, spot: Spot, colour: Tensor, trunk: Tensor) -> Tensor:
    """An open front, a zip or a row of buttons, and what shows at the neck."""
    x, y, z = spot.rest.unbind(1)
    h = spot.heights
    front = trunk & (y < 0.0)
    half = of(lambda p: p.upper.opening)
    up = ((z - h["waist"]) / (h["shoulder"] - h["waist"])).clamp(-1, 1)
    inner = of.colour(lambda p: p.upper.inner)
    width = half * (1 - 0.45 * up.clamp(min=0)) * (1 + 0.3 * (-up).clamp(min=0))
    colour = put(colour, front & (half > 0) & (x.abs() < width), inner)
    edge = (half > 0) & ((x.abs() - width).abs() < 0.008)
    colour = put(colour, front & edge, 0.7 * colour)
    # a notch of the shirt below: jackets, cardigans, shirts with an open button
    notch = (x.abs() < 0.9 * (z - h["shoulder"] + 0.04)) & (z > h["shoulder"] - 0.04)
    shows = of(lambda p: p.upper.opening == 0 and p.weave % 5 < 2) > 0
    colour = put(colour, front & notch & shows, inner)
    zipped = of(lambda p: p.upper.opening == 0 and p.weave % 3 == 0) > 0
    return put(colour, front & zipped & (x.abs() < 0.008), 0.72 * colour)
