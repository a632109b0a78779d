"""Pairs of turned crops and photographs, by hand."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from gcl import ConfigError
from gcl.evaluation.view_pairs import Item, drawn, photographs
from gcl.structure.store import TURNS
from gcl.synthetic import Settings, TrueViews, write_set
from gcl.synthetic.set_files import CROPS

SMALL = Settings(people=2, test_people=1, cameras=2, shots=2, height=48, width=24, seed=5)


@pytest.fixture
def items(tmp_path) -> list[Item]:
    """Person 0 in camera 0 from the front (twice) and from 90; person 1 there from 90 and, of no
    use, 100; in camera 1 person 0 once. The name's number is the colour."""
    seen = [(0, 0, 0), (0, 0, 0), (0, 0, 90), (1, 0, 90), (1, 0, 100), (0, 1, 90), (1, 0, 315)]
    made = []
    for number, (person, camera, yaw) in enumerate(seen):
        path = str(tmp_path / f"{number}.png")
        Image.new("RGB", (16, 32), (number, 0, 0)).save(path)
        made.append(Item(path, person, camera, float(yaw)))
    return made


def colours(pictures) -> list[int]:
    return [picture.getpixel((0, 0))[0] for picture in pictures]


def pairs_by_name(pairs) -> set[tuple]:
    """(crop, turn, truth, match) with the numbers of the photographs."""
    number = [int(os.path.basename(path)[0]) for path in pairs.images]
    rows = zip(pairs.crop, pairs.turn, pairs.truth, pairs.match, strict=True)
    return {(number[c], int(t), number[truth], number[match]) for c, t, truth, match in rows}


def test_a_crop_is_turned_to_the_other_photographs_of_its_person_and_camera(items):
    pairs = photographs(items[::-1])
    assert pairs_by_name(pairs) == {
        (0, 90, 2, 2),
        (1, 90, 2, 2),
        (2, 270, 0, 0),  # the first by name of the two from the front
        (3, 225, 6, 6),
        (6, 135, 3, 3),
    }


def test_visits_are_all_of_one_person_in_one_camera(items):
    pairs = photographs(items)
    assert [len(range(len(pairs.yaw))[v.targets]) for v in pairs.visits] == [3, 3, 1]
    assert [v.pairs.stop - v.pairs.start for v in pairs.visits] == [3, 2, 0]
    for visit in pairs.visits:
        for values in (pairs.person, pairs.camera):
            assert len(set(values[visit.targets])) == 1
        first, last = visit.targets.start, visit.targets.stop
        truths = pairs.truth[visit.pairs]
        assert ((first <= truths) & (truths < last)).all()
        rows = range(first, last)
        numbers = [int(os.path.basename(pairs.images[row])[0]) for row in rows]
        assert colours(pairs.read(rows)) == numbers


def test_galleries_are_of_one_camera_and_orientation_with_everybody_once(items):
    pairs = photographs(items)
    number = [int(os.path.basename(path)[0]) for path in pairs.images]
    found = {}
    for rows, gallery in pairs.galleries():
        place = {(pairs.camera[t], pairs.orientation[t]) for t in pairs.truth[rows]}
        assert len(place) == 1
        found[place.pop()] = {number[target] for target in gallery}
    # 100 degrees are nearest to 90, where person 1 has a photograph before
    assert found == {(0, 0): {0}, (0, 90): {2, 3}, (0, 315): {6}}


def test_without_pairs_there_is_one_sentence(items):
    for few in (items[:2], items[3:4], []):
        with pytest.raises(ConfigError, match=f"none of {len(few)} crops has another photograph"):
            photographs(few)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return write_set(tmp_path_factory.mktemp("made"), SMALL, progress=False)


def listed(folder: str) -> list[Item]:
    crops = os.path.join(folder, CROPS, "bounding_box_train")
    return [
        Item(os.path.join(crops, name), int(name[:4]) - 1, int(name[6]) - 1, 0.0)
        for name in sorted(os.listdir(crops))
    ]


def test_of_a_synthetic_set_every_turn_has_its_drawn_truth(folder):
    pairs, draw = drawn(listed(folder), folder), TrueViews(folder)
    assert len(pairs.images) == 8 and len(pairs.crop) == 8 * 7 == len(pairs.yaw)
    assert np.array_equal(pairs.truth, np.arange(56))
    assert pairs.turn.tolist() == [*TURNS] * 8
    for t in (0, 9, 30):
        path = pairs.images[pairs.crop[t]]
        yaw = draw.shots[os.path.basename(path)].scene.moment.yaw
        assert (yaw + pairs.turn[t] - pairs.yaw[t]) % 360 == pytest.approx(0, abs=1e-6)
    visit = pairs.visits[1]
    rows = range(visit.targets.start, visit.targets.stop)
    pictures = pairs.read(rows)
    names = [os.path.basename(pairs.images[i]) for i in dict.fromkeys(pairs.crop[visit.pairs])]
    expected = [view for name in names for view in draw([name], TURNS)[0]]
    for picture, view in zip(pictures, expected, strict=True):
        # up to what sums in another order do
        assert np.abs(np.asarray(picture, int) - np.asarray(view, int)).mean() < 0.1


def test_what_has_to_be_found_was_drawn_of_another_moment(folder):
    """Of the same one it would have the crop's very background."""
    pairs = drawn(listed(folder), folder)
    known = np.flatnonzero(pairs.match >= 0)
    assert len(known) > 28
    for t in known:
        match, truth = pairs.match[t], pairs.truth[t]
        for values in (pairs.person, pairs.camera, pairs.orientation):
            assert values[match] == values[truth]
        assert pairs.crop[match] != pairs.crop[t]  # target i is the truth of pair i


def test_a_folder_that_is_no_set_is_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="no synthetic set"):
        drawn(listed(folder), str(tmp_path))
