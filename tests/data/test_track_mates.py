"""Another crop of the same track, drawn uniformly."""

from collections import Counter

import pytest
import torch

from gcl.data.track_mates import TrackMates

TRACKS = [7, -1, 0, 7, 7, -1, 3, 7, 0]


@pytest.mark.parametrize("index", range(len(TRACKS)))
def test_each_other_of_the_track_is_drawn_alike(index):
    torch.manual_seed(index)
    mates = TrackMates(TRACKS)
    others = [i for i, t in enumerate(TRACKS) if i != index and t == TRACKS[index] >= 0]
    counts = Counter(mates.draw(index) for _ in range(600))
    assert sorted(counts) == (others or [index])
    expected = 600 / max(len(others), 1)  # at most two degrees of freedom: p = 0.001
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 13.8


def test_a_draw_follows_the_seed():
    mates, draws = TrackMates([0] * 20), []
    for _ in range(2):
        torch.manual_seed(4)
        draws.append([mates.draw(3) for _ in range(10)])
    assert draws[0] == draws[1] and len(set(draws[0])) > 3
