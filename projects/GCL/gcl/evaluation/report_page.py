"""report.html: what a run on own crops read, whether it is any good, and where to look.

One file that needs no network and no other file. Its size does not grow with the crops: some 1,500
small pictures at most.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np

from gcl.data.crop_list import count_of
from gcl.engine.partition_figures import partition_figures

from .cluster_review import Doubt
from .report_pictures import crop_uri, curve_uri, sheet_uri
from .run_result import RunResult
from .run_verdict import judge, percent

TEMPLATE = Path(__file__).with_name("report.html")
A_GROUP = 5
"""Crops of a group that are shown."""
A_ROW = 10
"""Of a cluster in the list of clusters."""
ROWS = 60
"""Clusters in that list."""

CURVES = (
    ("People told apart, by the tracks (AUC)", False, ("tracks/auc",)),
    ("Two people taken for one, at 95 % recall", True, ("tracks/false_accept_rate",)),
    ("Crops in no cluster", True, ("labels/outlier_share",)),
    ("Clusters as in the epoch before (Rand index)", False, ("labels/stability",)),
    ("Clusters in several cameras", True, ("labels/cross_camera",)),
    ("Clusters", False, ("labels/clusters",)),
    ("Loss", False, ("total_loss",)),
    ("Generated views recognised (readiness)", False, ("readiness/score",)),
    ("Labelled test, mAP and rank-1 (%)", False, ("mAP", "Rank-1")),
)
"""Title, whether in per cent, and figures of metrics.json."""


class Picture(NamedTuple):
    """A crop: its picture, and what is known of it."""

    uri: str
    words: str


class Row(NamedTuple):
    """Groups of crops beside each other, under a line of words."""

    words: str
    groups: list[list[Picture]]
    more: int


def report_page(cfg, result: RunResult) -> str:
    """The page of a run.

    Args:
        cfg: of the run, whose OUTPUT_DIR has metrics.json and views/.

    Raises:
        OSError: a file of the run or a crop can not be read.
    """
    lines = read_lines(os.path.join(cfg.OUTPUT_DIR, "metrics.json"))
    figures = figures_of(result, lines)
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    ).from_string(TEMPLATE.read_text(encoding="utf-8"))
    review = result.clusters
    largest = sorted(range(len(review.members)), key=lambda i: -len(review.members[i]))
    page = template.render(
        name=os.path.basename(os.path.normpath(cfg.OUTPUT_DIR)),
        verdict=judge(figures),
        read=what_was_read(result),
        tiles=_tiles(result, figures),
        curves=_curves(lines),
        merges=[_row(result, d, f"cluster {d.clusters[0]}") for d in review.merges],
        splits=[_row(result, d, "clusters {} and {}".format(*d.clusters)) for d in review.splits],
        crossings=[_crossing(result, d) for d in review.crossings],
        clusters=[_cluster(result, i) for i in largest[:ROWS]],
        others=max(len(largest) - ROWS, 0),
        calibration=result.calibration,
        pairs=result.pairs,
        views=_views(os.path.join(cfg.OUTPUT_DIR, "views")),
    )
    # names of files may hold bytes that are no text
    return page.encode("utf-8", "backslashreplace").decode()


def read_lines(path: str) -> list[dict[str, float]]:
    """Lines of metrics.json in order of steps, of the run that wrote last; [] where there is none.

    The toolbox goes on in the file that is there. What is logged anew of a step, after a kill or
    by a run that began anew, takes the place of what was logged of it, and after it, before.
    """
    figures: dict[str, dict[int, float]] = {}
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            for text in file:
                try:
                    line = json.loads(text)
                    step = line.pop("iteration", 0)
                except (ValueError, AttributeError):  # a kill has cut it off
                    continue
                if step == 0 and any(0 in figures.get(key, ()) for key in line):
                    figures.clear()
                for key, value in line.items():
                    before = figures.get(key, {})
                    figures[key] = {s: v for s, v in before.items() if s < step} | {step: value}
    steps: dict[int, dict[str, float]] = {}
    for key, values in figures.items():
        for step, value in values.items():
            steps.setdefault(step, {"iteration": step})[key] = value
    return [steps[step] for step in sorted(steps)]


def figures_of(result: RunResult, lines: Sequence[dict[str, float]]) -> dict[str, float]:
    """What :func:`~.run_verdict.judge` takes."""
    labels, none = result.labels, np.full_like(result.labels, -1)
    cameras = np.unique([crop.camera for crop in result.crops], return_inverse=True)[1]
    known = cameras if cameras.any() else None
    figures = partition_figures(labels, none, known)
    sizes = [len(rows) for rows in result.clusters.members]
    figures |= {"clusters": len(sizes), "largest": max(sizes, default=0) / len(labels)}
    if result.verification is not None:
        figures["false_accept_rate"] = result.verification.false_accept_rate
    last: dict[str, float] = {}
    for line in lines:
        last |= line
    for name, key in (
        ("stability", "labels/stability"),
        ("start_false_accept_rate", "tracks/start_false_accept_rate"),
        ("mAP", "mAP"),
    ):
        if key in last:
            figures[name] = last[key]
    return figures


def what_was_read(result: RunResult) -> list[tuple[str, str]]:
    """(what, how much) of the folder."""
    crops = result.crops
    tracks = len({(crop.camera, crop.track) for crop in crops if crop.track})
    timed = sum(crop.time is not None for crop in crops)
    names = sorted({crop.camera for crop in crops})
    cameras = ", ".join(name or "unknown" for name in names[:8]) + (", ..." * (len(names) > 8))
    rows = [
        ("crops", f"{len(crops):,}"),
        ("cameras", f"{len(names)} ({cameras})" if names != [""] else "none known, taken as one"),
        ("tracks", f"{tracks:,}" if tracks else "none known"),
        ("times", f"of {count_of(timed, 'crop')}" if timed else "none known"),
    ]
    if result.listed is None:
        return rows
    rows.insert(0, ("folder", result.listed.folder))
    skipped = result.listed.skipped
    reasons = Counter(re.sub(r"\d+", "#", reason).rstrip(".") for _, reason in skipped)
    why = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
    rows.append(
        (
            "left out",
            f"{count_of(len(skipped), 'file')} ({why})" if why else "nothing",
        )
    )
    return rows


def _tiles(result: RunResult, figures: dict[str, float]) -> list[tuple[str, str]]:
    """(figure, what it is) of the few that come first."""
    tiles = [
        (f"{len(result.labels):,}", "crops"),
        (f"{figures['clusters']:,}", "people (clusters)"),
    ]
    tiles.append((percent(figures["outlier_share"]), "crops in none"))
    if "cross_camera" in figures:
        tiles.append((percent(figures["cross_camera"]), "clusters in several cameras"))
    if result.verification is not None:
        tiles.append((percent(figures["false_accept_rate"], 1), "of pairs of two people pass"))
    if "mAP" in figures:
        tiles.append((f"{figures['mAP']:.1f}", "mAP of the labelled test"))
    return tiles


def _curves(lines: Sequence[dict[str, float]]) -> list[tuple[str, str]]:
    found = []
    for title, shares, keys in CURVES:
        drawn = []
        for key in keys:
            points = [(line["iteration"], line[key]) for line in lines if key in line]
            start = [
                line[k] for line in lines if (k := key.replace("/", "/start_")) in line and k != key
            ]
            points = [(0, start[-1]), *points] if start and points else points
            if len(points) > 1:
                drawn.append((key, points))
        if drawn:
            found.append((title, curve_uri(drawn, shares)))
    return found


def _pictures(result: RunResult, rows: np.ndarray, most: int) -> list[Picture]:
    shown = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)]
    return [Picture(crop_uri(result.paths[i]), _words(result, i)) for i in shown.tolist()]


def _words(result: RunResult, row: int) -> str:
    crop, label = result.crops[row], result.labels[row]
    known = [crop.name]
    known += [f"camera {crop.camera}"] * bool(crop.camera) + [f"track {crop.track}"] * bool(
        crop.track
    )
    known += [] if crop.time is None else [f"time {crop.time:g}"]
    return ", ".join([*known, f"cluster {label}" if label >= 0 else "no cluster"])


def _alike(result: RunResult, doubt: Doubt) -> str:
    words = f"alike {doubt.similarity:.2f}"
    if result.calibration is None:
        return words
    _, threshold, slope, *_ = result.calibration
    probable = 1 / (1 + np.exp(-slope * (doubt.similarity - threshold)))
    return f"{words}, one person by {percent(probable)}"


def _row(result: RunResult, doubt: Doubt, what: str) -> Row:
    groups = [_pictures(result, rows, A_GROUP) for rows in (doubt.left, doubt.right)]
    more = len(doubt.left) + len(doubt.right) - sum(map(len, groups))
    return Row(f"{what}: {_alike(result, doubt)}", [group for group in groups if group], more)


def _crossing(result: RunResult, doubt: Doubt) -> Row:
    cameras = [result.crops[rows[0]].camera or "unknown" for rows in (doubt.left, doubt.right)]
    return _row(result, doubt, f"cluster {doubt.clusters[0]}, cameras {' and '.join(cameras)}")


def _cluster(result: RunResult, cluster: int) -> Row:
    rows = result.clusters.members[cluster]
    cameras = len({result.crops[i].camera for i in rows.tolist()})
    alike = float(np.nanmean(result.clusters.similarity[rows]))
    words = f"cluster {cluster}: {count_of(len(rows), 'crop')}, {count_of(cameras, 'camera')}"
    pictures = _pictures(result, rows, A_ROW)
    return Row(f"{words}, alike {alike:.2f}", [pictures], len(rows) - len(pictures))


def _views(folder: str) -> list[str]:
    """The last sheet of each kind."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    last = [[n for n in names if n.startswith(kind)][-1:] for kind in ("turntable_", "views_")]
    return [sheet_uri(os.path.join(folder, name)) for found in last for name in found]
