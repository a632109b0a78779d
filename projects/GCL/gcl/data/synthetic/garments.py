"""Clothes, hair and bags as meshes round a body at rest, with the weights that make them follow it.

Every person has the same parts with the same vertices, so that people are posed and drawn in one
batch; what somebody does not wear shrinks to a point inside the body.
Rest axes are x to the own left, y to the back, z up, metres.
Shapes: `B` people, `V` vertices of the body, `W` vertices of a part, `J` bones, `L` rings,
`K` corners of a ring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from . import rings
from .anatomy import Anatomy
from .identity import Identity


class Part(NamedTuple):
    """Rest vertices (B, W, 3), their weights (B, W, J), and what colours go by: (B, W, 2), how far
    along the part (0 to 1) and round it (in turns)."""

    rest: Tensor
    weights: Tensor
    place: Tensor


class Body(NamedTuple):
    """Rest vertices (B, V, 3), their unit normals (B, V, 3), heads of bones (B, J, 3), and heights
    by name (B,)."""

    rest: Tensor
    normals: Tensor
    heads: Tensor
    marks: dict[str, Tensor]


DRAPE = (15, 28)  # rings and corners of skirts and of what hangs from the chest
LEG = (12, 14)
SHOE = (9, 10)
HAIR = (9, 16)
BLOB = (7, 12)

def column(people: Sequence[Identity], value: Callable[[Identity], float]) -> Tensor:
    """(B,) a number of each person."""
    return torch.tensor([float(value(person)) for person in people])


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
    scalp = (share["head"] > 0.5) & (z > hairline(body, anatomy))
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


def hairline(body: Body, anatomy: Anatomy) -> Tensor:
    """(B, V) height above which a vertex of the head would bear hair: high on the forehead, low
    in the nape."""
    nose = body.heads[:, anatomy.bone("head"), 1][:, None]
    back = ((body.rest[..., 1] - (nose - 0.06)) / 0.13).clamp(0, 1)
    return body.marks["top"][:, None] - 0.055 - back * 0.135


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
        worn=column(people, lambda p: p.upper.hem > -0.075),
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
    return _part(ring, weights, step, worn)


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
    joints = [body.heads[:, anatomy.bone(f"{b}.{letter}")] for b in ("upperleg01", "lowerleg01", "foot")]
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
    return _part(ring, weights, step, column(people, lambda p: not p.lower.skirt))


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
    weights = _on_bones(anatomy, ring, {f"foot.{letter}": 1.0})
    front = _on_bones(anatomy, ring, {f"toe2-1.{letter}": 1.0})
    bent = ((step - 0.55) / 0.2).clamp(0, 1)[:, None, None]
    return _part(ring, weights + bent * (front - weights), step, torch.ones(len(people)))


def long_hair(body: Body, anatomy: Anatomy, people: Sequence[Identity]) -> Part:
    """Hair that falls beside and behind the face, to the chin ("bob") or the back ("long")."""
    levels, corners = HAIR
    marks, step = body.marks, torch.linspace(0, 1, levels)
    volume = column(people, lambda p: 0.8 * p.hair_volume)
    top = marks["top"] - 0.045
    length = column(people, lambda p: 0.46 + 0.1 * (p.weave % 5) / 4 if p.hair == "long" else 0.23)
    z = top[:, None] - step * length[:, None]
    head = body.heads[:, anatomy.bone("head")]
    centre = head[:, :2] + torch.tensor([0.0, -0.01])
    share = anatomy.shares["head"]
    points = body.rest - torch.cat((centre, torch.zeros_like(centre[:, :1])), 1)[:, None]
    # below the jaw hair is as wide as the head above
    reach = rings.support(points, share > 0.8, torch.maximum(z, marks["head"][:, None] + 0.03),
                          corners, 0.02)  # fmt: skip
    under = ((marks["head"][:, None] - z) / 0.3).clamp(0, 1)[..., None]
    reach = (reach + volume[:, None, None]) * (1 - 0.15 * under)
    outline = rings.outline(reach)
    # the face stays free: hair ends at the ears, further back the lower it falls
    ears = -0.005 - 0.05 * (1 - (step / 0.25).clamp(0, 1))
    ears = ears + 0.05 * under[..., 0]
    x, y = outline.unbind(-1)
    y = torch.maximum(y, ears[..., None]) + 0.035 * under
    ring = torch.stack((x, y, z[..., None].expand_as(x)), 3)
    ring = ring + torch.cat((centre, torch.zeros_like(centre[:, :1])), 1)[:, None, None]
    weights = _on_bones(anatomy, ring, {"head": 1.0})
    lower = _on_bones(anatomy, ring, {"spine01": 0.7, "neck01": 0.3})
    fall = ((marks["head"][:, None] - z) / 0.12).clamp(0, 1)[..., None, None]
    weights = weights + fall * (lower - weights)
    return _part(ring, weights, step, column(people, lambda p: p.hair in ("bob", "long")))


def knot(body: Body, anatomy: Anatomy, people: Sequence[Identity]) -> Part:
    """A ponytail, a bun, or the peak of a cap."""
    marks, head = body.marks, body.heads[:, anatomy.bone("head")]
    top = marks["top"]
    back = body.rest[:, anatomy.shares["head"] > 0.8, 1].amax(1)
    front = body.rest[:, anatomy.shares["head"] > 0.8, 1].amin(1)
    zero = torch.zeros_like(top)
    kinds = ("ponytail", "bun", "cap")
    centres = {
        "ponytail": torch.stack((zero, back + 0.025, top - 0.20), 1),
        "bun": torch.stack((zero, back + 0.015, top - 0.07), 1),
        "cap": torch.stack((zero, front - 0.015, top - 0.065), 1),
    }
    sizes = {
        "ponytail": (0.032, 0.035, 0.13),
        "bun": (0.04, 0.035, 0.04),
        "cap": (0.068, 0.075, 0.010),
    }
    centre, size = head.clone(), torch.full((len(people), 3), 0.01)
    for i, person in enumerate(people):
        if person.hair in kinds:
            centre[i] = centres[person.hair][i]
            size[i] = torch.tensor(sizes[person.hair])
    ring, step = _blob(centre, size, 0.9)
    weights = _on_bones(anatomy, ring, {"head": 1.0})
    return _part(ring, weights, step, column(people, lambda p: p.hair in kinds))


def bag(body: Body, anatomy: Anatomy, people: Sequence[Identity]) -> Part:
    """A backpack, or a bag that hangs from a shoulder to the hip or to the waist."""
    marks = body.marks
    chest = anatomy.shares["arm"] < 0.3
    chest = chest & (anatomy.shares["head"] < 0.3)
    middle = marks["hip"] + 0.62 * (marks["shoulder"] - marks["hip"])
    near = (body.rest[..., 2] - middle[:, None]).abs() < 0.12
    back = torch.where(chest & near, body.rest[..., 1], -1.0).amax(1)
    bones = {
        "backpack": {"spine02": 0.5, "spine01": 0.5},
        "shoulder": {"root": 1.0},
        "tote": {"spine04": 0.5, "spine03": 0.5},
    }
    centre = body.heads[:, anatomy.bone("root")].clone()
    size = torch.full((len(people), 3), 0.01)
    weights = []
    for i, person in enumerate(people):
        scale, ease = person.bag_size, person.upper.ease
        if person.bag == "backpack":
            size[i] = scale * torch.tensor([0.145, 0.085, 0.215])
            y = float(back[i]) + ease + 0.75 * float(size[i, 1])
            centre[i] = torch.stack((torch.tensor(0.0), torch.tensor(y), middle[i] - 0.02))
        elif person.bag == "shoulder":
            size[i] = scale * torch.tensor([0.055, 0.15, 0.115])
            x = person.side * (0.20 + ease + person.upper.flare)
            centre[i] = torch.stack((torch.tensor(x), torch.tensor(0.03), marks["hip"][i] + 0.01))
        elif person.bag == "tote":  # under the arm, on short handles
            size[i] = scale * torch.tensor([0.05, 0.15, 0.15])
            x = person.side * (0.175 + ease)
            centre[i] = torch.stack((torch.tensor(x), torch.tensor(0.02), middle[i] - 0.13))
        weights.append(bones.get(person.bag, {"root": 1.0}))
    ring, step = _blob(centre, size, 0.35)
    rows = torch.stack([_on_bones(anatomy, ring[i], w) for i, w in enumerate(weights)])
    return _part(ring, rows, step, column(people, lambda p: p.bag != "none"))


def hood(body: Body, anatomy: Anatomy, people: Sequence[Identity]) -> Part:
    """A hood that lies on the back of the neck."""
    neck = body.heads[:, anatomy.bone("neck01")]
    ring, step = _blob(
        neck + torch.tensor([0.0, 0.075, -0.015]),
        torch.tensor([[0.125, 0.055, 0.075]]).expand(len(people), 3),
        0.9,
    )
    weights = _on_bones(anatomy, ring, {"spine01": 0.8, "neck01": 0.2})
    return _part(ring, weights, step, column(people, lambda p: p.upper.hood))


def _blob(centre: Tensor, size: Tensor, power: float) -> tuple[Tensor, Tensor]:
    """A superellipsoid about ``centre`` (B, 3) of half sizes ``size`` (B, 3) from top to bottom:
    power 1 is an ellipsoid, 0 a box. Returns rings and how far along they are."""
    levels, corners = BLOB
    step = torch.linspace(0, 1, levels)
    angle = (0.04 + 0.92 * step) * torch.pi
    up, out = angle.cos(), angle.sin()
    xy = rings.directions(corners)
    xy = xy.sign() * xy.abs() ** power
    up, out = up.sign() * up.abs() ** power, out**power
    unit = torch.cat(
        (out[:, None, None] * xy, up[:, None, None].expand(-1, corners, 1)), 2
    )
    return centre[:, None, None] + size[:, None, None] * unit, step


def _on_bones(anatomy: Anatomy, ring: Tensor, shares: dict[str, float]) -> Tensor:
    """Weights (..., J) that hang all of ``ring`` (..., 3) on a few bones."""
    row = torch.zeros(len(anatomy.labels))
    for label, share in shares.items():
        row[anatomy.bone(label)] = share
    return row.expand(*ring.shape[:-1], -1)


def _part(ring: Tensor, weights: Tensor, step: Tensor, worn: Tensor) -> Part:
    """Rings (B, L, K, 3) as a part; where it is not ``worn`` (B,) it shrinks to the pelvis."""
    levels, corners = ring.shape[1:3]
    around = (torch.arange(corners) / corners).expand(levels, -1)
    place = torch.stack((step[:, None].expand(-1, corners), around), 2)[None]
    place = place.expand(len(ring), -1, -1, -1)
    rest = rings.closed(ring) * (worn > 0)[:, None, None]
    ends = lambda t: torch.cat((t.flatten(1, 2), t[:, 0, :1], t[:, -1, :1]), 1)  # noqa: E731
    return Part(rest, ends(weights), ends(place))
