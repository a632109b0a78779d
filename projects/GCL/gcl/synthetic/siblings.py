"""People who are hard to tell apart: they share some of what they look like and wear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .identity import Identity, draw_identity

TRAITS = {
    "build": ("phenotype", "skin"),
    "hair": ("hair", "hair_colour", "hair_volume", "hat"),
    "upper": ("upper",),
    "lower": ("lower",),
    "shoes": ("shoe", "sole", "boot"),
    "bag": ("bag", "bag_colour", "bag_second", "bag_size", "side"),
}
"""Attributes of an Identity that are shared together."""

COLOURED = 0.5
"""How often a garment that is not shared has the colours of the other person's all the same."""


def sibling(rng: np.random.Generator, person: Identity) -> Identity:
    """Somebody of the same gender who shares two to four of :data:`TRAITS` with ``person``, perhaps
    the colours of another garment, and differs in at least two things that can be seen."""
    while True:
        other = draw_identity(rng)
        if _woman(other) != _woman(person):
            continue
        shared = rng.choice(list(TRAITS), rng.integers(2, 5), replace=False)
        other = replace(
            other, **{name: getattr(person, name) for trait in shared for name in TRAITS[trait]}
        )
        for garment in {"upper", "lower"} - {*shared}:
            if rng.random() < COLOURED:
                other = replace(other, **{garment: _dyed(other, person, garment)})
        other = _dressed(other)
        if len(differences(person, other)) >= 2:
            return other


def differences(one: Identity, other: Identity) -> list[str]:
    """What tells two people apart in a small picture, by name."""
    found = [name for name, look in _LOOKS.items() if look(one) != look(other)]
    for name, colour in _COLOURS.items():
        a, b = colour(one), colour(other)
        if a is not None and b is not None and np.abs(np.subtract(a, b)).max() > 0.2:
            found.append(f"colour of {name}")
    return found


# what can be seen, and is one thing or another
_LOOKS = {
    "bag": lambda p: p.bag,
    "hair": lambda p: p.hair in ("bob", "long", "ponytail"),
    "cap": lambda p: p.hair == "cap",
    "pattern": lambda p: p.upper.pattern,
    "sleeves": lambda p: p.upper.sleeve > 0.7,
    "opening": lambda p: p.upper.opening > 0,
    "coat": lambda p: p.upper.hem > 0.2,
    "hood": lambda p: p.upper.hood,
    "skirt": lambda p: p.lower.skirt,
    "legs": lambda p: p.lower.length > 0.9,
    "boots": lambda p: p.boot > 0,
}
_COLOURS = {
    "upper": lambda p: p.upper.colour,
    "inner": lambda p: p.upper.inner if p.upper.opening > 0 else None,
    "lower": lambda p: p.lower.colour,
    "shoes": lambda p: p.shoe,
    "hair": lambda p: p.hair_colour,
    "bag": lambda p: p.bag_colour if p.bag != "none" else None,
}


def _woman(person: Identity) -> bool:
    return person.phenotype["gender"] > 0.5


def _dyed(other: Identity, person: Identity, garment: str):
    """The garment of ``other`` in the colours of that of ``person``."""
    colours = getattr(person, garment)
    return replace(getattr(other, garment), colour=colours.colour, second=colours.second)


def _dressed(person: Identity) -> Identity:
    """With bare legs of one's own skin, and tucked in where the skirt came from elsewhere, as
    ``draw_identity`` has it."""
    upper, lower = person.upper, person.lower
    if min(lower.tights) > 0.15:  # no stockings
        lower = replace(lower, tights=person.skin)
    if lower.skirt and -0.06 < upper.hem < 0.1:
        upper = replace(upper, hem=-0.06, flare=0.0)
    return replace(person, upper=upper, lower=lower)
