"""Figures of generated views for people to read, and for files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from .body_metrics import YawSummary, summarize_yaw
from .retrieval import gallery_sizes
from .view_pairs import ViewPairs
from .views import CHANCE, Measured

COLUMNS = {
    "ssim": ("SSIM", "{:.3f}"),
    "perceptual": ("perceptual", "{:.3f}"),
    "rank1": ("rank-1", "{:.1%}"),
    "mAP": ("mAP", "{:.1%}"),
    "median": ("yaw: median error", "{:.1f}"),
    "within_45": ("<= 45", "{:.1%}"),
    "flipped": ("> 135", "{:.1%}"),
}
"""Figure -> title and format of its column."""

_BLIND = YawSummary(90.0, 0.125, 0.25, 0.25)
"""Of yaws that any number may be."""


def figures(pairs: ViewPairs, measured: Mapping[str, Measured]) -> dict[str, Any]:
    """How many "pairs", "people" and "cameras" there are, "gallery": the mean number of people in
    one; and by the keys of :data:`COLUMNS`, without those that are not known, the figures of each
    row of :func:`~gcl.evaluation.views.measure`: of all pairs ("all"), and of those of each
    "turn" by its degrees."""
    everything = np.ones(len(pairs.turn), bool)
    turns = {str(t): pairs.turn == t for t in np.unique(pairs.turn)}
    return {
        "pairs": len(pairs.turn),
        "people": len(np.unique(pairs.person)),
        "cameras": len(np.unique(pairs.camera)),
        "gallery": float(gallery_sizes(pairs).nanmean()),
        "all": {name: _figures(name, row, everything) for name, row in measured.items()},
        "turn": {
            turn: {name: _figures(name, row, chosen) for name, row in measured.items()}
            for turn, chosen in turns.items()
        },
    }


def report(found: Mapping[str, Any]) -> str:
    """Table of :func:`figures` of all pairs, with a sentence on what they are."""
    keys = [key for key in COLUMNS if any(key in row for row in found["all"].values())]
    rows = [
        [name, *(COLUMNS[key][1].format(row[key]) if key in row else "" for key in keys)]
        for name, row in found["all"].items()
    ]
    align = ("left", *["right"] * len(keys))
    titles = ["", *(COLUMNS[key][0] for key in keys)]
    table = tabulate(rows, titles, "github", disable_numparse=True, colalign=align)
    return (
        f"{found['pairs']} turned crops of {found['people']} people in {found['cameras']} cameras,"
        f" searched among {found['gallery']:.1f} people\n{table}"
    )


def _figures(name: str, row: Measured, chosen: np.ndarray) -> dict[str, float]:
    row = Measured(*(values[torch.from_numpy(chosen)] for values in row))
    means = {"ssim": row.ssim, "perceptual": row.perceptual, "rank1": row.rank1}
    values = {key: float(v.nanmean()) for key, v in {**means, "mAP": row.precision}.items()}
    yaw = _BLIND if name == CHANCE else summarize_yaw(row.error)
    values |= yaw._asdict()
    return {key: value for key, value in values.items() if not math.isnan(value)}
