"""Colours of a figure where a camera sees it: skin, hair, cloth with creases, bags.

Numbers are float32 throughout. Shapes: `P` pixels of a figure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gcl.structure.compiled import jit

from .figure import PARTS
from .identity import BAGS, TUCKED, Colour, Identity
from .patterns import Spot, second_share

_F = np.float32
_BODY, _TAIL, _SKIRT, _LEFT_LEG, _RIGHT_LEG, _LEFT_SHOE, _RIGHT_SHOE, _HAIR, _KNOT, _BAG, _HOOD = (
    range(len(PARTS))
)
_NO_BAG, _BACKPACK, _SHOULDER_BAG, _TOTE = range(len(BAGS))


class _Wear(NamedTuple):
    """What a person's colours go by: heights at rest in metres, and colours."""

    hip: float
    waist: float  # of the body
    shoulder: float
    top: float
    nose: float
    border: float  # between what is worn above and below
    belt: float  # from here to the border, where one is worn
    collar: float  # where the cloth of the trunk ends
    trousers: float  # down to here, trousers may peep out
    shaft: float  # of boots
    sole: float
    sleeve: float  # share of the arm
    opening: float
    notch: bool
    zipped: bool
    side_stripe: bool
    cap: bool
    bag: int
    pocket: bool
    side: float
    strap: float  # how far the strap of a shoulder bag goes to the other side
    skin: Colour
    hair: Colour
    hat: Colour
    upper: Colour
    upper_pattern: Colour  # what the second colour adds to the first
    inner: Colour
    lower: Colour
    lower_pattern: Colour
    lower_second: Colour
    tights: Colour
    shoe: Colour
    shoe_sole: Colour
    bag_first: Colour
    bag_second: Colour


def albedo(person: Identity, spot: Spot) -> tuple[np.ndarray, np.ndarray]:
    """(3, P) colour of each pixel before light, and (P,) how much its cloth creases."""
    arm = (spot.part == _BODY) & (spot.shares["arm"] > 0.5)
    legs = (spot.part == _LEFT_LEG) | (spot.part == _RIGHT_LEG)
    upper = second_share(person.upper, person.weave, spot, arm)
    lower = second_share(person.lower, person.weave, spot, legs)
    shares = (spot.shares[name] for name in ("arm", "hand", "head", "foot"))
    return _albedo(_wear(person, spot.heights), spot.part, spot.rest, spot.place, *shares,
                   upper, lower)  # fmt: skip


def _wear(person: Identity, h: dict[str, np.float32]) -> _Wear:
    hem, collar, boot = _F(person.upper.hem), _F(person.upper.collar), _F(person.boot)
    length = _F(0.1 if person.lower.skirt else person.lower.length)
    tucked = bool(hem <= _F(TUCKED))
    border = h["waist"] - _F(0.03) if tucked else h["hip"] + _F(0.01) + max(-hem, _F(0))
    return _Wear(
        hip=h["hip"],
        waist=h["waist"],
        shoulder=h["shoulder"],
        top=h["top"],
        nose=h["nose"],
        border=border,
        belt=border - _F(0.035) if tucked and person.weave % 2 else _F(np.inf),
        collar=h["neck"] + _F(0.015) + collar,
        trousers=h["hip"] - length * _F(0.9) * (h["hip"] - h["sole"]),
        shaft=h["ankle"] + boot * (h["knee"] - h["ankle"]) if person.boot > 0 else _F(-np.inf),
        sole=h["sole"] + _F(0.012),
        sleeve=_F(person.upper.sleeve),
        opening=_F(person.upper.opening),
        notch=bool(person.weave % 5 < 2),
        zipped=bool(person.weave % 3 == 0),
        side_stripe=person.lower.pattern == "sleeves",
        cap=person.hair == "cap",
        bag=BAGS.index(person.bag),
        pocket=bool(person.weave % 4 < 2),
        side=_F(person.side),
        strap=_F(0.04) + _F(0.2) * _F(person.weave % 2),
        skin=_rgb(person.skin),
        hair=_rgb(person.hair_colour),
        hat=_rgb(person.hat),
        upper=_rgb(person.upper.colour),
        upper_pattern=_added(person.upper.colour, person.upper.second),
        inner=_rgb(person.upper.inner),
        lower=_rgb(person.lower.colour),
        lower_pattern=_added(person.lower.colour, person.lower.second),
        lower_second=_rgb(person.lower.second),
        tights=_rgb(person.lower.tights),
        shoe=_rgb(person.shoe),
        shoe_sole=_rgb(person.sole),
        bag_first=_rgb(person.bag_colour),
        bag_second=_rgb(person.bag_second),
    )


def _rgb(colour: Colour) -> tuple[np.float32, ...]:
    return tuple(map(_F, colour))


def _added(first: Colour, second: Colour) -> tuple[np.float32, ...]:
    return tuple(_F(b) - _F(a) for a, b in zip(first, second, strict=True))


@jit
def _albedo(wear, parts, rest, place, arms, hands, heads, feet, upper_share, lower_share):
    count = len(parts)
    colours, creases = np.empty((3, count), np.float32), np.empty(count, np.float32)
    for p in range(count):
        x, y, z, part = rest[0, p], rest[1, p], rest[2, p], parts[p]
        body = part == _BODY
        arm = body and arms[p] > _F(0.5)
        hand = arm and hands[p] > _F(0.5)
        head = body and heads[p] > _F(0.5)
        legs = body and not arm and z <= wear.border
        trunk = body and not arm and z > wear.border and z < wear.collar + _F(0.25) * y
        hips = legs and z > wear.trousers
        leg = part == _LEFT_LEG or part == _RIGHT_LEG
        pants = part == _SKIRT or leg
        sleeve = arm and not hand and place[0, p] < wear.sleeve
        hair = part == _HAIR or part == _KNOT

        upper = _more(wear.upper, wear.upper_pattern, upper_share[p])
        if (part == _TAIL or (body and not arm and not head)) and y < 0:
            upper = _front(wear, x, z, upper)
        lower = _more(wear.lower, wear.lower_pattern, lower_share[p])
        if wear.side_stripe and leg and _on_seam(part, place[1, p]):
            lower = wear.lower_second

        colour = wear.skin
        if legs:
            colour = wear.tights
        if hips:  # what may peep out between trousers is trousers too
            colour = lower
        if legs and z > wear.belt:
            colour = (_F(0.12), _F(0.12), _F(0.12))
        if (body and feet[p] > _F(0.5)) or (legs and z < wear.shaft):
            colour = wear.shoe
        if trunk or sleeve:
            colour = upper
        if head:
            colour = _face(wear, x, y, z, colour)
        if part == _TAIL:
            colour = upper
        elif part == _HOOD:
            colour = _times(upper, _F(0.92))
        elif pants:
            colour = lower
        elif part == _LEFT_SHOE or part == _RIGHT_SHOE:
            colour = wear.shoe_sole if z < wear.sole else wear.shoe
        elif hair:
            colour = wear.hat if wear.cap and part == _KNOT else wear.hair
        if wear.bag != _NO_BAG:
            if part == _BAG:
                colour = _bag(wear, y, place[0, p])
            elif (trunk or part == _TAIL) and _strapped(wear, x, z):
                colour = _times(wear.bag_first, _F(0.85))

        for c in range(3):
            colours[c, p] = colour[c]
        creases[p] = 0
        if trunk or sleeve or part == _TAIL:
            creases[p] = 1
        elif pants or hips:
            creases[p] = _F(0.9)
        elif hair:
            creases[p] = _F(0.5)
    return colours, creases


@jit
def _more(colour, added, share):
    return colour[0] + share * added[0], colour[1] + share * added[1], colour[2] + share * added[2]


@jit
def _times(colour, factor):
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


@jit
def _on_seam(part, turn):
    """The outer seam of sports trousers."""
    out = turn if part == _LEFT_LEG else turn - _F(0.5)
    return abs(out - np.rint(out)) < _F(0.045)


@jit
def _front(wear, x, z, colour):
    """An open front, a zip or a row of buttons, and what shows at the neck."""
    if wear.opening > 0:
        up = (z - wear.waist) / (wear.shoulder - wear.waist)
        up = min(max(up, _F(-1)), _F(1))
        width = wear.opening * (_F(1) - _F(0.45) * max(up, _F(0)))
        width = width * (_F(1) + _F(0.3) * max(-up, _F(0)))
        if abs(x) < width:
            colour = wear.inner
        return _times(colour, _F(0.7)) if abs(abs(x) - width) < _F(0.008) else colour
    if wear.notch:  # of the shirt below: jackets, cardigans, shirts with an open button
        low = wear.shoulder - _F(0.04)
        if abs(x) < _F(0.9) * (z - wear.shoulder + _F(0.04)) and z > low:
            colour = wear.inner
    if wear.zipped and abs(x) < _F(0.008):
        colour = _times(colour, _F(0.72))
    return colour


@jit
def _face(wear, x, y, z, colour):
    """Hair or cap, brows, eyes and mouth: a dark smudge each at this size."""
    top, nose, aside = wear.top, wear.nose, abs(x)
    if y < nose - _F(0.03):
        eyes = z - (top - _F(0.118))
        if abs(aside - _F(0.032)) < _F(0.017) and abs(eyes) < _F(0.007):
            colour = _times(colour, _F(0.25))
        if abs(aside - _F(0.033)) < _F(0.021) and abs(eyes - _F(0.018)) < _F(0.005):
            colour = _more(_times(colour, _F(0.4)), wear.hair, _F(0.5))
        if aside < _F(0.024) and abs(z - top + _F(0.187)) < _F(0.006):
            colour = colour[0] * _F(0.72), colour[1] * _F(0.5), colour[2] * _F(0.5)
    temples = min(max((aside - _F(0.03)) / _F(0.04), _F(0)), _F(1))
    if z > _hairline(y, nose, top) - _F(0.022) * temples:
        colour = wear.hair
    if wear.cap and z > top - _F(0.075) - (_F(0.03) if y > nose else _F(0)):
        colour = wear.hat
    return colour


@jit
def _hairline(y, nose, top):
    """:func:`.anatomy.hairline` of one point."""
    back = min(max((y - (nose - _F(0.06))) / _F(0.13), _F(0)), _F(1))
    return top - _F(0.055) - _F(0.135) * back


@jit
def _bag(wear, y, along):
    """The bag with its lid, and its pocket."""
    if abs(along - _F(0.32)) < _F(0.035):
        return _times(wear.bag_first, _F(0.6))
    pocket = wear.bag == _BACKPACK and wear.pocket and y > _F(0.05)
    return wear.bag_second if pocket and _F(0.5) < along < _F(0.83) else wear.bag_first


@jit
def _strapped(wear, x, z):
    """Where the straps of a bag lie on the trunk."""
    high = z > wear.hip + _F(0.45) * (wear.shoulder - wear.hip)
    if wear.bag == _BACKPACK:
        return high and abs(abs(x) - _F(0.105)) < _F(0.026)
    if wear.bag == _SHOULDER_BAG:
        # from the bag at the hip up to the same shoulder, or across the chest to the other one
        up = (z - wear.hip) / (wear.shoulder - wear.hip)
        line = wear.side * (_F(0.16) - wear.strap * up)
        return z > wear.hip - _F(0.02) and abs(x - line) < _F(0.016)
    return high and abs(x - wear.side * _F(0.13)) < _F(0.014)  # the handle of a tote
