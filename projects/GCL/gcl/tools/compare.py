"""Compare runs: their last evaluations as a table, their curves and generated views as PNG.

python tools/compare.py "contrast only=logs/contrast" GCL=logs/gcl --out comparison
python tools/compare.py supervised=logs/s1,logs/s2,logs/s3 GCL=logs/g1,logs/g2,logs/g3

Of several runs of a name the table has the mean and, in brackets, the deviation.
"""

from __future__ import annotations

import argparse
import os
import sys
from itertools import chain

from gcl.evaluation.run_comparison import RunError, curves, last_sheets, table


def named(argument: str) -> tuple[str, list[str]]:
    """NAME=FOLDER,FOLDER,..., or folders that are their own name."""
    name, _, folders = argument.rpartition("=")
    return name or folders, [folder for folder in folders.split(",") if folder]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=named, metavar="[NAME=]OUTPUT_DIR[,OUTPUT_DIR...]")
    parser.add_argument("--out", default="comparison", help="folder of the PNG files")
    args = parser.parse_args()
    runs = dict(args.runs)
    try:
        print(table(runs))
        os.makedirs(args.out, exist_ok=True)
        curves(runs, os.path.join(args.out, "curves.png"))
        sheets = []
        for folder in chain(*runs.values()):  # the last run with sheets has the word
            sheets = last_sheets(folder, args.out) or sheets
    except (RunError, OSError) as error:
        sys.exit(str(error))
    print("Look at", ", ".join(os.path.join(args.out, name) for name in ["curves.png", *sheets]))


if __name__ == "__main__":
    main()
