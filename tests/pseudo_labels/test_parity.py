"""The labels are the dense algorithm's, number for number."""

import numpy as np
import pytest
from pseudo_labels.oracle import dense_labels, people, ranking

from gcl.pseudo_labels import PseudoLabeler, nearest_neighbours


@pytest.mark.parametrize("zero_rule", ["stable", "peers"])
@pytest.mark.parametrize(("n", "d", "twins"), [(500, 64, 0), (500, 64, 40), (2000, 256, 60)])
def test_labels_equal_the_dense_algorithm(n, d, twins, zero_rule):
    x = people(n, d, seed=n + twins, twins=twins)
    labels, eps = dense_labels(x, zero_rule=zero_rule)
    result = PseudoLabeler(zero_rule=zero_rule)(x)
    assert result.eps == eps
    np.testing.assert_array_equal(result.labels, labels)
    assert result.num_clusters == labels.max() + 1 > 1
    assert result.num_outliers == (labels < 0).sum()


def test_neighbours_equal_a_stable_sort_of_float64_scores():
    x = people(700, 32, seed=3, twins=100)
    np.testing.assert_array_equal(nearest_neighbours(x, 30).index, ranking(x, 30))
