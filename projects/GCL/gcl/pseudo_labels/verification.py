"""How well similarities tell pairs of one person from pairs of two.

Shapes: `S` pairs of one person, `D` pairs of two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

RECALL = 0.95


class Verification(NamedTuple):
    """``auc``: the chance that a pair of one person is more alike than a pair of two (ties count a
    half); ``false_accept_rate``: share of pairs of two that are at least as alike as `RECALL` of
    the pairs of one, which is ``threshold``."""

    auc: float
    false_accept_rate: float
    threshold: float


def verify(same: np.ndarray, different: np.ndarray) -> Verification:
    """Of similarities (S,) and (D,), neither of which is empty."""
    ranks = rankdata(np.concatenate([same, different]))[: len(same)]
    above = ranks.sum() - len(same) * (len(same) + 1) / 2  # Mann and Whitney's U
    threshold = np.sort(same)[len(same) - int(np.ceil(RECALL * len(same)))]
    return Verification(
        float(above / (len(same) * len(different))),
        float((different >= threshold).mean()),
        float(threshold),
    )
