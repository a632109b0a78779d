"""A picture of estimated bodies beside their crops: some by chance, and the worst."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from gcl.photographs import photograph_size, read_photograph
from gcl.structure.estimate import StructureEstimator
from gcl.structure.geometry import Geometry, render_views
from gcl.structure.store import render_size

from .labelled_crops import LabelledCrops
from .structures import Measured

HEIGHT, GAP, TEXT, HEADER = 128, 4, 100, 16


def structure_sheet(
    estimator: StructureEstimator, crops: LabelledCrops, measured: Measured, rows: int = 12
) -> Image.Image:
    """Left a random sample (always the same one), right the largest errors of the yaw, the worst
    first. A row: the crop, the estimated body where the crop has it, what is true and estimated.

    Args:
        rows: crops a side, at most.
    """
    count = min(rows, len(crops.images))
    chance = sorted(random.Random(0).sample(range(len(crops.images)), count))
    worst = measured.error.argsort(descending=True, stable=True)[:count].tolist()
    sides = [_cells(estimator, crops, chosen) for chosen in (chance, worst)]
    width = max(crop.width for side in sides for crop, _ in side)
    block = 2 * (width + GAP) + TEXT
    size = (2 * block + GAP, HEADER + count * (HEIGHT + GAP))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for s, (title, chosen) in enumerate((("by chance", chance), ("the worst", worst))):
        draw.text((s * block + GAP, 2), title, fill="black")
        for r, (i, pictures) in enumerate(zip(chosen, sides[s], strict=True)):
            top = HEADER + r * (HEIGHT + GAP)
            for c, picture in enumerate(pictures):
                sheet.paste(picture, (s * block + GAP + c * (width + GAP), top))
            place = (s * block + 2 * (width + GAP) + 2 * GAP, top)
            draw.multiline_text(place, _words(crops, measured, i), fill="black")
    return sheet


def _cells(
    estimator: StructureEstimator, crops: LabelledCrops, chosen: list[int]
) -> list[tuple[Image.Image, Image.Image]]:
    """Crop and render of each of the chosen, HEIGHT pixels high."""
    paths = [crops.images[i] for i in chosen]
    found = estimator(paths)
    cells = []
    for i, path in enumerate(paths):
        height, width = photograph_size(path)
        size = render_size(HEIGHT, width / height)
        body = Geometry(found.vertices[i], found.faces, framing=found.framing[i])
        crop = read_photograph(path, at_least=size).resize(size[::-1])
        cells.append((crop, render_views(body, (0,), size)[0]))
    return cells


def _words(crops: LabelledCrops, measured: Measured, i: int) -> str:
    lines = [
        f"true {float(crops.yaw[i]):.0f}",
        f"estimated {float(measured.yaw[i]):.0f}",
        f"error {float(measured.error[i]):.0f}",
        f"confidence {float(measured.confidence[i]):.2f}",
    ]
    if measured.doubtful[i]:
        lines.append("doubtful")
    return "\n".join(lines)
