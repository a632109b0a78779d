"""Colours of a figure where a camera sees it: skin, hair, cloth with creases, bags.

Shapes: `B` people, `P` pixels of figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .anatomy import hairline
from .figure import PARTS
from .identity import BAGS, TUCKED, Identity
from .patterns import Of, Spot, front_of, pattern, put, seam

WAVES = 6
"""How many waves crease a person's cloth."""


def albedo(people: Sequence[Identity], spot: Spot) -> tuple[Tensor, Tensor]:
    """(P, 3) colour of each pixel before light, and (P,) how much its cloth creases."""
    of = Of(people, spot.image)
    x, y, z = spot.rest.unbind(1)
    h = spot.heights
    is_part = {name: spot.part == i for i, name in enumerate(PARTS)}
    body = is_part["body"]
    arm = body & (spot.shares["arm"] > 0.5)
    hand = arm & (spot.shares["hand"] > 0.5)
    head = body & (spot.shares["head"] > 0.5)
    reach = spot.place[:, 0]

    upper = pattern(of, lambda p: p.upper, spot, arm)
    lower = pattern(of, lambda p: p.lower, spot, is_part["left leg"] | is_part["right leg"])
    lower = put(lower, ~arm & seam(of, spot, is_part), of.colour(lambda p: p.lower.second))
    upper = front_of(of, spot, upper, is_part["tail"] | (body & ~arm & ~head))

    colour = of.colour(lambda p: p.skin)
    crease = torch.zeros_like(z)
    hem = of(lambda p: p.upper.hem)
    tucked = hem <= TUCKED
    waist = torch.where(tucked, h["waist"] - 0.03, h["hip"] + 0.01 + (-hem).clamp(min=0))
    trunk = (
        body
        & ~arm
        & (z > waist)
        & (z < h["neck"] + 0.015 + of(lambda p: p.upper.collar) + 0.25 * y)
    )
    legs = body & ~arm & (z <= waist)
    colour = put(colour, legs, of.colour(lambda p: p.lower.tights))
    # what may peep out between trousers is trousers too
    end = h["hip"] - of(lambda p: 0.1 if p.lower.skirt else p.lower.length) * 0.9 * (
        h["hip"] - h["sole"]
    )
    hips = legs & (z > end)
    colour = put(colour, hips, lower)
    belt = legs & (z > waist - 0.035) & tucked & (of(lambda p: p.weave % 2) > 0)
    colour = put(colour, belt, torch.full((3,), 0.12).expand_as(colour))
    shaft = h["ankle"] + of(lambda p: p.boot) * (h["knee"] - h["ankle"])
    boot = legs & (z < shaft) & (of(lambda p: p.boot) > 0)
    feet = body & (spot.shares["foot"] > 0.5)
    colour = put(colour, boot | feet, of.colour(lambda p: p.shoe))
    sleeve = arm & ~hand & (reach < of(lambda p: p.upper.sleeve))
    colour = put(colour, trunk | sleeve, upper)
    colour = _face(of, spot, colour, head)

    colour = put(colour, is_part["tail"], upper)
    colour = put(colour, is_part["hood"], 0.92 * upper)
    pants = is_part["skirt"] | is_part["left leg"] | is_part["right leg"]
    colour = put(colour, pants, lower)
    shoes = is_part["left shoe"] | is_part["right shoe"]
    sole = z < h["sole"] + 0.012
    colour = put(colour, shoes, of.colour(lambda p: p.shoe))
    colour = put(colour, shoes & sole, of.colour(lambda p: p.sole))
    hair = of.colour(lambda p: p.hair_colour)
    cap = of(lambda p: p.hair == "cap") > 0
    colour = put(colour, is_part["hair"] | is_part["knot"], hair)
    colour = put(colour, is_part["knot"] & cap, of.colour(lambda p: p.hat))
    colour = _bag(of, spot, colour, is_part["bag"], trunk | is_part["tail"])

    crease = put(crease, trunk | sleeve | is_part["tail"], torch.ones_like(z))
    crease = put(crease, pants | hips, torch.full_like(z, 0.9))
    crease = put(crease, is_part["hair"] | is_part["knot"], torch.full_like(z, 0.5))
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
    length = 0.09 + 0.25 * crumple[..., 2] ** 2
    # most creases lie level, round a limb; the others anyhow
    direction = torch.stack((tilt.sin() * aside.cos(), tilt.sin() * aside.sin(), tilt.cos()), -1)
    wave = (direction * (6.2832 / length)[..., None])[spot.image]
    phase = (crumple[..., 3] * 6.2832)[spot.image]
    bent = spot.rest + 0.035 * torch.sin(spot.rest.flip(1) * 13.0 + spot.rest.roll(1, 1) * 7.0)
    angle = (wave * bent[:, None]).sum(2) + phase
    # here and there: where cloth is stretched there are none
    x, y, z = spot.rest.unbind(1)
    much = 0.95 + 0.8 * torch.sin(9 * z + 5 * x + phase[:, 0]) * torch.sin(7 * y + phase[:, 1])
    height = much * angle.sin().mean(1)
    slope = much[:, None] * (angle.cos()[..., None] * direction[spot.image]).mean(1)
    return height * 1.6, slope * 1.6


def _face(of: Of, spot: Spot, colour: Tensor, head: Tensor) -> Tensor:
    """Hair or cap, brows, eyes and mouth: a dark smudge each at this size."""
    x, y, z = spot.rest.unbind(1)
    h = spot.heights
    top, nose = h["top"], h["nose"]
    temples = 0.022 * ((x.abs() - 0.03) / 0.04).clamp(0, 1)
    line = hairline(y, nose, top)
    hair = head & (z > line - temples)
    eye_line = top - 0.118
    front = head & (y < nose - 0.03)
    eyes = front & ((x.abs() - 0.032).abs() < 0.017) & ((z - eye_line).abs() < 0.007)
    brows = front & ((x.abs() - 0.033).abs() < 0.021) & ((z - eye_line - 0.018).abs() < 0.005)
    mouth = front & (x.abs() < 0.024) & ((z - top + 0.187).abs() < 0.006)
    hair_colour = of.colour(lambda p: p.hair_colour)
    colour = put(colour, eyes, 0.25 * colour)
    colour = put(colour, brows, 0.4 * colour + 0.5 * hair_colour)
    colour = put(colour, mouth, colour * torch.tensor([0.72, 0.5, 0.5]))
    colour = put(colour, hair, hair_colour)
    cap = of(lambda p: p.hair == "cap") > 0
    return put(
        colour, head & cap & (z > top - 0.075 - 0.03 * (y > nose)), of.colour(lambda p: p.hat)
    )


def _bag(of: Of, spot: Spot, colour: Tensor, bag: Tensor, trunk: Tensor) -> Tensor:
    """The bag, its pocket, and the straps that it leaves on the trunk."""
    x, y, z = spot.rest.unbind(1)
    h = spot.heights
    first, second = (of.colour(lambda p, n=n: getattr(p, n)) for n in ("bag_colour", "bag_second"))
    kind = of(lambda p: BAGS.index(p.bag))
    along = spot.place[:, 0]
    colour = put(colour, bag, first)
    pocket = bag & (kind == BAGS.index("backpack")) & (along > 0.5) & (along < 0.83)
    pocket = pocket & (y > 0.05) & (of(lambda p: p.weave % 4) < 2)
    colour = put(colour, pocket, second)
    lid = bag & ((along - 0.32).abs() < 0.035)
    colour = put(colour, lid, 0.6 * first)
    high = z > h["hip"] + 0.45 * (h["shoulder"] - h["hip"])
    pack = trunk & high & ((x.abs() - 0.105).abs() < 0.026) & (kind == BAGS.index("backpack"))
    colour = put(colour, pack, 0.85 * first)
    side = of(lambda p: p.side)
    # from the bag at the hip up to the same shoulder, or across the chest to the other one
    cross = of(lambda p: p.weave % 2) * 2 - 1
    up = (z - h["hip"]) / (h["shoulder"] - h["hip"])
    line = side * (0.16 - (0.04 + 0.2 * (cross > 0)) * up)
    strap = trunk & (z > h["hip"] - 0.02) & ((x - line).abs() < 0.016)
    colour = put(colour, strap & (kind == BAGS.index("shoulder")), 0.85 * first)
    handle = trunk & high & ((x - side * 0.13).abs() < 0.014) & (kind == BAGS.index("tote"))
    return put(colour, handle, 0.85 * first)
