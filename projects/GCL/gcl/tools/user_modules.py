"""Python files of the user's own that register something before a command begins."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from gcl import ConfigError


def add_import_argument(parser: argparse.ArgumentParser) -> None:
    """``--import FILE``; :func:`import_modules` does it."""
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="FILE",
        help="a Python file of your own (or a module on PYTHONPATH) that registers data sets, run"
        " first in every process; may be given several times",
    )


def import_modules(names: Sequence[str]) -> None:
    """Import each of ``names``, once in a process: files that end in .py, or dotted names.

    A file's folder joins the end of ``sys.path``, so that data workers find the module, too.

    Raises:
        ConfigError: there is no such file or module, its name is taken, or it fails.
    """
    for name in names:
        module = name
        if name.endswith(".py"):
            if not os.path.isfile(name):
                raise ConfigError(f"--import {name} is not a file.")
            folder, file = os.path.split(os.path.realpath(name))
            module = file[: -len(".py")]
            if folder not in sys.path:
                sys.path.append(folder)
        try:
            imported = importlib.import_module(module)
        except Exception as error:  # noqa: BLE001  whatever is wrong with it, it is the user's
            raise ConfigError(
                f"--import {name} fails: {type(error).__name__}: {error}{_place(error)}."
            ) from error
        file = getattr(imported, "__file__", None)
        if name.endswith(".py") and not (file and os.path.samefile(file, name)):
            raise ConfigError(
                f"--import {name}: another module is called {module} ({file}), rename the file."
            )


def _place(error: Exception) -> str:
    """File and line of the user's own code where it was raised; "" where that never began."""
    frames = traceback.extract_tb(error.__traceback__)
    last = next((f for f in reversed(frames) if not f.filename.startswith("<frozen")), None)
    if last is None or last.filename in (__file__, importlib.__file__):
        return ""
    return f" ({last.filename}, line {last.lineno})"
