"""The parts alone: Jaccard distance, the rho rule, DBSCAN."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pseudo_labels.oracle import dense_distance, people, ranking, rho_rule
from scipy import sparse
from sklearn.cluster import DBSCAN

from gcl.pseudo_labels import (
    Limit,
    SparseDistance,
    dbscan,
    estimate_eps,
    jaccard,
    jaccard_distance,
    kernels_numba,
    kernels_numpy,
    nearest_neighbours,
    unit_rows,
)


def sparse_distance(x, k1=30, k2=6, **options) -> SparseDistance:
    rows = unit_rows(x)
    return jaccard_distance(rows, nearest_neighbours(rows, k1), k1, k2, **options)


def dense(distance: SparseDistance) -> np.ndarray:
    out = np.ones((distance.num_points, distance.num_points), np.float32)
    rows = distance.rows(np.arange(len(distance.data)))
    assert (rows < distance.indices).all()
    out[rows, distance.indices] = out[distance.indices, rows] = distance.data
    return out


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize(("k1", "k2"), [(30, 6), (20, 1), (7, 7), (1, 1)])
def test_every_distance_equals_the_dense_one(k1, k2, published):
    x = people(400, 32, seed=k1, twins=40)
    ours = dense(sparse_distance(x, k1, k2, published_weights=published))
    theirs = dense_distance(x, ranking(x, k1), k1, k2, published)
    np.fill_diagonal(ours, 0)
    np.fill_diagonal(theirs, 0)
    np.testing.assert_array_equal(ours, theirs)


def test_closed_form_two_orthogonal_pairs():
    """k1 = 2: every image's set is itself and its twin, d = 0, weights 1/2 each: distance 0; the
    pairs share nothing."""
    x = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    distance = sparse_distance(x, k1=2, k2=1)
    assert sorted(
        zip(distance.rows(np.arange(2)).tolist(), distance.indices.tolist(), strict=True)
    ) == [
        (0, 1),
        (2, 3),
    ]
    assert distance.data.tolist() == [0, 0]


def test_closed_form_weights_of_two_images():
    """d = 2 - 2 cos(60 deg) = 1: weights 1/(1+e^-1) and e^-1/(1+e^-1), so the sum of the minima is
    2 e^-1 / (1 + e^-1)."""
    x = np.array([[1, 0], [0.5, 3**0.5 / 2]])
    m = 2 * np.exp(-1) / (1 + np.exp(-1))
    np.testing.assert_allclose(sparse_distance(x, 2, 1).data, [1 - m / (2 - m)], rtol=1e-6)


@pytest.mark.parametrize(("n", "k"), [(300, 30), (300, 9), (40, 30), (3, 3), (1, 1)])
def test_numpy_kernels_equal_the_compiled_ones_bit_for_bit(n, k):
    x = people(n, 16, seed=n + k, twins=n // 4)
    rank, similarity = nearest_neighbours(x, k)
    a, b = n // 3, n - n // 5
    jit, ref = kernels_numba, kernels_numpy

    def same(name, *args):
        got, want = getattr(jit, name)(*args), getattr(ref, name)(*args)
        for g, w in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, want)), strict=True):
            assert g.dtype == w.dtype and g.shape == w.shape, name
            np.testing.assert_array_equal(g, w)
        return got

    half = same("reciprocal", rank, min(k // 2 + 1, k), 0, n)
    same("reciprocal", rank, k, a, b)
    same("expand", rank, k, half, a, b)
    indices, counts = same("expand", rank, k, half, 0, n)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    dots = same("known_dots", rank, similarity, indptr, indices, 0, n)
    dots[np.isnan(dots)] = 0.25
    data = ref.softmax_rows(indptr, dots.copy())
    np.testing.assert_allclose(jit.softmax_rows(indptr, dots.copy()), data, rtol=1e-7)
    same("mean_rows", rank, min(6, k), indptr, indices, data, a, b)
    indices, data, counts = same("mean_rows", rank, min(6, k), indptr, indices, data, 0, n)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    by_column = same("columns", indptr, indices, data)
    starts, _ = same("upper_starts", indptr, indices, by_column[0])
    for at_once, below in itertools.product((kernels_numpy.PAIRS_AT_ONCE, 50), (2, 0.7)):
        ref.PAIRS_AT_ONCE, before = at_once, ref.PAIRS_AT_ONCE
        args = (indptr, indices, data, starts, *by_column, np.float32(below), a, b)
        got, want = jit.jaccard_rows(*args), ref.jaccard_rows(*args)
        ref.PAIRS_AT_ONCE = before
        assert (got[1] < below).all()
        rows = [np.repeat(np.arange(b - a), r[2]) for r in (got, want)]
        tables = [
            sparse.coo_matrix((r[1] + 1, (row, r[0])), shape=(b - a, n)).toarray()
            for r, row in zip((got, want), rows, strict=True)
        ]
        np.testing.assert_array_equal(*tables)


# ---- the rho rule


def pairs(values) -> np.ndarray:
    return np.asarray(values, np.float32)


def test_eps_by_hand():
    """Four images, six pairs: 0, 0.2, 0.4 listed, three absent (distance 1)."""
    values = pairs([0.4, 0.0, 0.2])
    assert estimate_eps(values, 4, rho=0.4) == np.float32(np.float32(0.2) / 2 + np.float32(0.4) / 2)
    assert estimate_eps(values, 4, rho=0.2) == np.float32(0.2)  # 5 counted, one taken
    assert estimate_eps(values, 4, rho=0.01) == np.float32(0.2)  # never less than one pair
    assert estimate_eps(values, 4, rho=0.6) == pytest.approx((0.2 + 0.4 + 1) / 3)
    assert estimate_eps(values, 4, rho=1.0) == pytest.approx((0.2 + 0.4) / 2)  # one neighbour each
    assert estimate_eps(values, 4, rho=50) == pytest.approx((0.2 + 0.4 + 3) / 5)


def test_zero_rules_differ_only_below_a_millionth():
    values = pairs([0, 6e-8, 9e-7, 1e-6, 0.5])
    assert estimate_eps(values, 4, rho=0.1, zero_rule="peers") == np.float32(6e-8)
    assert estimate_eps(values, 4, rho=0.1, zero_rule="stable") == np.float32(1e-6)


def test_eps_where_nothing_counts():
    assert estimate_eps(pairs([]), 1) == np.float32(1e-6)
    assert estimate_eps(pairs([]), 1, zero_rule="peers") == 0
    assert estimate_eps(pairs([0, 0, 0]), 3) == np.float32(1e-6)
    assert estimate_eps(pairs([]), 10) < 1  # all pairs absent: still no pair is within eps


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 30),
    st.floats(1e-4, 0.999) | st.floats(1, 40),
    st.sampled_from(["stable", "peers"]),
    st.integers(0, 2**32 - 1),
)
def test_eps_equals_a_sort_of_the_dense_matrix(n, rho, zero_rule, seed):
    rng = np.random.default_rng(seed)
    matrix = np.ones((n, n), np.float32)
    upper = np.triu_indices(n, 1)
    listed = rng.random(len(upper[0])) < rng.random()
    values = rng.choice([0, 6e-8, 1e-6, 0.25, 0.5, 1], listed.sum()) * rng.random()
    matrix[upper[0][listed], upper[1][listed]] = values
    expected = rho_rule(np.minimum(matrix, matrix.T), rho, zero_rule)
    assert estimate_eps(pairs(values), n, rho, zero_rule) == expected


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 60),
    st.floats(1e-4, 0.5) | st.floats(1, 10),
    st.sampled_from(["stable", "peers"]),
    st.integers(0, 2**32 - 1),
)
def test_a_limit_drops_only_what_eps_and_dbscan_do_not_need(n, rho, zero_rule, seed):
    """Lists shortened on the way give the same eps, and hold every pair within it."""
    rng = np.random.default_rng(seed)
    values = np.sort(pairs(rng.choice([0, 6e-8, 1e-6, 0.3], n * (n - 1) // 2) + rng.random()))
    values = np.minimum(rng.permutation(values * rng.random(len(values)).astype(np.float32)), 1)
    limit, kept = Limit(n, None, rho, zero_rule), []
    for part in np.array_split(values, 5):
        kept.append(part[part < limit.value])
        limit.add(kept[-1])
    kept = np.concatenate(kept)
    eps = estimate_eps(values, n, rho, zero_rule)
    assert estimate_eps(kept, n, rho, zero_rule) == eps
    assert (kept <= eps).sum() == (values <= eps).sum()


def test_a_limit_bounds_the_pairs_and_changes_no_label(monkeypatch):
    monkeypatch.setattr(jaccard, "STEP", 32)
    x = people(600, 16, seed=5)
    limit = Limit(600, None, 3, "stable")
    rows = unit_rows(x)
    neighbours = nearest_neighbours(rows, 30)
    everything = jaccard_distance(rows, neighbours)
    limited = jaccard_distance(rows, neighbours, limit=limit)
    assert 900 <= len(limited.data) < len(everything.data) / 3  # 3 neighbours: 900 pairs
    eps = estimate_eps(everything.data, 600, 3)
    assert estimate_eps(limited.data, 600, 3) == eps
    np.testing.assert_array_equal(dbscan(limited, eps), dbscan(everything, eps))
    fixed = jaccard_distance(rows, neighbours, limit=Limit(600, 0.25, 3, "stable"))
    assert len(fixed.data) == (everything.data <= 0.25).sum()
    np.testing.assert_array_equal(dbscan(fixed, 0.25), dbscan(everything, 0.25))


def test_a_share_of_many_pairs_warns():
    with pytest.warns(RuntimeWarning, match="does not scale with N"):
        estimate_eps(pairs([0.5]), 30_001)


def test_wrong_rules_get_a_sentence():
    with pytest.raises(ValueError, match="rho must be above 0"):
        estimate_eps(pairs([0.5]), 3, rho=0)
    with pytest.raises(ValueError, match="zero_rule must be one of stable, peers"):
        estimate_eps(pairs([0.5]), 3, zero_rule="none")


# ---- DBSCAN


@pytest.mark.parametrize("kernels", [kernels_numba, kernels_numpy], ids=["numba", "numpy"])
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.floats(0.01, 0.4), st.integers(0, 2**32 - 1))
def test_labels_are_numbered_as_scikit_learn_does(kernels, n, min_samples, density, seed):
    rng = np.random.default_rng(seed)
    left, right = np.triu_indices(n, 1)
    near = rng.random(len(left)) < density
    matrix = np.ones((n, n))
    matrix[left[near], right[near]] = matrix[right[near], left[near]] = 0.5
    np.fill_diagonal(matrix, 0)
    expected = DBSCAN(eps=0.5, min_samples=min_samples, metric="precomputed").fit_predict(matrix)
    edges = [e[near].astype(np.int32) for e in (left, right)]
    got = kernels.dbscan_labels(n, *edges, np.ones(n, np.int64), min_samples)
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, expected)
    sizes = rng.integers(1, 4, n)
    expected = DBSCAN(eps=0.5, min_samples=min_samples, metric="precomputed").fit_predict(
        matrix, sample_weight=sizes
    )
    got = kernels.dbscan_labels(n, *edges, sizes, min_samples)
    np.testing.assert_array_equal(got, expected)


def test_eps_is_compared_in_float32():
    distance = SparseDistance(
        np.array([0, 1, 1]), np.array([1], np.int32), pairs([0.6]), num_points=2
    )
    assert dbscan(distance, 0.6, 2).tolist() == [0, 0]
    assert dbscan(distance, np.nextafter(np.float32(0.6), np.float32(0)), 2).tolist() == [-1, -1]


@pytest.mark.parametrize("eps", [1.0, 1.5, -0.1, float("nan")])
def test_eps_out_of_range_gets_a_sentence(eps):
    distance = SparseDistance(np.array([0, 0]), np.empty(0, np.int32), pairs([]), num_points=1)
    with pytest.raises(ValueError, match=r"eps must be in \[0, 1\)"):
        dbscan(distance, eps)
    with pytest.raises(ValueError, match="min_samples must be at least 1"):
        dbscan(distance, 0.5, 0)


def test_torch_threads_are_given_back():
    before = torch.get_num_threads()
    sparse_distance(people(50, 8), published_weights=True)
    assert torch.get_num_threads() == before
