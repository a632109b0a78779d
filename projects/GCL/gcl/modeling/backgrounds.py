"""Views on each other's background: what is behind people tells cameras apart, not people."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def swap_backgrounds(images: Tensor, structures: Tensor) -> Tensor:
    """People on each other's background: image i takes that of image i + B / 2.

    Where the other image's person stood, its background is filled with the mean colour of the
    background in the same row.

    Args:
        images: (B, 3, h, w).
        structures: (B, 1, h, w) renders in [0, 1], 0 outside the person.
    """
    # clothes and hair stand out from the body: a margin of 2 pixels, with a soft border
    person = F.max_pool2d((structures > 0.02).float(), 5, stride=1, padding=2)
    person = F.avg_pool2d(person, 3, stride=1, padding=1, count_include_pad=False)
    outside = 1 - person
    row_mean = (images * outside).sum(3, keepdim=True) / outside.sum(3, keepdim=True).clamp(
        min=1e-3
    )
    background = outside * images + person * row_mean
    return person * images + outside * background.roll(len(images) // 2, 0)
