"""Every file of a folder and of all folders below it, whatever links there are between them."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Collection
from typing import NamedTuple


class Walk(NamedTuple):
    """files, relative to the folder, with "/" between folders; again: links that are not followed,
    to a folder that is read under another name, which is the value ("" for the folder itself), or
    to one above, None."""

    files: set[str]
    again: dict[str, str | None]

    def own_name(self, name: str) -> str:
        """Of a file, when ``name`` leads to it through such links."""
        parts = name.split("/")
        for end in range(1, len(parts)):
            target = self.again.get("/".join(parts[:end]))
            if target is not None:
                rest = parts[end:]
                return self.own_name("/".join([target, *rest] if target else rest))
        return name


def walk_once(
    folder: str,
    without: Collection[str] = (),
    onerror: Callable[[OSError], object] | None = None,
) -> Walk:
    """The files of a folder. Links are followed, and each folder is listed once: under the name
    that no link is in if there is one, else by the first link to it. No file is looked at.

    Args:
        without: folders of which nothing counts.
        onerror: is told of a folder that can not be listed; None: it counts as empty.
    """
    closed = tuple(os.path.join(os.path.realpath(path), "") for path in without if path)
    walk, seen = Walk(set(), {}), {}
    # name with "/" behind it, real path, real paths of the folders with the links that led there
    folders: list[tuple[str, str, tuple[str, ...]]] = [("", os.path.realpath(folder), ())]
    links: list[tuple[str, str, tuple[str, ...]]] = []  # a heap
    while folders or links:
        linked = not folders
        prefix, path, way = heapq.heappop(links) if linked else folders.pop()
        above = os.path.join(path, "")
        if closed and above.startswith(closed):
            continue
        if path in seen or any(os.path.join(place, "").startswith(above) for place in way):
            if linked:
                walk.again[prefix[:-1]] = seen.get(path)
            continue
        seen[path] = prefix[:-1]
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if entry.is_symlink() and _is_folder(entry):
                        target = os.path.realpath(entry.path)
                        heapq.heappush(links, (f"{name}/", target, (*way, path)))
                    elif _is_folder(entry):
                        folders.append((f"{name}/", entry.path, way))
                    else:
                        walk.files.add(name)
        except OSError as error:
            if onerror is not None:
                error.filename = os.path.join(folder, *prefix.split("/")[:-1])
                onerror(error)
    return walk


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say: a file that nobody can open
        return False
