"""Which of a tool's files belong to which crop.

A tool names a file after the image (``a.npz``), or it writes one a person, numbered from zero:
``a_0.obj``, ``a_1.obj`` (4D-Humans, TokenHMR) or ``a_mesh_000.ply`` (SAM 3D Body). ``a_1`` can then
be the second person in ``a.jpg``, or the file of another crop, ``a_1.jpg``:

    - Files are the people of a crop when they are numbered from zero without a gap, and there is no
      file of the crop's plain name. ``track5_12`` alone is nothing of ``track5``.
    - Where a file is one of these and bears another crop's plain name as well, the folder's other
      files tell which way the tool names its files. Where they do not, nobody gets it.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable

from gcl.structure.crop_keys import (
    CropKeys,
    MissingStructureError,
    files_below,
    locate,
    tool_names,
)
from gcl.structure.geometry import FACES

REMEDY = "put the files into folders as the crops are, or give the crops different names"

_PERSON = re.compile(r"(.+?)(_mesh_|_)(\d+)")
_MULTIHMR = re.compile(r"(.+?)(\.(jpg|jpeg|png|webp))?_multiHMR_[^/]*\.png", re.IGNORECASE)


class NobodyError(LookupError):
    """The tool has no mesh for a crop."""


class FilesOfCrops:
    """Files of a folder by the crop they belong to.

    Args:
        folder: of a tool's files, and of folders with more of them.
        suffixes: of its files.
        crops: all crops, to tell whose file is whose.

    Raises:
        MissingStructureError: two crops would share a file, or it can not be told whose it is.
    """

    def __init__(self, folder: str, suffixes: tuple[str, ...], crops: CropKeys) -> None:
        self.folder, self.crops = folder, crops
        known = {name: key for path, key in crops.items() for name in tool_names(path, key)}
        plain: dict[str, list[str]] = defaultdict(list)
        for file in sorted(files_below(folder)):
            name, suffix = os.path.splitext(file)
            if suffix.lower() in suffixes and os.path.basename(file) != FACES:
                plain[image_name(name, known)].append(os.path.join(folder, file))
        people = self._people(plain.keys(), known)
        members = {name for names in people.values() for name in names}
        self.files = {name: files for name, files in plain.items() if name not in members}
        for owner, names in people.items():
            self.files[owner] = [file for name in names for file in plain[name]]
        self._owner = locate(crops, tool_names, self.files, folder, REMEDY)

    def __getitem__(self, crop: str) -> list[str]:
        """Paths of a crop's files; raises NobodyError when it has none."""
        if crop not in self._owner:
            raise NobodyError(f"{self.folder} has no file for {self.crops[crop]}.")
        return self.files[self._owner[crop]]

    def _people(self, files: Collection[str], known: dict[str, str]) -> dict[str, list[str]]:
        """Name of a crop -> names of files that are its people."""
        groups = _numbered(files, known)
        while True:
            members = {name: owner for owner, names in groups.items() for name in names}
            plain = {name for name in files if name in known and name not in members}
            if not plain & groups.keys():
                break
            groups = {owner: names for owner, names in groups.items() if owner not in plain}
        disputed = members.keys() & known.keys()
        if not disputed:
            return groups
        one_a_person = any(name not in known and members[name] not in files for name in members)
        if one_a_person == bool(plain):
            name = min(disputed)
            raise MissingStructureError(
                f"{self.folder}: {name} would be the structure of two crops, {known[name]} or, as"
                f" one of its people, {known[members[name]]}: {REMEDY}."
            )
        if one_a_person:
            return groups
        # what has the plain name of a crop is its file, and so the others are nobody's
        return {o: n for o, n in groups.items() if o not in files and not disputed & set(n)}


def image_name(name: str, known: dict[str, str]) -> str:
    """A file's name without what a tool adds for every image; a name of a crop stays as it is.

    Multi-HMR: ``a_multiHMR_896_L.png.npy``, later ``a.jpg_multiHMR_896_L.png.npy``. SAM 3D Body: a
    folder an image, ``a/a_mesh_000.ply``.

    Args:
        name: path below the tool's folder, without suffix.
        known: names of crops.
    """
    match = _MULTIHMR.fullmatch(name)
    if match and name not in known:
        name = match[1]
    parent, base = os.path.split(name)
    person = _PERSON.fullmatch(base)
    image = person[1] if person else base
    if os.path.basename(parent) == image and not {name, f"{parent}/{image}"} & known.keys():
        return "/".join(filter(None, (os.path.dirname(parent), base)))
    return name


def _numbered(files: Iterable[str], known: Collection[str]) -> dict[str, list[str]]:
    """Name of a crop -> names of files that are numbered behind it from zero without a gap."""
    groups: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for name in files:
        match = _PERSON.fullmatch(name)
        if match and match[1] in known:
            groups[match[1], match[2]][int(match[3])] = name
    found: dict[str, list[str]] = defaultdict(list)
    for (owner, _), names in groups.items():
        if sorted(names) == list(range(len(names))):
            found[owner] += [names[i] for i in range(len(names))]
    return dict(found)
