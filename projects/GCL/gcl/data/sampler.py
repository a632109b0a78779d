"""Which images an epoch trains on. Both samplers are finite lists: nothing in them can hang."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


class _EpochSampler(Sampler[int]):
    """One rank's share of a list of batches that all ranks compute alike."""

    def __init__(self, order: np.ndarray, batch_size: int, rank: int, world_size: int) -> None:
        per_rank = batch_size // world_size
        batches = order.reshape(-1, world_size, per_rank)
        self._indices = batches[:, rank].reshape(-1).tolist()

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)


class PseudoLabelSampler(_EpochSampler):
    """P x K sampling over pseudo labels for one epoch.

    Classes are cut into groups of K images in random order; a group that is short of K is filled up
    with other images of its class (with repetitions when the class is smaller than K). Every
    labelled image appears at least once, provided that the epoch has room for them: when fill-ups
    would push images out, fill-ups go first. An epoch with more room starts over with new groups.

    Args:
        labels: (N,) pseudo labels, -1 = left out.
        batch_size: images in a batch over all ranks; a multiple of ``world_size``.
        num_instances: K.
        num_batches: batches in the epoch.
        seed: decides the draw, together with nothing else: the same on every rank.
        rank, world_size: of this process.

    Raises:
        ValueError: no labelled image.
    """

    def __init__(
        self,
        labels: Sequence[int],
        batch_size: int,
        num_instances: int,
        num_batches: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        labels = np.asarray(labels)
        rng = np.random.default_rng(seed)
        labelled = np.flatnonzero(labels >= 0)
        if len(labelled) == 0:
            raise ValueError("no labelled image: every pseudo label is -1 (see GCL.LABELS)")
        labelled = labelled[np.argsort(labels[labelled], kind="stable")]
        classes = np.split(labelled, np.flatnonzero(np.diff(labels[labelled])) + 1)
        room = batch_size * num_batches
        rounds: list[np.ndarray] = []
        while sum(map(len, rounds)) < room:
            rounds.append(_one_round(classes, num_instances, rng, room if not rounds else None))
        super().__init__(np.concatenate(rounds)[:room], batch_size, rank, world_size)


class ShuffleSampler(_EpochSampler):
    """Plain shuffling for one epoch: every image of ``indices`` before any comes twice.

    Args: as :class:`PseudoLabelSampler`; ``indices`` are the rows to draw from.

    Raises:
        ValueError: ``indices`` is empty.
    """

    def __init__(
        self,
        indices: Sequence[int],
        batch_size: int,
        num_batches: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        indices = np.asarray(indices)
        if len(indices) == 0:
            raise ValueError("no image to sample from")
        rng = np.random.default_rng(seed)
        room = batch_size * num_batches
        order = np.concatenate([rng.permutation(indices) for _ in range(-(-room // len(indices)))])
        super().__init__(order[:room], batch_size, rank, world_size)


def _one_round(
    classes: list[np.ndarray], k: int, rng: np.random.Generator, room: int | None
) -> np.ndarray:
    """All images once, in groups of K of one class in random order.

    ``room``: drop as many fill-ups as needed to fit all images into it; None: keep them all.
    """
    groups = []
    for members in classes:
        order = rng.permutation(members)
        for start in range(0, len(order), k):
            group = order[start : start + k]
            lacking = k - len(group)
            if lacking:
                others = np.setdiff1d(members, group)
                source = others if len(others) >= lacking else members
                fill = rng.choice(source, lacking, replace=len(source) < lacking)
            else:
                fill = group[:0]
            groups.append((group, fill))
    excess = 0
    if room is not None:
        excess = max(
            sum(len(g) + len(f) for g, f in groups) - max(room, sum(len(g) for g, _ in groups)), 0
        )
    rng.shuffle(groups)
    out = []
    for group, fill in groups:
        dropped = min(excess, len(fill))
        excess -= dropped
        out.append(np.concatenate([group, fill[: len(fill) - dropped]]))
    return np.concatenate(out)
