"""Folders of crops: those of the toolbox's data sets, and others."""

from __future__ import annotations

import os

from gcl.photographs import SUFFIXES
from gcl.structure.crop_keys import CropKeys, crop_keys


def images_in(folder: str) -> list[str]:
    """Sorted paths of the crops directly in ``folder``."""
    names = (name for name in os.listdir(folder) if name.lower().endswith(SUFFIXES))
    return sorted(os.path.join(folder, name) for name in names)


def folder_keys(folder: str) -> CropKeys:
    """Whose structure is whose in a folder of crops, which is a data set of the folder's name."""
    name = os.path.basename(os.path.abspath(folder)) or "crops"
    return crop_keys(name, folder, images_in(folder))


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
