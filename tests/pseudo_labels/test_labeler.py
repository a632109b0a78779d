"""The whole: any input of any size gets the dense algorithm's labels, or a sentence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pseudo_labels.oracle import dense_labels, people

from gcl.pseudo_labels import PseudoLabeler, labeler, nearest_neighbours, unit_rows


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 70),
    d=st.integers(1, 12),
    twins=st.integers(0, 40),
    k1=st.integers(1, 40),
    k2=st.integers(1, 8),
    min_samples=st.integers(1, 6),
    rho=st.sampled_from([2e-3, 0.05, 0.5, 3.0, 26.0]),
    eps=st.none() | st.sampled_from([0.0, 0.3, 0.6, 0.95]),
    zero_rule=st.sampled_from(["stable", "peers"]),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
    scale=st.sampled_from([1.0, 0.125, 100.0]),
    seed=st.integers(0, 1000),
)
def test_any_small_problem_equals_the_dense_algorithm(
    n, d, twins, k1, k2, min_samples, rho, eps, zero_rule, dtype, scale, seed
):
    k2 = min(k1, k2)
    features = torch.from_numpy(people(n, d, seed, twins) * np.float32(scale)).to(dtype)
    options = {"k1": k1, "k2": k2, "min_samples": min_samples, "eps": eps, "rho": rho}
    result = PseudoLabeler(zero_rule=zero_rule, **options)(features)
    x = unit_rows(features).numpy()
    labels, radius = dense_labels(x, zero_rule=zero_rule, **options)
    assert result.eps == radius
    np.testing.assert_array_equal(result.labels, labels)
    assert result.labels.dtype == np.int64
    assert result.num_outliers == (labels < 0).sum()
    assert result.num_clusters == len(set(labels[labels >= 0].tolist())) == labels.max() + 1


def test_result_and_timing():
    result = PseudoLabeler()(people(300, 16))
    assert list(result.seconds) == ["check", "knn", "jaccard", "eps", "dbscan"]
    assert all(s >= 0 for s in result.seconds.values())
    assert isinstance(result.eps, float) and isinstance(result.num_clusters, int)


def test_kind_of_array_does_not_matter():
    x = people(400, 16, seed=4)
    expected = PseudoLabeler()(x).labels
    for features in (
        torch.from_numpy(x),
        torch.from_numpy(x).requires_grad_(),
        np.asfortranarray(x),
        torch.from_numpy(np.repeat(x, 2, axis=0))[::2],
    ):
        np.testing.assert_array_equal(PseudoLabeler()(features).labels, expected)


def test_threads_do_not_matter():
    before = torch.get_num_threads()
    x, results = people(2500, 24, seed=6, twins=200), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            for zero_rule in ("stable", "peers"):
                results.append(PseudoLabeler(zero_rule=zero_rule)(x))
    finally:
        torch.set_num_threads(before)
    for i, result in enumerate(results):
        assert result.eps == results[i % 2].eps
        np.testing.assert_array_equal(result.labels, results[i % 2].labels)


def test_stable_labels_survive_a_change_of_the_last_bits():
    """The reason for the default: "peers" moves eps when the weights are rounded differently."""
    x = people(1500, 24, seed=8, twins=150)
    a = PseudoLabeler(zero_rule="stable")(x)
    turned = x[:, np.random.default_rng(0).permutation(24)]  # same angles, other order of summation
    b = PseudoLabeler(zero_rule="stable")(turned)
    np.testing.assert_array_equal(a.labels, b.labels)
    assert a.eps == pytest.approx(b.eps, rel=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_too_few_images_are_outliers(n):
    result = PseudoLabeler(min_samples=4)(np.ones((n, 5), np.float32))
    assert result.labels.tolist() == [-1] * n
    assert (result.num_clusters, result.num_outliers) == (0, n)


@pytest.mark.parametrize("zero_rule", ["stable", "peers"])
@pytest.mark.parametrize("value", [1.0, 0.0])
@pytest.mark.parametrize("n", [4, 30, 31, 200])
def test_a_collapsed_encoder_is_labelled_not_refused(n, value, zero_rule):
    result = PseudoLabeler(zero_rule=zero_rule)(np.full((n, 5), value, np.float32))
    x = unit_rows(np.full((n, 5), value)).numpy()
    np.testing.assert_array_equal(result.labels, dense_labels(x, zero_rule=zero_rule)[0])
    if n == 4:
        assert result.num_clusters == 1  # all in all lists: distance 0
    assert 0 <= result.eps < 1


def test_no_cluster_where_nobody_has_enough_neighbours():
    result = PseudoLabeler(min_samples=90)(people(100, 8))
    assert (result.num_clusters, result.num_outliers) == (0, 100)
    assert (result.labels == -1).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"k1": 0}, "k1 must be a whole number of at least 1, not 0"),
        ({"k2": 1.5}, "k2 must be a whole number"),
        ({"k1": 4, "k2": 6}, r"k2 \(6\) must not be above k1 \(4\)"),
        ({"min_samples": 0}, "min_samples must be"),
        ({"eps": 1.0}, r"eps must be in \[0, 1\)"),
        ({"rho": -1}, "rho must be above 0"),
        ({"zero_rule": "x"}, "zero_rule must be one of stable, peers; got 'x'"),
        ({"knn": "x"}, "knn must be one of auto, torch, faiss, ivf; got 'x'"),
    ],
)
def test_wrong_options_fail_at_once_with_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        PseudoLabeler(**options)


@pytest.mark.parametrize(("frames", "eps"), [(12, 0.55), (40, 0.55), (40, None), (150, None)])
def test_copies_of_a_crop_have_one_label(frames, eps):
    """Somebody stands still before the camera for ``frames`` frames, fewer or more than k1. (With
    fewer, k1 cuts through the copies of another crop, and the eps of rho is below that noise.)"""
    x = np.repeat(people(20, 16, seed=1), frames, axis=0)
    shuffled = np.random.default_rng(0).permutation(len(x))
    result = PseudoLabeler(k1=30, k2=6, min_samples=4, eps=eps)(x[shuffled])
    labels = np.empty_like(result.labels)
    labels[shuffled] = result.labels
    rows = labels.reshape(20, frames)
    assert (rows == rows[:, :1]).all() and (rows >= 0).all()


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_crowded_images_have_k1_copies(noise):
    """The image itself counts; a neighbourhood with one other crop in it is not crowded."""
    still, moving = np.eye(8, dtype=np.float32)[:2], np.eye(8, dtype=np.float32)[2:]
    x = np.concatenate([still[:1].repeat(5, 0), still[1:].repeat(4, 0), moving])
    x += noise * np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    assert PseudoLabeler(k1=5, k2=1)(x).num_crowded == 5
    assert PseudoLabeler(k1=4, k2=1)(x).num_crowded == 9
    assert PseudoLabeler(k1=6, k2=1)(x).num_crowded == 0
    assert PseudoLabeler(k1=20, k2=1)(still.repeat(5, 0)).num_crowded == 0  # fewer than k1


@pytest.mark.gpu
@pytest.mark.parametrize("eps", [None, 0.6])
def test_a_gpu_s_labels_are_the_cpu_s(eps):
    """Exactly: whatever proposes neighbours, their distances are compared in float64."""
    g = torch.Generator().manual_seed(0)
    centres = torch.randn(60, 64, generator=g)
    features = centres[torch.arange(900) % 60] + 0.8 * torch.randn(900, 64, generator=g)
    wanted, found = (PseudoLabeler(eps=eps)(x) for x in (features, features.cuda()))
    assert wanted.num_clusters > 10
    assert found.labels.tolist() == wanted.labels.tolist() and found.eps == wanted.eps


def test_visit_is_how_many_the_approximate_search_compares(monkeypatch):
    seen = []

    def search(x, k, **options):
        seen.append(options)
        return nearest_neighbours(x, k, method="torch")

    monkeypatch.setattr(labeler, "nearest_neighbours", search)
    PseudoLabeler(knn="ivf", visit=77)(np.random.default_rng(0).normal(size=(40, 8)))
    assert seen == [{"method": "ivf", "visit": 77}]
