#!/usr/bin/env python
"""Pre-train a view generator on drawn people, for GCL.GENERATOR.WEIGHTS.

python tools/pretrain_generator.py --config-file projects/GCL/configs/pretrain.yml [--resume]
    [KEY VALUE ...]

It draws its people first. The keys are in gcl/engine/pretraining.py; OUTPUT_DIR holds log,
TensorBoard curves, checkpoints and, at the end, the weights.
"""

from __future__ import annotations

from gcl.config import check_pretraining_cfg
from gcl.engine import train_weights
from gcl.engine.command_line import merge_config
from gcl.engine.pretraining import GeneratorTrainer, get_pretraining_cfg


def load_config(path: str, pairs: list[str]):
    """The configuration of the command line, checked and frozen."""
    cfg = get_pretraining_cfg()
    merge_config(cfg, path, pairs)
    check_pretraining_cfg(cfg)
    cfg.freeze()
    return cfg


if __name__ == "__main__":
    train_weights.run(__doc__, load_config, GeneratorTrainer)
