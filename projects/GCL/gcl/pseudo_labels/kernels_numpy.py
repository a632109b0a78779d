"""The functions of `kernels_numba` by numpy and scipy, for a machine without numba.

Same arguments, same results bit for bit (the products of `pair_dots`, on their grid, excepted).
Sparse algebra rather than loops: with R, H the 0/1 matrices of the reciprocal and half sets,
the common members of reciprocal sets are R H^T, the expanded sets R + M H.

Shapes: `N` images, `k` neighbours, `n` = b - a rows.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

COMPILED = False
SLOWER = "about 5 times"  # in all, 12,936 x 2048 on one CPU core
PAIRS_AT_ONCE = 1 << 22


def reciprocal(rank, k, a, b):
    """(n, k) int32: the k-reciprocal neighbours of rows a..b in rank order, -1 behind the last."""
    own = np.arange(a, b)
    forward = rank[a:b, :k]
    mutual = np.zeros(forward.shape, bool)
    for p in range(k):
        mutual[:, p] = (rank[forward[:, p], :k] == own[:, None]).any(axis=1)
    order = np.argsort(~mutual, axis=1, kind="stable")
    out = np.take_along_axis(np.where(mutual, forward, -1), order, axis=1)
    return out.astype(np.int32)


def _sets(members, columns):
    """0/1 matrix (n, columns) of lists padded with -1."""
    valid = members >= 0
    indptr = np.concatenate([[0], np.cumsum(valid.sum(axis=1))])
    data = np.ones(indptr[-1], np.int32)
    return sparse.csr_matrix((data, members[valid], indptr), shape=(len(members), columns))


def expand(rank, k, half, a, b):
    """Members of the expanded reciprocal sets of rows a..b, ascending: (indices, counts (n,))."""
    n = len(rank)
    core = _sets(reciprocal(rank, k, a, b), n)
    halves = _sets(half, n)
    size = np.diff(halves.indptr)
    common = (core @ halves.T).multiply(core).tocsr()
    common.data = (3 * common.data > 2 * size[common.indices]).astype(np.int32)
    common.eliminate_zeros()
    out = (core + common @ halves).tocsr()
    out.sort_indices()
    return out.indices.astype(np.int32), np.diff(out.indptr).astype(np.int64)


def known_dots(rank, dots, indptr, indices, a, b):
    """<x_i, x_j> of the set members j of rows a..b where the neighbour lists hold it, else NaN."""
    out = np.full(len(indices), np.nan)
    rows = np.repeat(np.arange(a, b), np.diff(indptr))
    for q in range(rank.shape[1] - 1, -1, -1):
        hit = rank[indices, q] == rows
        out[hit] = dots[indices[hit], q]
    for q in range(rank.shape[1] - 1, -1, -1):
        hit = rank[rows, q] == indices
        out[hit] = dots[rows[hit], q]
    return out


def softmax_rows(indptr, dots):
    """exp(-d) / sum over the row, d = 2 - 2 <x_i, x_j>, in float64, rounded to float32: (nnz,)."""
    starts, lengths = indptr[:-1], np.diff(indptr)
    top = np.maximum.reduceat(dots, starts)
    weights = np.exp(2.0 * (dots - np.repeat(top, lengths)))
    rows = np.repeat(np.arange(len(lengths)), lengths)
    total = np.bincount(rows, weights, len(lengths))  # sequential, as the compiled loop
    return (weights / np.repeat(total, lengths)).astype(np.float32)


def mean_rows(rank, k2, indptr, indices, data, a, b):
    """Mean of the sparse rows rank[i, :k2] for i in a..b: (indices, data, counts)."""
    n = len(indptr) - 1
    v = sparse.csr_matrix((data, indices, indptr), shape=(n, n))
    total = v[rank[a:b, 0]]
    for p in range(1, k2):  # float32 sums in the order of the rank
        total = total + v[rank[a:b, p]]
    total.sort_indices()
    counts = np.diff(total.indptr).astype(np.int64)
    return total.indices.astype(np.int32), total.data / np.float32(k2), counts


def columns(indptr, indices, data):
    """The same matrix by columns, rows ascending in each: (colptr (N + 1,), rows, data)."""
    n = len(indptr) - 1
    v = sparse.csr_matrix((data, indices, indptr), shape=(n, n)).tocsc()
    return v.indptr.astype(np.int64), v.indices.astype(np.int32), v.data


def upper_starts(indptr, indices, colptr):
    """Where column g continues behind row i for every entry (i, g), and the work of a row (N,)."""
    order = np.argsort(indices, kind="stable")  # by column, rows ascending: the order of `columns`
    starts = np.empty(len(indices), np.int64)
    starts[order] = np.arange(1, len(indices) + 1)
    rest = colptr[indices.astype(np.int64) + 1] - starts
    total = np.concatenate([[0], np.cumsum(rest)])
    return starts, total[indptr[1:]] - total[indptr[:-1]]


def jaccard_rows(indptr, indices, data, starts, colptr, rows, values, below, a, b):
    """Distances less than `below` of pairs (i, j), i in a..b, j > i, that share an entry:
    (indices, data, counts)."""
    n = len(indptr) - 1
    first, last = indptr[a], indptr[b]
    length = colptr[indices[first:last].astype(np.int64) + 1] - starts[first:last]
    owner = np.repeat(np.arange(a, b), np.diff(indptr[a : b + 1]))
    total = np.concatenate([[0], np.cumsum(length)])
    cuts = np.searchsorted(total[indptr[a : b + 1] - first], np.arange(0, total[-1], PAIRS_AT_ONCE))
    cuts = np.unique(np.concatenate([cuts, [b - a]]))
    indices_out, data_out, counts = [], [], np.zeros(b - a, np.int64)
    for lo, hi in zip(np.concatenate([[0], cuts[:-1]]), cuts, strict=True):
        e = slice(indptr[a + lo] - first, indptr[a + hi] - first)
        run = length[e]
        if run.sum() == 0:
            continue
        within = np.arange(run.sum()) - np.repeat(np.cumsum(run) - run, run)
        at = np.repeat(starts[first:last][e], run) + within
        smaller = np.minimum(np.repeat(data[first:last][e], run), values[at])
        key = np.repeat(owner[e], run) * n + rows[at]
        pairs, where = np.unique(key, return_inverse=True)
        sums = np.zeros(len(pairs), np.float32)
        np.add.at(sums, where, smaller)  # sequential: ascending columns, as the compiled loop
        distance = np.maximum(np.float32(0), 1 - sums / (2 - sums))
        pairs, distance = pairs[distance < below], distance[distance < below]
        indices_out.append((pairs % n).astype(np.int32))
        data_out.append(distance)
        counts += np.bincount(pairs // n - a, minlength=b - a)
    empty = np.empty(0, np.float32)
    return (
        np.concatenate([empty.astype(np.int32), *indices_out]),
        np.concatenate([empty, *data_out]),
        counts,
    )


def dbscan_labels(n, left, right, sizes, min_samples):
    """DBSCAN over the neighbour pairs (each once): (n,) int64, numbered as scikit-learn does."""
    degree = sizes.copy()  # a point is a neighbour of itself
    np.add.at(degree, left, sizes[right])
    np.add.at(degree, right, sizes[left])
    core = degree >= min_samples
    labels = np.full(n, -1, np.int64)
    both = core[left] & core[right]
    graph = sparse.coo_matrix((np.ones(both.sum(), bool), (left[both], right[both])), shape=(n, n))
    component = connected_components(graph, directed=False)[1][core]
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    labels[core] = np.argsort(np.argsort(first))[inverse]
    border = np.full(n, n, np.int64)
    for i, j in ((left, right), (right, left)):
        one = core[i] & ~core[j]
        np.minimum.at(border, j[one], labels[i[one]])
    joined = ~core & (border < n)
    labels[joined] = border[joined]
    return labels
