"""The options of a command that say how file names tell a person's view."""

from __future__ import annotations

import argparse

from gcl.evaluation.labelled_crops import ORIENTATIONS, PATTERN


def add_orientation_arguments(parser: argparse.ArgumentParser) -> None:
    """``--orientation-pattern`` and ``--orientations``."""
    parser.add_argument(
        "--orientation-pattern",
        default=PATTERN,
        metavar="REGEX",
        help=f"its group is the orientation in a file name (default: {PATTERN})",
    )
    parser.add_argument(
        "--orientations",
        type=mapping,
        default=ORIENTATIONS,
        metavar="FIELD=DEGREES,...",
        help="yaw for each orientation; 0 faces the camera, 90 the image's right (default: "
        + ",".join(f"{field}={degrees}" for field, degrees in ORIENTATIONS.items())
        + ")",
    )


def mapping(text: str) -> dict[str, float]:
    """ "1=90,2=135" as a dictionary."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    try:
        return {field.strip(): float(degrees) for field, _, degrees in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not FIELD=DEGREES,FIELD=DEGREES,...") from None
