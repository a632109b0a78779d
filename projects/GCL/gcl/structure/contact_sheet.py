"""A picture to look at: crops beside their structures."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from gcl.photographs import photograph_size, read_photograph

from .store import TURNS, StructureStore

GAP, HEADER = 4, 14


def contact_sheet(store: StructureStore, crops: Sequence[str], height: int = 128) -> Image.Image:
    """A row a crop: the crop, its own view, the seven turned views; mode "RGB".

    Args:
        crops: paths of photographs, with the structures in ``store``; at least one.
        height: of a cell in pixels; its width follows from the widest crop.

    Raises:
        OSError: a crop or a structure can not be read.
    """
    rows = []
    for path in crops:
        tall, wide = photograph_size(path)
        # the view at the crop's shape, as in training
        shape = (max(round(height * wide / tall), 1), height)
        crop = read_photograph(path, at_least=shape[::-1])
        views = store.load_views(path, (0, *TURNS), wide / tall)
        rows.append([image.resize(shape, Image.Resampling.BICUBIC) for image in (crop, *views)])
    width = max(row[0].width for row in rows)
    columns = ("crop", "own", *map(str, TURNS))
    sheet = Image.new(
        "RGB",
        (len(columns) * (width + GAP) + GAP, len(rows) * (height + GAP) + GAP + HEADER),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    for c, title in enumerate(columns):
        draw.text((GAP + c * (width + GAP), 1), title, fill="black")
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            place = (GAP + c * (width + GAP), HEADER + GAP + r * (height + GAP))
            sheet.paste(image, place)
    return sheet
