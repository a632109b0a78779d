"""Every rank returns the labels of a single process, whatever the world size."""

import os
import tempfile

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from pseudo_labels.oracle import people

from gcl.pseudo_labels import PseudoLabeler, nearest_neighbours
from gcl.pseudo_labels.ranks import work_bounds

CASES = [
    (900, {"zero_rule": "stable"}),
    (900, {"zero_rule": "peers"}),
    (900, {"rho": 20.0, "knn": "ivf"}),
    (900, {"eps": 0.5, "k2": 1}),
    (900, {"eps": 0.5, "tracks": 8}),  # images a track
    (900, {"rho": 20.0, "tracks": 40}),
    (2, {"tracks": 1}),
    (0, {"tracks": 1}),
    (2, {}),  # a rank without a row
    (1, {}),
    (0, {}),
]


def _label(n: int, options: dict):
    x, options = people(n, 48, seed=9, twins=50), dict(options)
    length = options.pop("tracks", None)
    if length is None:
        return PseudoLabeler(**options)(x)
    track = np.arange(n) // length
    time = np.random.default_rng(0).integers(0, 500, n)  # most tracks overlap others
    return PseudoLabeler(**options)(x, tracks=track, times=time, cameras=track % 40)


def _work(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world
    )
    results = [_label(n, options) for n, options in CASES]
    labels = np.concatenate([r.labels for r in results])
    eps = np.array([r.eps for r in results])
    neighbours = nearest_neighbours(people(901, 48, seed=9, twins=50), 30)
    np.savez(os.path.join(folder, str(rank)), labels=labels, eps=eps, index=neighbours.index)
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_agree_with_one_process(world):
    single = [_label(n, options) for n, options in CASES]
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(_work, (world, folder), nprocs=world, start_method="spawn")
        for rank in range(world):
            got = np.load(os.path.join(folder, f"{rank}.npz"))
            np.testing.assert_array_equal(got["labels"], np.concatenate([r.labels for r in single]))
            np.testing.assert_array_equal(got["eps"], [r.eps for r in single])
            index = nearest_neighbours(people(901, 48, seed=9, twins=50), 30).index
            np.testing.assert_array_equal(got["index"], index)


def test_rows_are_balanced_by_work():
    rng = np.random.default_rng(0)
    work = np.sort(rng.pareto(1.5, 5000))[::-1]  # the first rows carry most of it
    for parts in (1, 2, 3, 8):
        bounds = work_bounds(work, parts)
        shares = [work[a:b].sum() for a, b in zip(bounds, bounds[1:], strict=False)]
        assert len(bounds) == parts + 1 and bounds[0] == 0 and bounds[-1] == len(work)
        assert max(shares) <= work.sum() / parts + 2 * work.max()
    assert work_bounds(np.zeros(10), 3).tolist() == [0, 3, 6, 10]
    assert work_bounds(np.zeros(0), 2).tolist() == [0, 0, 0]
