"""From a configuration to training items, data sets of each phase and loaders."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence

import numpy as np
from fastreid.data import build_reid_train_loader
from fastreid.data.build import _root, build_reid_test_loader
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.transforms import build_transforms
from fastreid.utils import comm

from gcl.config import OWN_CROPS, ConfigError, generator_size
from gcl.structure.store import open_store

from .camera_sites import sites_of
from .folder import dataset_keys
from .own_crops import OwnCrops, own_arguments
from .retrieval_dataset import RetrievalDataset
from .same_lists import problem_of_all
from .track_mates import TrackMates, are_views
from .view_dataset import ViewDataset, with_structure

logger = logging.getLogger(__name__)


class TrainingSet:
    """The training images of a run and what each phase reads of them.

    Items are sorted by path, so that a row of the bank means the same image in every process and
    after a resume (the toolbox lists folders in the file system's order).

    Args:
        cfg: configuration with DATASETS.NAMES.

    Attributes:
        items: (path, camera id) of each image, N of them.
        identities: (N,) integers for the ground-truth identities, used to log cluster quality and
            for nothing else; None, where nobody knows any (own crops).
        tracks: (N,) integers for the tracks of own crops, -1 where unknown; None, where all are.
        times: (N,) of own crops, nan where unknown; or None. What two tracks of a camera have in
            common of them they were seen at (:func:`~.track_clocks.track_clocks`).
        track_views: another crop of its track is a view of each image (GCL.DATA.TRACKS).
        sites: (N,) integers for the sites of GCL.LABELS.SITES; None: there is one.
        usable: indices of the images that have structures (all, when no phase needs any).
        structures: where structure images come from, or None.

    Raises:
        ConfigError: a data set is unknown or not there, has too few images for a batch, or is not
            the same in all processes.
        MissingStructureError: images lack structures, or two would share one.
    """

    def __init__(self, cfg) -> None:
        self.cfg = cfg
        names = cfg.DATASETS.NAMES
        combine = {"combineall": cfg.DATASETS.COMBINEALL}
        sets = [load_dataset(name, **combine, **own_arguments(name, cfg)) for name in names]
        train = [item for dataset in sets for item in dataset.train]
        train.sort(key=lambda item: item[0])
        self.items = [(path, camera_number(camera)) for path, _, camera in train]
        if problem := problem_of_all("", f"DATASETS.NAMES {tuple(names)}", self.items):
            raise ConfigError(problem)
        self.identities = None
        if OWN_CROPS not in names:
            _, self.identities = np.unique([str(pid) for _, pid, _ in train], return_inverse=True)
        self.tracks, self.times = _moments(sets, [path for path, _ in self.items])
        self.track_views = are_views(cfg, self.tracks is not None)
        self.sites = sites_of(cfg.GCL.LABELS.SITES, _camera_names(sets, self.items))
        if len(self.items) < cfg.SOLVER.IMS_PER_BATCH:
            raise ConfigError(
                f"DATASETS.NAMES {tuple(cfg.DATASETS.NAMES)} has {len(self.items)} training images,"
                f" fewer than SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH}: add images or"
                " lower it."
            )
        self.structures = None
        self.usable = list(range(len(self.items)))
        if {"generator", "joint"} & set(cfg.GCL.PHASES):
            structure = cfg.GCL.STRUCTURE
            crops = {}
            for name, dataset in zip(names, sets, strict=True):
                crops |= dataset_keys(name, dataset, dataset.train)
            self.structures = open_store(
                structure.DIR, "train", structure.SOURCE, crops, cfg.INPUT.SIZE_TRAIN[0]
            )
            self.usable = with_structure(self.items, self.structures, structure.MISSING)
            if len(self.usable) < len(self.items):
                logger.warning(
                    "%d of %d training images have no structure and are left out of the phases"
                    " that need one",
                    len(self.items) - len(self.usable),
                    len(self.items),
                )

    def __len__(self) -> int:
        return len(self.items)

    def seen_in_tracks(self) -> dict[str, np.ndarray]:
        """Tracks, cameras and, where known, times of the images, as pseudo labels take them; {}
        where no track is known."""
        if self.tracks is None:
            return {}
        cameras = np.array([camera for _, camera in self.items])
        times = {} if self.times is None else {"times": self.times}
        return {"tracks": self.tracks, "cameras": cameras, **times}

    def for_labels(self) -> dict[str, np.ndarray]:
        """All that pseudo labels take of images beside their features: sites, and tracks unless
        these are views."""
        sites = {} if self.sites is None else {"sites": self.sites}
        return sites if self.track_views else self.seen_in_tracks() | sites

    def known_cameras(self) -> np.ndarray | None:
        """(N,) cameras of the images; None: there is but one, or nobody knows any."""
        cameras = np.array([camera for _, camera in self.items], np.int64)
        return cameras if len(np.unique(cameras)) > 1 else None

    def dataset(self, phase: str) -> ViewDataset:
        """What ``phase`` trains on: toolbox-augmented crops in "contrast", else crops with
        structures."""
        cfg, size = self.cfg, self.cfg.INPUT.SIZE_TRAIN
        mates = TrackMates(self.tracks) if self.track_views and phase != "generator" else None
        if phase == "contrast":
            transform = build_transforms(cfg, is_train=True)
            return ViewDataset(self.items, size, transform=transform, mates=mates)
        return ViewDataset(
            self.items,
            size,
            structures=self.structures,
            structure_size=generator_size(cfg),
            augment=build_transforms(cfg, is_train=True)
            if phase == "joint" and cfg.GCL.JOINT.AUGMENT
            else None,
            mates=mates,
        )

    def train_loader(self, phase: str, sampler):
        """Loader over one epoch of ``sampler``, through the toolbox."""
        return build_reid_train_loader(
            self.dataset(phase),
            sampler=sampler,
            total_batch_size=phase_batch_size(self.cfg, phase),
            num_workers=self.cfg.DATALOADER.NUM_WORKERS,
        )

    def feature_loader(self, rows: Sequence[int] | None = None):
        """Loader over the training images, or those of ``rows``, in order, as in a test, shared out
        to the ranks."""
        dataset = ViewDataset(
            self.items if rows is None else [self.items[i] for i in rows],
            self.cfg.INPUT.SIZE_TRAIN,
            transform=build_transforms(self.cfg, is_train=False),
        )
        return build_reid_test_loader(
            dataset,
            test_batch_size=self.cfg.TEST.IMS_PER_BATCH,
            num_query=0,
            num_workers=self.cfg.DATALOADER.NUM_WORKERS,
        )[0]


def _moments(sets: Sequence, paths: Sequence[str]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Tracks (N,) int64 and times (N,) float64 of training images, as :class:`TrainingSet` has
    them."""
    known = {}
    for dataset in sets:
        if isinstance(dataset, OwnCrops):
            known |= dataset.moments()
    moments = [known.get(path, (-1, np.nan)) for path in paths]
    tracks = np.array([track for track, _ in moments], np.int64)
    times = np.array([time for _, time in moments], np.float64)
    return (
        tracks if (tracks >= 0).any() else None,
        None if np.isnan(times).all() else times,
    )


def _camera_names(sets: Sequence, items: Sequence[tuple[str, int]]) -> list[str]:
    """Of each training image: as a folder calls its cameras, else the toolbox's numbers."""
    own = [dataset for dataset in sets if isinstance(dataset, OwnCrops)]
    names = dict(enumerate(own[0].listed.cameras)) if own else {}
    return [names.get(camera, str(camera)) for _, camera in items]


def build_test_loader(cfg, name: str):
    """(loader over query and gallery of a data set, number of queries), as the toolbox's own, but
    sorted, and with DATALOADER.NUM_WORKERS workers instead of always four.

    Raises:
        ConfigError: as :func:`load_test_set`.
    """
    data = load_test_set(name, **own_arguments(name, cfg))
    if comm.is_main_process():
        data.show_test()
    dataset = RetrievalDataset(
        test_items(data), cfg.INPUT.SIZE_TEST, build_transforms(cfg, is_train=False)
    )
    return build_reid_test_loader(
        dataset,
        test_batch_size=cfg.TEST.IMS_PER_BATCH,
        num_query=len(data.query),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def phase_batch_size(cfg, phase: str) -> int:
    """Images of a batch over all ranks."""
    return (cfg.SOLVER if phase == "joint" else cfg.GCL[phase.upper()]).IMS_PER_BATCH


def check_name(name: str, key: str) -> None:
    """Raises ConfigError where nobody has registered a data set of that name."""
    try:
        DATASET_REGISTRY.get(name)
    except KeyError as error:
        raise ConfigError(
            f"{key}: the toolbox knows no data set {name!r}; one of your own is registered by a"
            " module that --import names."
        ) from error


def load_dataset(
    name: str,
    splits: Sequence[str] = (),
    key: str = "DATASETS.NAMES",
    root: str = "",
    **kwargs,
):
    """A registered toolbox data set.

    Args:
        splits: of query and gallery, which to list now: some data sets look for files only then.
        key: of the configuration, where the name is from.
        root: folder of data sets, of GCL.SOURCE.ROOT; "": FASTREID_DATASETS.
        kwargs: of the data set's class.

    Raises:
        ConfigError: no such data set, or its files are not there; the message names the folder.
    """
    check_name(name, key)
    try:
        dataset = DATASET_REGISTRY.get(name)(root=root or _root, **kwargs)
        for split in splits:
            getattr(dataset, split)
    except ConfigError:
        raise
    except (RuntimeError, OSError, AssertionError, ValueError, ImportError) as error:
        variable = "GCL.SOURCE.ROOT" if root else "FASTREID_DATASETS"
        raise ConfigError(
            f"{key} {name}: {error} (searched under {variable} = {os.path.abspath(root or _root)})."
        ) from error
    return dataset


def load_test_set(name: str, **kwargs):
    """A data set of DATASETS.TESTS that can give a result.

    Args:
        kwargs: of the data set's class.

    Raises:
        ConfigError: it has no query or no gallery, or no query has a match: an image of its person
            in the gallery, from another camera. Or as :func:`load_dataset`.
    """
    data = load_dataset(name, ("query", "gallery"), "DATASETS.TESTS", **kwargs)
    for split in ("query", "gallery"):
        if not getattr(data, split):
            folder = getattr(data, f"{split}_dir", None)
            where = f" ({os.path.abspath(folder)})" if folder else ""
            raise ConfigError(f"DATASETS.TESTS {name} has no {split} images{where}.")
    cameras: dict[object, set] = {}  # of each person in the gallery
    for _, person, camera in data.gallery:
        cameras.setdefault(person, set()).add(camera)
    if not any(cameras.get(person, set()) - {camera} for _, person, camera in data.query):
        count = len({camera for _, _, camera in data.query + data.gallery})
        raise ConfigError(
            f"DATASETS.TESTS {name}: none of the {len(data.query)} query images has a match, an"
            f" image of its person in the gallery from another camera ({count} in all)."
        )
    return data


def test_items(data) -> list[tuple]:
    """(path, person, camera) of a test set's images, queries first, each part sorted by path: the
    toolbox lists folders in the file system's order."""
    return [item for part in (data.query, data.gallery) for item in by_path(part)]


test_items.__test__ = False  # pytest collects what is called test...


def by_path(items: Sequence[tuple]) -> list[tuple]:
    """Items of a data set, sorted by their paths."""
    return sorted(items, key=lambda item: item[0])


def camera_number(camera) -> int:
    """The toolbox's camera id of a training image ("market1501_3", or an int) as in test batches
    (3)."""
    number = re.search(r"(\d+)$", str(camera))
    if number is None:
        raise ConfigError(
            f"DATASETS.NAMES: the camera id {camera!r} of a training image ends in no number."
        )
    return int(number.group(1))


def seed_of(seed: int, epoch: int, rank: int = 0) -> int:
    """A 32-bit seed for one epoch on one rank."""
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])
