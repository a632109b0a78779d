"""What names say by patterns with fields in braces."""

from __future__ import annotations

import re

import pytest

from gcl.name_pattern import NamePattern

FIELDS = {"camera": r"[^/]+", "frame": r"\d+"}


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("{camera}/{frame}", "gate/7", ("", {"camera": "gate", "frame": "7"})),
        ("{camera}/{frame}", "day 1/gate/7", ("day 1/", {"camera": "gate", "frame": "7"})),
        ("{camera}/{frame}", "gate/x7", None),
        ("{camera}/{frame}", "7", None),
        ("{camera}_{frame}", "front_gate_007", ("", {"camera": "front_gate", "frame": "007"})),
        ("{camera}_{}", "a/front_gate_7", ("a/", {"camera": "front_gate"})),
        ("c.{camera}", "cx1", None),  # a dot is a dot
        ("c[{camera}]", "c[1]", ("", {"camera": "1"})),
        ("größe/{camera}", "größe/人", ("", {"camera": "人"})),
        ("{camera}", "two\nlines", ("", {"camera": "two\nlines"})),
        ("{{{frame}}}", "{3}", ("", {"frame": "3"})),
    ],
)
def test_a_name_is_matched_from_its_end(pattern, name, found):
    assert NamePattern(pattern, FIELDS).match(name) == found


def test_fields_of_the_pattern():
    assert NamePattern("{camera}/{}", FIELDS).found == {"camera"}
    assert NamePattern("any", FIELDS).found == set()


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{person}", "fields are {camera} and {frame}, each at most once, and {} for"),
        ("{camera}_{camera}", "each at most once"),
        ("{frame:06d}", "fields are"),
        ("{frame!r}", "fields are"),
        ("{camera}{frame}", "nothing between two fields"),
        ("x{}{frame}", "nothing between two fields"),
        ("{frame", "expected '}'"),
        ("frame}", "Single '}'"),
    ],
)
def test_a_pattern_that_is_none(pattern, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        NamePattern(pattern, FIELDS)
