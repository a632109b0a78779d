"""Files that are made once and kept: the folder, and how nobody ever sees half a file."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two processes may both build; the file is whole all the same
    fcntl = None


def cache_folder() -> Path:
    """`GCL_CACHE`, or the platform's folder for caches of this user; it need not exist yet."""
    chosen = os.environ.get("GCL_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gcl"


def made_once(path: Path, make: Callable[[Path, Path], None]) -> Path:
    """Return `path` after making it if it is not there.

    Args:
        path: the file.
        make: `make(target, workshop)` writes the file `target`; the folder `workshop` is for
            whatever it needs meanwhile and is removed afterwards, as is what an earlier process
            left when it was killed. One process at a time makes, others wait for its file.

    Raises:
        OSError: the folder can not be written; the sentence names `GCL_CACHE`.
    """
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path) as lock, _workshop(path) as workshop:
            if not path.exists():
                target = workshop / path.name
                make(target, workshop)
                if lock is not None:  # some writers leave a file for the owner alone
                    shutil.copymode(lock, target)
                os.replace(target, path)
    except OSError as error:
        raise OSError(
            f"{path} can not be written ({error}): set the environment variable GCL_CACHE to a"
            " folder with 1 GB of room."
        ) from error
    return path


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[Path | None]:
    if fcntl is None:
        yield None
        return
    lock = path.with_name(path.name + ".lock")
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # falls with the process, however it ends
        yield lock


@contextlib.contextmanager
def _workshop(path: Path) -> Iterator[Path]:
    prefix = f".{path.name}-"
    if fcntl is not None:  # nobody else builds while the lock is held
        for left in path.parent.glob(glob.escape(prefix) + "*"):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as folder:
        yield Path(folder)
