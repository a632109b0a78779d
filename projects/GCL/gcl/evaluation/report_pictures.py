"""Pictures inside a page: crops, curves, sheets, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from gcl.photographs import photograph_size, read_photograph

HEIGHT = 96
"""Pixels of a crop."""
SHEET = 900
"""Pixels of the longer side of a sheet, at most."""


def crop_uri(path: str) -> str:
    """A crop, :data:`HEIGHT` pixels high and no wider than high; about two kilobytes.

    Raises:
        PhotographError: it can not be read.
    """
    height, width = photograph_size(path)
    size = (min(max(round(HEIGHT * width / height), HEIGHT // 6), HEIGHT), HEIGHT)
    picture = read_photograph(path, at_least=size[::-1]).resize(size, Image.Resampling.BICUBIC)
    return _jpeg(picture)


def sheet_uri(path: str) -> str:
    """A sheet of pictures, smaller."""
    with Image.open(path) as sheet:
        picture = sheet.convert("RGB")
    picture.thumbnail((SHEET, SHEET))
    return _jpeg(picture)


def _jpeg(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=72, optimize=True)
    return _uri("image/jpeg", file.getvalue())


def curve_uri(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], percent: bool) -> str:
    """Curves over training steps as SVG, text as text.

    Args:
        lines: (name, points) of each.
        percent: values are shares of 1.
    """
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "", "font.size": 9}):
        figure = Figure(figsize=(3.6, 2.1), layout="constrained")
        axes = figure.add_subplot()
        for name, points in lines:
            axes.plot(*zip(*points, strict=True), "o-", ms=3, lw=1.5, label=name)
        if len(lines) > 1:
            axes.legend(frameon=False)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        whole = all(value == int(value) for _, points in lines for _, value in points)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=whole))
        if percent:
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", lw=0.4, alpha=0.6)
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _uri("image/svg+xml", file.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
