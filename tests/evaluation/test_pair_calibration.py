"""The fit against its own optimum, and pairs of clusters counted one by one."""

import numpy as np
import pytest

from gcl.evaluation import pair_calibration
from gcl.evaluation.pair_calibration import Pairs, calibrate, cluster_pairs, cosines


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def crops(people=30, each=6, noise=0.7, d=16, seed=0):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), each)
    x = rng.normal(size=(people, d))[who] + noise * rng.normal(size=(len(who), d))
    return unit(x), who


def test_the_fit_is_where_the_likelihood_has_its_maximum():
    """The gradient of the mean log loss, either kind weighing a half, is zero there."""
    features, who = crops()
    pairs = cluster_pairs(who)
    found = calibrate(features, pairs)
    same, different = cosines(features, pairs.same), cosines(features, pairs.different)
    x = np.concatenate([same, different])
    y = np.repeat([1.0, 0.0], [len(same), len(different)])
    weight = np.where(y == 1, 0.5 / len(same), 0.5 / len(different))
    p = 1 / (1 + np.exp(-found.slope * (x - found.threshold)))
    assert (weight * (y - p)).sum() == pytest.approx(0, abs=1e-3)
    assert (weight * (y - p) * x).sum() == pytest.approx(0, abs=1e-3)
    assert found.slope > 0 and found.source == "clusters"
    assert found.recall == (same >= found.threshold).mean() > 0.5
    assert found.false_accept_rate == (different >= found.threshold).mean() < 0.5


def test_kinds_that_do_not_overlap_part_in_between():
    features = np.eye(4, dtype=np.float32)[np.repeat([0, 1, 2], 8)]
    found = calibrate(features, cluster_pairs(np.repeat([0, 1, 2], 8)))
    assert 0 < found.threshold < 1 and np.isfinite(found.slope)
    assert (found.false_accept_rate, found.recall) == (0, 1)


def test_a_probability_that_would_mean_nothing_is_none():
    features, who = crops()
    pairs = cluster_pairs(who)
    assert calibrate(features, Pairs(pairs.different, pairs.same, "tracks")) is None
    for few in (
        Pairs(pairs.same[:9], pairs.different, ""),
        Pairs(pairs.same, pairs.different[:9], ""),
    ):
        assert calibrate(features, few) is None


@pytest.mark.parametrize("most", [20_000, 50])
def test_pairs_of_clusters(monkeypatch, most):
    monkeypatch.setattr(pair_calibration, "PAIRS", most)
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 20, 300)
    found, again = cluster_pairs(labels), cluster_pairs(labels)
    for part, same in ((found.same, True), (found.different, False)):
        a, b = labels[part].T
        assert 40 <= len(part) <= most and (part[:, 0] != part[:, 1]).all()
        assert ((a == b) == same).all() and (labels[part] >= 0).all()
        assert len({tuple(sorted(pair)) for pair in part.tolist()}) == len(part)
        assert len(np.unique(a)) > 10  # from all over
    assert (found.same == again.same).all() and (found.different == again.different).all()


@pytest.mark.parametrize("labels", [[], [-1, -1], [0], [0, 0], [0, 1]])
def test_there_may_be_no_pair(labels):
    found = cluster_pairs(np.array(labels, np.int64))
    assert found.same.tolist() == [[0, 1]] * (labels == [0, 0])
    assert found.different.tolist() == [[0, 1]] * (labels == [0, 1])


def test_cosines_in_blocks_are_cosines():
    features, _ = crops()
    pairs = np.random.default_rng(0).integers(0, len(features), (10_000, 2))
    expected = np.einsum("pd,pd->p", features[pairs[:, 0]], features[pairs[:, 1]])
    assert cosines(features, pairs) == pytest.approx(expected, abs=1e-6)
    assert len(cosines(features, pairs[:0])) == 0
