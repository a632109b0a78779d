"""Query and gallery of a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastreid.data.common import CommDataset
from PIL import Image
from torch import Tensor

from gcl.photographs import read_photograph


class RetrievalDataset(CommDataset):
    """The toolbox's data set of a test, whose items are dicts with ``images``, ``targets``,
    ``camids`` and ``img_paths``; but a photograph of a huge size is made smaller while it is read.

    Args:
        items: (path, identity, camera) of each crop, the queries first.
        size: (H, W) to which ``transform`` resizes.
        transform: PIL crop -> (3, H, W) tensor 0-255 (a toolbox transform).
    """

    def __init__(
        self,
        items: Sequence[tuple],
        size: tuple[int, int],
        transform: Callable[[Image.Image], Tensor],
    ) -> None:
        super().__init__(items, transform, relabel=False)
        self.size = tuple(size)

    def __getitem__(self, index: int) -> dict:
        path, identity, camera = self.img_items[index][:3]
        image = self.transform(read_photograph(path, self.size))
        return {"images": image, "targets": identity, "camids": camera, "img_paths": path}
