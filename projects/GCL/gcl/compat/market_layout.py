"""Crops in Market-1501's layout, under the names that people give them."""

import functools
import importlib
import logging
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from gcl.photographs import SUFFIXES

from .patching import replace

logger = logging.getLogger(__name__)

RULE = "<person>_c<camera>..., as in 0001_c1s1_000001_00.jpg"
"""How a crop is named; the person -1 is junk."""

_NAME = re.compile(r"(?<![0-9])(-1|[0-9]+)_c([0-9]+)")
_SYSTEM = ("Thumbs.db", "desktop.ini")  # and all that begin with a dot


class Crop(NamedTuple):
    """What the name of a crop says: its person, and its camera as it is written there."""

    path: str
    person: int
    camera: int


class Listing(NamedTuple):
    """A folder of crops, sorted by name.

    Attributes:
        crops: what could be read, junk left out.
        junk: how many there were of person -1.
        unnamed: pictures whose names do not follow :data:`RULE`.
        others: what else lies there: files that are no pictures, and folders.
    """

    crops: list[Crop]
    junk: int
    unnamed: list[str]
    others: list[str]


def list_crops(folder: str) -> Listing:
    """What lies in ``folder``; nothing where there is no such folder. Only the names of the files
    count, whatever the folders above are called."""
    found = Listing([], 0, [], [])
    junk = 0
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if name.startswith(".") or name in _SYSTEM:
            continue
        path = os.path.join(folder, name)
        if not name.lower().endswith(SUFFIXES) or os.path.isdir(path):
            found.others.append(name)
            continue
        match = _NAME.search(name)
        if match is None:
            found.unnamed.append(name)
        elif match[1] == "-1":
            junk += 1
        else:
            found.crops.append(Crop(path, int(match[1]), int(match[2])))
    return found._replace(junk=junk)


@functools.cache
def _say(level: int, message: str) -> None:
    """Once in a process: a run opens its data sets again and again."""
    logger.log(level, message)


def _report(folder: str, listing: Listing) -> None:
    """Say what was left out, how much of it, and the first of each kind."""
    if listing.junk:
        _say(logging.INFO, f"{folder}: left out {listing.junk} junk crops (person -1).")
    if listing.unnamed:
        _say(
            logging.WARNING,
            f"{folder}: left out {len(listing.unnamed)} crops, the first {listing.unnamed[0]}:"
            f" name them {RULE}.",
        )
    if listing.others:
        _say(
            logging.WARNING,
            f"{folder}: left out {len(listing.others)} files or folders, the first"
            f" {listing.others[0]}: crops lie directly in it and end in {', '.join(SUFFIXES)}.",
        )


def process_dir(self: Any, dir_path: str, is_train: bool = True) -> list[tuple]:
    """(path, person, camera from 0) of each crop in a folder of the data set ``self``; for training
    person and camera are strings that begin with the data set's name, as the toolbox has them.

    Raises:
        ValueError: not one of the crops to train on has such a name; the message has an example.
    """
    listing = list_crops(dir_path)
    _report(dir_path, listing)
    if is_train and listing.unnamed and not listing.crops:
        raise ValueError(
            f"none of the {len(listing.unnamed)} crops in {dir_path}, the first"
            f" {listing.unnamed[0]}, is named {RULE}"
        )
    first = _first_camera(self)
    items = [(path, person, camera - first) for path, person, camera in listing.crops]
    if is_train:
        name = self.dataset_name
        items = [(path, f"{name}_{person}", f"{name}_{cam}") for path, person, cam in items]
    return items


def _first_camera(dataset: Any) -> int:
    """1, or 0 where any of the data set's crops is of a camera 0: cameras are then counted from 0,
    in training and in tests alike."""
    if not hasattr(dataset, "_gcl_first_camera"):
        folders = (dataset.train_dir, dataset.query_dir, dataset.gallery_dir)
        cameras = (crop.camera for folder in folders for crop in list_crops(folder).crops)
        dataset._gcl_first_camera = min(1, min(cameras, default=1))
    return dataset._gcl_first_camera


def market_layout() -> None:
    """Read own crops in the layout of Market-1501 and DukeMTMC-reID, and say what is left out.

    Why: the toolbox takes numbers from the first match in the whole path, of cameras one digit; it
        allows Market's 1,501 people and 6 cameras; it looks for *.jpg with a pattern in which
        brackets have a meaning; and it wants a query and a gallery even from who only trains.
    Symptom: `AssertionError` without a word for person 1502 and for camera 7; camera 12 read as 1;
        every crop below a folder 2024_c3_mall read as person 2024 in camera 3; no crops below
        data[v2]; .png and .JPG dropped without a word; `AttributeError: 'NoneType' object has no
        attribute 'groups'` for a name without numbers.
    Versions: all.
    Until: fastreid reads names alone, of any number, and counts what it drops.
    """

    def without_tests(original: Callable[..., None]) -> Callable[..., None]:
        def check_before_run(self: Any, required_files: str | list[str]) -> None:
            files = [required_files] if isinstance(required_files, str) else required_files
            original(self, [f for f in files if f not in (self.query_dir, self.gallery_dir)])

        return check_before_run

    for module, name in (("market1501", "Market1501"), ("dukemtmcreid", "DukeMTMC")):
        dataset = getattr(importlib.import_module(f"fastreid.data.datasets.{module}"), name)
        replace(dataset, "process_dir", lambda _: process_dir)
        replace(dataset, "check_before_run", without_tests)
