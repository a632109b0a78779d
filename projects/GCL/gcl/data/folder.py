"""Folders of crops that are no data set of the toolbox."""

from __future__ import annotations

import os

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Suffixes of what counts as a crop."""


def images_in(folder: str) -> list[str]:
    """Sorted paths of the crops directly in ``folder``."""
    return sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.lower().endswith(IMAGES))
