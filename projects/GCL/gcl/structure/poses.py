"""Poses of pedestrians, for any body model: rotations of named body parts from a neutral stance.

Shapes: `B` people, `P` = len(PARTS).

A pose says how each part is turned against its parent part, in axes that are those of camera space
while the person stands neutrally facing the camera (x to the person's left, y down, z to the back):
upright, arms hanging, legs straight. So the identity everywhere is a person who stands, and a body
model only has to know how its own rest pose differs from that (see :mod:`gcl.structure.skeleton`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_SIDED = (
    "collar",
    "upper_arm",
    "forearm",
    "hand",
    "fingers",
    "thumb",
    "thigh",
    "shin",
    "foot",
    "toes",
)
PARTS = ("pelvis", "spine", "chest", "neck", "head") + tuple(
    f"{part}_{side}" for side in ("left", "right") for part in _SIDED
)
"""Body parts, parents first. `fingers` bends every joint of four fingers by the same rotation."""

ACTIVITIES = ("walk", "stand", "carry", "phone", "turn")


class Pose(NamedTuple):
    """Attributes:
    rotations: (B, P, 3, 3) rotation of each part against its parent, neutral axes.
    activity: (B,) int64 index into ACTIVITIES.
    phase: (B,) share of the gait cycle that has passed since the left heel touched down.
    """

    rotations: Tensor
    activity: Tensor
    phase: Tensor


def neutral_pose(batch: int) -> Pose:
    """`batch` people who stand still with hanging arms."""
    return Pose(
        torch.eye(3).repeat(batch, len(PARTS), 1, 1),
        torch.full((batch,), ACTIVITIES.index("stand")),
        torch.zeros(batch),
    )


def sample_pose(
    batch: int, generator: torch.Generator, activity: str | Tensor | None = None
) -> Pose:
    """Draw poses as street cameras see them.

    Args:
        batch: number of people, may be 0.
        generator: the only source of chance; on the CPU, so that a seed means the same everywhere.
        activity: one of ACTIVITIES for all, (B,) indices into them, or None: drawn, mostly walking.

    Returns:
        Pose on the CPU. The first n poses of a batch do not depend on its size.

    Raises:
        ValueError: unknown activity.
    """
    return _pose(torch.rand(batch, _DRAWS, generator=generator), activity)


def sample_each(generators: Sequence[torch.Generator]) -> Pose:
    """A pose from each of B generators, what ``sample_pose(1, generator)`` draws: a batch of them
    takes the time of a few."""
    rows = [torch.rand(1, _DRAWS, generator=generator) for generator in generators]
    return _pose(torch.cat(rows), None)


def _pose(table: Tensor, activity: str | Tensor | None) -> Pose:
    """Of uniform numbers (B, _DRAWS)."""
    batch, chance = len(table), _Chance(table)
    kind = _activity(batch, activity, chance)
    phase = chance.between(0, 1)
    angles = _Angles(batch)
    walking = _either(kind, "walk", "carry", "turn") | (
        _either(kind, "phone") & (chance.between(0, 1) < 0.6)
    )
    _posture(angles, chance)
    _legs(angles, chance, phase, walking)
    _arms(angles, chance, phase, walking)
    _load(angles, chance, _either(kind, "carry"))
    _telephone(angles, chance, _either(kind, "phone"))
    _twist(angles, chance, _either(kind, "turn"))
    return Pose(angles.rotations(), kind, phase)


_DRAWS = 96
_SHARES = (0.55, 0.15, 0.14, 0.1, 0.06)


class _Chance:
    """Hands out columns of a table of uniform numbers: every person uses the same columns,
    whatever they do, so that no draw moves another."""

    def __init__(self, table: Tensor) -> None:
        self.table, self.used = table, 0

    def between(self, low: float, high: float) -> Tensor:
        """(B,) uniform."""
        self.used += 1
        return low + (high - low) * self.table[:, self.used - 1]

    def around(self, middle: float, spread: float) -> Tensor:
        """(B,) bell-shaped about `middle`, never further than 2.5 `spread` away."""
        self.used += 1
        u = (self.table[:, self.used - 1] * 2 - 1) * 0.98758
        return middle + spread * math.sqrt(2) * torch.erfinv(u)

    def coin(self, share: float = 0.5) -> Tensor:
        return self.between(0, 1) < share


class _Angles:
    """Degrees about anatomical axes, added up; turned into rotations at the end.

    forward: of a limb, its end swings to the front; of the trunk and head, it bends to the front.
    outward: of a limb, its end swings away from the middle; of the trunk and head, to the left.
    inward: twist; of a limb, its front turns to the middle; of the trunk and head, to the left.
    """

    def __init__(self, batch: int) -> None:
        self.value = {
            way: torch.zeros(batch, len(PARTS)) for way in ("forward", "outward", "inward")
        }

    def add(self, part: str, where: Tensor | None = None, **degrees: Tensor | float) -> None:
        for way, angle in degrees.items():
            column = self.value[way][:, PARTS.index(part)]
            angle = torch.as_tensor(angle).expand_as(column)
            column += angle if where is None else torch.where(where, angle, 0.0)

    def put(self, part: str, where: Tensor, **degrees: Tensor | float) -> None:
        """Replace, all three ways, where `where` (B,)."""
        for way, value in self.value.items():
            column = value[:, PARTS.index(part)]
            column.copy_(torch.where(where, torch.as_tensor(degrees.get(way, 0.0)), column))

    def rotations(self) -> Tensor:
        """(B, P, 3, 3): twist first, then sideways, then forward."""
        limb = torch.tensor([-1.0 if "_" in part else 1.0 for part in PARTS])
        side = torch.tensor([-1.0 if part.endswith("_left") else 1.0 for part in PARTS])
        trunk = torch.tensor([0.0 if "_" in part else 1.0 for part in PARTS])
        forward = rotation("x", self.value["forward"] * limb)
        outward = rotation("z", self.value["outward"] * torch.where(trunk > 0, 1.0, side))
        inward = rotation("y", self.value["inward"] * torch.where(trunk > 0, -1.0, -side))
        return forward @ outward @ inward


def rotation(axis: str, degrees: Tensor) -> Tensor:
    """(...) degrees -> (..., 3, 3) right-handed rotations about x, y or z."""
    angle = degrees * (math.pi / 180)
    c, s = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    rows = {
        "x": (one, zero, zero, zero, c, -s, zero, s, c),
        "y": (c, zero, s, zero, one, zero, -s, zero, c),
        "z": (c, -s, zero, s, c, zero, zero, zero, one),
    }[axis]
    return torch.stack(rows, -1).view(*angle.shape, 3, 3)


def _activity(batch: int, activity: str | Tensor | None, chance: _Chance) -> Tensor:
    drawn = chance.between(0, 1)
    if isinstance(activity, str):
        if activity not in ACTIVITIES:
            raise ValueError(f"activity must be one of {', '.join(ACTIVITIES)}; it is {activity}.")
        return torch.full((batch,), ACTIVITIES.index(activity))
    if activity is not None:
        if not bool(((activity >= 0) & (activity < len(ACTIVITIES))).all()):
            raise ValueError(f"activity must be indices of {', '.join(ACTIVITIES)}.")
        return activity.long().expand(batch)
    return torch.bucketize(drawn, torch.tensor(_SHARES).cumsum(0)[:-1])


def _either(kind: Tensor, *names: str) -> Tensor:
    return torch.isin(kind, torch.tensor([ACTIVITIES.index(name) for name in names]))


def _bump(phase: Tensor, middle: float, width: float) -> Tensor:
    """1 at `middle` of the cycle, falling to 1/e `width` before and after it; periodic."""
    sharpness = 1 / (1 - math.cos(2 * math.pi * width))
    return torch.exp(sharpness * (torch.cos(2 * math.pi * (phase - middle)) - 1))


def _posture(angles: _Angles, chance: _Chance) -> None:
    angles.add("spine", forward=chance.around(2, 2), outward=chance.around(0, 1))
    angles.add("chest", forward=chance.around(2, 3), outward=chance.around(0, 1))
    angles.add("neck", forward=chance.around(4, 4), inward=chance.around(0, 6))
    angles.add("head", forward=chance.around(0, 6), inward=chance.around(0, 12))
    angles.add("head", outward=chance.around(0, 2.5))
    for side in ("left", "right"):
        angles.add(f"collar_{side}", outward=chance.around(0, 2), forward=chance.around(0, 2))


def _legs(angles: _Angles, chance: _Chance, phase: Tensor, walking: Tensor) -> None:
    """A gait cycle: heel strike at 0, toe-off near 0.6, swing after it; the other leg is half a
    cycle off. Amplitudes are those of ordinary walking (hip about +-22 degrees, knee about 60 in
    swing)."""
    stride = chance.around(1.0, 0.15)
    twist = 4 * stride * torch.cos(2 * math.pi * phase)
    angles.add("pelvis", walking, inward=-twist)
    angles.add("chest", walking, inward=2 * twist)
    weight_on_left = chance.coin()
    slack = chance.between(0, 1)
    for side, shift in (("left", 0.0), ("right", 0.5)):
        p = phase + shift
        swing = torch.cos(2 * math.pi * p)
        hip = 6 + 21 * stride * swing + 8 * stride * _bump(p, 0.82, 0.12)
        knee = 4 + stride * (13 * _bump(p, 0.14, 0.09) + 56 * _bump(p, 0.73, 0.12))
        heel = 10 * _bump(p, 0.98, 0.08) - 16 * _bump(p, 0.62, 0.08) + 4 * _bump(p, 0.4, 0.15)
        angles.add(f"thigh_{side}", walking, forward=hip)
        angles.add(f"shin_{side}", walking, forward=-knee)
        angles.add(f"foot_{side}", walking, forward=heel * stride)
        angles.add(f"toes_{side}", walking, forward=22 * stride * _bump(p, 0.56, 0.08))
        # standing: one leg bears, the other is a little bent and further out
        free = ~walking & (weight_on_left if side == "right" else ~weight_on_left)
        angles.add(f"thigh_{side}", free, forward=14 * slack, outward=5 * slack)
        angles.add(f"shin_{side}", free, forward=-20 * slack)
        angles.add(f"foot_{side}", free, forward=6 * slack)
        angles.add(f"thigh_{side}", outward=chance.around(1, 1.5), inward=chance.around(-5, 4))


def _arms(angles: _Angles, chance: _Chance, phase: Tensor, walking: Tensor) -> None:
    """Arms swing against the legs; the elbow bends more in front."""
    vigour = chance.between(0.3, 1.2)
    for side, shift in (("left", 0.5), ("right", 0.0)):
        swing = torch.cos(2 * math.pi * (phase + shift)) * vigour
        angles.add(f"upper_arm_{side}", walking, forward=-2 + 19 * swing)
        angles.add(f"forearm_{side}", walking, forward=6 + 11 * (swing + vigour))
        angles.add(f"upper_arm_{side}", outward=chance.around(2, 2.5), inward=chance.around(5, 6))
        angles.add(f"upper_arm_{side}", forward=chance.around(0, 3))
        angles.add(f"forearm_{side}", forward=chance.around(14, 6), inward=chance.around(10, 8))
        angles.add(f"hand_{side}", forward=chance.around(0, 6), outward=chance.around(-4, 5))
        angles.add(f"fingers_{side}", outward=-chance.between(12, 38))
        angles.add(f"thumb_{side}", outward=chance.around(-8, 4))


def _load(angles: _Angles, chance: _Chance, carrying: Tensor) -> None:
    """A bag in one hand, something held before the body, or a hand at a shoulder strap."""
    manner = chance.between(0, 1)
    left = chance.coin()
    bag, box = carrying & (manner < 0.4), carrying & (manner >= 0.4) & (manner < 0.7)
    strap = carrying & (manner >= 0.7)
    swing, lift, bend = chance.around(2, 3), chance.around(22, 6), chance.around(82, 12)
    angles.add("spine", bag, outward=torch.where(left, -3.0, 3.0))
    for side, chosen in (("left", left), ("right", ~left)):
        one = bag & chosen
        angles.put(f"upper_arm_{side}", one, forward=swing, outward=4.0)
        angles.put(f"forearm_{side}", one, forward=5.0)
        angles.put(f"fingers_{side}", one | box, outward=-62.0)
        angles.put(f"upper_arm_{side}", box, forward=lift, outward=4.0, inward=12.0)
        angles.put(f"forearm_{side}", box, forward=bend, outward=-14.0)
        one = strap & chosen
        angles.put(f"upper_arm_{side}", one, forward=2.0 + swing, outward=16.0, inward=24.0)
        angles.put(f"forearm_{side}", one, forward=136.0 + swing, outward=-6.0)
        angles.put(f"fingers_{side}", one, outward=-55.0)


def _telephone(angles: _Angles, chance: _Chance, phoning: Tensor) -> None:
    """At the ear, or held before the chest with the head bent over it."""
    calling, left = chance.coin(0.45), chance.coin(0.35)
    lift, bend = chance.around(0, 4), chance.around(0, 5)
    reading = phoning & ~calling
    angles.add("neck", reading, forward=14 + bend)
    angles.add("head", reading, forward=16 + bend)
    for side, chosen in (("left", left), ("right", ~left)):
        one = phoning & calling & chosen
        angles.put(f"upper_arm_{side}", one, forward=73 + lift, outward=13.0, inward=36.0)
        angles.put(f"forearm_{side}", one, forward=144 + lift / 2, outward=-8.0)
        angles.put(f"hand_{side}", one, forward=8.0)
        angles.put(f"fingers_{side}", phoning & chosen, outward=-38.0)
        one = reading & chosen
        angles.put(f"upper_arm_{side}", one, forward=26 + lift, outward=4.0, inward=20.0)
        angles.put(f"forearm_{side}", one, forward=98 + bend, outward=-14.0)


def _twist(angles: _Angles, chance: _Chance, turning: Tensor) -> None:
    """A look over the shoulder, the trunk going along."""
    side = torch.where(chance.coin(), 1.0, -1.0)
    far = chance.between(0.5, 1.0) * side
    for part, degrees in (("spine", 10), ("chest", 16), ("neck", 18), ("head", 34)):
        angles.add(part, turning, inward=degrees * far)
