"""The radius of DBSCAN from the distances themselves: the rho rule.

eps = mean of the smallest share rho of the counted distances between two different images.

Shapes: `N` images, `P` listed pairs.
"""

from __future__ import annotations

import threading
import warnings

import numpy as np

from .ranks import Ranks

ZERO_RULES = ("stable", "peers")
STABLE_ZERO = np.float32(1e-6)
LARGE = 30_000
BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
BIN_SHIFT = 14  # the patterns of [0, 1] fall into 65,025 bins
PART = 1 << 20


def check_eps(eps: float) -> np.float32:
    """`eps` as float32, below 1: that is the distance of pairs that share no neighbour."""
    value = np.float32(eps)
    if not 0 <= value < 1:
        raise ValueError(
            f"eps must be in [0, 1), not {eps}: Jaccard distances end at 1, and at eps = 1 images "
            "with nothing in common would be neighbours."
        )
    return value


class Limit:
    """A distance from which on no pair can matter any more: listing those below it is enough.

    The rho rule averages the `take` smallest counted distances and DBSCAN looks no further than
    that average, so what exceeds the `take` smallest of the pairs seen so far is not needed. That
    bounds the memory of the pairs by rho instead of by how crowded the neighbourhoods are.

    Attributes:
        value: float32; pairs below it are needed. Falls while distances are added.
    """

    def __init__(self, n: int, eps: float | None, rho: float, zero_rule: str) -> None:
        """Arguments as in `PseudoLabeler`, for `n` images."""
        self._fixed = eps is not None
        self.value = np.nextafter(check_eps(eps), np.float32(1)) if self._fixed else np.float32(2)
        self._take = _take(rho, n, n * (n - 1) // 2)
        self._low = _lowest_counted(zero_rule)
        self._bins = np.zeros(1 << 16, np.int64)
        self._lock = threading.Lock()

    def add(self, distances: np.ndarray) -> None:
        """Take note of (P,) float32 distances of further pairs; from any thread."""
        if self._fixed:
            return
        bins = _histogram(distances, self._low)
        with self._lock:
            self._bins += bins
            counted = np.cumsum(self._bins)
            if counted[-1] >= self._take:
                self.value = _upper_edge(np.searchsorted(counted, self._take))


def estimate_eps(
    distances: np.ndarray, n: int, rho: float = 2e-3, zero_rule: str = "stable"
) -> np.float32:
    """Mean of the smallest `rho` of the counted pair distances (method.md, "Pseudo labels").

    Args:
        distances: (P,) float32, the listed pairs of this rank (all ranks together: each pair once).
            The n (n - 1) / 2 - P pairs that are not listed have distance 1 and count; where a
            `Limit` shortened the list, they are more than are averaged.
        n: number of images.
        rho: below 1, a share of the counted pairs; 1 or more, a number of neighbours per image,
            i.e. rho * n / 2 pairs (each pair serves two images).
        zero_rule: which pairs at distance zero count. "peers": those that are not exactly 0, as in
            the published code, where the last bit of the weights decides which twins round to 0 and
            which to 6e-8. "stable": those of at least 1e-6, which rounding can not move. It is the
            default because at N = 2,000 four roundings of the weights (4e-8 apart) gave the same
            labels under it and four different ones under "peers" (eps 0.0664 to 0.0681, ARI down
            to 0.96). Which of the two trains better is not known.

    Returns:
        float32 below 1. At least one pair is averaged (rho * pairs rounds to 0 below 23 images at
        the default). If no pair counts: 1e-6 ("stable") or 0 ("peers"), so that only twins are
        neighbours.

    Raises:
        ValueError: rho <= 0 or an unknown zero_rule.
    """
    check_rule(rho, zero_rule)
    if rho < 1 and n > LARGE:
        warnings.warn(
            f"rho = {rho} of all pairs is {rho * n:.0f} neighbours per image at N = {n}; the share "
            "does not scale with N and can put most images into one cluster. Give rho as a number "
            "of neighbours per image (26 is what 0.002 means at 12,936 images) or a fixed eps.",
            RuntimeWarning,
            stacklevel=2,
        )
    stable = zero_rule == "stable"
    low = _lowest_counted(zero_rule)
    ranks = Ranks()
    bins = ranks.total(_histogram(distances, low))
    listed = int(bins.sum())
    dropped = int(ranks.total(np.array([len(distances)]))[0]) - listed
    pairs = n * (n - 1) // 2 - dropped
    if pairs <= 0:
        return STABLE_ZERO if stable else np.float32(0)
    take = _take(rho, n, pairs)
    smallest = _smallest(distances, low, min(take, listed), bins, ranks)
    if stable:
        eps = np.float32((smallest.sum(dtype=np.float64) + (take - len(smallest))) / take)
    else:
        ones = np.ones(take - len(smallest), np.float32)
        eps = np.concatenate([smallest, ones]).mean()  # float32 pairwise sum, as published
    return min(eps, BELOW_ONE)


def check_rule(rho: float, zero_rule: str) -> None:
    if not rho > 0:
        raise ValueError(f"rho must be above 0, not {rho}.")
    if zero_rule not in ZERO_RULES:
        raise ValueError(f"zero_rule must be one of {', '.join(ZERO_RULES)}; got {zero_rule!r}.")


def _lowest_counted(zero_rule: str) -> np.float32:
    return STABLE_ZERO if zero_rule == "stable" else np.nextafter(np.float32(0), np.float32(1))


def _take(rho: float, n: int, pairs: int) -> int:
    """How many distances are averaged when `pairs` count."""
    # Rounding half to even as np.round does, which is what the published code uses.
    take = int(np.round(rho * pairs)) if rho < 1 else int(np.round(rho * n / 2))
    return min(max(take, 1), pairs)


def _upper_edge(last: int) -> np.float32:
    """The smallest float32 above the values of bin `last`."""
    return np.array([(last + 1) << BIN_SHIFT], np.uint32).view(np.float32)[0]


def _histogram(distances: np.ndarray, low: np.float32) -> np.ndarray:
    """(65536,) int64: distances of at least `low`, counted by the leading bits of their pattern,
    which orders as the value does."""
    bins = np.zeros(1 << 16, np.int64)
    for part in _parts(distances):
        bins += np.bincount(part[part >= low].view(np.uint32) >> BIN_SHIFT, minlength=len(bins))
    return bins


def _smallest(
    distances: np.ndarray, low: np.float32, count: int, bins: np.ndarray, ranks: Ranks
) -> np.ndarray:
    """The `count` smallest of at least `low` over all ranks, sorted (count,).

    Only values up to the bin that holds the last of them are copied, moved and sorted.
    """
    if count == 0:
        return np.empty(0, np.float32)
    below = _upper_edge(np.searchsorted(np.cumsum(bins), count))
    kept = [part[(part >= low) & (part < below)] for part in _parts(distances)]
    return np.sort(ranks.gather(np.concatenate([np.empty(0, np.float32), *kept])))[:count]


def _parts(distances: np.ndarray) -> list[np.ndarray]:
    """Views of a bounded size: the temporaries must not grow with the number of pairs."""
    return [distances[a : a + PART] for a in range(0, len(distances), PART)]
