"""The frame of the commands that make weights of this package."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from fastreid.config import CfgNode
from fastreid.utils.logger import setup_logger

from gcl.config import ConfigError

from .command_line import find_config, sentence


def run(
    description: str,
    load: Callable[[str, list[str]], CfgNode],
    trainer: Callable[[CfgNode], object],
) -> None:
    """Read the command line, train, and print where the weights are; what a user can put right ends
    it in one sentence.

    Args:
        load: of the configuration's file ("": none) and KEY VALUE pairs: the configuration, checked
            and frozen. It has an OUTPUT_DIR.
        trainer: has ``resume()``, and ``train()``, which returns the file of weights.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config-file", default="", metavar="FILE", help="overrides the default values"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs")
    args = parser.parse_args()
    try:
        cfg = load(find_config(args.config_file), args.opts)
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        setup_logger(cfg.OUTPUT_DIR)
        setup_logger(cfg.OUTPUT_DIR, name="gcl")
        training = trainer(cfg)
        if args.resume:
            training.resume()
        print(f"weights: {training.train()}")
    except (ConfigError, OSError, ImportError) as error:
        sys.exit(sentence(error))
