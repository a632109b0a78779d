"""Compiled selection for the neighbour search on a CPU: scores in, proven neighbour lists out.

A row keeps every column whose coarse score reaches (its running k-th best) - `margin`. With
`margin` at twice the bound on the coarse error no true neighbour can be dropped: its exact score is
at least the exact score of k columns, each at least (k-th best coarse) - margin / 2. Far cheaper
than a top-k: once the running bound is up, a row is one vectorised pass that finds nothing.

Coarse scores are float32, or bfloat16 seen as int16 (numba has no bfloat16).

Shapes: `B` query rows, `M` columns of a block, `c` capacity of a row's list.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import overload

from .kernels_numba import F32, F64, I32, I64, jit, jit_reordered
from .scores import GRID, INDEX_BITS, LOWEST_KEY

LANES = 64
_MASK = (1 << INDEX_BITS) - 1
_GRID = GRID


def _bfloat16_values() -> np.ndarray:
    """(65536,) float32, ascending: the value of every ordered int16 pattern from -32768 up."""
    order = np.arange(-32768, 32768, dtype=np.int16)
    bits = (order ^ ((order >> 15) & np.int16(0x7FFF))).view(np.uint16)
    values = (bits.astype(np.uint32) << 16).view(np.float32)
    low, high = order < 0, order >= 0
    values[low & np.isnan(values)] = -np.inf
    values[high & np.isnan(values)] = np.inf
    return values


BFLOAT16_VALUES = _bfloat16_values()


def _order(score):
    """A number that sorts as the score does."""


def _value(order, table):
    """The score as float32."""


def _lowest(value, table, like):
    """The lowest order whose score is at least `value`."""


@overload(_order, inline="always")
def _order_impl(score):
    if isinstance(score, numba.types.Float):
        return lambda score: score
    return lambda score: score ^ ((score >> 15) & np.int16(0x7FFF))


@overload(_value, inline="always")
def _value_impl(order, table):
    if isinstance(order, numba.types.Float):
        return lambda order, table: order
    return lambda order, table: table[np.int64(order) + 32768]


@overload(_lowest)
def _lowest_impl(value, table, like):
    if isinstance(like, numba.types.Float):
        return lambda value, table, like: value
    return lambda value, table, like: np.int16(min(np.searchsorted(table, value), 65535) - 32768)


@jit
def _compress(order, index, n, k, margin, table):
    """Drop what is more than `margin` below the k-th best: (how many stay, the bar they passed)."""
    kth = np.partition(order[:n].copy(), n - k)[n - k]
    bar = _lowest(F32(_value(kth, table) - margin), table, kth)
    m = 0
    for p in range(n):
        if order[p] >= bar:
            order[m] = order[p]
            index[m] = index[p]
            m += 1
    return m, bar


@jit
def select(scores, first, k, margin, table, order, index, count, bars, a, b):
    """Take columns first, first + 1, ... of the block `scores` (B, M) into the lists of rows a..b.

    order, index (B, c), count (B,) and bars (B,) are the lists, updated in place; count -1 marks a
    row with more near-ties than the list holds.
    """
    columns = scores.shape[1]
    capacity = order.shape[1]
    for r in range(a, b):
        n = count[r]
        if n < 0:
            continue
        bar = bars[r]
        full = min(max(2 * n, 4 * k), capacity)
        row = scores[r]
        for start in range(0, columns, LANES):
            stop = start + LANES
            if stop <= columns:
                hits = 0  # a fixed count and no early exit: this loop is vectorised
                lanes = row[start:stop]
                for p in range(LANES):
                    hits += _order(lanes[p]) >= bar
                if hits == 0:
                    continue
            for p in range(start, min(stop, columns)):
                key = _order(row[p])
                if key >= bar:
                    order[r, n] = key
                    index[r, n] = first + p
                    n += 1
                    if n == full:
                        # Often enough for a tight bar, seldom enough to cost little.
                        n, bar = _compress(order[r], index[r], n, k, margin, table)
                        full = min(max(2 * n, 4 * k), capacity)
                        if 2 * n > capacity:
                            n = -1
                            break
            if n < 0:
                break
        count[r] = n
        bars[r] = bar


@jit_reordered
def _dots(x, i, j, out):
    """out[p] = <x[i], x[j[p]]> in float64, a multiple of four: reading far-apart rows side by side
    hides how long memory takes to answer."""
    u = x[i]
    for p in range(0, len(j), 4):
        v0, v1, v2, v3 = x[j[p]], x[j[p + 1]], x[j[p + 2]], x[j[p + 3]]
        s0 = s1 = s2 = s3 = 0.0
        for e in range(len(u)):
            w = F64(u[e])
            s0 += w * F64(v0[e])
            s1 += w * F64(v1[e])
            s2 += w * F64(v2[e])
            s3 += w * F64(v3[e])
        out[p], out[p + 1], out[p + 2], out[p + 3] = s0, s1, s2, s3


@jit
def decide(x, query, names, k, margin, table, order, index, count, out_index, out_dots, a, b):
    """Final lists of rows a..b by float64 scores (see scores.py): out_index, out_dots (B, k).

    query (B,) and names (columns,) are the images' numbers.
    """
    keys = np.empty(order.shape[1], I64)
    images = np.empty(order.shape[1] + 4, I32)
    dots = np.empty(order.shape[1] + 4, F64)
    for r in range(a, b):
        if count[r] < 0:
            continue
        n = count[r]
        if n > k:
            n, bar = _compress(order[r], index[r], n, k, margin, table)
        i = query[r]
        images[n : n + 4] = i  # its own product, and up to a multiple of four
        for p in range(n):
            images[p] = names[index[r, p]]
        whole = n // 4 * 4 + 4
        _dots(x, i, images[:whole], dots[:whole])
        for p in range(n):
            if images[p] == i:
                keys[p] = LOWEST_KEY
            else:
                keys[p] = (I64(np.rint(dots[p] * _GRID)) << INDEX_BITS) | (_MASK - images[p])
        keys[:n].sort()
        out_index[r, 0] = i
        out_dots[r, 0] = np.rint(dots[n] * _GRID) / _GRID
        for p in range(1, k):
            key = keys[n - p]
            out_index[r, p] = I32(_MASK - (key & _MASK))
            out_dots[r, p] = F64(key >> INDEX_BITS) / _GRID
