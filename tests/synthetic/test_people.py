"""People before several cameras: what stays, what changes, who are siblings, and their files."""

from __future__ import annotations

import os
import pickle
from functools import partial

import numpy as np
import pytest

from gcl.synthetic import examples, shards, turns
from gcl.synthetic import people as module
from gcl.synthetic.draw import photographs
from gcl.synthetic.people import (
    CAMERAS,
    GROUP,
    SEEN_BY,
    SHOTS,
    People,
    camera_of,
    draw_people,
    person_of,
    read_people,
    whole_files,
    write_people,
)
from gcl.synthetic.plan import VERSION
from gcl.synthetic.set_files import developed, get_tailor, one_thread
from gcl.synthetic.siblings import TRAITS

SIZE = (80, 48)
S = SEEN_BY * SHOTS


def draw(seed: int, numbers) -> People:
    with one_thread():
        return draw_people(SIZE, get_tailor(), seed, numbers)


@pytest.fixture(scope="module")
def drawn() -> People:
    return draw(3, range(2))


# ---------------------------------------------------------------------- pictures
def test_shapes_and_types(drawn):
    assert [field.shape for field in drawn] == [(2, S, *SIZE, 3), (2, S), (2, S, 4)]
    assert [field.dtype.name for field in drawn] == ["uint8", "int32", "float32"]


def test_a_person_is_seen_by_some_cameras_a_few_times_each_from_all_around():
    for number in range(20):
        cameras, scenes = module._visits(3, number)
        visits = cameras.reshape(SEEN_BY, SHOTS)
        assert (visits == visits[:, :1]).all() and len({*visits[:, 0]}) == SEEN_BY
        assert ((cameras >= 0) & (cameras < CAMERAS)).all()
        assert len({scene.moment.seed for scene in scenes}) == S
        yaws = np.array([scene.moment.yaw for scene in scenes]).reshape(SEEN_BY, SHOTS)
        gaps = np.diff(np.sort(yaws, 1), axis=1)
        assert gaps.max() < 180  # no half of the circle is empty
    assert {int(c) for number in range(100) for c in module._visits(3, number)[0]} == {
        *range(CAMERAS)
    }


def test_clothes_stay_and_place_and_light_change():
    cameras, scenes = module._visits(3, 4)
    assert all(scene.person == person_of(3, 4) for scene in scenes)
    for camera, scene in zip(cameras, scenes, strict=True):
        assert scene.camera.place == camera_of(3, int(camera)).place
    assert len({scene.camera.sun for scene in scenes}) == SEEN_BY
    assert len({(scene.camera.height, scene.camera.exposure) for scene in scenes}) == SEEN_BY


def test_crops_are_those_of_the_scenes(drawn):
    _, scenes = module._visits(3, 1)
    with one_thread():
        pictures = photographs(get_tailor(), scenes[3:5], SIZE).crops
    for crop, picture, scene in zip(drawn.crops[1, 3:5], pictures, scenes[3:5], strict=True):
        alone = np.asarray(developed(picture, scene.camera.quality), int)
        assert np.abs(crop - alone).mean() < 0.1
        assert np.abs(crop - picture.astype(int)).mean() > 0.2  # not as before JPEG


def test_the_box_is_round_the_body_with_room_on_all_sides(drawn):
    for number in range(2):
        with one_thread():
            masks = photographs(get_tailor(), module._visits(3, number)[1], SIZE).masks > 0.5
        for mask, (left, top, right, bottom) in zip(masks, drawn.box[number], strict=True):
            assert 0 < left < right < SIZE[1] and 0 < top < bottom < SIZE[0]
            assert 0.5 < (bottom - top) / SIZE[0] < 0.8
            assert np.flatnonzero(mask.any(1))[0] == pytest.approx(top, abs=4)
            inside = mask[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
            assert inside.sum() > 0.7 * mask.sum()  # bags stand out


def test_some_cameras_see_no_colours():
    grey = [number for number in range(CAMERAS) if camera_of(0, number).saturation == 0]
    assert 2 <= len(grey) <= 12
    number = next(n for n in range(100) if {*module._visits(0, n)[0]} & {*grey})
    people = draw(0, [number])
    apart = np.ptp(people.crops[0].astype(int), axis=3).reshape(S, -1).mean(1)
    there = np.isin(people.cameras[0], grey)
    assert apart[there].max() < 2 < apart[~there].min()


def test_a_person_does_not_depend_on_the_others(drawn):
    for field, wanted in zip(draw(3, [1]), drawn, strict=True):
        np.testing.assert_array_equal(field, wanted[1:])


# ---------------------------------------------------------------------- siblings
def traits(person) -> list:
    return [[getattr(person, name) for name in names] for names in TRAITS.values()]


def shared(one: int, other: int) -> int:
    """Traits that two people share to the last bit."""
    return sum(a == b for a, b in zip(*map(traits, (person_of(0, one), person_of(0, other))),
                                      strict=True))  # fmt: skip


def test_half_of_the_groups_are_siblings_of_their_first():
    groups = 200
    related = [shared(GROUP * g, GROUP * g + 1) > 0 for g in range(groups)]
    assert 0.4 < sum(related) / groups < 0.6
    for g, wanted in enumerate(related):
        for place in range(1, GROUP):
            assert (shared(GROUP * g, GROUP * g + place) > 0) == wanted
    # groups are strangers
    assert not any(shared(GROUP * g - 1, GROUP * g) for g in range(1, groups))


def test_everybody_is_somebody_else_and_other_seeds_show_others():
    weaves = [person_of(seed, number).weave for seed in (0, 1) for number in range(60)]
    weaves += [examples._scene(np.random.default_rng((0, i))).person.weave for i in range(30)]
    weaves += [turns._scene(0, i)[0].person.weave for i in range(30)]
    assert len({*weaves}) == 180
    assert camera_of(0, 3) != camera_of(1, 3) and camera_of(0, 3) == camera_of(0, 3)


# ---------------------------------------------------------------------- files
def test_files_hold_the_people(tmp_path, monkeypatch, drawn):
    monkeypatch.setattr(module, "SHARD", 1)
    monkeypatch.setattr(shards, "BATCH", 1)
    paths = write_people(str(tmp_path), 2, SIZE, 3)
    names = [f"people-80x48-v{VERSION}-3-{shard:05d}.npz" for shard in (0, 1)]
    assert [os.path.basename(path) for path in paths] == sorted(os.listdir(tmp_path)) == names
    for field, wanted in zip(read_people(paths), drawn, strict=True):
        np.testing.assert_array_equal(field, wanted)
    with pytest.raises(OSError, match="is broken .*remove it"):
        turns.read_turns(paths)


def test_counts_are_rounded_up_to_whole_files(monkeypatch):
    monkeypatch.setattr(module, "SHARD", 12)
    assert [whole_files(count) for count in (1, 12, 13, 2400)] == [12, 12, 24, 2400]
    assert module.SHARD % GROUP == 0  # nobody's siblings are missing


def test_other_processes_can_draw_them():
    again = pickle.loads(pickle.dumps(partial(draw_people, SIZE)))
    assert again.func is draw_people and again.args == (SIZE,)
