"""Whom a search finds first: the ranked gallery of each query, as indices and as a picture.

Shapes: Q queries, G gallery images, D features, K places of a rank list.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from gcl.config import ConfigError
from gcl.photographs import photograph_size, read_photograph

HEIGHT, GAP, FRAME, ROOM = 128, 4, 3, 12
SAME, OTHER, UNKNOWN = "green", "red", "grey"


class RankList(NamedTuple):
    """Paths of a query and of what was found, the best first, and whether each shows the person of
    the query; None: nobody knows."""

    query: str
    found: Sequence[str]
    same: Sequence[bool] | None = None


def rank(
    queries: Tensor,
    gallery: Tensor,
    depth: int,
    left_out: Tensor | None = None,
) -> list[list[int]]:
    """Rows of the gallery that are nearest to each query by the cosine, the nearest first; of equal
    ones the first.

    Args:
        queries: (Q, D).
        gallery: (G, D).
        depth: K, of which there may be fewer.
        left_out: (Q, G) what does not count. The toolbox's protocol leaves out images of the
            query's person in the query's camera.
    """
    similarity = F.normalize(queries.float(), dim=1) @ F.normalize(gallery.float(), dim=1).T
    if left_out is not None:
        similarity = similarity.masked_fill(left_out, -torch.inf)
    order = similarity.sort(dim=1, descending=True, stable=True).indices[:, :depth]
    counted = similarity.gather(1, order) > -torch.inf
    return [row[keep].tolist() for row, keep in zip(order, counted, strict=True)]


def picture_format(path: str) -> str:
    """Pillow's format of a picture of that name, to know before the work that it can be written.

    Raises:
        ConfigError: the name ends in no suffix of a picture.
    """
    kind = Image.registered_extensions().get(os.path.splitext(path)[1].lower())
    if kind is None:
        raise ConfigError(f"--out {path} is no name of a picture: give one that ends in .png.")
    return kind


def rank_sheet(lists: Sequence[RankList]) -> Image.Image:
    """A row a query: the query, and apart from it what was found, framed in green where it is the
    same person and in red where it is another.

    Raises:
        OSError: a crop can not be read.
    """
    if not lists:
        raise ValueError("rank_sheet needs a rank list.")
    rows = [[_cell(path) for path in (row.query, *row.found)] for row in lists]
    width = max(cell.width for row in rows for cell in row) + 2 * FRAME
    height, columns = HEIGHT + 2 * FRAME, max(map(len, rows))
    size = (columns * (width + GAP) + GAP + ROOM, len(rows) * (height + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for r, (row, cells) in enumerate(zip(lists, rows, strict=True)):
        same = row.same or [None] * len(row.found)
        colours = [UNKNOWN] + [{True: SAME, False: OTHER, None: UNKNOWN}[s] for s in same]
        for c, (cell, colour) in enumerate(zip(cells, colours, strict=True)):
            left = GAP + c * (width + GAP) + (ROOM if c else 0)
            top = GAP + r * (height + GAP)
            box = (left, top, left + cell.width + 2 * FRAME - 1, top + height - 1)
            draw.rectangle(box, fill=colour)
            sheet.paste(cell, (left + FRAME, top + FRAME))
    return sheet


def _cell(path: str) -> Image.Image:
    """A crop, HEIGHT pixels high, in its own shape but no wider than high."""
    height, width = photograph_size(path)
    size = (HEIGHT, min(max(round(HEIGHT * width / height), 1), HEIGHT))
    return read_photograph(path, at_least=size).resize(size[::-1], Image.Resampling.BICUBIC)
