"""The sets of a configuration on which its generated views can be judged."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from gcl.config import ConfigError, generator_size
from gcl.data.build import camera_number, load_dataset
from gcl.data.folder import dataset_keys
from gcl.data.own_crops import own_arguments
from gcl.data.view_dataset import ViewDataset, with_structure
from gcl.structure.store import StructureStore, open_store
from gcl.synthetic import SyntheticPedestrians

from .labelled_crops import from_names
from .view_pairs import Item, ViewPairs, drawn, photographs


def open_sets(
    cfg, pattern: str, orientations: Mapping[str, float]
) -> dict[str, tuple[ViewPairs, ViewDataset]]:
    """Pairs and structures of DATASETS.NAMES ("train") and DATASETS.TESTS ("test": queries and
    gallery), as far as GCL.STRUCTURE.DIR has them.

    Args:
        pattern, orientations: see :func:`~gcl.evaluation.labelled_crops.labelled_crops`; a
            synthetic set needs neither.

    Raises:
        ConfigError: there are no structures or no such data, or nothing says the orientation.
        MissingStructureError: crops have no structure, or two would share one.
    """
    folder, source = cfg.GCL.STRUCTURE.DIR, cfg.GCL.STRUCTURE.SOURCE
    splits = {"train": cfg.DATASETS.NAMES, "test": cfg.DATASETS.TESTS}
    splits = {s: names for s, names in splits.items() if os.path.isdir(os.path.join(folder, s))}
    if not folder or not splits:
        raise ConfigError(
            f"GCL.STRUCTURE.DIR {folder!r} has neither a folder 'train' nor 'test' with structures:"
            " give the folder that the model was trained with."
        )
    opened = {}
    for split, names in splits.items():
        sets, crops = [], {}
        for name in names:
            data = load_dataset(name, **own_arguments(name, cfg))
            items = data.train if split == "train" else data.query + data.gallery
            sets.append((name, data, items))
            crops |= dataset_keys(name, data, items)
        store = open_store(folder, split, source, crops, cfg.INPUT.SIZE_TRAIN[0])
        for name, data, items in sets:
            opened[f"{name} {split}"] = _open(cfg, store, data, items, pattern, orientations)
    return opened


def _open(
    cfg,
    store: StructureStore,
    data,
    items: list[tuple],
    pattern: str,
    orientations: Mapping[str, float],
) -> tuple[ViewPairs, ViewDataset]:
    synthetic = isinstance(data, SyntheticPedestrians)
    if synthetic:
        yaw = {path: 0.0 for path, _, _ in items}
    else:
        labelled = from_names([path for path, _, _ in items], pattern, orientations)
        yaw = dict(zip(labelled.images, labelled.yaw.tolist(), strict=True))
    items = [item for item in items if item[0] in yaw]
    crops = [(path, camera) for path, _, camera in items]
    usable = with_structure(crops, store, cfg.GCL.STRUCTURE.MISSING)
    items = [items[i] for i in usable]
    _, people = np.unique([str(person) for _, person, _ in items], return_inverse=True)
    items = [
        Item(path, int(person), camera_number(camera), yaw[path])
        for (path, _, camera), person in zip(items, people, strict=True)
    ]
    pairs = drawn(items, data.dataset_dir) if synthetic else photographs(items)
    camera = {item.path: item.camera for item in items}
    dataset = ViewDataset(
        [(path, camera[path]) for path in pairs.images],
        cfg.INPUT.SIZE_TRAIN,
        structures=store,
        structure_size=generator_size(cfg),
    )
    return pairs, dataset
