"""A picture of turned crops beside the photographs of what they should show."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.transforms import functional as TF

from .view_pairs import ViewPairs

HEIGHT, GAP, HEADER, TEXT = 128, 4, 16, 100


def sample(pairs: ViewPairs, count: int = 16) -> list[int]:
    """Some pairs by chance, always the same ones."""
    total = len(pairs.crop)
    return sorted(random.Random(0).sample(range(total), min(count, total)))


def view_sheet(
    pairs: ViewPairs, pictures: Mapping[int, Sequence[Tensor]], names: Sequence[str]
) -> Image.Image:
    """Rows: the crop, the true photograph, the view of each of ``names``; a column a pair, with its
    turn above.

    Args:
        pictures: of pairs, as :func:`~gcl.evaluation.views.measure` keeps them; at least one.
    """
    titles = ("crop", "true photograph", *names)
    height, width = next(iter(pictures.values()))[0].shape[-2:]
    width = max(round(HEIGHT * width / height), 1)
    size = (
        TEXT + len(pictures) * (width + GAP) + GAP,
        HEADER + len(titles) * (HEIGHT + GAP) + GAP,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for r, title in enumerate(titles):
        draw.text((GAP, HEADER + GAP + r * (HEIGHT + GAP) + HEIGHT // 2), title[:16], fill="black")
    for c, (pair, column) in enumerate(sorted(pictures.items())):
        left = TEXT + GAP + c * (width + GAP)
        draw.text((left, 2), f"+{pairs.turn[pair]}", fill="black")
        for r, picture in enumerate(column):
            cell = TF.to_pil_image(picture).resize((width, HEIGHT), Image.Resampling.BICUBIC)
            sheet.paste(cell, (left, HEADER + GAP + r * (HEIGHT + GAP)))
    return sheet
