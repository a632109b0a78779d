"""Pairs of one person and of two, by what tracks say; checked pair by pair."""

import numpy as np
import pytest
from pseudo_labels.test_tracks import scene

from gcl.pseudo_labels import check_tracks, sure_pairs, track_pairs


def pairs_of(track, times=None, cameras=None):
    return sure_pairs(check_tracks(len(track), np.asarray(track), times, cameras))


def test_one_person_is_the_ends_and_the_middle_of_a_track_in_time():
    times = np.array([9.0, 1, 2, 3, 4, 5, 6])  # in order of time: 1 ... 6, 0
    found = pairs_of([0] * 7, times)
    assert found.same.tolist() == [[1, 4], [1, 0], [4, 0]]
    assert found.different.tolist() == [] and not found.at_once
    # two images are one pair, one is none
    assert pairs_of([0, 0, 1]).same.tolist() == [[0, 1]]


@pytest.mark.parametrize("shared", [False, True])
def test_two_people_are_two_tracks_of_a_camera_that_share_a_moment(shared):
    """Against every pair of images; no two tracks of another camera, and none that never meet."""
    _, _, track, camera, time = scene(people_count=20, length=4)
    if shared:  # passages of 4 moments begin every 3 in a camera: each meets the next
        time = 1.5 * track + time % 100
    found = pairs_of(track, time, camera)
    span = {t: (time[track == t].min(), time[track == t].max()) for t in np.unique(track)}
    meets = {
        (i, j)
        for i in span
        for j in span
        if i != j and span[i][0] <= span[j][1] and span[j][0] <= span[i][1]
    }
    assert found.at_once == shared
    assert len(found.same) > 50 and (track[found.same[:, 0]] == track[found.same[:, 1]]).all()
    a, b = track[found.different].T
    assert len(a) > 50 and (a != b).all()
    assert (camera[found.different[:, 0]] == camera[found.different[:, 1]]).all()
    if shared:
        assert set(zip(a.tolist(), b.tolist(), strict=True)) <= meets


def test_without_times_two_tracks_are_far_from_each_other_in_order():
    track = np.repeat(np.arange(100), 2)
    found = pairs_of(track)
    a, b = track[found.different].T
    apart = np.minimum(abs(a - b), 100 - abs(a - b))
    assert apart.min() >= 100 // 2 - track_pairs.NEXT


def test_pairs_are_few_whatever_the_number_of_tracks_and_always_the_same():
    track = np.repeat(np.arange(5000), 5)
    time = 3.0 * track + np.tile(np.arange(5), 5000)
    for times in (None, time):
        found, again = pairs_of(track, times), pairs_of(track, times)
        assert len(found.images) <= 6 * track_pairs.TRACK_PAIRS
        assert len(found.different) == 9 * track_pairs.TRACK_PAIRS
        assert found.images.min() < 100 and found.images.max() > 24_000  # from everywhere
        for one, other in ((found.same, again.same), (found.different, again.different)):
            assert (one == other).all()


def test_rows_of_the_images_are_the_same_pairs():
    found = pairs_of(np.repeat(np.arange(50), 4))
    rows = found.rows_of(found.images)
    assert (found.images[rows.same] == found.same).all()
    assert (found.images[rows.different] == found.different).all()


@pytest.mark.parametrize("track", [[], [-1, -1], [3], [0, 0]])
def test_there_may_be_no_pair(track):
    found = pairs_of(np.array(track, np.int64), np.zeros(len(track)))
    assert len(found.different) == 0 and found.same.shape == (int(track == [0, 0]), 2)
    assert pairs_of([0, 1], np.full(2, np.nan)).different.tolist() == [[0, 1]]
