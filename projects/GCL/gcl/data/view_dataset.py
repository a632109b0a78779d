"""The training set of GCL: crops with their row in the bank and, where needed, structure images.

Shapes: H x W crop (INPUT.SIZE_TRAIN), h x w structure image (GCL.GENERATOR.SIZE).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import functional as TF
from torchvision.transforms.functional import InterpolationMode

from gcl.photographs import photograph_size, read_photograph
from gcl.structure.store import TURNS, MissingStructureError, StructureStore

from .track_mates import TrackMates

Images = tuple[Image.Image, ...]


class ViewDataset(Dataset):
    """Crops without identities.

    An item is a dict with the toolbox's keys ``images``, ``targets`` (always -1: the model looks
    pseudo labels up in its bank), ``camids``, ``img_paths``, and

    - ``indices``: row in the memory bank,
    - ``structure_ori``, ``structure_new``: (1, h, w) in [0, 1], own view and a turned view whose
      yaw is drawn uniformly from the seven turns, when ``structures`` is given,
    - ``images_aug``: the crop under ``augment``, when that is given,
    - ``images_mate``: another crop of its track, resized and by half a chance mirrored, when
      ``mates`` is given.

    Args:
        items: (path, camera id) of each crop.
        size: (H, W); ``images`` are resized to it.
        structures: source of structure images; None: none are read.
        structure_size: (h, w) of structure images.
        transform: PIL crop -> (3, H, W) tensor 0-255 (a toolbox transform); None: resize only.
        augment: PIL crop -> (3, H, W) tensor, for ``images_aug``.
        mates: of the crops.
    """

    # Identity labels are never in here; the toolbox sizes its classifier by this, and GCL has none.
    num_classes = 0

    def __init__(
        self,
        items: Sequence[tuple[str, int]],
        size: tuple[int, int],
        *,
        structures: StructureStore | None = None,
        structure_size: tuple[int, int] | None = None,
        transform: Callable[[Image.Image], Tensor] | None = None,
        augment: Callable[[Image.Image], Tensor] | None = None,
        mates: TrackMates | None = None,
    ) -> None:
        self.items = list(items)
        self.size = tuple(size)
        self.structures = structures
        self.structure_size = structure_size or self.size
        self.transform = transform
        self.augment = augment
        self.mates = mates

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        path, camera = self.items[index]
        image = read_photograph(path, self.size)
        item = {"targets": -1, "camids": camera, "img_paths": path, "indices": int(index)}
        if self.mates is not None:
            item["images_mate"] = self._mate(index)
        if self.augment is not None:
            item["images_aug"] = self.augment(image)
        if self.transform is not None:
            item["images"] = self.transform(image)
            return item
        views = (TF.resize(image, self.size, InterpolationMode.BICUBIC),)
        if self.structures is not None:
            turn = TURNS[int(torch.randint(len(TURNS), ()))]
            views += self._structures(path, (0, turn), image.width / image.height)
            item["structure_ori"], item["structure_new"] = map(self._structure_tensor, views[1:])
        item["images"] = TF.pil_to_tensor(views[0]).float()
        return item

    def _mate(self, index: int) -> Tensor:
        image = read_photograph(self.items[self.mates.draw(index)][0], self.size)
        image = TF.resize(image, self.size, InterpolationMode.BICUBIC)
        return TF.pil_to_tensor(TF.hflip(image) if torch.rand(()) < 0.5 else image).float()

    def views(self, index: int) -> Tensor:
        """Structure images of one person from its own view and all seven turns, (8, 1, h, w)."""
        path = self.items[index][0]
        height, width = photograph_size(path)
        views = self._structures(path, (0, *TURNS), width / height)
        return torch.stack([self._structure_tensor(view) for view in views])

    def _structures(self, path: str, turns: Sequence[int], aspect: float) -> Images:
        """Structures at the size of the crop, so that one geometry serves both."""
        views = self.structures.load_views(path, turns, aspect)
        return tuple(TF.resize(view, self.size) for view in views)

    def _structure_tensor(self, image: Image.Image) -> Tensor:
        return TF.pil_to_tensor(TF.resize(image, self.structure_size)).float() / 255


def with_structure(
    items: Sequence[tuple[str, int]], structures: StructureStore, missing: str
) -> list[int]:
    """Indices of the crops that have structures.

    Args:
        missing: "error" or "skip".

    Raises:
        MissingStructureError: crops lack structures and ``missing`` is "error", or none has any.
    """
    lacking = [path for path, _ in items if path not in structures]
    if lacking and (missing == "error" or len(lacking) == len(items)):
        first = ", ".join(structures.crops[path] for path in lacking[:5])
        raise MissingStructureError(
            f"{len(lacking)} of {len(items)} images have no structure in"
            f" {structures.folder}, the first: {first}. Prepare them, or set"
            " GCL.STRUCTURE.MISSING skip to leave them out of the phases that need structures."
        )
    return [i for i, (path, _) in enumerate(items) if path in structures]
