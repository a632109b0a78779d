"""Runs side by side: a table of their last evaluation, their curves, their last sheet.

A run is a folder that tools/train_net.py wrote: ``metrics.json`` of a training,
``evaluation.json`` of an ``--eval-only``, ``views/``. Runs that differ in the SEED alone share a
name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from tabulate import tabulate

from gcl.atomic_files import atomic

MEASURES = ("mAP", "Rank-1", "Rank-5", "Rank-10", "mINP")

PANELS = (
    ("mAP", "mAP (%)"),
    ("labels/rand_index", "pseudo labels: adjusted Rand index"),
    ("loss_image", "image loss of the generator"),
    ("readiness/score", "readiness of generated views"),
)
"""What is plotted, and its title; runs without it are left out of a panel, empty panels too."""


class RunError(ValueError):
    """A folder that is no finished run; the message names it."""


def read_metrics(folder: str) -> list[dict[str, float]]:
    """Lines of the run's ``metrics.json``; where that has no evaluation, of ``evaluation.json``.

    Raises:
        RunError: the folder has no evaluation in either, or one is damaged.
    """
    for name in ("metrics.json", "evaluation.json"):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            try:
                with open(path) as file:
                    lines = [_numbers(json.loads(line)) for line in file]
            except Exception as error:  # of any text
                raise RunError(
                    f"{path} is damaged ({type(error).__name__}: {error}): take the line out of it,"
                    " or let the run come to its end anew."
                ) from error
            if any("mAP" in line for line in lines):
                return lines
    raise RunError(
        f"{folder} holds no evaluation (metrics.json of a training or evaluation.json of an"
        " --eval-only): let the run come to its end first."
    )


def _numbers(line: dict) -> dict:
    """Raises ValueError for what is no line of measures."""
    read = {*MEASURES, "iteration", *(key for key, _ in PANELS)}
    for key in read & line.keys():
        if not isinstance(line[key], int | float):
            raise ValueError(f"{key} is {line[key]!r}, no number")
    return line


def table(runs: Mapping[str, Sequence[str]]) -> str:
    """The LAST evaluation of each run, not the best: that one would be chosen on the test set.

    Several runs of a name are their mean and, in brackets, their sample standard deviation.

    Args:
        runs: name -> folders.

    Raises:
        RunError: see :func:`read_metrics`.
    """
    rows = []
    for name, folders in runs.items():
        last = [[x for x in read_metrics(folder) if "mAP" in x][-1] for folder in folders]
        rows.append([name, *(_summary([x.get(key) for x in last]) for key in MEASURES)])
    return tabulate(
        rows,
        headers=("", *MEASURES),
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * len(MEASURES)),
    )


def _summary(values: Sequence[float | None]) -> str:
    """"" when one is not there."""
    if None in values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{mean(values):.1f} ({stdev(values):.1f})"


def curves(runs: Mapping[str, Sequence[str]], path: str) -> None:
    """Draw the :data:`PANELS` over training steps into ``path`` (PNG); runs of a name in one
    colour."""
    metrics = {name: [read_metrics(f) for f in folders] for name, folders in runs.items()}
    everything = [lines for several in metrics.values() for lines in several]
    panels = [p for p in PANELS if any(len(_series(m, p[0])) > 1 for m in everything)]
    figure = Figure(figsize=(4 * max(len(panels), 1), 3), layout="constrained", dpi=80)
    for place, (key, title) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        for number, (name, several) in enumerate(metrics.items()):
            for run, lines in enumerate(several):
                series = _series(lines, key)
                style = {"color": f"C{number}", "label": None if run else name}
                if len(series) > 1:
                    axes.plot(*zip(*series, strict=True), "o-", ms=3, **style)
                elif series:  # an evaluation alone: a level to compare with
                    axes.axhline(series[0][1], ls=":", **style)
        axes.set(title=title, xlabel="step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.legend(fontsize=8)
    with atomic(path) as file:
        figure.savefig(file, format="png")


def last_sheets(folder: str, out: str) -> list[str]:
    """Copy the run's last sheets of generated views to ``out``, in 256 colours, which takes a third
    of the space; the names of the copies."""
    views = os.path.join(folder, "views")
    names = sorted(os.listdir(views)) if os.path.isdir(views) else []
    copies = []
    for kind in ("views", "turntable"):
        sheets = [name for name in names if name.startswith(f"{kind}_")]
        if sheets:
            target = os.path.join(out, f"{kind}.png")
            with Image.open(os.path.join(views, sheets[-1])) as sheet, atomic(target) as file:
                sheet.quantize().save(file, "PNG", optimize=True)
            copies.append(f"{kind}.png")
    return copies


def _series(lines: list[dict[str, float]], key: str) -> list[tuple[float, float]]:
    return [(line.get("iteration", 0), line[key]) for line in lines if key in line]
