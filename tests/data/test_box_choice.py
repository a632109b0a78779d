"""Which boxes become crops: each rule on its own, and hidden shares against counted pixels."""

from __future__ import annotations

import numpy as np
import pytest

from gcl.config import ConfigError
from gcl.data.box_choice import TAKEN, Choice, _hidden, reasons
from gcl.data.tracker_results import UNKNOWN, Boxes

SIZE = (200, 300)
LOOSE = Choice(every=1, confidence=0, height=8, aspect=(0.1, 8), margin=-1000, hidden=1)


def boxes_of(*rows: tuple) -> Boxes:
    """Of rows frame, track, left, top, width, height and, if any, confidence."""
    table = np.array([(*row, UNKNOWN)[:7] for row in rows], float)
    frame, track = table[:, :2].astype(int).T
    corners = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1)
    return Boxes(frame, track, corners, table[:, 6], "")


@pytest.mark.parametrize(
    ("change", "good", "bad", "reason"),
    [
        ({"confidence": 0.5}, (1, 1, 9, 9, 20, 60, 0.5), (1, 1, 9, 9, 20, 60, 0.49), "confidence"),
        ({"confidence": 0.5}, (1, 1, 9, 9, 20, 60, UNKNOWN), (1, 1, 9, 9, 20, 60, 0), "confidence"),
        ({}, (1, 1, -19, 9, 20, 60), (1, 1, -20, 9, 20, 60), "outside the picture"),
        ({}, (1, 1, 9, 199, 20, 60), (1, 1, 9, 200, 20, 60), "outside the picture"),
        ({}, (1, 1, 9, 9, 20, 60), (1, 1, 9, 9, -20, 60), "without an area"),
        ({"height": 60}, (1, 1, 9, 9, 20, 60), (1, 1, 9, 9, 20, 59), "height < 60"),
        ({"aspect": (2, 3)}, (1, 1, 9, 9, 20, 40), (1, 1, 9, 9, 20, 39), "height / width < 2"),
        ({"aspect": (2, 3)}, (1, 1, 9, 9, 20, 60), (1, 1, 9, 9, 20, 61), "height / width > 3"),
        ({"margin": 2}, (1, 1, 2, 2, 20, 60), (1, 1, 1, 9, 20, 60), "within 2 of the border"),
        ({"margin": 2}, (1, 1, 278, 138, 20, 60), (1, 1, 9, 139, 20, 60), "within 2"),
        ({"margin": -5}, (1, 1, -5, 9, 20, 60), (1, 1, -6, 9, 20, 60), "within -5"),
    ],
)
def test_a_box_at_the_limit_and_one_beyond_it(change, good, bad, reason):
    choice = Choice(**{**vars(LOOSE), **change})
    assert reasons(boxes_of(good), SIZE, choice).tolist() == [TAKEN]
    (found,) = reasons(boxes_of(bad), SIZE, choice)
    assert reason in found


def test_one_box_of_a_track_in_a_frame():
    found = reasons(boxes_of((1, 4, 9, 9, 20, 60), (1, 4, 50, 9, 20, 60)), SIZE, LOOSE)
    assert found.tolist() == [TAKEN, "a second box of its track in the frame"]
    found = reasons(boxes_of((1, -1, 9, 9, 20, 60), (1, -1, 50, 9, 20, 60)), SIZE, LOOSE)
    assert found.tolist() == [TAKEN, TAKEN]


def test_whoever_ends_lower_hides_others():
    """The lower one covers half of the upper one; a doubtful box hides nobody, a small one does."""
    upper, lower = (1, 1, 50, 20, 20, 60), (1, 2, 60, 30, 20, 60)
    shares = _hidden(boxes_of(upper, lower), np.ones(2, bool), np.ones(2, bool))
    assert shares.tolist() == pytest.approx([0.5 * 50 / 60, 0], abs=0.02)
    choice = Choice(**{**vars(LOOSE), "hidden": 0.3, "confidence": 0.5})
    assert reasons(boxes_of(upper, lower), SIZE, choice).tolist() == ["hidden > 0.3", TAKEN]
    found = reasons(boxes_of(upper, (*lower, 0.1)), SIZE, choice)
    assert found.tolist() == [TAKEN, "confidence < 0.5"]
    choice = Choice(**{**vars(choice), "height": 61})
    found = reasons(boxes_of((1, 1, 50, 20, 20, 61), (1, 2, 50, 40, 20, 45)), SIZE, choice)
    assert found.tolist() == ["hidden > 0.3", "height < 61"]
    other_frame = boxes_of(upper, (2, *lower[1:]))
    assert reasons(other_frame, SIZE, choice).tolist() == ["height < 61"] * 2


def test_hidden_shares_are_those_of_counted_pixels():
    """Against a picture that is painted pixel by pixel; a share is measured to a cell of 512."""
    rng = np.random.default_rng(0)
    rows = [
        (frame, track, *rng.integers(0, 100, 2), 16 * rng.integers(1, 4), 32 * rng.integers(1, 4))
        for frame in range(4)
        for track in range(9)
    ]
    boxes = boxes_of(*rows)
    people = rng.random(len(boxes)) < 0.8
    found = _hidden(boxes, people, people)
    for i, (left, top, right, bottom) in enumerate(boxes.corners.astype(int)):
        mask = np.zeros((300, 300), bool)
        for j, (a, b, c, d) in enumerate(boxes.corners.astype(int)):
            if i != j and people[j] and boxes.frame[i] == boxes.frame[j] and d >= bottom:
                mask[b:d, a:c] = True
        share = mask[top:bottom, left:right].mean() if people[i] else 0
        assert found[i] == pytest.approx(share, abs=1 / 16), i
    assert (found > 0.3).any() and (found == 0).any()


def test_the_next_good_box_after_n_frames():
    """A bad box at the moment of sampling is no loss: the next good one is taken."""
    rows = [(f, 3, 9, 9, 20, 60, 0.1 if f == 5 else 1) for f in range(1, 12)]
    choice = Choice(**{**vars(LOOSE), "every": 4, "confidence": 0.5})
    found = reasons(boxes_of(*rows), SIZE, choice)
    assert [i + 1 for i in np.flatnonzero(found == TAKEN)] == [1, 6, 10]
    assert found[4] == "confidence < 0.5" and found[1] == "between samples"


def test_without_tracks_every_nth_frame_counts():
    for first in (0, 1):
        rows = [(f, -1, x, 9, 20, 60) for f in range(first, 9) for x in (20, 100)]
        boxes = boxes_of(*rows)
        found = reasons(boxes, SIZE, Choice(**{**vars(LOOSE), "every": 3}))
        frames = boxes.frame[found == TAKEN].tolist()
        assert frames == sorted([*range(first, 9, 3)] * 2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"every": 0}, "--every is 0: it must be at least 1"),
        ({"height": 4}, "--height is 4"),
        ({"height": float("nan")}, "--height is nan"),
        ({"confidence": float("nan")}, "--confidence is nan: it must be a number"),
        ({"margin": float("inf")}, "--margin is inf"),
        ({"aspect": (3, 2)}, "--aspect is .3, 2.: it must be two numbers in order, up to 8"),
        ({"aspect": (1, 9)}, "--aspect"),
        ({"hidden": 1.1}, "--hidden is 1.1: it must be a share"),
    ],
)
def test_a_choice_that_can_not_work(values, words):
    with pytest.raises(ConfigError, match=words):
        Choice(**values)
