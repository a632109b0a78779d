"""Train the estimator crop -> body that tools/prepare_structure.py uses by default.

python tools/pretrain_estimator.py --config-file projects/GCL/configs/pretrain_estimator.yml
    [--resume] [KEY VALUE ...]

It draws its examples first. The keys are in gcl/pretraining/structure_estimator.py; OUTPUT_DIR
holds log, TensorBoard curves, checkpoints and, at the end, the weights.
"""

from __future__ import annotations

import torch

from gcl import ConfigError
from gcl.pretraining.structure_estimator import EstimatorTrainer, get_estimator_cfg

from . import pretraining_command
from .command_line import merge_config


def load_config(path: str, pairs: list[str]):
    """The configuration of the command line, checked and frozen."""
    cfg = get_estimator_cfg()
    merge_config(cfg, path, pairs)
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
    pretraining_command.run(__doc__, load_config, EstimatorTrainer)


if __name__ == "__main__":
    main()
