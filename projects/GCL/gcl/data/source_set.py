"""Labelled crops of other data sets that a run trains on beside the target's (GCL.SOURCE).

Shapes: B batch, H x W crop (INPUT.SIZE_TRAIN).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from fastreid.data import build_reid_train_loader
from fastreid.data.transforms import build_transforms
from fastreid.utils import comm
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from gcl.config import ConfigError
from gcl.photographs import read_photograph
from gcl.structure.estimate.augment import occlude, photometric

from .build import by_path, load_dataset
from .same_lists import problem_of_all
from .sampler import PseudoLabelSampler, ShuffleSampler

Transform = Callable[[Image.Image], Tensor]


class SourceSet:
    """The training images of GCL.SOURCE.NAMES, with their identities.

    People and cameras are numbered through all sets, from 0: two sets have nobody in common.

    Args:
        cfg: configuration with GCL.SOURCE.
        target: paths of the target's training images.

    Attributes:
        items: (path, person, camera) of each image, sorted by set and path.
        people: C, how many there are.

    Raises:
        ConfigError: a data set is unknown or not there, has no identities, is the target, has too
            few people for a batch, or is not the same in all processes.
    """

    def __init__(self, cfg, target: Sequence[str] = ()) -> None:
        self.cfg, node = cfg, cfg.GCL.SOURCE
        key = f"GCL.SOURCE.NAMES {tuple(node.NAMES)}"
        people, cameras, paths, self.drawn = [], [], [], []
        for i, name in enumerate(node.NAMES):
            data = load_dataset(name, key="GCL.SOURCE.NAMES", root=node.ROOT)
            for path, person, camera in by_path(data.train):
                paths.append(path)
                people.append(f"{i}/{person}")
                cameras.append(f"{i}/{camera}")
                self.drawn.append(getattr(data, "drawn", False))
        names, numbers = np.unique(people, return_inverse=True)
        self.people = len(names)
        _, cameras = np.unique(cameras, return_inverse=True)
        self.items = list(zip(paths, numbers.tolist(), cameras.tolist(), strict=True))
        if problem := problem_of_all("", key, self.items):
            raise ConfigError(problem)
        if {*map(os.path.realpath, target)} & {*map(os.path.realpath, paths)}:
            raise ConfigError(
                f"{key} has training images of DATASETS.NAMES in it, whose identities nobody may"
                " know: name another data set, or give GCL.SOURCE.ROOT, where the source lies."
            )
        wanted = -(-node.BATCH // cfg.DATALOADER.NUM_INSTANCE)
        if self.people < wanted:
            raise ConfigError(
                f"{key} has {self.people} people: GCL.SOURCE.BATCH {node.BATCH} with"
                f" DATALOADER.NUM_INSTANCE {cfg.DATALOADER.NUM_INSTANCE} needs {wanted}; lower it."
            )

    def train_loader(self, num_batches: int, seed: int):
        """This rank's share of an epoch: batches of P people x DATALOADER.NUM_INSTANCE images."""
        sampler = PseudoLabelSampler(
            [person for _, person, _ in self.items],
            self.cfg.GCL.SOURCE.BATCH,
            self.cfg.DATALOADER.NUM_INSTANCE,
            num_batches,
            seed=seed,
            rank=comm.get_rank(),
            world_size=comm.get_world_size(),
        )
        return self._loader(sampler)

    def first_loader(self, seed: int):
        """This rank's share of DATALOADER.NUM_INSTANCE images of everybody (fewer, where there are
        no more), changed as in training."""
        people = np.array([person for _, person, _ in self.items])
        # one chance for each image: the first so many of a person are a fair draw
        order = np.random.default_rng(seed).permutation(len(people))
        order = order[np.argsort(people[order], kind="stable")]
        start = np.searchsorted(people[order], people[order])
        drawn = np.arange(len(order)) - start < self.cfg.DATALOADER.NUM_INSTANCE
        size = self.cfg.GCL.SOURCE.BATCH
        sampler = ShuffleSampler(
            order[drawn],
            size,
            -(-int(drawn.sum()) // size),
            seed=seed,
            rank=comm.get_rank(),
            world_size=comm.get_world_size(),
        )
        return self._loader(sampler)

    def _loader(self, sampler):
        size = self.cfg.INPUT.SIZE_TRAIN
        plain = self.cfg.clone()
        plain.defrost()
        plain.INPUT.REA.ENABLED = False  # drawn crops get other people's rectangles
        return build_reid_train_loader(
            SourceDataset(
                self.items,
                self.drawn,
                size,
                build_transforms(self.cfg, is_train=True),
                build_transforms(plain, is_train=True),
            ),
            sampler=sampler,
            total_batch_size=self.cfg.GCL.SOURCE.BATCH,
            num_workers=self.cfg.DATALOADER.NUM_WORKERS,
        )


class SourceDataset(Dataset):
    """Crops with identities.

    An item is a dict with ``images`` (3, H, W) in 0-255, ``targets`` and ``camids``. Photographs
    are augmented as the target's are. Drawn crops, which every camera shows alike, get what
    pre-training of encoders gives them: other light, colours, resolution, noise and compression,
    and things before people.

    Args:
        items: (path, person, camera) of each crop.
        drawn: whether each is drawn.
        size: (H, W).
        transform: PIL crop -> (3, H, W) tensor 0-255, of photographs.
        transform_drawn: of drawn crops, before what is done to a whole batch of them.
    """

    def __init__(
        self,
        items: Sequence[tuple[str, int, int]],
        drawn: Sequence[bool],
        size: tuple[int, int],
        transform: Transform,
        transform_drawn: Transform,
    ) -> None:
        self.items, self.drawn, self.size = items, drawn, tuple(size)
        self.transforms = (transform, transform_drawn)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict]:
        """The items of a batch, as a loader asks for them."""
        batch = []
        for index in indices:
            path, person, camera = self.items[index]
            image = self.transforms[self.drawn[index]](read_photograph(path, self.size))
            batch.append({"images": image, "targets": person, "camids": camera})
        drawn = [item for index, item in zip(indices, batch, strict=True) if self.drawn[index]]
        if drawn:
            images = torch.stack([item["images"] for item in drawn]).float()
            for item, image in zip(drawn, photometric(occlude(images)), strict=True):
                item["images"] = image
        return batch


class WithSource:
    """A target's loader whose batches bring one of the source, under keys as ``source_images``.

    Args:
        target, source: loaders; the source's has as many batches.
    """

    def __init__(self, target, source) -> None:
        self.target, self.source = target, source

    @property
    def dataset(self) -> Dataset:
        """The target's."""
        return self.target.dataset

    def __iter__(self) -> Iterator[dict]:
        for batch, source in zip(self.target, self.source, strict=True):
            yield batch | {f"source_{key}": value for key, value in source.items()}

    def shutdown(self) -> None:
        """Stop the workers of both."""
        self.target.shutdown()
        self.source.shutdown()
