"""Arguments of the commands that use a trained encoder on a folder of crops."""

from __future__ import annotations

import argparse

from .user_modules import add_import_argument


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """MODEL, --pattern and --import."""
    parser.add_argument(
        "model", metavar="MODEL", help="OUTPUT_DIR of a run, one of its checkpoints, or packaged"
    )
    parser.add_argument(
        "--pattern",
        default="",
        metavar="NAMES",
        help="cameras by names, such as '{camera}/{frame}.jpg'; by default the pattern of the run",
    )
    add_import_argument(parser)
