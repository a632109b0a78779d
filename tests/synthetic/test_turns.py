"""People from several sides: what changes from view to view, and their files."""

from __future__ import annotations

import os
import pickle
from functools import partial

import numpy as np
import pytest

from gcl.structure.geometry import render_views
from gcl.structure.store import TURNS
from gcl.synthetic import examples, shards
from gcl.synthetic import turns as module
from gcl.synthetic.draw import bodies, photographs
from gcl.synthetic.plan import VERSION
from gcl.synthetic.set_files import developed, get_tailor, one_thread
from gcl.synthetic.turns import VIEWS, Turns, draw_turns, read_turns, write_turns

PEOPLE = 3
SIZE = (128, 64)


def draw(seed: int, indices) -> Turns:
    with one_thread():
        return draw_turns(SIZE, get_tailor(), seed, indices)


@pytest.fixture(scope="module")
def drawn() -> Turns:
    return draw(3, range(PEOPLE))


@pytest.fixture(scope="module")
def people() -> list[tuple]:
    """Scene and turns of the pictures of ``drawn``."""
    return [module._scene(3, index) for index in range(PEOPLE)]


def assert_same(one: Turns, two: Turns) -> None:
    """Up to the last bits of a sum, which the size of a batch may change; JPEG spreads them."""
    for name, a, b in zip(Turns._fields, one, two, strict=True):
        assert a.dtype == b.dtype == np.uint8 and a.shape == b.shape, name
        apart = np.abs(a.astype(int) - b)
        assert apart.mean() < 0.1 and apart.max() <= 30, name


def test_shapes_and_types(drawn):
    shapes = [(PEOPLE, VIEWS, *SIZE, 3), (PEOPLE, VIEWS, *SIZE)]
    assert [field.shape for field in drawn] == shapes
    assert [field.dtype for field in drawn] == [np.uint8] * 2


def test_turns_are_different_ones_and_all_occur():
    turns = [module._scene(3, index)[1] for index in range(60)]
    assert all(first == 0 for first, *_ in turns)
    assert all(len({*others}) == VIEWS - 1 for _, *others in turns)
    assert {turn for _, *others in turns for turn in others} == {*TURNS}


def test_crops_are_those_of_one_scene_that_is_turned(drawn, people):
    """Drawn alone, and of each picture's own figure."""
    for crops, (scene, turns) in zip(drawn.crops, people, strict=True):
        with one_thread():
            pictures = photographs(get_tailor(), [scene] * VIEWS, SIZE, turns=turns).crops
        for crop, picture in zip(crops, pictures, strict=True):
            alone = np.asarray(developed(picture, scene.camera.quality), int)
            assert np.abs(crop - alone).mean() < 0.1
            assert np.abs(crop - picture.astype(int)).mean() > 0.2  # not as before JPEG
        apart = [np.abs(crops[0].astype(int) - crop).mean() for crop in crops[1:]]
        assert min(apart) > 4


def test_structures_are_prepared_ones_under_the_clothes_of_their_crop(drawn, people):
    for renders, (scene, turns) in zip(drawn.structures, people, strict=True):
        with one_thread():
            masks = photographs(get_tailor(), [scene] * VIEWS, SIZE, turns=turns).masks > 0.5
            (body,) = bodies(get_tailor(), [scene], SIZE)
            again = np.stack(render_views(body, turns, SIZE))
        assert np.abs(renders.astype(int) - again).mean() < 0.1
        for body, mask in zip(renders > 0, masks, strict=True):
            assert (body & mask).sum() > 0.7 * body.sum()  # it is bare, so the thinner one
            assert (body & mask).sum() > 0.35 * mask.sum()


def test_a_person_does_not_depend_on_the_others(drawn):
    assert_same(draw(3, [2]), Turns(*(field[2:] for field in drawn)))
    assert_same(draw(3, [2, 0]), Turns(*(field[[2, 0]] for field in drawn)))


def test_the_same_numbers_give_the_same_pixels(drawn):
    for one, two in zip(draw(3, range(PEOPLE)), drawn, strict=True):
        np.testing.assert_array_equal(one, two)


def test_other_seeds_show_others_and_examples_do_too():
    people = [module._scene(seed, index)[0] for seed in (3, 4) for index in range(8)]
    people += [examples._scene(np.random.default_rng((3, index))) for index in range(8)]
    assert len({scene.person.weave for scene in people}) == 24
    assert len({scene.camera.height for scene in people}) == 24
    assert len({scene.moment.seed for scene in people}) == 24


def test_files_hold_the_people_beside_examples(tmp_path, monkeypatch, drawn):
    monkeypatch.setattr(module, "SHARD", 2)
    monkeypatch.setattr(shards, "BATCH", 1)
    paths = write_turns(str(tmp_path), 3, SIZE, 3)
    names = [f"turns-128x64-v{VERSION}-3-{shard:05d}.npz" for shard in (0, 1)]
    assert [os.path.basename(path) for path in paths] == sorted(os.listdir(tmp_path)) == names
    assert_same(Turns(*(field[:PEOPLE] for field in read_turns(paths))), drawn)
    with pytest.raises(OSError, match="is broken .*remove it"):
        examples.read_examples(paths)


def test_sizes_have_files_of_their_own(tmp_path, monkeypatch, drawn):
    """Of the same people: smaller pictures of the same scenes."""
    monkeypatch.setattr(module, "SHARD", 1)
    paths = {size: write_turns(str(tmp_path), 1, size, 3) for size in ((64, 32), (48, 32))}
    assert len(os.listdir(tmp_path)) == 2
    for (height, width), files in paths.items():
        small = read_turns(files)
        assert small.crops.shape == (1, VIEWS, height, width, 3)
        assert small.structures.shape == (1, VIEWS, height, width)
    half = read_turns(paths[64, 32]).crops[0].astype(float)
    whole = drawn.crops.astype(float).reshape(PEOPLE, VIEWS, 64, 2, 32, 2, 3).mean((3, 5))
    apart = [np.abs(half - other).mean() for other in whole]
    assert apart[0] < min(apart[1:]) / 2


def test_other_processes_can_draw_them():
    """Spawned ones are told by name what to draw, and in which size."""
    again = pickle.loads(pickle.dumps(partial(draw_turns, SIZE)))
    assert again.func is draw_turns and again.args == (SIZE,)
