"""A slow, dense, obvious labelling to compare with, written from the k-reciprocal paper (Zhong et
al., CVPR 2017) and method.md: (N, N) arrays, one image at a time, numpy sets, scikit-learn's
DBSCAN.

Conventions of the published unsupervised re-ID code: the image itself is the first of its k1
neighbours, the half lists have round(k1 / 2) + 1 columns, "more than two thirds" is strict.
"""

import numpy as np
import torch

GRID = 2.0**36  # scores that differ by less than this are ties; ties go to the lower index


def ranking(x: np.ndarray, k: int) -> np.ndarray:
    """(N, min(k, N)): the image itself, then the others by descending cosine, ties to the lower
    index."""
    n = len(x)
    out = np.empty((n, min(k, n)), np.int64)
    y = x.astype(np.float64)
    for a in range(0, n, 512):
        similarity = np.round((y[a : a + 512] @ y.T) * GRID)
        for r, row in enumerate(similarity):
            row[a + r] = np.inf
            out[a + r] = np.argsort(-row, kind="stable")[: min(k, n)]
    return out


def reciprocal(rank: np.ndarray, i: int, k: int) -> np.ndarray:
    forward = rank[i, :k]
    return forward[(rank[forward, :k] == i).any(axis=1)]


def dense_distance(x, rank, k1, k2, published: bool) -> np.ndarray:
    """(N, N) float32 Jaccard distance."""
    n = len(x)
    half = int(np.around(k1 / 2)) + 1
    halves = [reciprocal(rank, i, half) for i in range(n)]
    t = torch.from_numpy(x)
    v = np.zeros((n, n), np.float32)
    for i in range(n):
        core = reciprocal(rank, i, k1)
        members = core
        for j in core:
            if 3 * len(np.intersect1d(halves[j], core)) > 2 * len(halves[j]):
                members = np.append(members, halves[j])
        members = np.unique(members)
        if published:
            d = 2 - 2 * torch.mm(t[i : i + 1], t[members].t())
            v[i, members] = torch.softmax(-d, dim=1).view(-1).numpy()
        else:
            d = 2 - 2 * (x[members].astype(np.float64) @ x[i].astype(np.float64))
            v[i, members] = np.exp(-d) / np.exp(-d).sum()
    if k2 > 1:
        v = np.stack([v[rank[i, :k2]].mean(axis=0) for i in range(n)])
    inverted = [np.flatnonzero(column) for column in v.T]
    distance = np.empty((n, n), np.float32)
    for i in range(n):
        minimum = np.zeros(n, np.float32)
        for g in np.flatnonzero(v[i]):
            rows = inverted[g]
            minimum[rows] += np.minimum(v[i, g], v[rows, g])
        distance[i] = np.maximum(1 - minimum / (2 - minimum), 0)
    return distance


def rho_rule(distance: np.ndarray, rho: float, zero_rule: str) -> np.float32:
    upper = distance[np.triu_indices(len(distance), 1)]
    counted = np.sort(
        upper[upper != 0] if zero_rule == "peers" else upper[upper >= np.float32(1e-6)]
    )
    if len(counted) == 0:
        return np.float32(0 if zero_rule == "peers" else 1e-6)
    take = rho * len(counted) if rho < 1 else rho * len(distance) / 2
    smallest = counted[: max(1, int(np.round(take)))]
    mean = smallest.mean() if zero_rule == "peers" else smallest.mean(dtype=np.float64)
    return min(np.float32(mean), np.nextafter(np.float32(1), np.float32(0)))


def dense_labels(x, k1=30, k2=6, min_samples=4, eps=None, rho=2e-3, zero_rule="stable", rank=None):
    """(labels, eps) of unit rows x (N, D) float32."""
    from sklearn.cluster import DBSCAN  # not at the top: spawned ranks draw `people` only

    rank = ranking(x, k1) if rank is None else rank
    distance = dense_distance(x, rank, k1, k2, published=zero_rule == "peers")
    eps = rho_rule(distance, rho, zero_rule) if eps is None else np.float32(eps)
    np.fill_diagonal(distance, 0)
    model = DBSCAN(eps=max(float(eps), 1e-45), min_samples=min_samples, metric="precomputed")
    return model.fit(distance).labels_.astype(np.int64), float(eps)


def people(n: int, d: int, seed: int = 0, twins: int = 0) -> np.ndarray:
    """(n, d) float32 unit rows: Gaussian identities of 12 images on average; `twins` exact
    copies."""
    rng = np.random.default_rng(seed)
    identity = rng.integers(0, max(1, n // 12), n)
    spectrum = 1 / np.sqrt(1 + np.arange(d))
    centre = rng.normal(size=(max(1, n // 12), d)) * spectrum
    x = centre[identity] + 0.45 * rng.normal(size=(n, d)) * spectrum
    if twins and n > 1:
        x[rng.integers(0, n, twins)] = x[rng.integers(0, n, twins)]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
