import sys

import numpy as np
import pytest
import torch
from fastreid.config import get_cfg
from fastreid.evaluation import ReidEvaluator, rank, reid_evaluation
from fastreid.utils import compute_dist

from gcl.compat import evaluate_rank, stock


def toolbox(*arrays: np.ndarray, max_rank: int) -> tuple:
    return stock("fastreid.evaluation.rank.evaluate_py")(*arrays, max_rank, False)


def case(seed: int) -> tuple[np.ndarray, ...]:
    """Ties, queries without a match, junk of the same camera, float32 and float64, any layout."""
    rng = np.random.default_rng(seed)
    num_query, num_gallery = rng.integers(1, 30), rng.integers(60, 120)
    distances = rng.random((num_query, num_gallery))
    if seed % 3 == 0:
        distances = rng.integers(0, 4, distances.shape).astype(float)  # nearly all are ties
    distances = distances.astype(np.float32 if seed % 2 else np.float64)
    if seed % 5 == 0:
        distances = np.asfortranarray(distances)
    people = rng.integers(2, 12)
    ids = rng.integers(0, people, num_query), rng.integers(0, people - 1, num_gallery)
    cameras = rng.integers(0, 3, num_query), rng.integers(0, 3, num_gallery)
    return distances, *ids, *cameras


def assert_identical(got: tuple, expected: tuple) -> None:
    assert got[0].dtype == expected[0].dtype
    assert np.array_equal(got[0], expected[0])
    assert got[1] == expected[1]  # AP, every bit
    assert got[2] == expected[2]  # INP


@pytest.mark.parametrize("seed", range(40))
def test_numpy_rank_is_identical(seed: int) -> None:
    arrays = case(seed)
    try:
        expected = toolbox(*arrays, max_rank=20)
    except AssertionError:  # no query has a match
        with pytest.raises(ValueError, match="no query has a match"):
            evaluate_rank(*arrays, max_rank=20)
        return
    assert_identical(rank.evaluate_rank(*arrays, max_rank=20), expected)
    assert_identical(rank.evaluate_rank(*arrays, max_rank=20, use_cython=False), expected)


def test_numpy_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at one query at a time; the toolbox sorts all distances at once."""
    sizes = []
    argsort = np.argsort

    def counting(array: np.ndarray, *args: object, **kwargs: object) -> np.ndarray:
        sizes.append(array.size)
        return argsort(array, *args, **kwargs)

    monkeypatch.setattr(np, "argsort", counting)
    arrays = case(1)
    rank.evaluate_rank(*arrays, max_rank=5)
    assert max(sizes) == arrays[0].shape[1]
    assert not rank.IS_CYTHON_AVAI  # even where somebody has built it
    toolbox(*arrays, max_rank=5)
    assert max(sizes) == arrays[0].size


def test_by_hand() -> None:
    # sorted: junk (own camera), wrong, right, wrong, right
    distances = np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.4, 0.3, 0.2, 0.1]])
    gallery = np.array([1, 2, 1, 2, 1]), np.array([0, 0, 1, 0, 2])
    cmc, precisions, penalties = evaluate_rank(
        distances, np.array([1, 9]), gallery[0], np.array([0, 0]), gallery[1], max_rank=4
    )
    assert cmc.tolist() == [0, 1, 1, 1]  # the second query has no match and does not count
    assert precisions == pytest.approx([(1 / 2 + 2 / 4) / 2])
    assert penalties == pytest.approx([2 / 4])


def test_the_curve_of_a_gallery_smaller_than_max_rank_is_flat_behind_it() -> None:
    """The toolbox's ends there, and its evaluator asks for rank 10 of every gallery."""
    rng = np.random.default_rng(0)
    pids = rng.integers(0, 3, 8)
    arrays = rng.random((5, 8)), rng.integers(0, 3, 5), pids, np.zeros(5), np.ones(8)
    expected = toolbox(*arrays, max_rank=50)
    assert len(expected[0]) == 8
    cmc, *rest = rank.evaluate_rank(*arrays, max_rank=50)
    assert cmc.shape == (50,) and (cmc[8:] == cmc[7]).all()
    assert_identical((cmc[:8], *rest), expected)


def test_the_evaluator_of_a_gallery_below_ten() -> None:
    """One query, its person second of three: mAP 1/2; within 5 and 10 for sure."""
    evaluator = ReidEvaluator(get_cfg(), num_query=1)
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0]])
    pids, camids = torch.tensor([1, 2, 1, 3]), torch.tensor([0, 1, 1, 1])
    evaluator.process({"targets": pids, "camids": camids}, features)
    results = evaluator.evaluate()
    wanted = {"Rank-1": 0, "Rank-5": 100, "Rank-10": 100, "mAP": 50, "mINP": 50, "metric": 25}
    assert dict(results) == pytest.approx(wanted)


def test_junk_may_leave_fewer_images_than_max_rank() -> None:
    distances = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    arrays = distances, np.array([0, 1]), np.array([0, 0, 1]), np.zeros(2), np.array([0, 1, 1])
    with pytest.raises(ValueError, match="inhomogeneous"):
        toolbox(*arrays, max_rank=3)
    assert rank.evaluate_rank(*arrays, max_rank=3)[0].tolist() == [1, 1, 1]


def test_single_gallery_shot_stays_the_toolbox_s() -> None:
    arrays = case(2)
    np.random.seed(0)  # noqa: NPY002
    got = rank.evaluate_rank(*arrays, max_rank=2, use_metric_cuhk03=True)
    np.random.seed(0)  # noqa: NPY002
    expected = stock("fastreid.evaluation.rank.evaluate_py")(*arrays, 2, True)
    assert np.array_equal(got[0], expected[0])
    assert got[1] == expected[1]


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> None:
        raise SystemExit("make in site-packages")

    monkeypatch.setattr(reid_evaluation, "compile_helper", make)
    monkeypatch.setitem(  # as where nobody has built it
        sys.modules, "fastreid.evaluation.rank_cylib.rank_cy", None
    )
    evaluator = ReidEvaluator(get_cfg(), num_query=1)
    with pytest.raises(SystemExit):
        stock("fastreid.evaluation.reid_evaluation.ReidEvaluator._compile_dependencies")(evaluator)


def test_rerank_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.nn.functional.normalize(torch.randn(30, 8, generator=torch.manual_seed(0)))
    original = stock("fastreid.utils.compute_dist.compute_jaccard_distance")
    expected = original(features, k1=6, k2=2, search_option=3)
    got = compute_dist.build_dist(features[:10], features[10:], metric="jaccard", k1=6, k2=2)
    assert np.array_equal(got, expected[:10, 10:])
    if not torch.cuda.is_available():
        with pytest.raises(Exception, match="CUDA|NVIDIA|StandardGpuResources"):
            original(features, k1=6, k2=2)
    # CUDA chosen, and a faiss without GPUs (PyPI has no other): on the CPU as well
    monkeypatch.setenv("GCL_DEVICE", "cuda")
    if not hasattr(compute_dist.faiss, "StandardGpuResources"):
        assert np.array_equal(
            compute_dist.compute_jaccard_distance(features, k1=6, k2=2), expected
        )
