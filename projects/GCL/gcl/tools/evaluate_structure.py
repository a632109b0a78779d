"""Evaluate the structure estimator on crops of which the truth is known.

FASTREID_DATASETS=<folder with Market-1501-v15.09.15> python tools/evaluate_structure.py Market1501
python tools/evaluate_structure.py datasets/synthetic-pedestrians --out logs/synthetic

DATA is a data set that the toolbox knows, under FASTREID_DATASETS, or a folder of crops, whose
names say the orientation (by default as the PKU development data's do); or the folder of a
synthetic set (python -m gcl.synthetic), of which joints and silhouettes are known, too. The
figures are printed and written to OUT/structure.json, and pictures to OUT/sheet.png.
"""

from __future__ import annotations

import argparse
import os

from gcl import ConfigError
from gcl.atomic_files import atomic, write_json
from gcl.evaluation.labelled_crops import labelled_crops
from gcl.evaluation.structure_sheet import structure_sheet
from gcl.evaluation.structures import figures, measure, report
from gcl.structure.geometry import GeometryError
from gcl.structure.prepare_estimate import adaptation_sample

from .command_line import run_command
from .open_estimator import load_estimator
from .orientation_arguments import add_orientation_arguments
from .user_modules import add_import_argument


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", metavar="DATA", help="data set of the toolbox, or folder")
    parser.add_argument(
        "--out", default="logs/structure_evaluation", help="folder of what is written"
    )
    parser.add_argument("--weights", help="of the estimator (default: those in the package)")
    parser.add_argument(
        "--adapt",
        action="store_true",
        help="let the estimator adapt to the crops first, by self-training without labels",
    )
    add_orientation_arguments(parser)
    add_import_argument(parser)
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    crops = labelled_crops(args.data, args.orientation_pattern, args.orientations)
    estimator = load_estimator(args.weights)
    if args.adapt:
        estimator.adapt(adaptation_sample(crops.images))
    measured = measure(estimator, crops)
    found = {
        "data": args.data,
        "weights": args.weights or "packaged",
        "adapted": args.adapt,
        **figures(crops, measured),
    }
    print(report(found))
    os.makedirs(args.out, exist_ok=True)
    write_json(os.path.join(args.out, "structure.json"), found, indent=1)
    picture = os.path.join(args.out, "sheet.png")
    with atomic(picture) as file:
        structure_sheet(estimator, crops, measured).save(file, "PNG")
    print(f"look at {picture}")


def main() -> None:
    run_command(run, parse_args(), (ConfigError, GeometryError, ImportError, OSError))


if __name__ == "__main__":
    main()
