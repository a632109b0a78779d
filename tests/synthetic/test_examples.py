"""Examples to learn from: what they hold, and their files."""

from __future__ import annotations

import os

import numpy as np
import pytest

from gcl.structure.poses import PARTS
from gcl.synthetic import examples as module
from gcl.synthetic import shards
from gcl.synthetic.examples import SIZE, Examples, draw_examples, read_examples, write_examples
from gcl.synthetic.plan import VERSION
from gcl.synthetic.set_files import get_tailor, one_thread


def draw(seed: int, indices) -> Examples:
    with one_thread():
        return draw_examples(get_tailor(), seed, indices)


@pytest.fixture(scope="module")
def drawn() -> Examples:
    return draw(3, range(8))


def assert_same(one: Examples, two: Examples) -> None:
    """Up to the last bits of a sum, which the size of a batch may change."""
    for name, a, b in zip(Examples._fields, one, two, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape, name
        apart = np.abs(a.astype(float) - b.astype(float)).max()
        assert apart <= (3 if a.dtype == np.uint8 else 1e-3), name


# ---------------------------------------------------------------------- examples
def test_shapes_types_and_ranges(drawn):
    shapes = [(8, *SIZE, 3), (8, *SIZE), (8,), (8, len(PARTS), 3, 3), (8, 6), (8, 4)]
    assert [field.shape for field in drawn] == shapes
    assert [field.dtype.name for field in drawn] == ["uint8"] * 2 + ["float32"] * 4
    assert ((drawn.yaw >= 0) & (drawn.yaw < 360)).all()
    assert ((drawn.phenotype >= 0) & (drawn.phenotype <= 1)).all()
    gram = drawn.rotations @ drawn.rotations.swapaxes(2, 3)
    assert np.allclose(gram, np.eye(3), atol=1e-5)
    assert np.allclose(np.linalg.det(drawn.rotations), 1, atol=1e-5)


def test_the_box_is_round_the_body(drawn):
    """The mask shows the dressed person: hair, coats and bags may stand out, hardly more."""
    for mask, (left, top, right, bottom) in zip(drawn.masks, drawn.box, strict=True):
        assert 0 < left < right < SIZE[1] and 0 < top < bottom < SIZE[0]
        rows, columns = (np.flatnonzero((mask > 127).any(axis)) for axis in (1, 0))
        assert rows[0] == pytest.approx(top, abs=6) and rows[-1] + 1 == pytest.approx(bottom, abs=3)
        assert columns[0] <= left + 2 and columns[-1] + 1 >= right - 2
        inside = mask[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
        assert inside.sum() > 0.85 * mask.sum()
    # "about two thirds as high" as the canvas
    high = (drawn.box[:, 3] - drawn.box[:, 1]) / SIZE[0]
    assert ((high > 0.5) & (high < 0.8)).all()


def test_masks_are_where_the_person_is(drawn):
    """The same scene without the person can not be had: but inside and outside look different."""
    differ = 0
    for crop, mask in zip(drawn.crops.astype(float), drawn.masks, strict=True):
        differ += np.abs(crop[mask > 250].mean(0) - crop[mask < 5].mean(0)).max() > 10
    assert differ >= 6


def test_an_example_does_not_depend_on_the_others(drawn):
    assert_same(draw(3, [5]), Examples(*(field[5:6] for field in drawn)))
    assert_same(draw(3, [6, 1]), Examples(*(field[[6, 1]] for field in drawn)))


def test_all_are_different_and_other_seeds_show_others(drawn):
    others = draw(4, range(8))
    both = [np.concatenate(pair) for pair in zip(drawn, others, strict=True)]
    for field in both:
        assert len(np.unique(field.reshape(16, -1), axis=0)) == 16
    # all round: 16 views are not all on one side
    quarters = np.unique(both[2] // 90)
    assert len(quarters) >= 3


# ---------------------------------------------------------------------- files
def test_files_hold_the_examples_under_the_names_they_always_had(tmp_path, monkeypatch, drawn):
    """Whoever has drawn a folder does not draw it again."""
    monkeypatch.setattr(module, "SHARD", 4)
    monkeypatch.setattr(shards, "BATCH", 2)
    paths = write_examples(str(tmp_path), 5, 3)
    assert [os.path.basename(path) for path in paths] == [
        f"v{VERSION}-3-{shard:05d}.npz" for shard in (0, 1)
    ]
    assert_same(read_examples(paths), drawn)
