"""Colours of a figure where a camera sees it: skin, hair, cloth with patterns and folds.

Shapes: `B` people, `P` pixels of a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .figure import PARTS
from .identity import BAGS, HAIRS, PATTERNS, Identity
from .part import column

WAVES = 6
"""How many waves crease a person's cloth."""


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


def albedo(people: Sequence[Identity], spot: Spot) -> tuple[Tensor, Tensor]:
    """(P, 3) colour of each pixel before light, and (P,) how much its cloth creases."""
    of = _Of(people, spot.image)
    x, y, z = spot.rest.unbind(1)
    h = spot.heights
    is_part = {name: spot.part == i for i, name in enumerate(PARTS)}
    body = is_part["body"]
    arm = body & (spot.shares["arm"] > 0.5)
    hand = arm & (spot.shares["hand"] > 0.5)
    head = body & (spot.shares["head"] > 0.5)
    reach = spot.place[:, 0]

    upper = _pattern(of, lambda p: p.upper, spot, arm)
    lower = _pattern(of, lambda p: p.lower, spot, is_part["left leg"] | is_part["right leg"])
    lower = _put(lower, ~arm & _seam(of, spot, is_part), of.colour(lambda p: p.lower.second))
    upper = _front(of, spot, upper, is_part["tail"] | (body & ~arm & ~head))

    colour = of.colour(lambda p: p.skin)
    crease = torch.zeros_like(z)
    waist = torch.where(of(lambda p: p.upper.hem > -0.075) > 0, h["hip"], h["waist"] - 0.03)
    trunk = (
        body
        & ~arm
        & (z > waist)
        & (z < h["neck"] + 0.015 + of(lambda p: p.upper.collar) + 0.25 * y)
    )
    legs = body & ~arm & (z <= waist)
    colour = _put(colour, legs, of.colour(lambda p: p.lower.tights))
    # what may peep out between trousers is trousers too
    end = h["hip"] - of(lambda p: 0.1 if p.lower.skirt else p.lower.length) * 0.9 * (
        h["hip"] - h["sole"]
    )
    hips = legs & (z > end)
    colour = _put(colour, hips, lower)
    belt = legs & (z > waist - 0.035) & (of(lambda p: p.upper.hem <= -0.075 and p.weave % 2) > 0)
    colour = _put(colour, belt, torch.full((3,), 0.12).expand_as(colour))
    shaft = h["ankle"] + of(lambda p: p.boot) * (h["knee"] - h["ankle"])
    boot = legs & (z < shaft) & (of(lambda p: p.boot) > 0)
    feet = body & (spot.shares["foot"] > 0.5)
    colour = _put(colour, boot | feet, of.colour(lambda p: p.shoe))
    sleeve = arm & ~hand & (reach < of(lambda p: p.upper.sleeve))
    colour = _put(colour, trunk | sleeve, upper)
    colour = _face(of, spot, colour, head)

    colour = _put(colour, is_part["tail"], upper)
    colour = _put(colour, is_part["hood"], 0.92 * upper)
    pants = is_part["skirt"] | is_part["left leg"] | is_part["right leg"]
    colour = _put(colour, pants, lower)
    shoes = is_part["left shoe"] | is_part["right shoe"]
    sole = z < h["sole"] + 0.012
    colour = _put(colour, shoes, of.colour(lambda p: p.shoe))
    colour = _put(colour, shoes & sole, of.colour(lambda p: p.sole))
    hair = of.colour(lambda p: p.hair_colour)
    cap = of(lambda p: p.hair == "cap") > 0
    colour = _put(colour, is_part["hair"] | is_part["knot"], hair)
    colour = _put(colour, is_part["knot"] & cap, of.colour(lambda p: p.hat))
    colour = _bag(of, spot, colour, is_part["bag"], trunk | is_part["tail"])

    crease = _put(crease, trunk | sleeve | is_part["tail"], torch.ones_like(z))
    crease = _put(crease, pants | hips, torch.full_like(z, 0.9))
    crease = _put(crease, is_part["hair"] | is_part["knot"], torch.full_like(z, 0.5))
    return colour, crease


def folds(spot: Spot, crumple: Tensor) -> tuple[Tensor, Tensor]:
    """How cloth creases: a height field of waves over the body at rest.

    Args:
        crumple: (B, WAVES, 4) numbers in [0, 1) that decide the waves; new in every picture,
            because cloth falls differently each time.

    Returns:
        (P,) height, about [-1, 1], and (P, 3) its gradient in rest axes per metre, scaled by the
        waves' length.
    """
    tilt = (crumple[..., 0] - 0.5) * 2.4
    aside = crumple[..., 1] * 6.2832
    length = 0.08 + 0.25 * crumple[..., 2] ** 2
    # most creases lie level, round a limb; the others anyhow
    direction = torch.stack((tilt.sin() * aside.cos(), tilt.sin() * aside.sin(), tilt.cos()), -1)
    wave = (direction * (6.2832 / length)[..., None])[spot.image]
    phase = (crumple[..., 3] * 6.2832)[spot.image]
    bent = spot.rest + 0.035 * torch.sin(spot.rest.flip(1) * 13.0 + spot.rest.roll(1, 1) * 7.0)
    angle = (wave * bent[:, None]).sum(2) + phase
    height = angle.sin().mean(1) * 1.6
    slope = (angle.cos()[..., None] * direction[spot.image]).mean(1) * 1.6
    return height, slope


class _Of:
    """Looks up what belongs to the person of each pixel."""

    def __init__(self, people: Sequence[Identity], image: Tensor) -> None:
        self.people, self.image = people, image

    def __call__(self, value: Callable[[Identity], float]) -> Tensor:
        """(P,)"""
        return column(self.people, value)[self.image]

    def colour(self, value: Callable[[Identity], tuple]) -> Tensor:
        """(P, 3)"""
        return torch.tensor([value(person) for person in self.people])[self.image]


def _put(values: Tensor, where: Tensor, new: Tensor) -> Tensor:
    return torch.where(where[:, None] if values.ndim > 1 else where, new, values)


def _pattern(of: _Of, garment: Callable, spot: Spot, limb: Tensor) -> Tensor:
    """(P, 3) a garment's two colours by its pattern; ``limb``: pixels of arms or legs."""
    x, y, z = spot.rest.unbind(1)
    kind = of(lambda p: PATTERNS.index(garment(p).pattern)).long()
    pitch = of(lambda p: garment(p).pitch)
    seed = of(lambda p: p.weave % 1000)
    h = spot.heights
    # down a limb stripes go round it, and so across
    down = torch.where(limb & (spot.part == 0), -2.4 * (x.abs() - z), z) / pitch
    across = (x + 0.5 * y) / pitch
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
            (limb & (spot.part == 0)).float(),
        ),
        1,
    ).gather(1, kind[:, None])
    first, second = (of.colour(lambda p, n=n: getattr(garment(p), n)) for n in ("colour", "second"))
    return first + share * (second - first)


def _seam(of: _Of, spot: Spot, is_part: dict[str, Tensor]) -> Tensor:
    """(P,) bool: a stripe along the outer seam of sports trousers."""
    turn = spot.place[:, 1]
    out = torch.where(is_part["left leg"], turn, turn - 0.5)
    out = (out - out.round()).abs() < 0.045
    striped = of(lambda p: p.lower.pattern == "sleeves") > 0
    return striped & out & (is_part["left leg"] | is_part["right leg"])


def _front(of: _Of, spot: Spot, colour: Tensor, trunk: Tensor) -> Tensor:
    """An open front, a zip or a row of buttons, and what shows at the neck."""
    x, y, z = spot.rest.unbind(1)
    h = spot.heights
    front = trunk & (y < 0.0)
    half = of(lambda p: p.upper.opening)
    up = ((z - h["waist"]) / (h["shoulder"] - h["waist"])).clamp(-1, 1)
    inner = of.colour(lambda p: p.upper.inner)
    width = half * (1 - 0.45 * up.clamp(min=0)) * (1 + 0.3 * (-up).clamp(min=0))
    colour = _put(colour, front & (half > 0) & (x.abs() < width), inner)
    edge = (half > 0) & ((x.abs() - width).abs() < 0.008)
    colour = _put(colour, front & edge, 0.7 * colour)
    # a notch of the shirt below: jackets, cardigans, shirts with an open button
    notch = (x.abs() < 0.9 * (z - h["shoulder"] + 0.04)) & (z > h["shoulder"] - 0.04)
    shows = of(lambda p: p.upper.opening == 0 and p.weave % 5 < 2) > 0
    colour = _put(colour, front & notch & shows, inner)
    zipped = of(lambda p: p.upper.opening == 0 and p.weave % 3 == 0) > 0
    return _put(colour, front & zipped & (x.abs() < 0.008), 0.72 * colour)


def _face(of: _Of, spot: Spot, colour: Tensor, head: Tensor) -> Tensor:
    """Hair or cap, brows, eyes and mouth: a dark smudge each at this size."""
    x, y, z = spot.rest.unbind(1)
    h = spot.heights
    top = h["top"]
    nose = h["nose"]
    side = 0.055 * ((x.abs() - 0.03) / 0.04).clamp(0, 1)  # hair comes down at the temples
    back = ((y - (nose - 0.06)) / 0.13).clamp(0, 1)
    line = top - 0.055 - back * 0.135 - side * 0.4
    hair = head & (z > line)
    eye_line = top - 0.118
    front = head & (y < nose - 0.03)
    eyes = front & ((x.abs() - 0.032).abs() < 0.017) & ((z - eye_line).abs() < 0.007)
    brows = front & ((x.abs() - 0.033).abs() < 0.021) & ((z - eye_line - 0.018).abs() < 0.005)
    mouth = front & (x.abs() < 0.024) & ((z - top + 0.187).abs() < 0.006)
    hair_colour = of.colour(lambda p: p.hair_colour)
    colour = _put(colour, eyes, 0.25 * colour)
    colour = _put(colour, brows, 0.4 * colour + 0.5 * hair_colour)
    colour = _put(colour, mouth, colour * torch.tensor([0.72, 0.5, 0.5]))
    colour = _put(colour, hair, hair_colour)
    cap = of(lambda p: HAIRS.index(p.hair) == HAIRS.index("cap")) > 0
    return _put(colour, head & cap & (z > top - 0.075 - 0.03 * back), of.colour(lambda p: p.hat))


def _bag(of: _Of, spot: Spot, colour: Tensor, bag: Tensor, trunk: Tensor) -> Tensor:
    """The bag, its pocket, and the straps that it leaves on the trunk."""
    x, y, z = spot.rest.unbind(1)
    h = spot.heights
    first, second = (of.colour(lambda p, n=n: getattr(p, n)) for n in ("bag_colour", "bag_second"))
    kind = of(lambda p: BAGS.index(p.bag))
    along = spot.place[:, 0]
    colour = _put(colour, bag, first)
    pocket = bag & (kind == BAGS.index("backpack")) & (along > 0.5) & (along < 0.83)
    pocket = pocket & (y > 0.05) & (of(lambda p: p.weave % 4) < 2)
    colour = _put(colour, pocket, second)
    lid = bag & ((along - 0.32).abs() < 0.035)
    colour = _put(colour, lid, 0.6 * first)
    high = z > h["hip"] + 0.45 * (h["shoulder"] - h["hip"])
    pack = trunk & high & ((x.abs() - 0.105).abs() < 0.026) & (kind == BAGS.index("backpack"))
    colour = _put(colour, pack, 0.85 * first)
    side = of(lambda p: p.side)
    # from the bag at the hip up to the same shoulder, or across the chest to the other one
    cross = of(lambda p: p.weave % 2) * 2 - 1
    up = (z - h["hip"]) / (h["shoulder"] - h["hip"])
    line = side * (0.16 - (0.04 + 0.2 * (cross > 0)) * up)
    strap = trunk & (z > h["hip"] - 0.02) & ((x - line).abs() < 0.016)
    colour = _put(colour, strap & (kind == BAGS.index("shoulder")), 0.85 * first)
    handle = trunk & high & ((x - side * 0.13).abs() < 0.014) & (kind == BAGS.index("tote"))
    return _put(colour, handle, 0.85 * first)
