"""Files that are either there and whole, or not there."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

PART = ".part"
"""Suffix of a file in the making; its name starts with a dot."""


@contextmanager
def atomic(path: str) -> Iterator[BinaryIO]:
    """A binary file that appears under ``path`` only when it has been written to its end.

    Whatever happens before, an exception or a kill, ``path`` is what it was. A kill leaves a hidden
    file behind, which :func:`remove_leftovers` takes away.
    """
    folder, name = os.path.split(path)
    # a name of its own for every writer: two runs on one folder must not write into one file
    # and a short one: ``name`` may be as long as the file system allows
    part = os.path.join(folder, f".{name[:32]}.{secrets.token_hex(4)}{PART}")
    try:
        with open(part, "xb") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.remove(part)
        raise


@contextmanager
def atomic_folder(path: str) -> Iterator[str]:
    """A folder to fill, which appears under ``path``, in the place of what was there, only when it
    has been filled.

    Whatever happens before, ``path`` is what it was; a kill in between the two renamings alone can
    leave nothing there. What a kill leaves behind is hidden.
    """
    above, name = os.path.split(os.path.abspath(path))
    start = os.path.join(above, f".{name[:32]}.{secrets.token_hex(4)}")
    part, old = f"{start}{PART}", f"{start}.old{PART}"
    os.makedirs(part)
    try:
        yield part
        if os.path.isdir(path):
            os.rename(path, old)
        os.rename(part, path)
    finally:
        if os.path.isdir(old) and not os.path.isdir(path):
            os.rename(old, path)
        for folder in (part, old):
            shutil.rmtree(folder, ignore_errors=True)


def write_json(path: str, value: object, **options: object) -> None:
    """A file of ``json.dump(value, file, **options)``, all or nothing."""
    with atomic(path) as file:
        file.write(json.dumps(value, **options).encode())


def remove_leftovers(folder: str, age: float = 3600) -> int:
    """Remove what killed runs left in ``folder``; returns how many files and folders.

    Args:
        age: seconds since the last write; younger ones may belong to another process at work.
    """
    removed = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if not (entry.name.startswith(".") and entry.name.endswith(PART)):
                continue
            try:
                if time.time() - entry.stat().st_mtime > age:
                    shutil.rmtree(entry) if entry.is_dir() else os.remove(entry)
                    removed += 1
            except FileNotFoundError:  # finished or removed by another process meanwhile
                pass
    return removed
