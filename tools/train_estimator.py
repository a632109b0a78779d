#!/usr/bin/env python
"""Train the estimator crop -> body that tools/prepare_structure.py uses by default.

python tools/train_estimator.py --config-file projects/GCL/configs/estimator.yml [--resume]
    [KEY VALUE ...]

It draws its examples first. The keys are in gcl/engine/estimator.py; OUTPUT_DIR holds log,
TensorBoard curves, checkpoints and, at the end, the weights.
"""

from __future__ import annotations

import os
import sys

import torch

from gcl import ConfigError
from gcl.engine.command_line import merge_config, sentence, training_arguments
from gcl.engine.estimator import EstimatorTrainer, get_estimator_cfg

# isort: split
# gcl adapts fastreid before anything imports it
from fastreid.utils.logger import setup_logger


def load_config(args):
    cfg = get_estimator_cfg()
    merge_config(cfg, args.config_file, args.opts)
    for key in ("EXAMPLES", "BATCH", "STEPS", "CHECKPOINT_PERIOD"):
        if cfg[key] < 1:
            raise ConfigError(f"{key} must be at least 1; it is {cfg[key]}.")
    for key in ("SEED", "WORKERS"):
        if cfg[key] < 0:
            raise ConfigError(f"{key} must not be negative; it is {cfg[key]}.")
    if cfg.STEPS % cfg.CHECKPOINT_PERIOD:
        raise ConfigError(
            f"STEPS is {cfg.STEPS}: CHECKPOINT_PERIOD, {cfg.CHECKPOINT_PERIOD}, must divide it."
        )
    try:
        torch.empty(0, device=cfg.DEVICE)  # before examples are drawn for a quarter of an hour
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"DEVICE {cfg.DEVICE} can not be used: {reason}") from error
    cfg.freeze()
    return cfg


def main() -> None:
    args = training_arguments(__doc__)
    try:
        cfg = load_config(args)
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        setup_logger(cfg.OUTPUT_DIR)
        setup_logger(cfg.OUTPUT_DIR, name="gcl")
        trainer = EstimatorTrainer(cfg)
        if args.resume:
            trainer.resume()
        print(f"weights: {trainer.train()}")
    except (ConfigError, OSError, ImportError) as error:
        sys.exit(sentence(error))


if __name__ == "__main__":
    main()
