"""Figures of a clustering, counted by hand and by pairs."""

import itertools

import numpy as np
import pytest

from gcl.engine.partition_figures import partition_figures


def test_by_hand():
    labels = np.array([0, 0, 0, 1, 1, -1, 2, -1])
    before = np.array([5, 5, 5, 7, 7, 7, -1, -1])  # what is in a cluster in both did not move
    cameras = np.array([0, 1, 0, 2, 2, 0, 1, 1])
    assert partition_figures(labels, before, cameras) == {
        "outlier_share": 2 / 8,
        "stability": 1.0,
        "cross_camera": 1 / 3,  # cluster 0 alone has two cameras
    }


@pytest.mark.parametrize("seed", range(3))
def test_stability_counts_pairs_of_what_is_in_a_cluster_in_both(seed):
    rng = np.random.default_rng(seed)
    labels, before = rng.integers(-1, 4, 60), rng.integers(-1, 5, 60)
    a = b = c = d = 0
    for i, j in itertools.combinations(np.flatnonzero((labels >= 0) & (before >= 0)), 2):
        now, then = labels[i] == labels[j], before[i] == before[j]
        a, b, c, d = a + (now & then), b + (now & ~then), c + (~now & then), d + (~now & ~then)
    index = 2 * (a * d - b * c) / ((a + b) * (b + d) + (a + c) * (c + d))
    assert partition_figures(labels, before)["stability"] == pytest.approx(index)


def test_what_can_not_be_said_is_not_there():
    none = np.full(3, -1)
    assert partition_figures(none, none, np.arange(3)) == {"outlier_share": 1}
    assert partition_figures(np.zeros(3, np.int64), none) == {"outlier_share": 0}
    assert partition_figures(np.array([0, 1, -1]), np.array([-1, -1, 0])) == {
        "outlier_share": pytest.approx(1 / 3)
    }
