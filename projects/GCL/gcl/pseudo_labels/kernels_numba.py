"""The inner loops, compiled. Every kernel handles rows a..b of the whole problem.

A range of rows is at once the unit of threading (`nogil`), of sharing out to ranks and of bounding
the memory, and no kernel's result for a row depends on the range it is called with.
`kernels_numpy` has the same functions for a machine without numba.

Shapes: `N` images, `k` neighbours, `n` = b - a rows. Sparse rows are (indptr, indices, data).
"""

from __future__ import annotations

import numba
import numpy as np

COMPILED = True
F32, F64, I32, I64 = np.float32, np.float64, np.int32, np.int64


def jit(function):
    """Compile with the disk cache; without it where no directory can be written."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return numba.njit(nogil=True)(function)


# Sums may be reordered so that they are vectorised: the results go onto a grid (neighbours.GRID).
def jit_reordered(function):
    try:
        return numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})(function)
    except RuntimeError:
        return numba.njit(nogil=True, fastmath={"reassoc", "contract"})(function)


@jit_reordered
def pair_dots(x, left, right):
    """Inner products <x[left[p]], x[right[p]]> of float32 rows, summed in float64: (P,)."""
    out = np.empty(len(left), F64)
    d = x.shape[1]
    for p in range(len(left)):
        u, v = x[left[p]], x[right[p]]
        acc = 0.0
        for e in range(d):
            acc += F64(u[e]) * F64(v[e])
        out[p] = acc
    return out


@jit
def reciprocal(rank, k, a, b):
    """(n, k) int32: the k-reciprocal neighbours of rows a..b in rank order, -1 behind the last."""
    out = np.full((b - a, k), -1, I32)
    for i in range(a, b):
        n = 0
        for p in range(k):
            j = rank[i, p]
            for q in range(k):
                if rank[j, q] == i:
                    out[i - a, n] = j
                    n += 1
                    break
    return out


@jit
def expand(rank, k, half, a, b):
    """Members of the expanded reciprocal sets of rows a..b, ascending: (indices, counts (n,))."""
    N = rank.shape[0]
    mark = np.full(N, -1, I32)  # mark[j] == i: j is in R(i, k)
    seen = np.full(N, -1, I32)  # seen[j] == i: j is in the expanded set of i
    counts = np.zeros(b - a, I64)
    capacity = 64 * (b - a) + 64
    out = np.empty(capacity, I32)
    core = reciprocal(rank, k, a, b)
    m = k * (half.shape[1] + 1)
    n = 0
    for i in range(a, b):
        if n + m > capacity:
            capacity = 2 * capacity + m
            bigger = np.empty(capacity, I32)
            bigger[:n] = out[:n]
            out = bigger
        start = n
        row = core[i - a]
        for p in range(k):
            j = row[p]
            if j < 0:
                break
            mark[j] = i
            seen[j] = i
            out[n] = j
            n += 1
        for p in range(k):
            j = row[p]
            if j < 0:
                break
            size = 0
            common = 0
            for q in range(half.shape[1]):
                g = half[j, q]
                if g < 0:
                    break
                size += 1
                if mark[g] == i:
                    common += 1
            if 3 * common > 2 * size:
                for q in range(size):
                    g = half[j, q]
                    if seen[g] != i:
                        seen[g] = i
                        out[n] = g
                        n += 1
        out[start:n].sort()
        counts[i - a] = n - start
    return out[:n].copy(), counts


@jit
def known_dots(rank, dots, indptr, indices, a, b):
    """<x_i, x_j> of the set members j of rows a..b where the neighbour lists hold it, else NaN.

    `indptr` (n + 1,) counts from the first entry of row a.
    """
    k = rank.shape[1]
    out = np.full(len(indices), np.nan, F64)
    for i in range(a, b):
        for p in range(indptr[i - a], indptr[i - a + 1]):
            j = indices[p]
            for q in range(k):
                if rank[i, q] == j:
                    out[p] = dots[i, q]
                    break
            else:
                for q in range(k):
                    if rank[j, q] == i:
                        out[p] = dots[j, q]
                        break
    return out


@jit
def softmax_rows(indptr, dots):
    """exp(-d) / sum over the row, d = 2 - 2 <x_i, x_j>, in float64, rounded to float32: (nnz,)."""
    out = np.empty(len(dots), F32)
    for i in range(len(indptr) - 1):
        a, b = indptr[i], indptr[i + 1]
        top = -np.inf
        for p in range(a, b):
            top = max(top, dots[p])
        total = 0.0
        for p in range(a, b):
            dots[p] = np.exp(2.0 * (dots[p] - top))
            total += dots[p]
        for p in range(a, b):
            out[p] = F32(dots[p] / total)
    return out


@jit
def mean_rows(rank, k2, indptr, indices, data, a, b):
    """Mean of the sparse rows rank[i, :k2] for i in a..b: (indices, data, counts).

    float32 sums in the order of the rank: what np.mean over the dense rows gives, bit for bit.
    """
    N = len(indptr) - 1
    acc = np.zeros(N, F32)
    mark = np.full(N, -1, I32)
    counts = np.zeros(b - a, I64)
    capacity = 128 * (b - a) + 64
    oi, ov = np.empty(capacity, I32), np.empty(capacity, F32)
    n = 0
    for i in range(a, b):
        m = 0
        for p in range(k2):
            j = rank[i, p]
            m += indptr[j + 1] - indptr[j]
        if n + m > capacity:
            capacity = 2 * capacity + m
            ti, tv = np.empty(capacity, I32), np.empty(capacity, F32)
            ti[:n], tv[:n] = oi[:n], ov[:n]
            oi, ov = ti, tv
        start = n
        for p in range(k2):
            j = rank[i, p]
            for q in range(indptr[j], indptr[j + 1]):
                g = indices[q]
                if mark[g] != i:
                    mark[g] = i
                    acc[g] = F32(0)
                    oi[n] = g
                    n += 1
                acc[g] += data[q]
        oi[start:n].sort()
        for q in range(start, n):
            ov[q] = acc[oi[q]] / F32(k2)
        counts[i - a] = n - start
    return oi[:n].copy(), ov[:n].copy(), counts


@jit
def columns(indptr, indices, data):
    """The same matrix by columns, rows ascending in each: (colptr (N + 1,), rows, data)."""
    N = len(indptr) - 1
    colptr = np.zeros(N + 1, I64)
    for p in range(len(indices)):
        colptr[indices[p] + 1] += 1
    for j in range(N):
        colptr[j + 1] += colptr[j]
    at = colptr[:-1].copy()
    rows, values = np.empty(len(indices), I32), np.empty(len(indices), F32)
    for i in range(N):
        for p in range(indptr[i], indptr[i + 1]):
            q = at[indices[p]]
            rows[q], values[q] = i, data[p]
            at[indices[p]] = q + 1
    return colptr, rows, values


@jit
def upper_starts(indptr, indices, colptr):
    """Where column g continues behind row i for every entry (i, g), and the work of a row (N,)."""
    N = len(indptr) - 1
    starts, work = np.empty(len(indices), I64), np.zeros(N, I64)
    at = colptr[:-1].copy()
    for i in range(N):
        for p in range(indptr[i], indptr[i + 1]):
            g = indices[p]
            at[g] += 1
            starts[p] = at[g]
            work[i] += colptr[g + 1] - at[g]
    return starts, work


@jit
def jaccard_rows(indptr, indices, data, starts, colptr, rows, values, below, a, b):
    """Distances less than `below` of pairs (i, j), i in a..b, j > i, that share an entry:
    (indices, data, counts).

    A dense row of sums and a list of the touched columns; the float32 sums run over ascending
    columns whatever the range a..b is. j is in order of first touch, not ascending.
    """
    N = len(indptr) - 1
    acc, touched = np.zeros(N, F32), np.empty(N, I32)
    counts = np.zeros(b - a, I64)
    capacity = 1 << 16
    oj, od = np.empty(capacity, I32), np.empty(capacity, F32)
    n = 0
    for i in range(a, b):
        m = 0
        for p in range(indptr[i], indptr[i + 1]):
            v = data[p]
            for q in range(starts[p], colptr[indices[p] + 1]):
                j = rows[q]
                s = acc[j]
                if s == 0:
                    touched[m] = j
                    m += 1
                acc[j] = s + min(v, values[q])
        if n + m > capacity:
            capacity = 2 * (n + m)
            tj, td = np.empty(capacity, I32), np.empty(capacity, F32)
            tj[:n], td[:n] = oj[:n], od[:n]
            oj, od = tj, td
        for p in range(m):
            j = touched[p]
            s = acc[j]
            acc[j] = F32(0)
            # rounding can take the sum of the minima a little above 1
            d = max(F32(0), F32(1) - s / (F32(2) - s))
            if d < below:
                oj[n] = j
                od[n] = d
                n += 1
                counts[i - a] += 1
    return oj[:n].copy(), od[:n].copy(), counts


@jit
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit
def dbscan_labels(n, left, right, sizes, min_samples):
    """DBSCAN over the neighbour pairs (each once): (n,) int64, numbered as scikit-learn does."""
    degree = sizes.copy()  # a point is a neighbour of itself
    for p in range(len(left)):
        degree[left[p]] += sizes[right[p]]
        degree[right[p]] += sizes[left[p]]
    core = degree >= min_samples
    parent = np.arange(n)
    for p in range(len(left)):
        if core[left[p]] and core[right[p]]:
            u, v = _root(parent, left[p]), _root(parent, right[p])
            if u < v:  # the smallest core is the root, and roots are numbered in order
                parent[v] = u
            else:
                parent[u] = v
    labels = np.full(n, -1, I64)
    clusters = 0
    for i in range(n):
        if core[i]:
            u = _root(parent, i)
            if u == i:
                labels[i] = clusters
                clusters += 1
            else:
                labels[i] = labels[u]
    border = np.full(n, n, I64)
    for p in range(len(left)):
        i, j = left[p], right[p]
        if core[i] and not core[j]:
            border[j] = min(border[j], labels[i])
        elif core[j] and not core[i]:
            border[i] = min(border[i], labels[j])
    for i in range(n):
        if not core[i] and border[i] < n:
            labels[i] = border[i]
    return labels
