#!/usr/bin/env python
"""Pre-train a view generator on drawn people, for GCL.GENERATOR.WEIGHTS.

python tools/pretrain_generator.py --config-file projects/GCL/configs/pretrain.yml [--resume]
    [KEY VALUE ...]

It draws its people first. The keys are in gcl/engine/pretraining.py; OUTPUT_DIR holds log,
TensorBoard curves, checkpoints and, at the end, the weights.
"""

from __future__ import annotations

import os
import sys

from gcl import ConfigError
from gcl.config import check_pretraining_cfg
from gcl.engine.command_line import merge_config, sentence, training_arguments
from gcl.engine.pretraining import GeneratorTrainer, get_pretraining_cfg

# isort: split
# gcl adapts fastreid before anything imports it
from fastreid.utils.logger import setup_logger


def main() -> None:
    args = training_arguments(__doc__)
    try:
        cfg = get_pretraining_cfg()
        merge_config(cfg, args.config_file, args.opts)
        check_pretraining_cfg(cfg)
        cfg.freeze()
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        setup_logger(cfg.OUTPUT_DIR)
        setup_logger(cfg.OUTPUT_DIR, name="gcl")
        trainer = GeneratorTrainer(cfg)
        if args.resume:
            trainer.resume()
        print(f"weights: {trainer.train()}")
    except (ConfigError, OSError, ImportError) as error:
        sys.exit(sentence(error))


if __name__ == "__main__":
    main()
