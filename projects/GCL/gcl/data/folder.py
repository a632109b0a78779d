"""Folders of crops: those of the toolbox's data sets, and others."""

from __future__ import annotations

import os

from gcl.photographs import SUFFIXES
from gcl.structure.crop_keys import CropKeys, crop_keys

from .folder_walk import walk_once
from .own_crops import OwnCrops, is_hidden, path_below


def images_in(folder: str, without: str | None = None) -> list[str]:
    """Sorted paths of the crops in ``folder`` and in all folders below it. Hidden ones, which are
    thumbnails and what editors leave, do not count.

    Args:
        without: a folder below it that holds none, whatever is in it.
    """
    names = walk_once(folder, [without] if without else ()).files
    shown = [name for name in names if name.lower().endswith(SUFFIXES) and not is_hidden(name)]
    return sorted(path_below(folder, name) for name in shown)


def folder_keys(folder: str, without: str | None = None) -> CropKeys:
    """Whose structure is whose in a folder of crops, which is a data set of the folder's name.

    Args:
        without: see :func:`images_in`.
    """
    return crop_keys(name_of(folder), folder, images_in(folder, without))


def name_of(folder: str) -> str:
    """Of a folder of crops as a data set."""
    return os.path.basename(os.path.abspath(folder)) or "crops"


def dataset_keys(name: str, dataset, items: list[tuple]) -> CropKeys:
    """Whose structure is whose among ``items`` of a toolbox data set, registered as ``name``; among
    own crops as in their folder."""
    if isinstance(dataset, OwnCrops):
        return crop_keys(name_of(dataset.folder), dataset.folder, (item[0] for item in items))
    return crop_keys(name, dataset_folder(dataset), (item[0] for item in items))


def dataset_folder(dataset) -> str:
    """The folder that a toolbox data set names as its own, if all its images are below it; else the
    one that its images have in common."""
    images = {item[0] for item in (*dataset.train, *dataset.query, *dataset.gallery)}
    if not images:
        return ""
    common = os.path.commonpath([os.path.dirname(os.path.abspath(image)) for image in images])
    # Market1501's dataset_dir is the folder of all data sets, and its data_dir that of its own
    for attribute in ("data_dir", "dataset_dir"):
        named = getattr(dataset, attribute, None)
        # many classes keep the name below the root
        for root in ("", getattr(dataset, "root", "")) if named else ():
            folder = os.path.abspath(os.path.join(root, named))
            if os.path.join(common, "").startswith(os.path.join(folder, "")):
                return folder
    return common
