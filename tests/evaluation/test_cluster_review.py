"""Planted faults of a clustering come first."""

import numpy as np
import pytest

from gcl.evaluation.cluster_review import review
from gcl.pseudo_labels import check_tracks


def people(count=12, each=6, d=32, noise=0.2, seed=0):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(count), each)
    x = rng.normal(size=(count, d))[who] + noise * rng.normal(size=(len(who), d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), who


def mean_cosine(features, left, right):
    return np.mean([features[i] @ features[j] for i in left for j in right])


def test_similarity_is_the_cosine_with_the_mean_of_the_cluster():
    features, who = people()
    labels = who.copy()
    labels[::7] = -1
    found = review(features, labels)
    for i, label in enumerate(labels):
        mean = features[labels == label].sum(0)
        expected = features[i] @ mean / np.linalg.norm(mean) if label >= 0 else np.nan
        assert found.similarity[i] == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert [rows.tolist() for rows in found.members] == [
        np.flatnonzero(labels == i).tolist() for i in range(12)
    ]


def test_two_people_in_one_cluster_come_first_and_are_parted():
    features, who = people()
    labels = np.where(who == 11, 3, who)
    first, second = review(features, labels).merges[:2]
    assert first.clusters == (3,)
    assert {frozenset(who[first.left]), frozenset(who[first.right])} == {
        frozenset({3}),
        frozenset({11}),
    }
    assert first.similarity == pytest.approx(
        mean_cosine(features, first.left, first.right), abs=1e-5
    )
    assert first.similarity < 0.5 < second.similarity


def test_one_person_in_two_clusters_comes_first():
    features, who = people()
    labels = who.copy()
    labels[:3] = 12
    first, second = review(features, labels).splits[:2]
    assert first.clusters == (0, 12) and sorted([*first.left, *first.right]) == list(range(6))
    assert first.similarity == pytest.approx(
        mean_cosine(features, first.left, first.right), abs=1e-5
    )
    assert first.similarity > 0.8 > second.similarity
    # unless a camera saw both at once
    tracks, times = np.where(labels == 12, 1, labels * 10), np.tile(np.arange(6.0), 12)
    times[labels == 0] -= 2  # 3, 4, 5 -> 1, 2, 3: while the other was there (0, 1, 2)
    known = check_tracks(len(labels), tracks, times, np.arange(12).repeat(6))
    splits = review(features, labels, tracks=known).splits
    assert (0, 12) not in [doubt.clusters for doubt in splits] and splits
    apart = check_tracks(len(labels), tracks, times + 10 * labels, np.arange(12).repeat(6))
    assert review(features, labels, tracks=apart).splits[0].clusters == (0, 12)


def test_clusters_of_two_sites_are_two_people():
    features, who = people()
    labels = who.copy()
    labels[:3] = 12
    there = review(features, labels, sites=np.zeros(len(who), np.int64)).splits
    assert there[0].clusters == (0, 12)
    apart = review(features, labels, sites=labels % 3).splits  # 0 and 12 are of one
    assert apart[0].clusters == (0, 12)
    assert all(a % 3 == b % 3 for a, b in (doubt.clusters for doubt in apart))
    sites = (labels == 12).astype(np.int64)
    assert all(12 not in doubt.clusters for doubt in review(features, labels, sites=sites).splits)


def test_each_pair_of_clusters_is_there_once_and_no_more_than_asked():
    features, who = people(noise=1.0)
    pairs = [doubt.clusters for doubt in review(features, who, most=7).splits]
    assert len(pairs) == len(set(pairs)) == 7 and all(a < b for a, b in pairs)
    alike = [doubt.similarity for doubt in review(features, who).splits]
    assert alike == sorted(alike, reverse=True)


def test_a_cluster_in_two_cameras():
    features, who = people()
    cameras = np.zeros(len(who), np.int64)
    cameras[12:14], cameras[14] = 5, 7  # of person 2, who has three crops in camera 0
    (found,) = review(features, who, cameras).crossings
    assert found.clusters == (2,)
    assert found.left.tolist() == [15, 16, 17] and found.right.tolist() == [12, 13]


def test_there_may_be_nothing_to_look_at():
    features, _ = people(2, 2)
    none = review(features, np.full(4, -1), np.arange(4))
    assert none.members == none.merges == none.splits == none.crossings == []
    assert np.isnan(none.similarity).all()
    same = review(features[[0, 0, 0]], np.zeros(3, np.int64))
    assert same.merges[0].similarity == pytest.approx(1, abs=1e-5)
    assert review(features[:1], np.zeros(1, np.int64)).merges == []
