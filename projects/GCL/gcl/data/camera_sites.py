"""Which cameras share people (GCL.LABELS.SITES).

Shapes: N images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gcl.config import ConfigError


def sites_of(groups: Sequence[Sequence], cameras: Sequence[str]) -> np.ndarray | None:
    """(N,) int64 site of each image; None where ``groups`` is empty.

    Args:
        groups: names or numbers of the cameras of each site.
        cameras: name of each image's camera, N of them.

    Raises:
        ConfigError: a camera is at no site, or a site has one that there is not.
    """
    if not groups:
        return None
    site = {str(camera): i for i, group in enumerate(groups) for camera in group}
    there = sorted(set(cameras))
    for name in there:
        if name not in site:
            raise ConfigError(
                f"GCL.LABELS.SITES names no site of camera {name!r}: put each camera at one; there"
                f" are {', '.join(map(repr, there))}."
            )
    for name in site:
        if name not in there:
            raise ConfigError(
                f"GCL.LABELS.SITES names a camera {name!r}, of which there is no image; there are"
                f" {', '.join(map(repr, there))}."
            )
    return np.array([site[name] for name in cameras], np.int64)
