"""Batches of drawn people for supervised training, made by worker processes.

Shapes: B = P x K crops of P people, K shots of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gcl.structure.estimate.augment import occlude, photometric, random_crop
from gcl.synthetic.people import GROUP, People


class PeopleBatches(Dataset):
    """The batch of each step: its chance follows from the seed and the step's number alone.

    Siblings come together, so that the hardest others are in the batch: groups of GROUP people are
    drawn, and each person's shots are of as many cameras as there are.

    Args:
        files: what is drawn, file by file; all of as many people. Arrays, not tensors: forked
            workers share them.
        people, shots: P and K.
        size: (H, W) of the crops.
        seed: of all chance.
        steps: numbers of the steps to make.
        cut: whether :func:`film` is done here, by worker processes, or left to who takes a batch.
    """

    def __init__(
        self,
        files: Sequence[People],
        people: int,
        shots: int,
        size: tuple[int, int],
        seed: int,
        steps: range,
        cut: bool = True,
    ) -> None:
        self.files, self.people, self.shots = files, people, shots
        self.size, self.seed, self.steps, self.cut = size, seed, steps, cut

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Of a step: "images" (B, 3, H, W) uint8 and "targets" (B,) numbers of people. Without
        ``cut`` in place of the images "pictures" (B, H', W', 3) uint8 and "box" (B, 4)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hash((self.seed, self.steps[index])))
            return self._batch()

    def _batch(self) -> dict[str, Tensor]:
        in_a_file, shots = self.files[0].cameras.shape
        count = in_a_file * len(self.files)
        groups = torch.randperm(-(-count // GROUP))
        members = torch.rand(len(groups), GROUP).argsort(1)
        who = (groups[:, None] * GROUP + members).flatten()
        who = who[who < count][: self.people]  # the last group may not be whole
        crops, box = [], []
        for person in who.tolist():
            file, row = divmod(person, in_a_file)
            data = self.files[file]
            which = _shots_of_many_cameras(torch.from_numpy(data.cameras[row]))[: self.shots]
            crops.append(torch.from_numpy(data.crops[row])[which])
            box.append(torch.from_numpy(data.box[row])[which])
        pictures, boxes = torch.cat(crops), torch.cat(box)
        targets = who.repeat_interleave(self.shots)
        if not self.cut:
            return {"pictures": pictures, "box": boxes, "targets": targets}
        return {"images": film(pictures, boxes, self.size), "targets": targets}


def film(pictures: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """Crops (B, 3, H, W) uint8 of pictures (B, H', W', 3) uint8, as detectors cut and cameras see
    them, made where the pictures are; ``box`` is (B, 4)."""
    cropped = random_crop(pictures.permute(0, 3, 1, 2).float(), box, size).crops
    return photometric(occlude(cropped)).round().byte()


def load_batches(batches: PeopleBatches, workers: int, pinned: bool = False) -> DataLoader:
    """The batches in order, made by so many processes (0: by this one) that share the pictures.

    Args:
        pinned: in memory from which a GPU copies while it calculates.
    """
    return DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        pin_memory=pinned,
    )


def _shots_of_many_cameras(cameras: Tensor) -> Tensor:
    """An order of shots (S,) in which every camera comes once before one comes again."""
    order = torch.randperm(len(cameras))
    same = cameras[order][:, None] == cameras[order]
    turn = same.tril(-1).sum(1)  # how many of its camera were before
    return order[torch.argsort(turn, stable=True)]
