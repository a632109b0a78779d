"""Folders of crops: those of the toolbox's data sets, and others."""

from __future__ import annotations

import os

from gcl.photographs import SUFFIXES
from gcl.structure.crop_keys import CropKeys, crop_keys, files_below


def images_in(folder: str, without: str | None = None) -> list[str]:
    """Sorted paths of the crops in ``folder`` and in all folders below it. Hidden ones, which are
    thumbnails and what editors leave, do not count.

    Args:
        without: a folder below it that holds none, whatever is in it.
    """
    names = [name for name in files_below(folder) if name.lower().endswith(SUFFIXES)]
    shown = [name for name in names if not any(p.startswith(".") for p in name.split("/"))]
    paths = sorted(os.path.join(folder, *name.split("/")) for name in shown)
    if without is None:
        return paths
    inside = os.path.join(os.path.realpath(without), "")
    return [path for path in paths if not os.path.realpath(path).startswith(inside)]


def folder_keys(folder: str, without: str | None = None) -> CropKeys:
    """Whose structure is whose in a folder of crops, which is a data set of the folder's name.

    Args:
        without: see :func:`images_in`.
    """
    name = os.path.basename(os.path.abspath(folder)) or "crops"
    return crop_keys(name, folder, images_in(folder, without))


def dataset_keys(name: str, dataset, items: list[tuple]) -> CropKeys:
    """Whose structure is whose among ``items`` of a toolbox data set, registered as ``name``."""
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
