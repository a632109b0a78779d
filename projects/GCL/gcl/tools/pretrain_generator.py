"""Pre-train a view generator on drawn people, for GCL.GENERATOR.WEIGHTS.

python tools/pretrain_generator.py --config-file projects/GCL/configs/pretrain_generator.yml
    [--resume] [KEY VALUE ...]

It draws its people first. The keys are in gcl/pretraining/view_generator.py; OUTPUT_DIR holds log,
TensorBoard curves, checkpoints and, at the end, the weights.
"""

from __future__ import annotations

from gcl.config import check_pretraining_cfg
from gcl.pretraining.view_generator import GeneratorTrainer, get_pretraining_cfg

from . import pretraining_command
from .command_line import merge_config


def load_config(path: str, pairs: list[str]):
    """The configuration of the command line, checked and frozen."""
    cfg = get_pretraining_cfg()
    merge_config(cfg, path, pairs)
    check_pretraining_cfg(cfg)
    cfg.freeze()
    return cfg


def main() -> None:
    pretraining_command.run(__doc__, load_config, GeneratorTrainer)


if __name__ == "__main__":
    main()
