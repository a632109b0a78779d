"""A folder of crops without labels as a data set of the toolbox.

Shapes: N crops.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
from collections.abc import Collection, Sequence

from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset

from gcl.compat.market_layout import list_crops
from gcl.config import AUTO, OWN_CROPS, ConfigError
from gcl.name_pattern import NamePattern
from gcl.photographs import SUFFIXES

from .crop_list import CROPS, Crop, CropList, Skipped, count_of, read_list, read_table
from .folder_walk import Walk, walk_once
from .track_clocks import track_clocks

FIELDS = {"camera": r"[^/]+", "track": r"[^/]+", "frame": r"\d+", "time": r"\d+(?:\.\d+)?"}
"""Of GCL.DATA.PATTERN; frame is a time, too."""

FOREIGN = 1000
"""Added to the number of a test camera that is none of the folder's."""


def list_folder(
    folder: str, pattern: str = "", table: str = "", without: Collection[str] = ()
) -> CropList:
    """The crops of a folder and of all folders below it, by one listing of each: no file is opened.

    Links are followed, and each folder is read once (:func:`~.folder_walk.walk_once`). Hidden files
    do not count, nor do those that end in no suffix of a picture.

    Args:
        pattern: of names, with :data:`FIELDS` in braces; a suffix at its end stands for any.
        table: a file as :data:`~.crop_list.CROPS`, of which the folder may hold one; only what it
            lists are crops then, and its cells go before the pattern's.
        without: folders of which nothing counts.

    Raises:
        ConfigError: there is no such folder, no crop in it, or pattern or table can not work.
    """
    if not os.path.isdir(folder):
        raise ConfigError(f"GCL.DATA.FOLDER {folder} is no folder.")
    for other in filter(None, without):
        if os.path.join(os.path.realpath(folder), "").startswith(
            os.path.join(os.path.realpath(other), "")
        ):
            raise ConfigError(
                f"GCL.DATA.FOLDER {folder} lies in {other}, of which nothing is trained on (the"
                " run's own files, its structures, or the labelled part): give another folder."
            )
    closed: list[OSError] = []
    walk = walk_once(folder, without, closed.append)
    names = walk.files
    skipped = [Skipped(_name(folder, error), f"{error.strerror}") for error in closed]
    skipped += [Skipped(name, "a link to a folder that is read already") for name in walk.again]
    if not table and CROPS in names:
        table = os.path.join(folder, CROPS)
    if table and os.path.dirname(os.path.abspath(table)) == os.path.abspath(folder):
        names.discard(os.path.basename(table))
    reasons = {name: reason for name in names if (reason := _no_crop(name))}
    crops = {name: Crop(name) for name in names - reasons.keys()}
    notes: list[str] = []
    if table:
        crops = _by_table(table, walk, folder, crops, reasons, notes)
    if pattern:
        crops = _by_pattern(pattern, crops, bool(table), notes)
    skipped += [Skipped(name, reason) for name, reason in reasons.items()]
    if not crops:
        raise ConfigError(
            f"GCL.DATA.FOLDER {folder} has no crops ({', '.join(SUFFIXES)}), and"
            f" {count_of(len(skipped), 'other file')}."
        )
    found = sorted(crops.values())
    notes += filter(None, [track_clocks(found).note()])
    return CropList(folder, tuple(found), tuple(sorted(skipped)), tuple(notes))


def _name(folder: str, error: OSError) -> str:
    return os.path.relpath(error.filename or folder, folder).replace(os.sep, "/")


def _no_crop(name: str) -> str:
    if is_hidden(name):
        return "hidden"
    return "" if name.lower().endswith(SUFFIXES) else "ends in no suffix of a picture"


def is_hidden(name: str) -> bool:
    """Whether a path below a folder is, or is below, a thumbnail or what editors leave."""
    return name.startswith(".") or "/." in name


def path_below(folder: str, name: str) -> str:
    """Path of a crop by its name."""
    return os.path.join(folder, *name.split("/"))


def _by_table(
    table: str,
    walk: Walk,
    folder: str,
    found: dict[str, Crop],
    reasons: dict[str, str],
    notes: list[str],
) -> dict[str, Crop]:
    """The crops of a table that are there; the others go to ``reasons``."""
    rows, others = read_table(table)
    if not rows:
        raise ConfigError(f"{table} lists no crop: add a line for each, or remove it.")
    if others:
        notes.append(f"{table}: not used are the columns {', '.join(others)}")
    listed = {}
    for crop in rows:
        name = crop.name
        if os.path.isabs(name):
            name = os.path.relpath(name, os.path.abspath(folder)).replace(os.sep, "/")
        elif name not in found:
            name = posixpath.normpath(name.strip().replace("\\", "/"))
        name = walk.own_name(name)
        if name in listed:
            raise ConfigError(f"{table}: {name} is there twice, once as {crop.name}, keep one.")
        if name in found:
            # a blank behind a comma is no part of a name, as in the heading
            camera, track = crop.camera.strip(), crop.track.strip()
            listed[name] = Crop(name, camera, track, crop.time)
        elif name not in reasons:
            reasons[name] = f"in {table}, but not there"
    if found and not listed:
        raise ConfigError(
            f"{table} lists none of the {count_of(len(found), 'crop')} of {folder}: its first path"
            f" is {rows[0].name}, and the first crop is {min(found)}; paths are below that folder."
        )
    for name in found.keys() - listed.keys():
        reasons[name] = f"not in {table}"
    return listed


def _by_pattern(
    pattern: str, crops: dict[str, Crop], partly: bool, notes: list[str]
) -> dict[str, Crop]:
    """The crops with what their names say, where they do not know it yet.

    Args:
        partly: no name has to follow the pattern.
    """
    names = folder_pattern(pattern)
    found, strangers = {}, []
    for name, crop in crops.items():
        match = names.match(os.path.splitext(name)[0])
        if match is None:
            found[name] = crop
            strangers.append(name)
            continue
        folders, fields = match
        track, time = fields.get("track", ""), fields.get("time", fields.get("frame"))
        found[name] = Crop(
            name,
            crop.camera or fields.get("camera", ""),
            # two recordings of a camera may both count their tracks from 0
            crop.track or (folders + track if track else ""),
            crop.time if crop.time is not None or time is None else float(time),
        )
    if strangers and len(strangers) == len(crops) and not partly:
        raise ConfigError(
            f"GCL.DATA.PATTERN {pattern}: none of the {len(crops)} crops, the first"
            f" {min(strangers)}, is named so."
        )
    if strangers:
        notes.append(
            f"not named as GCL.DATA.PATTERN {pattern} says: {count_of(len(strangers), 'crop')}, the"
            f" first {min(strangers)}"
        )
    return found


def folder_pattern(pattern: str) -> NamePattern:
    """GCL.DATA.PATTERN, without a suffix of pictures.

    Raises:
        ConfigError: it is no such pattern.
    """
    stem, suffix = os.path.splitext(pattern)
    try:
        names = NamePattern(stem if suffix.lower() in SUFFIXES else pattern, FIELDS)
    except ValueError as error:
        raise ConfigError(f"GCL.DATA.PATTERN {pattern}: {error}.") from error
    if not names.found or {"frame", "time"} <= names.found:
        raise ConfigError(
            f"GCL.DATA.PATTERN {pattern}: give one or more of {{camera}}, {{track}}, and {{frame}}"
            " or {time}, not both."
        )
    return names


@DATASET_REGISTRY.register()
class OwnCrops(ImageDataset):
    """The crops of GCL.DATA.FOLDER; query and gallery, where there are any, are for tests alone.

    Args:
        root: not used; the toolbox passes it.
        folder: of the crops.
        output: a folder in which a run has written down its crops (:func:`~.crop_list.write_list`),
            which are then these; "": the folder is listed.
        pattern, table, without: as in :func:`list_folder`.
        query, gallery: folders in Market-1501's naming; "": none.

    Raises:
        ConfigError: there is no folder, and (when the crops are first asked for) as
            :func:`list_folder`.
    """

    dataset_name = "own"

    def __init__(
        self,
        root: str = "",
        folder: str = "",
        output: str = "",
        pattern: str = "",
        table: str = "",
        without: Sequence[str] = (),
        query: str = "",
        gallery: str = "",
        **kwargs,
    ) -> None:
        if not folder:
            raise ConfigError("GCL.DATA.FOLDER is empty: give the folder of your crops.")
        self.folder, self.query_dir, self.gallery_dir = folder, query, gallery
        self._source = (output, pattern, table, tuple(without))
        parts = [functools.partial(self._labelled, part) for part in (query, gallery)]
        super().__init__(self._unlabelled, *parts, **kwargs)

    @functools.cached_property
    def listed(self) -> CropList:
        """What is known of the folder."""
        output, *rest = self._source
        return read_list(self.folder, output) if output else list_folder(self.folder, *rest)

    def _unlabelled(self) -> list[tuple[str, str, str]]:
        """Nobody knows who is in a crop: each has a person of its own."""
        numbers = {name: i for i, name in enumerate(self.listed.cameras)}
        return [
            (path_below(self.folder, crop.name), f"own_{i}", f"own_{numbers[crop.camera]}")
            for i, crop in enumerate(self.listed.crops)
        ]

    def _labelled(self, folder: str) -> list[tuple[str, int, int]]:
        """Camera 3 of a test is the folder's camera whose name ends in 3, if there is one alone."""
        own: dict[int, list[int]] = {}
        for i, name in enumerate(self.listed.cameras if folder else ()):
            if number := re.search(r"([0-9]+)$", name):
                own.setdefault(int(number[1]), []).append(i)
        same = {number: found[0] for number, found in own.items() if len(found) == 1}
        return [
            (path, person, same.get(camera, FOREIGN + camera))
            for path, person, camera in (list_crops(folder).crops if folder else ())
        ]

    def moments(self) -> dict[str, tuple[int, float]]:
        """(track, time) of each crop by its path: tracks count from 0 over all cameras, -1 where
        unknown; times are those of :func:`~.track_clocks.track_clocks`, nan where unknown."""
        numbers = {track: i for i, track in enumerate(self.listed.tracks)}
        crops = self.listed.crops
        return {
            path_below(self.folder, crop.name): (numbers.get((crop.camera, crop.track), -1), time)
            for crop, time in zip(crops, track_clocks(crops).times.tolist(), strict=True)
        }


def own_arguments(name: str, cfg) -> dict[str, object]:
    """What the class of a data set needs of the configuration: {} for all but OwnCrops."""
    if name != OWN_CROPS:
        return {}
    data, output = cfg.GCL.DATA, cfg.OUTPUT_DIR
    return {
        "folder": data.FOLDER,
        "output": output if os.path.isfile(os.path.join(output, CROPS)) else "",
        "pattern": data.PATTERN,
        "table": data.TABLE,
        "without": no_crops_in(cfg),
        "query": data.QUERY,
        "gallery": data.GALLERY,
    }


def no_crops_in(cfg) -> list[str]:
    """Folders whose pictures are no training crops, should they be in the folder of those."""
    data, structures = cfg.GCL.DATA, cfg.GCL.STRUCTURE.DIR
    return [cfg.OUTPUT_DIR, "" if structures == AUTO else structures, data.QUERY, data.GALLERY]
