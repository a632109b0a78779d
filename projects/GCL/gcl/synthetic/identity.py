"""Who is drawn: a body, its skin and hair, its clothes and what it carries.

Everything about a person that stays the same from picture to picture is an :class:`Identity`, drawn
by :func:`draw_identity` from one random generator. Colours are sRGB in [0, 1]; lengths are metres
unless they are named as a share. Shares of clothes and colours follow what people wear in streets:
mostly black, navy, grey, white and denim.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[float, float, float]

PATTERNS = ("plain", "stripes", "pinstripes", "check", "halves", "print", "flecks", "sleeves")
"""How a garment's two colours lie: the last is a body in one colour and sleeves in the other."""

HAIRS = ("cropped", "short", "bob", "long", "ponytail", "bun", "cap")

BAGS = ("none", "backpack", "shoulder", "tote")

TUCKED = -0.075
"""Hems that would end higher above the hips are tucked into what is worn below."""

_SHARES = {  # colour: how often it is worn above, below, on the feet and as a bag
    (0.075, 0.075, 0.085): (30, 40, 45, 45),
    (0.12, 0.15, 0.25): (16, 16, 5, 12),
    (0.26, 0.27, 0.29): (12, 12, 8, 10),
    (0.52, 0.53, 0.55): (11, 7, 9, 6),
    (0.87, 0.87, 0.86): (16, 2, 25, 2),
    (0.76, 0.69, 0.57): (6, 7, 2, 5),
    (0.44, 0.34, 0.25): (4, 3, 8, 8),
    (0.33, 0.35, 0.25): (4, 4, 0, 4),
    (0.42, 0.12, 0.16): (4, 1, 1, 3),
    (0.72, 0.16, 0.16): (4, 0, 1, 3),
    (0.62, 0.72, 0.84): (6, 1, 1, 1),
    (0.24, 0.38, 0.62): (5, 0, 1, 4),
    (0.82, 0.62, 0.20): (2, 0, 0, 1),
    (0.20, 0.42, 0.34): (3, 0, 0, 2),
    (0.82, 0.60, 0.64): (3, 0, 2, 2),
    (0.45, 0.36, 0.52): (2, 0, 0, 1),
    (0.20, 0.27, 0.39): (3, 14, 0, 0),  # dark denim
    (0.36, 0.46, 0.60): (3, 12, 0, 0),  # denim
    (0.58, 0.66, 0.75): (1, 5, 0, 0),  # washed denim
}
_PALETTE = np.array(list(_SHARES))
_WORN = dict(
    zip(("upper", "lower", "shoes", "bag"), np.array(list(_SHARES.values()), float).T, strict=True)
)
_SKINS = ((0.90, 0.72, 0.61), (0.83, 0.64, 0.51), (0.69, 0.50, 0.38), (0.50, 0.35, 0.26))
_HAIR_COLOURS = ((0.07, 0.06, 0.06), (0.17, 0.11, 0.08), (0.36, 0.24, 0.15), (0.66, 0.54, 0.36))


@dataclass(frozen=True)
class Upper:
    """What covers the trunk and arms.

    Attributes:
        colour, second: of the cloth and of its pattern.
        inner: of what is worn beneath, seen in the opening and at the neck.
        pattern: one of PATTERNS.
        pitch: width of one repeat of the pattern.
        ease: how far the cloth stands off the trunk.
        sleeve: share of the arm that is covered, shoulder 0, wrist 1.
        sleeve_ease: how far the cloth stands off the arm.
        hem: how far below the hip joints it ends; negative: above; below TUCKED: tucked in.
        flare: by how much the hem is wider than the hips.
        opening: half the width of the open front at the waist; 0: closed.
        collar: how far the neck is covered.
        hood: 0 or 1.
    """

    colour: Colour
    second: Colour
    inner: Colour
    pattern: str
    pitch: float
    ease: float
    sleeve: float
    sleeve_ease: float
    hem: float
    flare: float
    opening: float
    collar: float
    hood: float


@dataclass(frozen=True)
class Lower:
    """What covers the legs.

    Attributes:
        colour, second: of the cloth and of its pattern or side stripe.
        pattern: one of PATTERNS; "sleeves" is a stripe along the outer seam.
        pitch: width of one repeat of the pattern.
        skirt: whether it is one tube round both legs.
        length: share of the leg that is covered, hip 0, ankle 1.
        ease: how far the cloth stands off the thigh.
        flare: how much wider than the leg the hem is.
        tights: colour of bare legs below it: skin or stockings.
    """

    colour: Colour
    second: Colour
    pattern: str
    pitch: float
    skirt: bool
    length: float
    ease: float
    flare: float
    tights: Colour


@dataclass(frozen=True)
class Identity:
    """A person and what he or she wears on that day.

    Attributes:
        phenotype: of Anny: gender, age, muscle, weight, height, proportions in [0, 1].
        skin, hair_colour: colours.
        hair: one of HAIRS.
        hair_volume: how far the hair stands off the scalp.
        hat: colour of the cap, where ``hair`` is "cap".
        upper, lower: garments.
        shoe, sole: colours.
        boot: share of the shank that boots cover; 0: shoes.
        bag: one of BAGS.
        bag_colour, bag_second: of the bag and of its pocket.
        bag_size: 1 is usual.
        side: +1 or -1, the side on which the bag hangs: the own left or right.
        weave: seed of folds and prints.
    """

    phenotype: dict[str, float]
    skin: Colour
    hair_colour: Colour
    hair: str
    hair_volume: float
    hat: Colour
    upper: Upper
    lower: Lower
    shoe: Colour
    sole: Colour
    boot: float
    bag: str
    bag_colour: Colour
    bag_second: Colour
    bag_size: float
    side: int
    weave: int


def draw_identity(rng: np.random.Generator) -> Identity:
    """A person as they walk about in a city: the same state of ``rng`` gives the same person."""
    woman = bool(rng.random() < 0.5)
    skin = _tint(rng, _SKINS[rng.choice(4, p=(0.34, 0.36, 0.18, 0.12))], 0.03)
    upper, dress = _draw_upper(rng, woman)
    lower = _draw_lower(rng, woman, skin, upper if dress else None)
    if lower.skirt and upper.hem < 0.1:  # tucked in, or short
        upper = replace(upper, hem=min(upper.hem, -0.03) - 0.03, flare=0.0)
    bag = str(rng.choice(BAGS, p=(0.45, 0.27, 0.16, 0.12)))
    hairs = (0.02, 0.16, 0.16, 0.3, 0.22, 0.08, 0.06) if woman else (0.18, 0.7, 0, 0, 0.01, 0, 0.11)
    shoe = _worn(rng, "shoes")
    return Identity(
        phenotype={
            "gender": float(rng.uniform(0.82, 1) if woman else rng.uniform(0, 0.18)),
            "age": float(rng.uniform(0.6, 0.9)),
            "muscle": float(rng.uniform(0.35, 0.65)),
            "weight": float(np.clip(rng.normal(0.47, 0.13), 0.25, 0.85)),
            "height": float(rng.uniform(0.35, 0.65)),
            "proportions": float(rng.uniform(0.4, 0.8)),
        },
        skin=skin,
        hair_colour=_tint(rng, _HAIR_COLOURS[rng.choice(4, p=(0.5, 0.27, 0.15, 0.08))], 0.02),
        hair=str(rng.choice(HAIRS, p=hairs)),
        hair_volume=float(rng.uniform(0.012, 0.032)),
        hat=_worn(rng, "bag"),
        upper=upper,
        lower=lower,
        shoe=shoe,
        sole=_tint(rng, (0.85, 0.85, 0.83), 0.05) if rng.random() < 0.5 else _scaled(shoe, 0.6),
        boot=float(rng.uniform(0.25, 0.75)) if rng.random() < (0.2 if woman else 0.05) else 0.0,
        bag=bag,
        bag_colour=_worn(rng, "bag"),
        bag_second=_worn(rng, "bag"),
        bag_size=float(rng.uniform(0.85, 1.2)),
        side=int(rng.choice((-1, 1))),
        weave=int(rng.integers(2**31)),
    )


def _draw_upper(rng: np.random.Generator, woman: bool) -> tuple[Upper, bool]:
    """An upper garment, and whether it is a dress (then the skirt is cut from the same cloth)."""
    kinds = ("tee", "shirt", "sweater", "jacket", "padded", "coat", "dress")
    share = (
        (0.2, 0.13, 0.19, 0.2, 0.09, 0.1, 0.09) if woman else (0.2, 0.2, 0.2, 0.24, 0.1, 0.06, 0)
    )
    kind = str(rng.choice(kinds, p=share))
    # of each kind: ease, sleeve ease, hem and flare from the first to the second number
    ease, sleeve_ease, hem, flare = {
        "tee": ((0.008, 0.03), (0.008, 0.022), (-0.06, 0.05), (0.0, 0.03)),
        "shirt": ((0.012, 0.035), (0.010, 0.020), (-0.04, 0.06), (0.0, 0.03)),
        "sweater": ((0.018, 0.045), (0.014, 0.028), (-0.04, 0.05), (-0.01, 0.02)),
        "jacket": ((0.022, 0.045), (0.016, 0.028), (-0.05, 0.10), (0.01, 0.04)),
        "padded": ((0.040, 0.065), (0.028, 0.042), (-0.05, 0.15), (0.0, 0.03)),
        "coat": ((0.025, 0.045), (0.016, 0.028), (0.22, 0.52), (0.03, 0.10)),
        "dress": ((0.006, 0.02), (0.004, 0.016), (-0.10, -0.08), (0.0, 0.0)),
    }[kind]
    short = rng.random() < {"tee": 0.85, "dress": 0.5, "shirt": 0.25}.get(kind, 0)
    patterns = {
        "tee": (0.5, 0.12, 0.0, 0.0, 0.04, 0.24, 0.04, 0.06),
        "shirt": (0.5, 0.05, 0.15, 0.25, 0.0, 0.0, 0.05, 0.0),
        "sweater": (0.55, 0.12, 0.0, 0.04, 0.08, 0.12, 0.03, 0.06),
        "dress": (0.55, 0.1, 0.03, 0.08, 0.0, 0.0, 0.24, 0.0),
    }.get(kind, (0.76, 0.0, 0.02, 0.05, 0.08, 0.0, 0.01, 0.08))
    opens = kind in ("jacket", "padded", "coat") and rng.random() < 0.5
    garment = Upper(
        colour=_worn(rng, "upper"),
        second=_worn(rng, "upper"),
        inner=_worn(rng, "upper"),
        pattern=str(rng.choice(PATTERNS, p=patterns)),
        pitch=float(rng.uniform(0.05, 0.12)),
        ease=float(rng.uniform(*ease)),
        sleeve=float(rng.uniform(0.3, 0.55) if short else rng.uniform(0.94, 1.02)),
        sleeve_ease=float(rng.uniform(*sleeve_ease)),
        hem=float(rng.uniform(*hem)),
        flare=float(rng.uniform(*flare)),
        opening=float(rng.uniform(0.03, 0.11)) if opens else 0.0,
        collar=float(rng.uniform(0.02, 0.05) if kind in ("padded", "coat") else 0.0),
        hood=float(kind in ("sweater", "jacket", "padded") and rng.random() < 0.35),
    )
    return garment, kind == "dress"


def _draw_lower(rng: np.random.Generator, woman: bool, skin: Colour, dress: Upper | None) -> Lower:
    skirt = dress is not None or (woman and rng.random() < 0.16)
    shorts = not skirt and rng.random() < 0.12
    fit = rng.choice(3, p=(0.45, 0.4, 0.15) if woman else (0.2, 0.6, 0.2))
    ease, flare = (((0.004, 0.01), (0.0, 0.01)), ((0.012, 0.022), (0.015, 0.03)),
                   ((0.018, 0.028), (0.03, 0.05)))[fit]  # fmt: skip
    pattern = str(rng.choice(PATTERNS, p=(0.84, 0, 0.02, 0.03, 0, 0, 0.03, 0.08)))
    colour, second = _worn(rng, "lower"), _worn(rng, "upper")
    pitch = float(rng.uniform(0.05, 0.1))
    if dress is not None:
        colour, second, pattern, pitch = dress.colour, dress.second, dress.pattern, dress.pitch
    elif skirt:
        colour = _worn(rng, "upper")
    stockings = skirt and rng.random() < 0.45
    return Lower(
        colour=colour,
        second=second,
        pattern=pattern,
        pitch=pitch,
        skirt=skirt,
        length=float(
            rng.uniform(0.36, 0.85)
            if skirt
            else rng.uniform(0.38, 0.54)
            if shorts
            else rng.uniform(0.93, 1.0)
        ),
        ease=float(rng.uniform(0.02, 0.035) if shorts else rng.uniform(*ease)),
        flare=float(rng.uniform(0.02, 0.16) if skirt else 0.03 if shorts else rng.uniform(*flare)),
        tights=_tint(rng, (0.09, 0.09, 0.1), 0.02) if stockings else skin,
    )


def _worn(rng: np.random.Generator, where: str) -> Colour:
    """A colour as it is worn ``where``: "upper", "lower", "shoes" or "bag"."""
    share = _WORN[where]
    return _tint(rng, _PALETTE[rng.choice(len(_PALETTE), p=share / share.sum())], 0.035)


def _tint(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """``colour`` made lighter or darker, and a little different in each channel; dark colours less,
    in which a small difference is another hue."""
    colour = np.asarray(colour)
    different = rng.normal(0, spread, 3) * (0.25 + colour)
    colour = colour * rng.uniform(0.85, 1.12) + different + rng.uniform(-0.02, 0.03)
    return tuple(float(c) for c in np.clip(colour, 0.03, 0.95))


def _scaled(colour: Colour, factor: float) -> Colour:
    return tuple(factor * c for c in colour)
