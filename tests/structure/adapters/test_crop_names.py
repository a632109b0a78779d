"""Person and frame out of the names of crops."""

from __future__ import annotations

import pytest

from gcl.structure.adapters.crop_names import CROP_NAMES, CropNames
from gcl.structure.geometry import GeometryError


@pytest.mark.parametrize(
    ("pattern", "key", "place"),
    [
        (CROP_NAMES, "crops/3_000151.jpg", (None, 3, 151)),
        (CROP_NAMES, "crops/lobby/0_0.png", (None, 0, 0)),
        (CROP_NAMES, "crops/0003_c1_000151.jpg", None),
        (CROP_NAMES, "crops/x3_000151.jpg", None),
        (CROP_NAMES, "crops/3_000151_0.jpg", None),
        ("{video}/{person}_{frame}", "crops/lobby/3_000151.jpg", ("lobby", 3, 151)),
        ("{video}/{person}_{frame}", "lobby/3_000151.jpg", ("lobby", 3, 151)),
        ("{video}/{person}_{frame}", "3_000151.jpg", None),
        ("{video}_{person}_{frame}", "crops/front_door_3_151.jpg", ("front_door", 3, 151)),
        ("{video}/{person}/{frame}", "a/b/12/7.jpg", ("b", 12, 7)),
        ("{frame}", "crops/000151.jpg", (None, None, 151)),
        ("{person}_c{video}s1_{frame}_{}", "m/0003_c2s1_000151_00.jpg", ("2", 3, 151)),
        ("{}_p{person}.f{frame}", "m/any_p1.f2.jpg", (None, 1, 2)),  # a dot is a dot
        ("{}_p{person}.f{frame}", "m/any_p1xf2.jpg", None),
        ("{person}_{frame}", "m/٣_4.jpg", None),  # digits of ASCII
    ],
)
def test_a_name_says_person_and_frame(pattern, key, place):
    assert CropNames(pattern)(key) == place


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{person}", "no {frame}"),
        ("{frame}_{frame}", "each at most once"),
        ("{id}_{frame}", "fields are {person}"),
        ("{frame:06d}", "fields are {person}"),
        ("{frame!r}", "fields are {person}"),
        ("{frame", "expected '}'"),
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern, message):
    with pytest.raises(GeometryError, match="--crop-names .*" + message.replace("{", r"\{")):
        CropNames(pattern)
