"""Which structure is whose: a crop is known by its data set and path, not by its base name.

A crop's key is ``<data set>/<path below the data set's folder>``, with its suffix and with "/"
between folders. What we write is named after it: ``<key>.tif`` (renders) or ``<key>.npz`` (meshes).
What we read may come from elsewhere, so that it is looked for under the tails of the crop's path,
too: of ``/x/y/a.jpg`` those are ``x/y/a.jpg``, ``y/a.jpg`` (what was made for the folder ``y``) and
``a.jpg`` (the authors' flat folders). Where another crop has the same tail, neither gets it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

RENDERS_SUFFIX = ".tif"

CropKeys = Mapping[str, str]
"""Path of each photograph -> its key."""


class MissingStructureError(FileNotFoundError):
    """Images without structures, or without structures of their own."""


def crop_keys(data: str, folder: str, paths: Iterable[str]) -> dict[str, str]:
    """Keys of photographs, in the order of their paths, each once.

    Args:
        data: name of the data set.
        folder: of the data set; it holds all ``paths``.
    """
    folder = os.path.abspath(folder)
    below = {path: os.path.relpath(os.path.abspath(path), folder) for path in sorted(set(paths))}
    return {path: f"{data}/{name.replace(os.sep, '/')}" for path, name in below.items()}


def mesh_name(key: str) -> str:
    """File of a mesh; the crop's suffix stays: a.jpg and a.png are two crops."""
    return f"{key}.npz"


def renders_name(key: str) -> str:
    """The one file of a crop's renders."""
    return key + RENDERS_SUFFIX


def render_names(path: str, key: str) -> Iterator[str]:
    """Names that a crop's renders can have, its own first, and one file before eight pictures."""
    for name in (key, *_tails(path)):
        yield renders_name(name)
        yield name


def mesh_names(path: str, key: str) -> Iterator[str]:
    """Names that a crop's mesh can have, its own first; others may lack the crop's suffix."""
    yield mesh_name(key)
    for tail in _tails(path):
        yield mesh_name(tail)
        yield mesh_name(os.path.splitext(tail)[0])


def tool_names(path: str, key: str) -> Iterator[str]:
    """Names, without suffix, that a tool can give its file of a crop."""
    for tail in _tails(path):
        yield os.path.splitext(tail)[0]


def _tails(path: str) -> Iterator[str]:
    """From the longest to the base name."""
    parts = os.path.abspath(path).replace(os.sep, "/").split("/")[1:]
    for i in range(len(parts)):
        yield "/".join(parts[i:])


def locate(
    crops: CropKeys,
    names: Callable[[str, str], Iterable[str]],
    files: Collection[str],
    folder: str,
    remedy: str,
) -> dict[str, str]:
    """Path of each crop -> the first of its ``names`` that is in ``files``, if one is.

    Args:
        crops: all of a run's, to notice when two would share a file.
        names: of a path and its key, such as :func:`mesh_names`.
        files: what there is, such as :func:`files_below`.
        folder: of ``files``, for the message.
        remedy: end of the message.

    Raises:
        MissingStructureError: the name under which a crop's file was found is one of another crop's
            names as well, and is not the first crop's key.
    """
    found, borrowed = {}, {}
    for path, key in crops.items():
        for name in names(path, key):
            if name in files:
                found[path] = name
                if name not in (key, mesh_name(key), renders_name(key)):
                    borrowed[name] = key
                break
    for path, key in crops.items() if borrowed else ():
        for name in names(path, key):
            other = borrowed.get(name, key)
            if other != key:
                raise MissingStructureError(
                    f"{folder}: {name} would be the structure of two crops, {min(key, other)} and"
                    f" {max(key, other)}: {remedy}."
                )
    return found


def files_below(
    folder: str,
    suffix: str = "",
    without: Collection[str] = (),
    onerror: Callable[[OSError], object] | None = None,
) -> set[str]:
    """Files in ``folder`` and all folders below it, relative to it, with "/" between folders.

    Links are followed, but not into a folder that they are in. One listing a folder: no file is
    looked at.

    Args:
        without: folders of which nothing counts.
        onerror: is told of a folder that can not be listed; None: it counts as empty.
    """
    closed = {os.path.join(os.path.realpath(path), "") for path in without if path}
    found = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=onerror):
        if closed and os.path.join(os.path.realpath(parent), "").startswith(tuple(closed)):
            folders[:] = []
            continue
        below = "" if parent == folder else os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = f"{below}/" if below else ""
        found.update(prefix + name for name in files if name.endswith(suffix))
        folders[:] = [name for name in folders if not _leads_back(folder, parent, name)]
    return found


def _leads_back(folder: str, parent: str, name: str) -> bool:
    """Whether a link in ``parent`` leads to one of the folders through which it was come by, from
    ``folder`` on, or above them."""
    path = os.path.join(parent, name)
    if not os.path.islink(path):
        return False
    target = os.path.join(os.path.realpath(path), "")
    while not os.path.join(os.path.realpath(parent), "").startswith(target):
        if len(parent) <= len(folder):
            return False
        parent = os.path.dirname(parent)
    return True
