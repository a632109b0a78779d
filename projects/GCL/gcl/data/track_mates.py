"""Another crop of the same track: the same person a moment before or after.

Shapes: N crops.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gcl.config import ConfigError


def are_views(cfg, known: bool) -> bool:
    """Whether another crop of its track is a view of each crop (GCL.DATA.TRACKS).

    Args:
        known: whether any crop's track is.

    Raises:
        ConfigError: it is to be, and none is known.
    """
    wanted = cfg.GCL.DATA.TRACKS == "views"
    if wanted and not known:
        raise ConfigError(
            "GCL.DATA.TRACKS is views, but no track is known: say by GCL.DATA.PATTERN or a table"
            " which crops are of one."
        )
    return wanted


class TrackMates:
    """Draws another image of an image's track.

    Args:
        tracks: (N,) whole numbers, -1 = in no track.
    """

    def __init__(self, tracks: Sequence[int]) -> None:
        tracks = np.asarray(tracks)
        self._order = np.argsort(tracks, kind="stable")
        in_order = tracks[self._order]
        self._first = np.searchsorted(in_order, tracks)
        self._size = np.searchsorted(in_order, tracks, side="right") - self._first
        self._size[tracks < 0] = 1
        self._place = np.empty(len(tracks), np.int64)
        self._place[self._order] = np.arange(len(tracks))

    def draw(self, index: int) -> int:
        """Uniformly one of the others of its track; ``index`` itself where there is none."""
        size = int(self._size[index])
        if size == 1:
            return int(index)
        first, step = int(self._first[index]), 1 + int(torch.randint(size - 1, ()))
        return int(self._order[first + (int(self._place[index]) - first + step) % size])
