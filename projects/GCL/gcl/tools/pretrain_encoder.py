"""Pre-train an encoder that tells people apart on drawn people, for MODEL.WEIGHTS.

python tools/pretrain_encoder.py --config-file projects/GCL/configs/pretrain_encoder.yml
    [--resume] [KEY VALUE ...]

It draws its people first. The keys are in gcl/pretraining/encoder.py; OUTPUT_DIR holds log,
TensorBoard curves, checkpoints and, at the end, the weights.
"""

from __future__ import annotations

from gcl.pretraining.encoder import EncoderTrainer, check_encoder_cfg, get_encoder_cfg

from . import pretraining_command
from .command_line import merge_config


def load_config(path: str, pairs: list[str]):
    """The configuration of the command line, checked and frozen."""
    cfg = get_encoder_cfg()
    merge_config(cfg, path, pairs)
    check_encoder_cfg(cfg)
    cfg.freeze()
    return cfg


def main() -> None:
    pretraining_command.run(__doc__, load_config, EncoderTrainer)


if __name__ == "__main__":
    main()
