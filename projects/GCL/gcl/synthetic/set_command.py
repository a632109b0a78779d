"""The command lines that draw sets: an option for each of their settings."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable
from typing import Any

from gcl.cores import usable_cores


def draw_by_command(
    name: str, description: str | None, usual: Any, write: Callable[..., str], **meanings: str
) -> None:
    """Draw as the command line says.

    Args:
        name: of the command.
        usual: settings of a set; a dataclass with height, width and version.
        write: ``write(folder, settings, workers=...)`` draws.
        meanings: of the settings that need words.
    """
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("dir", metavar="DIR")
    values = dataclasses.asdict(usual)
    version, size = values.pop("version"), (values.pop("height"), values.pop("width"))
    for key, value in values.items():
        option = f"--{key.replace('_', '-')}"
        parser.add_argument(option, type=int, default=value, help=meanings.get(key))
    parser.add_argument("--size", type=int, nargs=2, default=size, metavar=("H", "W"))
    parser.add_argument("--workers", type=int, default=usable_cores(), help="processes")
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder, workers, (height, width) = args.pop("dir"), args.pop("workers"), args.pop("size")
    try:
        settings = type(usual)(**args, height=height, width=width, version=version)
        write(folder, settings, workers=workers)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(str(error))
