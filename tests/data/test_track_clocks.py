"""Which tracks share a clock: real recordings, and crops that are numbered within each track."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gcl.data.crop_list import Crop
from gcl.data.track_clocks import Doubt, most_at_once, track_clocks


def recording(spans, camera: str = "gate", prefix: str = "", step: int = 1) -> list[Crop]:
    """Crops of tracks that are seen from the first to the last frame of each span."""
    return [
        Crop(f"{camera}/{prefix}{track}/{frame}", camera, f"{prefix}{track}", float(frame))
        for track, (first, last) in enumerate(spans)
        for frame in range(first, last + 1, step)
    ]


def visitors(count: int, seed: int = 0) -> list[tuple[int, int]]:
    """People who come and go, each some hundred frames long, all over a recording."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 60 * count, count)
    return list(zip(first, first + rng.integers(5, 300, count), strict=True))


def pairs_at_once(crops: list[Crop], times: np.ndarray) -> set[frozenset]:
    """Pairs of tracks of a camera whose spans share a moment: what pseudo labels keep apart."""
    spans: dict[tuple, list[float]] = {}
    for crop, time in zip(crops, times, strict=True):
        if crop.track and not np.isnan(time):
            spans.setdefault((crop.camera, crop.track), []).append(time)
    return {
        frozenset((a, b))
        for a, b in itertools.combinations(spans, 2)
        if a[0] == b[0] and min(spans[a]) <= max(spans[b]) and min(spans[b]) <= max(spans[a])
    }


def given(crops: list[Crop]) -> np.ndarray:
    return np.array([np.nan if crop.time is None else crop.time for crop in crops])


@pytest.mark.parametrize("seed", range(20))
def test_the_most_at_once_are_counted_moment_by_moment(seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 20, 9)
    last = first + rng.integers(0, 9, 9)
    by_moment = [((first <= moment) & (moment <= last)).sum() for moment in range(30)]
    assert most_at_once(first, last) == max(by_moment)
    assert most_at_once(first[:0], last[:0]) == 0


def test_times_of_a_recording_tell_its_tracks_apart():
    crops = recording(visitors(40))
    found = track_clocks(crops)
    apart = pairs_at_once(crops, given(crops))
    assert 10 < len(apart) < 300
    assert pairs_at_once(crops, found.times) == apart and found.doubts == ()
    assert found.note() == "times tell tracks apart in 1 recording"


@pytest.mark.parametrize("kept", ["all", "from the fifth on", "four by chance"])
def test_crops_that_are_numbered_within_each_track_tell_nothing_apart(kept):
    """Also where a tool keeps a track's crops only once it is sure of it, or some of them."""
    rng = np.random.default_rng(0)
    spans = [(5 * (kept == "from the fifth on"), length) for length in rng.integers(9, 200, 50)]
    crops = recording(spans)
    if kept == "four by chance":
        by_track = itertools.groupby(crops, lambda crop: crop.track)
        crops = [c for _, group in by_track for c in rng.permutation(np.array([*group], "O"))[:4]]
        crops = [Crop(*map(str, c[:3]), float(c[3])) for c in crops]
    found = track_clocks(crops)
    assert len(pairs_at_once(crops, given(crops))) > 600  # of 1,225
    assert pairs_at_once(crops, found.times) == set()
    (doubt,) = found.doubts
    assert doubt[:3] == ("gate", "", 50) and 25 < doubt.at_once <= 50
    assert found.note() == (
        "times tell no tracks apart in 1 of 1 recording, the first gate:"
        f" {doubt.at_once} of its 50 tracks are seen at one moment, as if each counted from its own"
        " beginning"
    )
    for track in {crop.track for crop in crops}:  # and their order within a track stays
        rows = [i for i, crop in enumerate(crops) if crop.track == track]
        np.testing.assert_array_equal(np.argsort(found.times[rows]), np.argsort(given(crops)[rows]))


def test_the_limit_is_half_of_the_tracks():
    half = [(0, 9), (9, 20), (30, 40), (50, 60)]
    assert track_clocks(recording(half)).doubts == ()
    more = track_clocks(recording([*half, (5, 9)]))
    assert more.doubts == (Doubt("gate", "", 5, 3),)


def test_recordings_of_a_camera_begin_anew_and_cameras_are_judged_alone():
    """mon/gate and tue/gate both count from 0; hall is numbered within its tracks."""
    days = [recording(visitors(30, seed), prefix=f"{seed}/") for seed in (0, 1)]
    crops = [*days[0], *days[1], *recording([(1, 9)] * 8, "hall"), Crop("x", "gate", "0/0")]
    found = track_clocks(crops)
    apart = pairs_at_once(days[0], given(days[0])) | pairs_at_once(days[1], given(days[1]))
    assert pairs_at_once(crops, found.times) == apart < pairs_at_once(crops, given(crops))
    assert found.doubts == (Doubt("hall", "", 8, 8),) and found.recordings == 3
    assert np.isnan(found.times[-1]) and not np.isnan(found.times[:-1]).any()


def test_without_tracks_or_times_there_is_nothing_to_say():
    crops = [Crop("a"), Crop("b", "c", "1"), Crop("d", "c", "", 5.0), Crop("e", "c", "2", 6.0)]
    found = track_clocks(crops)
    assert found.note() == "" and found.doubts == ()
    np.testing.assert_array_equal(found.times, [np.nan, np.nan, 0, 1])
    assert len(track_clocks([]).times) == 0


def test_moments_of_a_long_recording_stay_apart():
    """Seconds since 1970, with thousandths."""
    crops = [Crop(str(i), "a", str(i % 4), 1.7e9 + i / 1000) for i in range(50)]
    crops += [Crop(f"{i}b", "b", f"{i}", 1.7e9 + i) for i in range(4)]
    found = track_clocks(crops)
    assert len(np.unique(found.times)) == 54
