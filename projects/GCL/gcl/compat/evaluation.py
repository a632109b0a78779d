"""Rank evaluation and re-ranking without a compiler and without a GPU."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .device import device_type
from .patching import replace


def evaluate_rank(
    distmat: np.ndarray,
    q_pids: np.ndarray,
    g_pids: np.ndarray,
    q_camids: np.ndarray,
    g_camids: np.ndarray,
    max_rank: int = 50,
) -> tuple[np.ndarray, list[float], list[float]]:
    """Market-1501 evaluation: gallery images of the query's person in its own camera do not count.

    Equal to the toolbox's eval_market1501 bit for bit, ties included; but the curve always has
    `max_rank` ranks. One query at a time, so the memory beside `distmat` is a few rows.

    Args:
        distmat: (Q, G) distances.
        q_pids, q_camids: (Q,) person and camera of the queries.
        g_pids, g_camids: (G,) person and camera of the gallery.
        max_rank: length of the CMC curve; it is flat from rank G on.

    Returns:
        The CMC curve (max_rank,) float32; the average precision and the inverse negative penalty
        (hits / rank of the last hit) of every query that has a match, in order.

    Raises:
        ValueError: no query has a match.
    """
    first_hits = np.zeros(max_rank, dtype=np.int64)  # first_hits[r]: queries first hit at rank r
    precisions: list[float] = []
    penalties: list[float] = []
    for distances, pid, camid in zip(distmat, q_pids, q_camids, strict=True):
        order = np.argsort(distances)
        same_person = g_pids[order] == pid
        counts = ~(same_person & (g_camids[order] == camid))
        hit_ranks = np.flatnonzero(same_person[counts])  # from 0
        if not len(hit_ranks):
            continue
        hits = np.arange(1, len(hit_ranks) + 1)
        # AP = mean over hits of (hits so far / rank). Summed over all ranks, zeros included, as the
        # toolbox does: numpy's order of summation depends on the length.
        precision = np.zeros(np.count_nonzero(counts))
        precision[hit_ranks] = hits / (hit_ranks + 1.0)
        precisions.append(precision.sum() / len(hit_ranks))
        penalties.append(len(hit_ranks) / (hit_ranks[-1] + 1.0))
        if hit_ranks[0] < max_rank:
            first_hits[hit_ranks[0]] += 1
    if not precisions:
        raise ValueError("no query has a match in the gallery (its person, seen by another camera)")
    cmc = first_hits.cumsum().astype(np.float32) / np.float32(len(precisions))
    return cmc, precisions, penalties


def no_compiler() -> None:
    """Evaluate without building fastreid's Cython module.

    Why: the first evaluation runs `make` inside site-packages, with the python3 on the PATH.
    Symptom: `Making cython reid evaluation module failed, exiting.` and sys.exit(1) after the first
        EVAL_PERIOD epochs, where there is no compiler, no Cython or no right to write there.
    Versions: all.
    Until: fastreid ships the module or does without.
    """
    module = importlib.import_module("fastreid.evaluation.reid_evaluation")
    replace(module.ReidEvaluator, "_compile_dependencies", lambda _: lambda self: None)


def numpy_rank() -> None:
    """Replace the Python rank evaluation by `evaluate_rank`, and use it always.

    Why: the toolbox's sorts the whole matrix at once (400 MB of int64 for Market-1501) and then
        loops over every distance in Python, minutes where numpy takes seconds; and it warns that
        this is slow. A Cython module that someone built before is not needed either.
    Symptom: `UserWarning: Cython rank evaluation (very fast so highly recommended) is unavailable`;
        a slow evaluation; for a gallery of few images `ValueError: ... inhomogeneous shape`, and of
        fewer than 10 `IndexError: index 9 is out of bounds` from ReidEvaluator, which asks for
        rank 10.
    Versions: all.
    Until: fastreid's own is as fast.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Cython")
        rank = importlib.import_module("fastreid.evaluation.rank")
        importlib.import_module("fastreid.evaluation.roc")

    def in_numpy(original: Callable[..., Any]) -> Callable[..., Any]:
        def evaluate_py(
            distmat: np.ndarray,
            q_pids: np.ndarray,
            g_pids: np.ndarray,
            q_camids: np.ndarray,
            g_camids: np.ndarray,
            max_rank: int,
            use_metric_cuhk03: bool,
        ) -> Any:
            arrays = (distmat, q_pids, g_pids, q_camids, g_camids)
            if use_metric_cuhk03:
                return original(*arrays, max_rank, use_metric_cuhk03)
            return evaluate_rank(*arrays, max_rank)

        return evaluate_py

    replace(rank, "evaluate_py", in_numpy)
    replace(rank, "IS_CYTHON_AVAI", lambda _: False)


def rerank_on_cpu() -> None:
    """Search the neighbours for re-ranking on the CPU where faiss or the run has no GPU.

    Why: TEST.RERANK.ENABLED asks for faiss-gpu and CUDA tensors; PyPI has faiss-cpu.
    Symptom: `AssertionError: Torch not compiled with CUDA enabled`; with a GPU `module 'faiss' has
        no attribute 'StandardGpuResources'`.
    Versions: all.
    Until: fastreid chooses by what faiss can do.
    """
    compute_dist = importlib.import_module("fastreid.utils.compute_dist")

    def where_possible(original: Callable[..., Any]) -> Callable[..., Any]:
        def compute_jaccard_distance(
            features: Any, k1: int = 20, k2: int = 6, search_option: int = 0, fp16: bool = False
        ) -> np.ndarray:
            if device_type() == "cpu" or not hasattr(compute_dist.faiss, "StandardGpuResources"):
                search_option, features = 3, features.cpu()
            return original(features, k1=k1, k2=k2, search_option=search_option, fp16=fp16)

        return compute_jaccard_distance

    replace(compute_dist, "compute_jaccard_distance", where_possible)
