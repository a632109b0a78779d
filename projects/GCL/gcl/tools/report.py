"""Make the result of a finished run anew: clusters, embeddings, calibration and report.html.

python tools/report.py logs/mine
python tools/report.py logs/mine MODEL.DEVICE cpu

A training on own crops leaves it by itself. By this it can be had of any training of GCL: the
training images are embedded by the run's model_final.pth and clustered, and OUTPUT_DIR/result is
written, whole or not at all.
"""

from __future__ import annotations

import argparse
import os

from gcl import ConfigError, check_gcl_config, compat
from gcl.evaluation.run_result import leave_result

from .command_line import read_config, run_command
from .open_encoder import load_encoder
from .user_modules import add_import_argument


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN", help="OUTPUT_DIR of the training")
    add_import_argument(parser)
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs")
    return parser.parse_args()


def result_config(cfg):
    """The configuration to measure a finished run by: its last weights, of all training images.

    Raises:
        ConfigError: there are none, or it is no run of GCL.
    """
    weights = os.path.join(cfg.OUTPUT_DIR, "model_final.pth")
    if cfg.MODEL.META_ARCHITECTURE != "GCL":
        raise ConfigError(
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} has labels, and makes no"
            " clusters to report: give a run of GCL."
        )
    if not os.path.isfile(weights):
        raise ConfigError(f"{weights} is not there: let the run come to its end (--resume).")
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = weights
    cfg.GCL.PHASES = ("contrast",)  # of images alone: no structures are needed
    cfg.freeze()
    return cfg


def leave(cfg) -> str:
    """Write the result of the finished run in OUTPUT_DIR; every process of the job calls it.

    Returns:
        Path of the report.
    """
    cfg = result_config(cfg)
    return leave_result(cfg, load_encoder(cfg))


def run(args: argparse.Namespace) -> None:
    config = os.path.join(args.run, "config.yaml")
    if not os.path.isfile(config):
        raise ConfigError(f"{args.run} is no OUTPUT_DIR of a training: it has no config.yaml.")
    # as it was when the run began; MODEL.WEIGHTS may be gone since
    cfg = read_config(config, [*args.opts, "MODEL.WEIGHTS", "", "OUTPUT_DIR", args.run])
    check_gcl_config(cfg, training=False)
    cfg.freeze()
    compat.set_device(cfg.MODEL.DEVICE)
    print("Look at", leave(cfg))


def main() -> None:
    run_command(run, parse_args(), (ConfigError, OSError, ValueError))


if __name__ == "__main__":
    main()
