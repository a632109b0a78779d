"""Write a trained encoder for other tools.

python tools/export.py logs/mine --out exported
python tools/export.py logs/mine --out exported --input imagenet unit

--out gets model_final.pth and config.yaml, a plain Baseline that the stock toolbox loads without
this package, and an ONNX graph for each --input, compared with torch before it is written. What the
head knows of cameras is folded into the weights: those of all training images, or of --camera.
"""

from __future__ import annotations

import argparse
import os

from gcl import ConfigError
from gcl.inference.onnx_export import BATCHES, INPUTS, TOLERANCE, write_onnx
from gcl.inference.plain_baseline import foreign_backbone, plain_baseline, write_baseline
from gcl.inference.trained_encoder import open_encoder

from .command_line import run_command
from .user_modules import add_import_argument


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "run", metavar="RUN", help="OUTPUT_DIR, one of its checkpoints, or packaged"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="gets the files")
    parser.add_argument(
        "--input",
        nargs="+",
        choices=INPUTS,
        default=["raw"],
        help="RGB pixels that the ONNX takes: "
        + "; ".join(f"{name}: {what}" for name, what in INPUTS.items()),
    )
    parser.add_argument(
        "--camera",
        metavar="NAME",
        help="standardise as this camera's crops, not as those of all cameras",
    )
    add_import_argument(parser)
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    encoder, number = open_encoder(args.run), -1
    if args.camera is not None:
        if args.camera not in encoder.cameras:
            known = ", ".join(filter(None, encoder.cameras)) or "none"
            raise ConfigError(
                f"--camera {args.camera}: {encoder.path} has no statistics of that camera (it has"
                f" those of: {known})."
            )
        number = encoder.cameras[args.camera]
    if encoder.folder and os.path.realpath(args.out) == os.path.realpath(encoder.folder):
        raise ConfigError(f"--out {args.out} is the run's own folder: give another.")
    model, cfg = plain_baseline(encoder, number)
    for path in write_baseline(model, cfg, args.out):
        print(f"wrote {path}")
    if module := foreign_backbone(cfg):
        print(f"the toolbox needs {module}, which registers {cfg.MODEL.BACKBONE.NAME}")
    for pixels in dict.fromkeys(args.input):
        path = os.path.join(args.out, f"model_{pixels}.onnx")
        write_onnx(model, encoder.size, pixels, path)
        batches = ", ".join(map(str, BATCHES))
        print(f"wrote {path}: within {TOLERANCE} of torch for batches of {batches}")


def main() -> None:
    run_command(run, parse_args())


if __name__ == "__main__":
    main()
