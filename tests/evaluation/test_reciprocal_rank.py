"""k-reciprocal re-ranking, against a dense array of all distances. Q queries, G gallery images."""

from __future__ import annotations

import numpy as np
import torch
from pseudo_labels.oracle import dense_distance, people, ranking

from gcl.evaluation.rank_sheet import rank
from gcl.evaluation.reciprocal_rank import reciprocal_rank


def dense(x: np.ndarray, queries: int) -> np.ndarray:
    """(Q, G) of eq. 12, with the toolbox's k1 20 (which does not count the image itself), k2 6 and
    lambda 0.3."""
    jaccard = dense_distance(x, ranking(x, 21), 21, 6, published=False)
    d = 2 - 2 * x @ x.T
    d = np.maximum(d, 0)[:queries]
    d /= d.max(axis=1, keepdims=True)
    return (0.3 * d + 0.7 * jaccard[:queries])[:, queries:]


def test_the_order_is_that_of_the_dense_distance():
    x = people(90, 16, seed=3)
    found = reciprocal_rank(torch.from_numpy(x[:7]), torch.from_numpy(x[7:]), 83)
    for row, distance in zip(found, dense(x, 7), strict=True):
        assert sorted(row) == list(range(83))
        assert np.diff(distance[row]).min() > -1e-6  # float32 may change the places of equals
    plain = rank(torch.from_numpy(x[:7]), torch.from_numpy(x[7:]), 83)
    assert found != plain


def test_lengths_of_features_do_not_matter():
    x = torch.from_numpy(people(40, 8))
    scaled = x * torch.linspace(0.5, 4, 40)[:, None]
    assert reciprocal_rank(scaled[:3], scaled[3:], 5) == reciprocal_rank(x[:3], x[3:], 5)


def test_what_is_left_out_is_not_found():
    x = torch.from_numpy(people(30, 8))
    left_out = torch.zeros(2, 28, dtype=torch.bool)
    left_out[0, :27] = left_out[1] = True
    assert reciprocal_rank(x[:2], x[2:], 5, left_out) == [[27], []]


def test_few_images_are_no_problem():
    x = torch.eye(3)
    assert reciprocal_rank(x[:1], x[1:2], 5) == [[0]]
    assert reciprocal_rank(x[:1], x[:1], 5) == [[0]]
