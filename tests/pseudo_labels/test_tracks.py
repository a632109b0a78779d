"""Labels with tracks: constraints hold, broken tracks are cut, nothing else changes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pseudo_labels.oracle import dense_distance, people, ranking, rho_rule
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

from gcl.pseudo_labels import PseudoLabeler, cannot_link, check_tracks, split_tracks, tracklets
from gcl.pseudo_labels.tracklets import switch_threshold


def scene(people_count=24, cameras=2, visits=2, length=5, noise=0.5, seed=0, d=32):
    """(features, identity, track, camera, time): each person passes each camera `visits` times and
    is seen `length` times; a passage has a look of its own."""
    rng = np.random.default_rng(seed)
    passages = people_count * cameras * visits
    who, camera = np.arange(passages) // (cameras * visits), np.arange(passages) % cameras
    look = rng.normal(size=(people_count, d))[who] + noise * rng.normal(size=(passages, d))
    track = np.repeat(np.arange(passages), length)
    x = look[track] + noise * rng.normal(size=(len(track), d))
    time = 100.0 * track + np.tile(np.arange(length), passages)
    shuffle = rng.permutation(len(track))
    parts = x.astype(np.float32), who[track], track, camera[track], time
    return tuple(part[shuffle] for part in parts)


def exchange_tails(track, camera, time, pairs, tail, seed=1):
    """The last `tail` images of `pairs` pairs of tracks of one camera change places: (track, time,
    the broken tracks)."""
    rng = np.random.default_rng(seed)
    track, time, broken = track.copy(), time.copy(), []
    for _ in range(pairs):
        while True:
            a, b = rng.choice(np.unique(track), 2, replace=False)
            same = camera[track == a][0] == camera[track == b][0]
            if same and a not in broken and b not in broken:
                break
        last = [np.flatnonzero(track == t) for t in (a, b)]
        last = [g[np.argsort(time[g])][-tail:] for g in last]
        track[last[0]], track[last[1]] = b, a
        time[last[0]], time[last[1]] = time[last[1]].copy(), time[last[0]].copy()
        broken += [a, b]
    return track, time, broken


def moments_shared(labels, track, camera, time) -> int:
    """How often two tracks that a camera saw at once share a label; tracks whole, pair by pair."""
    count = 0
    spans = [(camera[g][0], time[g].min(), time[g].max(), set(labels[g]) - {-1}) for g in
             (np.flatnonzero(track == t) for t in np.unique(track[track >= 0]))]  # fmt: skip
    for i, (c, first, last, names) in enumerate(spans):
        for d, begin, end, others in spans[:i]:
            count += c == d and first <= end and begin <= last and bool(names & others)
    return count


def test_every_image_a_track_of_its_own_changes_nothing():
    x = people(400, 32, seed=3, twins=40)
    for options in ({}, {"eps": 0.5}, {"zero_rule": "peers"}, {"rho": 8.0, "min_samples": 2}):
        alone = PseudoLabeler(**options)(x)
        for track in (np.arange(400), np.full(400, -1), np.random.default_rng(0).permutation(400)):
            got = PseudoLabeler(**options)(x, tracks=track)
            np.testing.assert_array_equal(got.labels, alone.labels)
            assert got.eps == alone.eps
            np.testing.assert_array_equal(got.tracklets, np.arange(400))
        assert alone.tracklets is None


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 60),
    spread=st.integers(1, 30),
    k1=st.integers(2, 14),
    min_samples=st.integers(1, 6),
    eps=st.sampled_from([None, 0.3, 0.7, 0.95]),
    seed=st.integers(0, 1000),
)
def test_labels_equal_dense_mean_distances(n, spread, k1, min_samples, eps, seed):
    """No times, no cut (threshold None: each track a camera of its own): DBSCAN, weighted by sizes,
    on (1 / |A| |B|) sum of the dense distances of rows a in A, b in B."""
    x = people(n, 12, seed, twins=n // 5)
    track = np.random.default_rng(seed).integers(-1, spread, n)
    owner = np.where(track < 0, spread + np.arange(n), track)
    names, first = np.unique(owner, return_index=True)
    names = names[np.argsort(first)]
    rows, parts, sizes = [], [], []
    for t, name in enumerate(names):
        images = np.flatnonzero(owner == name)
        sizes.append(len(images))
        shares = min(len(images), max(1, k1 // 2))
        cuts = [s * len(images) // shares for s in range(shares + 1)]
        for a, b in zip(cuts, cuts[1:], strict=False):
            mean = x[images[a:b]].astype(np.float64).sum(axis=0)
            single = b - a == 1
            rows.append(x[images[a]] if single else (mean / np.linalg.norm(mean)).astype("f4"))
            parts.append(t)
    rows, parts = np.stack(rows), np.array(parts)
    d = dense_distance(rows, ranking(rows, k1), k1, min(3, k1), published=False)
    radius = rho_rule(d, 2e-3, "stable") if eps is None else np.float32(eps)
    merged = np.zeros((len(names), len(names)), np.float32)
    for a in range(len(names)):
        for b in range(len(names)):
            if a != b:
                merged[a, b] = d[np.ix_(parts == a, parts == b)].mean(dtype=np.float64)
    model = DBSCAN(eps=max(float(radius), 1e-45), min_samples=min_samples, metric="precomputed")
    expected = model.fit(merged, sample_weight=sizes).labels_[np.argsort(np.argsort(first))]
    _, inverse = np.unique(owner, return_inverse=True)
    labeler = PseudoLabeler(k1=k1, k2=min(3, k1), min_samples=min_samples, eps=eps)
    got = labeler(x, tracks=track, cameras=track)
    np.testing.assert_array_equal(got.labels, expected[inverse])
    assert got.eps == float(radius)
    assert got.num_outliers == (got.labels < 0).sum()


def test_tracks_help_and_broken_tracks_still_do():
    x, who, track, camera, time = scene(people_count=60, visits=1, noise=0.4, d=8)
    labeler = PseudoLabeler(k1=12, k2=3, eps=0.55)
    quality = {"none": adjusted_rand_score(who, labeler(x).labels)}
    quality["whole"] = adjusted_rand_score(who, labeler(x, tracks=track, cameras=camera).labels)
    for pairs, name in ((6, "10 %"), (18, "30 %")):
        broken = exchange_tails(track, camera, time, pairs, tail=2)[0]
        result = labeler(x, tracks=broken, cameras=camera)
        quality[name] = adjusted_rand_score(who, result.labels)
        parts = [who[result.tracklets == t] for t in np.unique(result.tracklets)]
        assert np.mean([len(np.unique(part)) == 1 for part in parts]) > 0.93, name
    assert quality["whole"] > quality["none"] + 0.15, quality
    assert quality["whole"] >= quality["10 %"] >= quality["30 %"] > quality["none"] + 0.1, quality


def test_a_track_is_one_tracklet_unless_it_was_broken():
    x, who, track, camera, time = scene(noise=0.4, length=6)
    unit = torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True))
    whole = split_tracks(unit, given_tracks(track, camera, time))
    assert adjusted_rand_score(whole, track) == 1
    track, time, broken = exchange_tails(track, camera, time, 5, tail=3)
    cut = PseudoLabeler()(x, tracks=track, times=time, cameras=camera).tracklets
    for t in np.unique(track):
        images = track == t
        assert adjusted_rand_score(cut[images], who[images]) == 1
        assert len(np.unique(cut[images])) == (2 if t in broken else 1)
    _, first = np.unique(cut, return_index=True)
    assert (np.diff(first) > 0).all()  # numbered by first image


def given_tracks(track, camera=None, time=None):
    return check_tracks(len(track), track, time, camera)


def test_threshold_is_the_formula():
    """The argmax over t of 3 * share(within >= t) - share(between >= t), tried at every t."""
    x, _, track, camera, time = scene(noise=1.2, people_count=6)
    x = torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True))
    track, time, _ = exchange_tails(track, camera, time, 2, tail=2)
    same, other = [], []
    for c in (0, 1):
        images = sorted(np.flatnonzero(camera == c), key=lambda i: (track[i], time[i]))
        half = len(images) // 2
        for step in range(1, 9):
            for p, i in enumerate(images):
                if p + step < len(images) and track[images[p + step]] == track[i]:
                    same.append(float(x[i].double() @ x[images[p + step]].double()))
                j = images[(p - half - step) % len(images)]
                if track[j] != track[i]:
                    other.append(float(x[i].double() @ x[j].double()))
    same, other = np.array(same), np.array(other)
    gain = {t: 3 * (same >= t - 1e-9).mean() - (other >= t - 1e-9).mean() for t in [*same, *other]}
    assert switch_threshold(x, given_tracks(track, camera, time)) == pytest.approx(
        max(gain, key=gain.get), abs=1e-6
    )
    once = {t: g - 2 * (same >= t - 1e-9).mean() for t, g in gain.items()}
    assert max(once, key=once.get) > max(gain, key=gain.get)  # the weight matters here
    alone = np.arange(len(x))
    assert switch_threshold(x, given_tracks(alone)) is None  # no pair within a track
    assert switch_threshold(x, given_tracks(track, track)) is None  # one track a camera


def test_few_people_who_pass_again_and_again_stay_whole():
    """Two people: half of the pairs between tracks are one person; they would be cut if
    those pairs counted as strangers."""
    x, who, track, camera, time = scene(people_count=2, cameras=1, visits=30, noise=0.4)
    cut = PseudoLabeler()(x, tracks=track).tracklets
    assert len(np.unique(cut)) <= 62
    assert all(len(np.unique(who[cut == t])) == 1 for t in np.unique(cut))


def test_windows_of_a_long_track_find_the_same_two_people(monkeypatch):
    x, who, track, camera, time = scene(people_count=30, cameras=1, visits=1, length=40, noise=0.4)
    track = np.where(track == 7, 8, track)  # one after the other: 80 images of two people
    whole = PseudoLabeler()(x, tracks=track, times=time).tracklets
    monkeypatch.setattr(tracklets, "WINDOW", 16)
    small = PseudoLabeler()(x, tracks=track, times=time).tracklets
    assert adjusted_rand_score(whole, who) == adjusted_rand_score(small, who) == 1


def test_long_tracks_find_each_other():
    """60 images a track, k1 = 12: every list would hold the track's own images only."""
    x, who, track, camera, time = scene(people_count=15, visits=1, length=60, noise=0.3)
    labeler = PseudoLabeler(k1=12, k2=1, eps=0.6)
    assert adjusted_rand_score(who, labeler(x, tracks=track, cameras=camera).labels) == 1
    assert adjusted_rand_score(who, labeler(x).labels) < 0.9


# ---- cannot-link


def oracle_constrained(left, right, distance, sizes, min_samples, forbidden):
    """The rule by sets: cores join in order of distance unless a forbidden pair would meet."""
    n = len(sizes)
    weight = sizes.copy()
    for i, j in zip(left, right, strict=True):
        weight[i] += sizes[j]
        weight[j] += sizes[i]
    core = weight >= min_samples
    cluster = [{i} for i in range(n)]
    pairs = sorted((d, min(i, j), max(i, j)) for d, i, j in zip(distance, left, right, strict=True))
    for _, i, j in pairs:
        both = cluster[i] | cluster[j]
        if core[i] and core[j] and not any(forbidden[a, b] for a in both for b in both):
            for a in both:
                cluster[a] = both
    labels, members = np.full(n, -1), []
    for i in range(n):
        if core[i] and labels[i] < 0:
            labels[list(cluster[i])] = len(members)
            members.append(set(cluster[i]))
    for c, inside in enumerate(members):
        reach = [(d, j if core[i] else i, i if core[i] else j) for d, i, j in pairs
                 if core[i] != core[j]]  # fmt: skip
        for _, i in sorted((d, i) for d, i, near in reach if labels[near] == c and core[near]):
            if labels[i] < 0 and not any(forbidden[i, a] for a in inside):
                labels[i] = c
                inside.add(i)
    return labels


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 24),
    cameras=st.integers(1, 3),
    density=st.floats(0.05, 0.9),
    length=st.floats(0, 5),
    min_samples=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_constrained_clusters_equal_the_rule_by_sets(
    n, cameras, density, length, min_samples, seed
):
    rng = np.random.default_rng(seed)
    camera, first = rng.integers(0, cameras, n), rng.integers(0, 20, n)
    last = first + np.round(length * rng.random(n))
    forbidden = (
        (camera[:, None] == camera)
        & (np.maximum(first[:, None], first) <= np.minimum(last[:, None], last))
        & ~np.eye(n, dtype=bool)
    )
    runs = [{int(camera[i]): [(float(first[i]), float(last[i]), i)]} for i in range(n)]
    left, right = np.triu_indices(n, 1)
    near = rng.random(len(left)) < density
    left, right = left[near], right[near]
    distance = rng.integers(0, 5, len(left)).astype(np.float32)  # with ties
    sizes = rng.integers(1, 3, n)
    got = cannot_link.constrained_labels(left, right, distance, sizes, min_samples, runs)
    expected = oracle_constrained(left, right, distance, sizes, min_samples, forbidden)
    np.testing.assert_array_equal(got, expected)
    free = cannot_link.constrained_labels(left, right, distance, sizes, min_samples, [{}] * n)
    plain = oracle_constrained(left, right, distance, sizes, min_samples, np.zeros_like(forbidden))
    np.testing.assert_array_equal(free, plain)


def test_conflict_is_between_two_tracks_of_a_camera_and_counts_ends():
    a = {0: [(1.0, 2.0, 7), (4.0, 6.0, 7)]}
    for other, expected in (
        ({0: [(2.0, 3.0, 8)]}, True),  # one moment
        ({0: [(2.5, 3.5, 8)]}, False),  # while track 7 followed somebody else
        ({0: [(0.0, 9.0, 8)]}, True),
        ({1: [(0.0, 9.0, 8)]}, False),  # another camera
        ({0: [(2.0, 4.0, 7)]}, False),  # the other person of the broken track 7
        ({}, False),
    ):
        assert cannot_link.conflict(a, other) == cannot_link.conflict(other, a) == expected


def test_tracks_seen_at_once_share_no_label_and_other_times_change_nothing():
    x, who, track, camera, _ = scene(noise=0.9, people_count=30)
    labeler = PseudoLabeler(k1=12, k2=3, eps=0.7)
    free = labeler(x, tracks=track, cameras=camera)
    apart = labeler(x, tracks=track, cameras=camera, times=10 * track)
    np.testing.assert_array_equal(apart.labels, free.labels)
    unknown = labeler(x, tracks=track, cameras=camera, times=np.full(len(x), np.nan))
    np.testing.assert_array_equal(unknown.labels, free.labels)
    # Person after person: the two visits of a camera do not overlap, different people do.
    start = (track // 2) % 2 * 100.0 + np.random.default_rng(0).integers(0, 3, len(x))
    bound = labeler(x, tracks=track, cameras=camera, times=start)
    assert moments_shared(free.labels, track, camera, start) > 0
    assert moments_shared(bound.labels, bound.tracklets, camera, start) == 0
    assert adjusted_rand_score(who, bound.labels) > adjusted_rand_score(who, free.labels)


# ---- what can go wrong


def test_degenerate_inputs_are_labelled():
    x = people(40, 8, seed=1)
    labeler = PseudoLabeler(k1=6, k2=2, eps=0.5)
    one = labeler(x, tracks=np.zeros(40, int))
    assert one.labels.tolist() == [0] * 40 and one.num_clusters == 1
    assert labeler(x[:3], tracks=[0, 0, 0]).labels.tolist() == [-1] * 3  # below min_samples
    assert labeler(x[:1], tracks=[5], times=[0.5], cameras=[3]).labels.tolist() == [-1]
    assert labeler(x[:0], tracks=np.empty(0, int)).tracklets.tolist() == []
    for value in (0.0, 1.0):  # a collapsed encoder: no pair is less alike than another, no cut
        same = labeler(np.full((40, 5), value), tracks=np.arange(40) // 4)
        np.testing.assert_array_equal(same.tracklets, np.arange(40) // 4)


def test_two_images_of_a_track_at_the_same_moment_are_no_contradiction():
    """Only tracks exclude each other; a track in two places is left to appearance."""
    x, who, track, camera, _ = scene(people_count=6, noise=0.3)
    got = PseudoLabeler(k1=8, k2=2, eps=0.6)(x, tracks=track, times=1000 * track, cameras=camera)
    for t in np.unique(track):
        assert len(np.unique(got.labels[track == t])) == 1
    # Everybody at once in one camera: every track for itself.
    got = PseudoLabeler(k1=8, k2=2, eps=0.9)(x, tracks=track, times=np.zeros(len(x)))
    assert adjusted_rand_score(got.labels, track) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"tracks": [0, 1]}, ValueError, "tracks must have one number for each of the 3 images"),
        ({"tracks": [0, 1, 1.5]}, TypeError, "tracks must be whole numbers; the type is float64"),
        ({"tracks": [0, -2, 1]}, ValueError, "tracks has -2"),
        ({"tracks": [0, 0, 1], "cameras": [0, 1, 1]}, ValueError, "track 0 has images of several"),
        ({"tracks": [0, 0, 1], "cameras": [0.0, 1, 1]}, TypeError, "cameras must be whole numbers"),
        ({"tracks": [0, 0, 1], "times": ["a", "b", "c"]}, TypeError, "times must be real numbers"),
        ({"tracks": [0, 0, 1], "times": [0, np.inf, 1]}, ValueError, "times has infinite values"),
        ({"times": [0, 1, 2]}, ValueError, "times say which tracks exclude each other"),
        ({"cameras": [0, 1, 2]}, ValueError, "cameras say which tracks"),
    ],
)
def test_wrong_tracks_fail_with_a_sentence(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        PseudoLabeler()(np.eye(3), **arguments)


def test_kind_of_array_does_not_matter():
    x, _, track, camera, time = scene(people_count=8)
    expected = PseudoLabeler()(x, tracks=track, times=time, cameras=camera).labels
    got = PseudoLabeler()(
        torch.from_numpy(x),
        tracks=torch.from_numpy(track).int(),
        times=torch.from_numpy(time).float(),
        cameras=camera.astype(np.uint8).tolist(),
    )
    np.testing.assert_array_equal(got.labels, expected)
