"""Whether a run on own crops is any good, in plain words, without any label.

The bounds are rules of thumb, from runs on photographs of which the mAP was known; how well each
figure follows it is in docs/own_crops.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

LEVELS = ("good", "doubtful", "bad")

FALSE_ACCEPTS = (0.02, 0.1)
"""Share of pairs of two people that pass where 95 % of pairs of one do: good, and doubtful, up to
these."""
OUTLIERS = (0.25, 0.5)
"""Share of the crops: the same."""
MOVED = (0.1, 0.3)
"""1 - stability: the same."""
LARGEST = (0.1, 0.3)
"""Share of the crops in one cluster, where there are 10 clusters' worth of crops: the same."""
SELDOM = 0.1
"""Share of clusters with more than one camera that leaves a doubt below it."""


class Check(NamedTuple):
    """``level`` of :data:`LEVELS`, ``words`` for everybody, and the ``figure`` behind them."""

    level: str
    words: str
    figure: str


class Verdict(NamedTuple):
    """The worst level of the checks, a headline, and the checks, the worst first."""

    level: str
    headline: str
    checks: tuple[Check, ...]


def judge(figures: Mapping[str, float]) -> Verdict:
    """The verdict on the figures of a run.

    Args:
        figures: ``clusters``, ``outlier_share`` and ``largest`` (share of crops in the largest
            cluster) of the end; and, where there are any, ``stability``, ``cross_camera``,
            ``false_accept_rate``, ``start_false_accept_rate`` and ``mAP``, ``start`` being before
            training.
    """
    checks = [*_tracks(figures), *_clusters(figures)]
    checks.sort(key=lambda check: -LEVELS.index(check.level))
    level = max((check.level for check in checks), key=LEVELS.index)
    proven = "false_accept_rate" in figures
    headline = {
        "good": "This run looks good." if proven else "Nothing speaks against this run.",
        "doubtful": "This run is of some use, with doubts.",
        "bad": "This run is not to be trusted.",
    }[level]
    if not proven:
        headline += (
            " But there are no tracks that could prove it: look at the pictures below."
            if level != "bad"
            else ""
        )
    return Verdict(level, headline, tuple(checks))


def percent(share: float, digits: int = 0) -> str:
    """ "8 %", "7.9 %"."""
    return f"{100 * share:.{digits}f} %"


def _level(value: float, bounds: Sequence[float]) -> str:
    return LEVELS[sum(value > bound for bound in bounds)]


def _tracks(figures: Mapping[str, float]) -> list[Check]:
    rate = figures.get("false_accept_rate")
    if rate is None:
        return []
    level = _level(rate, FALSE_ACCEPTS)
    words = {
        "good": "It tells people of a camera apart.",
        "doubtful": "It tells most people of a camera apart, and confuses some.",
        "bad": "It confuses people of a camera.",
    }[level]
    before = figures.get("start_false_accept_rate")
    figure = (
        "by the tracks: where 95 % of pairs of one person pass, so do"
        f" {percent(rate, 1)} of pairs of two"
    )
    figure += f" ({percent(before, 1)} before training)" if before is not None else ""
    checks = [Check(level, words, figure)]
    if before is not None and rate > before + 0.005:
        checks.append(
            Check(
                "doubtful",
                "Training made it worse at that: fewer steps, or lower rates, may be better.",
                f"{percent(before, 1)} before, {percent(rate, 1)} now",
            )
        )
    return checks


def _clusters(figures: Mapping[str, float]) -> list[Check]:
    share, clusters = figures["outlier_share"], int(figures["clusters"])
    if clusters < 2:
        return [Check("bad", "No groups of people were found.", f"{clusters} clusters")]
    level = _level(share, OUTLIERS)
    words = {
        "good": "Most crops found others of the same person.",
        "doubtful": "Many crops found nobody who is like them.",
        "bad": "Most crops found nobody who is like them.",
    }[level]
    figure = f"{percent(share)} of the crops are in no cluster ({clusters} clusters)"
    checks = [Check(level, words, figure)]
    largest = figures["largest"]
    if (level := _level(largest, LARGEST)) != "good" and clusters >= 10:
        words = "One group holds very many crops: probably several people became one."
        checks.append(
            Check(level, words, f"{percent(largest)} of the crops are in the largest cluster")
        )
    if "stability" in figures:
        level = _level(1 - figures["stability"], MOVED)
        words = {
            "good": "The groups have settled.",
            "doubtful": "The groups still move: longer training may help.",
            "bad": "The groups change from epoch to epoch: they are hardly people.",
        }[level]
        figure = f"adjusted Rand index with the epoch before {figures['stability']:.2f}"
        checks.append(Check(level, words, figure))
    if "cross_camera" in figures:
        few = figures["cross_camera"] < SELDOM
        words = "People are found again in other cameras."
        if few:
            words = "Hardly anybody is found again in another camera: do the cameras share people?"
        figure = f"{percent(figures['cross_camera'])} of the clusters span more than one camera"
        checks.append(Check("doubtful" if few else "good", words, figure))
    return checks
