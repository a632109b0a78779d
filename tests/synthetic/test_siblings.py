"""Siblings: what they share, that they can be told apart, and that they are dressed."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from gcl.synthetic.identity import draw_identity
from gcl.synthetic.siblings import TRAITS, differences, sibling


@pytest.fixture(scope="module")
def pairs() -> list[tuple]:
    """300 people, each with a sibling."""
    found = []
    for i in range(300):
        rng = np.random.default_rng((5, i))
        person = draw_identity(rng)
        found.append((person, sibling(rng, person)))
    return found


def shared(one, other) -> set[str]:
    """Traits that are the same, but for what dressing changes."""

    def look(person, name):
        value = copy.deepcopy(getattr(person, name))
        if name == "upper":
            return replace(value, hem=0, flare=0)
        return replace(value, tights=(0, 0, 0)) if name == "lower" else value

    return {
        trait
        for trait, names in TRAITS.items()
        if all(look(one, name) == look(other, name) for name in names)
    }


def test_two_to_four_traits_are_shared_and_each_of_them_by_some(pairs):
    counts = [shared(*pair) for pair in pairs]
    assert {len(traits) for traits in counts} == {2, 3, 4}
    for trait in TRAITS:
        share = sum(trait in traits for traits in counts) / len(counts)
        assert 0.25 < share < 0.75, trait


def test_strangers_share_nothing(pairs):
    assert not any(shared(a, b) for (a, _), (b, _) in zip(pairs, pairs[1:], strict=False))


def test_they_are_told_apart_by_two_things_and_are_of_one_gender(pairs):
    for person, other in pairs:
        assert len(differences(person, other)) >= 2
        women = [p.phenotype["gender"] > 0.5 for p in (person, other)]
        assert women[0] == women[1]
        assert person.weave != other.weave  # other folds and prints


def test_some_garments_are_of_another_cut_in_the_same_colours(pairs):
    for name in ("upper", "lower"):
        other_cut = [
            (getattr(a, name), getattr(b, name)) for a, b in pairs if name not in shared(a, b)
        ]
        dyed = sum(a.colour == b.colour and a.second == b.second for a, b in other_cut)
        assert 0.35 < dyed / len(other_cut) < 0.65


def test_bare_legs_are_of_ones_own_skin_and_tops_do_not_hang_over_skirts(pairs):
    bare = 0
    for _, person in pairs:
        if min(person.lower.tights) > 0.15:
            assert person.lower.tights == person.skin
            bare += person.lower.skirt
        if person.lower.skirt:
            assert person.upper.hem <= -0.06 or person.upper.hem >= 0.1
    assert bare > 5


def test_the_same_chance_gives_the_same_sibling():
    person = draw_identity(np.random.default_rng(1))
    one, two, three = (sibling(np.random.default_rng(seed), person) for seed in (2, 2, 3))
    assert one == two != three


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"bag": "tote"}, "bag"),
        ({"hair": "long"}, "hair"),
        ({"boot": 0.5}, "boots"),
        ({"shoe": (0.9, 0.1, 0.1)}, "colour of shoes"),
        ({"bag_colour": (0.9, 0.9, 0.9)}, None),  # of no bag
        ({"hair": "cropped"}, None),  # nearly the same as short
        ({"shoe": (0.2, 0.2, 0.2)}, None),
        ({"weave": 1}, None),
    ],
)
def test_what_is_seen(change, name):
    person = draw_identity(np.random.default_rng(0))
    plain = {"bag": "none", "hair": "short", "boot": 0.0, "shoe": (0.1, 0.1, 0.1)}
    person = replace(person, **plain, bag_colour=(0.1, 0.1, 0.1))
    other = replace(person, **change)
    assert differences(person, person) == []
    assert differences(person, other) == differences(other, person) == ([name] if name else [])
