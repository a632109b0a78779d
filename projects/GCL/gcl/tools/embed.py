"""Features of a folder of crops, as a file.

python tools/embed.py logs/mine my_crops --out features
python tools/embed.py packaged my_crops --out features --pattern "{camera}/{frame}.jpg"

FOLDER is read as in training: names, crops.csv, links. --out gets embeddings.npy, (N, D) float32 of
unit length, crops.csv, whose rows are the same N crops, and skipped.csv, the files without a
feature and why.
"""

from __future__ import annotations

import argparse
import io
import os

import numpy as np

from gcl import ConfigError
from gcl.atomic_files import atomic
from gcl.data.crop_list import SKIPPED, write_list
from gcl.inference import ReID
from gcl.inference.folder_features import folder_features

from .command_line import run_command
from .model_arguments import add_model_arguments
from .prepare_structure import printable


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser)
    parser.add_argument("folder", metavar="FOLDER", help="of crops")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="gets the files")
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    model = ReID.load(args.model)
    listed = model.list_crops(args.folder, args.pattern)
    crops, features = folder_features(model, listed, bar=True)
    print(printable(crops.summary(os.path.join(args.out, SKIPPED))))
    if not crops.crops:
        raise ConfigError(f"{args.folder} has no crop that can be read.")
    os.makedirs(args.out, exist_ok=True)
    data = io.BytesIO()
    np.save(data, features)
    with atomic(os.path.join(args.out, "embeddings.npy")) as file:
        file.write(data.getvalue())
    write_list(crops, args.out)
    print(f"{len(features)} features of {features.shape[1]} numbers in {args.out}")


def main() -> None:
    run_command(run, parse_args())


if __name__ == "__main__":
    main()
