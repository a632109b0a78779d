"""Colours of a figure where a camera sees it: skin, hair, cloth with creases, bags.

Shapes: `P` pixels of a figure, `W` = WAVES.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .anatomy import hairline
from .figure import PARTS
from .identity import TUCKED, Identity
from .patterns import Spot, front_of, number, pattern, put, rgb, seam

WAVES = 6
"""How many waves crease a person's cloth."""


def albedo(person: Identity, spot: Spot) -> tuple[Tensor, Tensor]:
    """(3, P) colour of each pixel before light, and (P,) how much its cloth creases."""
    y, z = spot.rest[1:]
    h = spot.heights
    is_part = {name: spot.part == i for i, name in enumerate(PARTS)}
    body = is_part["body"]
    arm = body & (spot.shares["arm"] > 0.5)
    hand = arm & (spot.shares["hand"] > 0.5)
    head = body & (spot.shares["head"] > 0.5)
    reach = spot.place[0]

    trousers = is_part["left leg"] | is_part["right leg"]
    upper = pattern(person.upper, person.weave, spot, arm)
    lower = pattern(person.lower, person.weave, spot, trousers)
    if person.lower.pattern == "sleeves":
        lower = put(lower, seam(spot, is_part), rgb(person.lower.second))
    upper = front_of(person, spot, upper, is_part["tail"] | (body & ~arm & ~head))

    colour = rgb(person.skin).expand(3, len(z))
    hem = number(person.upper.hem)
    tucked = bool(hem <= TUCKED)
    waist = h["waist"] - 0.03 if tucked else h["hip"] + 0.01 + (-hem).clamp(min=0)
    collar = h["neck"] + 0.015 + number(person.upper.collar)
    rump = body & ~arm
    legs = rump & (z <= waist)
    trunk = rump & (z > waist) & (z < collar + 0.25 * y)
    colour = put(colour, legs, rgb(person.lower.tights))
    # what may peep out between trousers is trousers too
    length = number(0.1 if person.lower.skirt else person.lower.length)
    hips = legs & (z > h["hip"] - length * 0.9 * (h["hip"] - h["sole"]))
    colour = put(colour, hips, lower)
    if tucked and person.weave % 2:
        colour = put(colour, legs & (z > waist - 0.035), 0.12)  # a belt
    feet = body & (spot.shares["foot"] > 0.5)
    if person.boot > 0:
        shaft = h["ankle"] + number(person.boot) * (h["knee"] - h["ankle"])
        feet = feet | (legs & (z < shaft))
    colour = put(colour, feet, rgb(person.shoe))
    sleeve = arm & ~hand & (reach < number(person.upper.sleeve))
    colour = put(colour, trunk | sleeve, upper)
    colour = _face(person, spot, colour, head)

    colour = put(colour, is_part["tail"], upper)
    colour = put(colour, is_part["hood"], 0.92 * upper)
    pants = is_part["skirt"] | trousers
    colour = put(colour, pants, lower)
    shoes = is_part["left shoe"] | is_part["right shoe"]
    sole = z < h["sole"] + 0.012
    colour = put(colour, shoes, rgb(person.shoe))
    colour = put(colour, shoes & sole, rgb(person.sole))
    hair = is_part["hair"] | is_part["knot"]
    colour = put(colour, hair, rgb(person.hair_colour))
    if person.hair == "cap":
        colour = put(colour, is_part["knot"], rgb(person.hat))
    if person.bag != "none":
        colour = _bag(person, spot, colour, is_part["bag"], trunk | is_part["tail"])

    crease = torch.zeros_like(z)
    crease = put(crease, trunk | sleeve | is_part["tail"], 1.0)
    crease = put(crease, pants | hips, 0.9)
    return colour, put(crease, hair, 0.5)


def folds(rest: Tensor, crumple: Tensor) -> tuple[Tensor, Tensor]:
    """How cloth creases: a height field of waves over the body at rest.

    Args:
        rest: (3, P) points at rest.
        crumple: (W, 4) numbers in [0, 1) that decide the waves; new in every picture, because cloth
            falls differently each time.

    Returns:
        (P,) height, about [-1, 1], and (3, P) its gradient in rest axes per metre, scaled by the
        waves' length.
    """
    tilt = (crumple[:, 0] - 0.5) * 2.4
    aside = crumple[:, 1] * 6.2832
    length = 0.09 + 0.25 * crumple[:, 2] ** 2
    # most creases lie level, round a limb; the others anyhow
    direction = torch.stack((tilt.sin() * aside.cos(), tilt.sin() * aside.sin(), tilt.cos()))
    wave = (direction * (6.2832 / length))[..., None]
    phase = crumple[:, 3] * 6.2832
    bent = rest + 0.035 * torch.sin(rest.flip(0) * 13.0 + rest.roll(1, 0) * 7.0)
    angle = wave[0] * bent[0] + wave[1] * bent[1] + wave[2] * bent[2] + phase[:, None]
    # here and there: where cloth is stretched there are none
    x, y, z = rest
    much = 0.95 + 0.8 * torch.sin(9 * z + 5 * x + phase[0]) * torch.sin(7 * y + phase[1])
    height = much * _mean(angle.sin())
    cos = angle.cos()
    slope = torch.stack([much * _mean(cos * way[:, None]) for way in direction])
    return height * 1.6, slope * 1.6


def _mean(waves: Tensor) -> Tensor:
    """(W, P) -> (P,), in the order in which torch adds six numbers that lie side by side: drawn
    sets of earlier versions stay as they are, bit by bit."""
    a, b, c, d, e, f = waves
    return (a + e + f + b + c + d) / WAVES


def _face(person: Identity, spot: Spot, colour: Tensor, head: Tensor) -> Tensor:
    """Hair or cap, brows, eyes and mouth: a dark smudge each at this size."""
    x, y, z = spot.rest
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
    hair_colour = rgb(person.hair_colour)
    colour = put(colour, eyes, 0.25 * colour)
    colour = put(colour, brows, 0.4 * colour + 0.5 * hair_colour)
    colour = put(colour, mouth, colour * rgb((0.72, 0.5, 0.5)))
    colour = put(colour, hair, hair_colour)
    if person.hair != "cap":
        return colour
    return put(colour, head & (z > top - 0.075 - 0.03 * (y > nose)), rgb(person.hat))


def _bag(person: Identity, spot: Spot, colour: Tensor, bag: Tensor, trunk: Tensor) -> Tensor:
    """The bag, its pocket, and the straps that it leaves on the trunk."""
    x, y, z = spot.rest
    h = spot.heights
    first, second = rgb(person.bag_colour), rgb(person.bag_second)
    along = spot.place[0]
    colour = put(colour, bag, first)
    if person.bag == "backpack" and person.weave % 4 < 2:
        pocket = bag & (along > 0.5) & (along < 0.83) & (y > 0.05)
        colour = put(colour, pocket, second)
    lid = bag & ((along - 0.32).abs() < 0.035)
    colour = put(colour, lid, 0.6 * first)
    high = z > h["hip"] + 0.45 * (h["shoulder"] - h["hip"])
    side = number(person.side)
    if person.bag == "backpack":
        strap = high & ((x.abs() - 0.105).abs() < 0.026)
    elif person.bag == "shoulder":
        # from the bag at the hip up to the same shoulder, or across the chest to the other one
        up = (z - h["hip"]) / (h["shoulder"] - h["hip"])
        line = side * (0.16 - (0.04 + 0.2 * number(person.weave % 2)) * up)
        strap = (z > h["hip"] - 0.02) & ((x - line).abs() < 0.016)
    else:  # the handle of a tote
        strap = high & ((x - side * 0.13).abs() < 0.014)
    return put(colour, trunk & strap, 0.85 * first)
