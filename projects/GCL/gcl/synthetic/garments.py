"""Clothes as meshes round a body at rest, with the weights that make them follow it.

Every person has the same parts with the same vertices, so that people are posed and drawn in one
batch; what somebody does not wear shrinks to a point inside the body.
Rest axes are x to the own left, y to the back, z up, metres.
Shapes: `B` people, `V` vertices of the body, `W` vertices of a part, `J` bones, `L` rings,
`K` corners of a ring.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import rings
from .anatomy import Anatomy, hairline
from .identity import TUCKED, Identity
from .part import Body, Part, column, make_part, on_bones

DRAPE = (15, 28)  # rings and corners of skirts and of what hangs from the chest
LEG = (12, 14)
SHOE = (9, 10)


def clothed_body(body: Body, anatomy: Anatomy, people: Sequence[Identity]) -> Part:
    """The body itself, grown where thin cloth or short hair lies on it and shrunk inside shoes."""
    share, reach = anatomy.shares, anatomy.reach
    z = body.rest[..., 2]
    marks = {name: value[:, None] for name, value in body.marks.items()}
    sleeve = column(people, lambda p: p.upper.sleeve)[:, None]
    sleeve_ease = column(people, lambda p: p.upper.sleeve_ease)[:, None]
    ease = column(people, lambda p: p.upper.ease)[:, None]
    arm = share["arm"] > 0.5
    clothed_arm = arm & (share["hand"] < 0.5) & (reach < sleeve)
    # a cuff is wider than the wrist, a sleeve is wider at its end when it is short
    grow = torch.where(clothed_arm, sleeve_ease * (1 + 0.4 * (reach / sleeve).clamp(0, 1)), 0.0)
    trunk = ~arm & (share["head"] < 0.3) & (share["foot"] < 0.3) & (z > marks["hip"])
    fade = ((marks["neck"] + 0.01 - z) / 0.06).clamp(0, 1)
    grow = torch.where(trunk, ease * fade, grow)
    collar = column(people, lambda p: p.upper.collar)[:, None]
    neck = (share["head"] < 0.6) & (z > marks["neck"] - 0.03) & (z < marks["neck"] + collar)
    grow = torch.where(neck & ~arm & (collar > 0), 0.02, grow)
    volume = column(people, lambda p: p.hair_volume)[:, None]
    flat = column(people, lambda p: p.hair == "cropped")[:, None]
    volume = torch.where(flat > 0, 0.004, volume)
    scalp = (share["head"] > 0.5) & (z > hairline(body.rest[..., 1], marks["nose"], marks["top"]))
    grow = torch.where(scalp, volume, grow)
    boot = column(people, lambda p: p.boot)[:, None]
    shaft = marks["ankle"] + boot * (marks["knee"] - marks["ankle"])
    grow = torch.where((z < shaft) & (share["foot"] < 0.5) & ~arm, 0.010 * (boot > 0), grow)
    grow = torch.where(share["foot"] > 0.5, -0.008, grow)
    place = torch.stack((reach, torch.zeros_like(reach)), 1)
    return Part(
        body.rest + grow[..., None] * body.normals,
        anatomy.weights.expand(len(people), -1, -1),
        place.expand(len(people), -1, -1),
    )


def tail(body: Body, anatomy: Anatomy, people: Sequence[Identity]) -> Part:
    """What hangs from the chest: a shirt worn outside, a jacket, a coat."""
    marks = body.marks
    hem = marks["hip"] - column(people, lambda p: p.upper.hem)
    top = marks["hip"] + 0.72 * (marks["shoulder"] - marks["hip"])
    return _drape(
        body,
        anatomy,
        top,
        hem,
        ease=column(people, lambda p: p.upper.ease),
        hold=column(people, lambda p: 0.94 if p.upper.ease > 0.015 else 0.75),
        flare=column(people, lambda p: p.upper.flare),
        folds=column(people, lambda p: 0.25 * p.upper.flare + 0.002),
        waves=column(people, lambda p: 5 + p.weave % 4),
        worn=column(people, lambda p: p.upper.hem > TUCKED),
    )


def skirt(body: Body, anatomy: Anatomy, people: Sequence[Identity]) -> Part:
    """A skirt, or what of a dress is below the waist."""
    marks = body.marks
    end = column(people, lambda p: p.lower.length)
    return _drape(
        body,
        anatomy,
        marks["waist"],
        marks["hip"] + end * (marks["ankle"] - marks["hip"]),
        ease=column(people, lambda p: 0.5 * p.lower.ease + 0.003),
        hold=column(people, lambda p: 0.97 if p.lower.flare > 0.05 else 0.8),
        flare=column(people, lambda p: p.lower.flare),
        folds=column(people, lambda p: 0.22 * p.lower.flare),
        waves=column(people, lambda p: 7 + p.weave % 5),
        worn=column(people, lambda p: p.lower.skirt),
    )


def _drape(
    body: Body,
    anatomy: Anatomy,
    top: Tensor,
    end: Tensor,
    *,
    ease: Tensor,
    hold: Tensor,
    flare: Tensor,
    folds: Tensor,
    waves: Tensor,
    worn: Tensor,
) -> Part:
    """Cloth round trunk and both legs from the height ``top``, where it comes out of the cloth that
    lies on the trunk, to ``end``, all (B,)."""
    levels, corners = DRAPE
    step = torch.linspace(0, 1, levels)
    z = top[:, None] + step * (end - top)[:, None]
    share = anatomy.shares
    which = (share["arm"] < 0.3) & (share["head"] < 0.3) & (share["foot"] < 0.5)
    centre = body.heads[:, anatomy.bone("root"), :2]
    points = body.rest - torch.cat((centre, torch.zeros_like(centre[:, :1])), 1)[:, None]
    # legs stand apart at rest: below the hips only as far as they would under a skirt
    below = ((body.marks["hip"][:, None] - points[..., 2]) / 0.5).clamp(0, 1)
    narrow = torch.cat(((points[..., 0] * (1 - 0.2 * below))[..., None], points[..., 1:]), 2)
    reach = rings.support(narrow, which, z, corners, 0.02) + ease[:, None, None]
    reach = rings.hang(reach, hold) - 0.03 * (1 - 5 * step).clamp(min=0)[:, None]
    down = ((body.marks["hip"][:, None] - z) / 0.5 + 0.06).clamp(min=0)
    turn = torch.arange(corners) / corners
    wave = torch.cos(2 * torch.pi * waves[:, None] * turn)[:, None]
    reach = reach + (flare[:, None] * down)[..., None] + (folds[:, None] * down)[..., None] * wave
    outline = rings.outline(reach) + centre[:, None, None]
    ring = torch.cat((outline, z[..., None, None].expand(-1, -1, corners, 1)), 3)

    # below the hips the left half follows the left thigh, and no shank
    knee, hip = body.marks["knee"][:, None], body.marks["hip"][:, None]
    height = torch.maximum(z, knee + 0.35 * (hip - knee))
    left, right = (anatomy.weights_at(height, body.marks, side) for side in ("left", "right"))
    side = (0.5 + ring[..., :1] / 0.22).clamp(0, 1)
    side = side * side * (3 - 2 * side)
    weights = side * left[:, :, None] + (1 - side) * right[:, :, None]
    # what is wide does not follow every step of the thighs
    still = 0.4 * (down * flare[:, None] / 0.1).clamp(0, 1)[..., None, None]
    weights = weights + still * (on_bones(anatomy, ring, {"root": 1.0}) - weights)
    return make_part(ring, weights, step, worn)


def trouser_leg(body: Body, anatomy: Anatomy, people: Sequence[Identity], side: str) -> Part:
    """One leg of trousers; ``side`` is "left" or "right"."""
    levels, corners = LEG
    letter = "L" if side == "left" else "R"
    marks = body.marks
    step = torch.linspace(0, 1, levels)
    # tight trousers go into boots
    end = column(
        people,
        lambda p: min(p.lower.length, 1 - 0.5 * p.boot) if p.lower.ease < 0.012 else p.lower.length,
    )
    top, low = marks["hip"] - 0.01, marks["sole"] + 0.035
    z = top[:, None] + step * (end * (low - top))[:, None]
    joints = [
        body.heads[:, anatomy.bone(f"{b}.{letter}")] for b in ("upperleg01", "lowerleg01", "foot")
    ]
    centre = _along(torch.stack(joints, 1), z)
    share = anatomy.shares
    which = (share[side] > 0.25) & (share["foot"] < 0.5)
    points = body.rest.clone()
    points[..., :2] -= _along(torch.stack(joints, 1), body.rest[..., 2])
    reach = rings.support(points, which, z, corners, 0.02)
    ease, flare = (column(people, lambda p, n=n: getattr(p.lower, n)) for n in ("ease", "flare"))
    widen = ((marks["knee"][:, None] + 0.15 - z) / 0.4).clamp(0, 1)
    reach = rings.hang(reach + ease[:, None, None], column(people, lambda p: 0.6))
    reach = reach + (flare[:, None] * widen)[..., None]
    ring = torch.cat((rings.outline(reach) + centre[:, :, None],
                      z[..., None, None].expand(-1, -1, corners, 1)), 3)  # fmt: skip
    weights = anatomy.weights_at(z, marks, side)[:, :, None].expand(-1, -1, corners, -1)
    return make_part(ring, weights, step, column(people, lambda p: not p.lower.skirt))


def _along(joints: Tensor, z: Tensor) -> Tensor:
    """(B, L, 2) x and y of the line through ``joints`` (B, 3, 3), from above, at heights ``z``."""
    upper, knee, ankle = joints.unbind(1)
    high = z[..., None] > knee[:, None, 2:]
    a = torch.where(high, upper[:, None], knee[:, None])
    b = torch.where(high, knee[:, None], ankle[:, None])
    share = ((a[..., 2] - z) / (a[..., 2] - b[..., 2])).clamp(-0.2, 1.2)[..., None]
    return a[..., :2] + share * (b[..., :2] - a[..., :2])


def shoe(body: Body, anatomy: Anatomy, people: Sequence[Identity], side: str) -> Part:
    """A shoe from heel to toe, on a flat sole."""
    levels, corners = SHOE
    letter = "L" if side == "left" else "R"
    sign = 1 if side == "left" else -1
    which = (anatomy.shares["foot"] > 0.5) & (body.rest[0, :, 0] * sign > 0)
    foot = body.rest[:, which]
    ankle = body.heads[:, anatomy.bone(f"foot.{letter}")]
    toe = body.heads[:, anatomy.bone(f"toe2-1.{letter}")]
    forward = torch.nn.functional.normalize((toe - ankle)[:, :2], dim=1)
    across = torch.stack((-forward[:, 1], forward[:, 0]), 1)
    along = ((foot - ankle[:, None])[..., :2] * forward[:, None]).sum(2)
    heel, tip = along.amin(1) - 0.012, along.amax(1) + 0.018
    middle = ((foot - ankle[:, None])[..., :2] * across[:, None]).sum(2).mean(1)
    step = torch.linspace(0, 1, levels)
    length = (tip - heel)[:, None]
    half = length * torch.tensor([0.07, 0.125, 0.135, 0.135, 0.15, 0.175, 0.18, 0.15, 0.06])
    high = length * torch.tensor([0.24, 0.36, 0.38, 0.36, 0.32, 0.26, 0.22, 0.19, 0.10])
    angle = rings.directions(corners)
    # a half circle above a flat bottom
    x = half[..., None] * angle[:, 0].sign() * angle[:, 0].abs() ** 0.7
    z = high[..., None] * angle[:, 1].clamp(min=0) ** 0.8 - 0.016 + 0.014 * (angle[:, 1] > -0.1)
    place = heel[:, None] + step * length
    xy = ankle[:, None, None, :2] + place[..., None, None] * forward[:, None, None]
    xy = xy + (middle[:, None, None] - x)[..., None] * across[:, None, None]
    ring = torch.cat((xy, (z + body.marks["sole"][:, None, None])[..., None]), 3)
    weights = on_bones(anatomy, ring, {f"foot.{letter}": 1.0})
    front = on_bones(anatomy, ring, {f"toe2-1.{letter}": 1.0})
    bent = ((step - 0.55) / 0.2).clamp(0, 1)[:, None, None]
    return make_part(ring, weights + bent * (front - weights), step, torch.ones(len(people)))
