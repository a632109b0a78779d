"""Long hair, caps, hoods and bags as meshes round a body at rest, in the manner of garments.

Rest axes are x to the own left, y to the back, z up, metres.
Shapes: `B` people, `L` rings, `K` corners of a ring.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import rings
from .anatomy import Anatomy
from .identity import Identity
from .part import Body, Part, column, make_part, on_bones

HAIR = (9, 16)  # rings and corners
BLOB = (7, 12)


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
    # on the back it lies outside of the cloth and the hood
    out = column(people, lambda p: 0.035 + p.upper.ease + 0.05 * p.upper.hood)
    y = torch.maximum(y, ears[..., None]) + out[:, None, None] * under
    ring = torch.stack((x, y, z[..., None].expand_as(x)), 3)
    ring = ring + torch.cat((centre, torch.zeros_like(centre[:, :1])), 1)[:, None, None]
    weights = on_bones(anatomy, ring, {"head": 1.0})
    lower = on_bones(anatomy, ring, {"spine01": 0.7, "neck01": 0.3})
    fall = ((marks["head"][:, None] - z) / 0.12).clamp(0, 1)[..., None, None]
    weights = weights + fall * (lower - weights)
    return make_part(ring, weights, step, column(people, lambda p: p.hair in ("bob", "long")))


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
    weights = on_bones(anatomy, ring, {"head": 1.0})
    return make_part(ring, weights, step, column(people, lambda p: p.hair in kinds))


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
    rows = torch.stack([on_bones(anatomy, ring[i], w) for i, w in enumerate(weights)])
    return make_part(ring, rows, step, column(people, lambda p: p.bag != "none"))


def hood(body: Body, anatomy: Anatomy, people: Sequence[Identity]) -> Part:
    """A hood that lies on the back of the neck."""
    neck = body.heads[:, anatomy.bone("neck01")]
    ring, step = _blob(
        neck + torch.tensor([0.0, 0.075, -0.015]),
        torch.tensor([[0.125, 0.055, 0.075]]).expand(len(people), 3),
        0.9,
    )
    weights = on_bones(anatomy, ring, {"spine01": 0.8, "neck01": 0.2})
    return make_part(ring, weights, step, column(people, lambda p: p.upper.hood))


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
    unit = torch.cat((out[:, None, None] * xy, up[:, None, None].expand(-1, corners, 1)), 2)
    return centre[:, None, None] + size[:, None, None] * unit, step
