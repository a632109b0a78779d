"""Labels of several sites are those of each site alone, numbered on."""

import numpy as np
import pytest
import torch
from pseudo_labels.oracle import people

from gcl.pseudo_labels import PseudoLabeler, label_sites

N = 240


@pytest.fixture
def features():
    return people(N, 16, seed=3)


def labeler(**changes):
    return PseudoLabeler(**{"k1": 12, "k2": 3, "min_samples": 2, "eps": 0.6} | changes)


def numbered_on(parts):
    """What (rows, labels) of each site are together, image by image."""
    labels, used = [-1] * N, 0
    for rows, found in parts:
        for row, label in zip(rows, found, strict=True):
            labels[row] = -1 if label == -1 else label + used
        used += len({*found.tolist()} - {-1})
    return labels


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_each_site_is_labelled_alone(features, kind):
    sites = np.arange(N) * 7 % 3 * 10  # numbers need not follow each other
    found = label_sites(labeler(), kind(features), sites=sites)
    rows = [[i for i in range(N) if sites[i] == site] for site in (0, 10, 20)]
    alone = [labeler()(features[part]) for part in rows]
    assert found.labels.tolist() == numbered_on(
        [(part, one.labels) for part, one in zip(rows, alone, strict=True)]
    )
    assert all(one.num_clusters > 1 for one in alone)
    for count in ("num_clusters", "num_outliers", "num_crowded"):
        assert getattr(found, count) == sum(getattr(one, count) for one in alone)
    assert found.eps == pytest.approx(0.6) and set(found.seconds) == set(alone[0].seconds)
    assert found.tracklets is None


def test_the_same_person_at_two_sites_has_two_labels(features):
    twice = np.concatenate([features, features])
    assert len({*labeler(k1=24)(twice).labels.tolist()} - {-1}) > 1
    sites = np.arange(2 * N) // N
    found = label_sites(labeler(), twice, sites=sites)
    here, there = found.labels[:N], found.labels[N:]
    assert not {*here.tolist()} & {*there.tolist()} - {-1}
    np.testing.assert_array_equal(here >= 0, there >= 0)


def test_a_rule_for_eps_is_followed_at_each_site(features):
    rule = labeler(eps=None, rho=5.0)
    sites = (np.arange(N) >= 40).astype(np.int64)
    found = label_sites(rule, features, sites=sites)
    eps = [rule(features[sites == site]).eps for site in (0, 1)]
    assert eps[0] != eps[1]
    assert found.eps == pytest.approx((40 * eps[0] + 200 * eps[1]) / N)


def test_tracks_go_along(features):
    known = {"tracks": np.arange(N) // 4, "times": np.arange(N) % 4, "cameras": np.arange(N) // 120}
    sites = known["cameras"]
    found = label_sites(labeler(), features, sites=sites, **known)
    halves = [
        labeler()(features[sites == site], **{k: v[sites == site] for k, v in known.items()})
        for site in (0, 1)
    ]
    clusters, tracklets = halves[0].num_clusters, halves[0].tracklets.max() + 1
    second = np.where(halves[1].labels < 0, -1, halves[1].labels + clusters)
    np.testing.assert_array_equal(found.labels, [*halves[0].labels, *second])
    np.testing.assert_array_equal(
        found.tracklets, [*halves[0].tracklets, *halves[1].tracklets + tracklets]
    )


def test_without_sites_it_is_the_labeler(features):
    found = label_sites(labeler(), features)
    np.testing.assert_array_equal(found.labels, labeler()(features).labels)


def test_a_site_too_small_for_a_cluster(features):
    sites = np.where(np.arange(N) == 7, 1, 0)
    found = label_sites(labeler(), features, sites=sites)
    assert found.labels[7] == -1 and found.num_clusters > 1
