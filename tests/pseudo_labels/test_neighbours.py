"""Exact neighbours are those of a stable sort of float64 scores, whoever proposes candidates."""

import numpy as np
import pytest
import torch
from pseudo_labels.oracle import people, ranking

from gcl.pseudo_labels import block_search, nearest_neighbours, neighbours, unit_rows
from gcl.pseudo_labels.scores import make_keys, split_keys


def by_torch_alone(x, low, k):
    return None


WAYS = [
    {"method": "torch", "coarse": "float32"},
    {"method": "torch", "coarse": "bfloat16"},
    {"method": "faiss"},
    {"method": "auto"},
]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    ("n", "d", "twins"), [(1200, 48, 0), (700, 16, 200), (31, 8, 5), (7, 3, 3)]
)
def test_exact_ways_agree_with_a_stable_sort(n, d, twins, way, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(neighbours, "compiled_search", by_torch_alone)
    x = people(n, d, seed=n, twins=twins)
    found = nearest_neighbours(x, 30, **way)
    rank = ranking(x, 30)
    np.testing.assert_array_equal(found.index, rank)
    assert found.index.dtype == np.int32
    y = x.astype(np.float64)
    similarity = np.stack([y[r] @ y[i] for i, r in enumerate(rank)])
    np.testing.assert_allclose(found.similarity, similarity, atol=2e-11, rtol=0)


@pytest.mark.parametrize("compiled", [True, False])
def test_more_near_ties_than_any_list_holds(compiled, monkeypatch):
    """A collapsed encoder: all images alike, up to the last bits and beyond."""
    if not compiled:
        monkeypatch.setattr(neighbours, "compiled_search", by_torch_alone)
    x = people(1500, 16, seed=5)
    x[200:] = x[200] + 1e-7 * x[200:]
    x[900:] = x[900]
    x = unit_rows(x).numpy()
    for coarse in ("float32", "bfloat16"):
        found = nearest_neighbours(x, 30, method="torch", coarse=coarse)
        np.testing.assert_array_equal(found.index, ranking(x, 30))


@pytest.mark.parametrize("coarse", ["float32", "bfloat16"])
def test_blocks_and_threads_change_nothing(coarse, monkeypatch):
    x = people(900, 24, seed=2, twins=100)
    expected = nearest_neighbours(x, 30, coarse=coarse)
    threads = torch.get_num_threads()
    try:
        for rows, columns, count in ((64, 130, 1), (333, 900, 2), (7, 4096, 3)):
            monkeypatch.setattr(neighbours, "QUERY_ROWS", rows)
            monkeypatch.setattr(block_search, "DATABASE_ROWS", columns)
            monkeypatch.setattr(block_search, "TORCH_DATABASE_ROWS", columns)
            torch.set_num_threads(count)
            for build in (block_search.compiled_search, by_torch_alone):
                monkeypatch.setattr(neighbours, "compiled_search", build)
                found = nearest_neighbours(x, 30, coarse=coarse)
                np.testing.assert_array_equal(found.index, expected.index)
                np.testing.assert_array_equal(found.similarity, expected.similarity)
    finally:
        torch.set_num_threads(threads)


def test_the_error_bound_holds():
    """Of aligned rows too, where every product has the same sign and errors add up."""
    rng = np.random.default_rng(0)
    for rows in (
        rng.normal(size=(300, 512)),
        rng.random((300, 512)),
        1 + 0.01 * rng.random((300, 512)),
    ):
        x = unit_rows(rows)
        exact = x.double() @ x.double().T
        for low in (x, x.bfloat16()):
            error = ((low @ low.T).double() - exact).abs().max()
            assert error <= block_search.coarse_error(low)


def test_a_shorter_format_for_float32_products_loosens_the_bound():
    x = torch.ones(1, 64)
    tight = block_search.coarse_error(x)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert block_search.coarse_error(x) > 100 * tight
    finally:
        torch.set_float32_matmul_precision(before)


def test_keys_order_by_score_then_lower_index():
    scores = torch.tensor([0.5, 0.5, -1.0, 1.0, 0.5 + 2.0**-36], dtype=torch.float64)
    keys = make_keys(scores, torch.tensor([7, 3, 0, 9, 8]))
    scores, index = split_keys(keys.sort(descending=True).values)
    assert index.tolist() == [9, 8, 3, 7, 0]
    assert scores.tolist() == [1.0, 0.5 + 2.0**-36, 0.5, 0.5, -1.0]


def test_ivf_finds_nearly_all_and_everything_when_it_visits_everything():
    x = people(3000, 32, seed=1)
    exact = nearest_neighbours(x, 30)
    all_visited = nearest_neighbours(x, 30, method="ivf", visit=3000)
    np.testing.assert_array_equal(all_visited.index, exact.index)
    np.testing.assert_array_equal(all_visited.similarity, exact.similarity)
    part = nearest_neighbours(x, 30, method="ivf", visit=1000).index
    np.testing.assert_array_equal(part[:, 0], np.arange(3000))
    found = [len(np.intersect1d(a, b)) for a, b in zip(part, exact.index, strict=True)]
    assert np.mean(found) / 30 > 0.75
    assert all(len(set(row)) == 30 for row in part.tolist())


@pytest.mark.parametrize("method", ["auto", "faiss", "ivf"])
@pytest.mark.parametrize("n", [0, 1, 2, 29, 30, 31])
def test_fewer_images_than_neighbours(n, method):
    found = nearest_neighbours(people(n, 5), 30, method=method)
    assert found.index.shape == found.similarity.shape == (n, min(n, 30))
    np.testing.assert_array_equal(found.index, ranking(people(n, 5), 30))


def test_wrong_arguments_get_a_sentence():
    x = people(4, 3)
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        nearest_neighbours(x, 0)
    with pytest.raises(ValueError, match="knn must be one of auto, torch, faiss, ivf; got 'annoy'"):
        nearest_neighbours(x, 3, method="annoy")
    with pytest.raises(ValueError, match="coarse must be"):
        nearest_neighbours(x, 3, coarse="int8")
