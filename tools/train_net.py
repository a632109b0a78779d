#!/usr/bin/env python
"""Train or evaluate GCL: the toolbox's command line, GCL's trainer.

python tools/train_net.py --config-file projects/GCL/configs/market.yml [--num-gpus N] [KEY VALUE
...]
"""

from __future__ import annotations

import sys

from gcl import ConfigError, add_gcl_config, check_gcl_config, compat
from gcl.engine import GCLTrainer
from gcl.engine.hooks import NoClusterError
from gcl.structure.store import MissingStructureError

# isort: split
# gcl adapts fastreid before anything imports it
from fastreid.config import get_cfg
from fastreid.engine import default_argument_parser, default_setup
from fastreid.utils import comm
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.logger import setup_logger


def load_config(args):
    """The configuration of the command line, checked and frozen."""
    cfg = get_cfg()
    add_gcl_config(cfg)
    try:
        cfg.merge_from_file(args.config_file)
        cfg.merge_from_list(args.opts)
    except (KeyError, AssertionError, ValueError, OSError) as error:
        raise ConfigError(f"{args.config_file} {' '.join(args.opts)}: {error}") from error
    check_gcl_config(cfg, training=not args.eval_only)
    cfg.freeze()
    return cfg


def main(args):
    cfg = load_config(args)
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="gcl")
    if args.eval_only:
        model = GCLTrainer.build_model(cfg)
        Checkpointer(model).load(cfg.MODEL.WEIGHTS)
        return GCLTrainer.test(cfg, model)
    trainer = GCLTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    arguments = default_argument_parser().parse_args()
    try:
        compat.set_device(load_config(arguments).MODEL.DEVICE)
        compat.launch(
            main,
            arguments.num_gpus,
            num_machines=arguments.num_machines,
            machine_rank=arguments.machine_rank,
            dist_url=arguments.dist_url,
            args=(arguments,),
        )
    except (ConfigError, MissingStructureError, NoClusterError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
