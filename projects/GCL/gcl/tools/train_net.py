"""Train or evaluate GCL, or a baseline of the toolbox: the toolbox's command line.

python tools/train_net.py --config-file projects/GCL/configs/market.yml [--num-gpus N] [KEY VALUE
...]

Two options are added to it: --import FILE, and --dry-run, which says what is understood of a folder
of crops (projects/GCL/configs/folder.yml) and what follows from it, and stops.
"""

from __future__ import annotations

import logging
import os
import sys

from fastreid.engine import default_argument_parser, default_setup
from fastreid.utils import comm
from fastreid.utils.logger import setup_logger
from torch.multiprocessing import ProcessExitedException

from gcl import ConfigError, check_gcl_config, compat
from gcl.atomic_files import write_json
from gcl.data.crop_list import Numbers
from gcl.engine import trainer_of
from gcl.engine.divergence import DivergedError
from gcl.engine.hooks import NoClusterError
from gcl.engine.initial_weights import check_evaluated_weights
from gcl.engine.testing import as_toolbox, test_all
from gcl.engine.toolbox_keys import check_toolbox_keys
from gcl.inference.trained_encoder import LAST
from gcl.structure.store import MissingStructureError

from . import report
from .command_line import LOST, find_config, given_keys, read_config, sentence
from .folder_run import estimate, follow_folder, own_keys, prepares, reads_folder, understand
from .open_encoder import load_encoder
from .user_modules import add_import_argument, import_modules

logger = logging.getLogger("gcl")  # also where this file is __main__

# What a user can put right: one sentence, no traceback. OSError names a file or a full disk.
USER_ERRORS = (
    ConfigError,
    MissingStructureError,
    NoClusterError,
    DivergedError,
    compat.LaunchError,
    OSError,
)


def load_config(args, numbers: Numbers | None = None):
    """The configuration of the command line, checked and frozen.

    Args:
        numbers: of own crops; None: those that the run has written down.
    """
    cfg = read_config(args.config_file, args.opts)
    if reads_folder(cfg):
        follow_folder(cfg, own_keys(args.config_file, args.opts), numbers)
    check_gcl_config(cfg, training=not args.eval_only)
    if args.eval_only:
        if not cfg.DATASETS.TESTS:
            raise ConfigError("DATASETS.TESTS is empty: --eval-only has nothing to evaluate on.")
        check_evaluated_weights(cfg)
    else:
        check_toolbox_keys(cfg, given_keys(args.config_file, args.opts))
    cfg.freeze()
    return cfg


def run(args):
    cfg = load_config(args)
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="gcl")
    if args.eval_only:
        results, problems = test_all(trainer_of(cfg), cfg, load_encoder(cfg))
        results = as_toolbox(results)
        if comm.is_main_process():
            write_json(os.path.join(cfg.OUTPUT_DIR, "evaluation.json"), results, default=float)
        if problems:
            reasons = (f"no result of {name}: {reason}" for name, reason in problems.items())
            raise ConfigError("; ".join(reasons))
        return results
    trainer = build_trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    results = trainer.train()
    if reads_folder(cfg):
        report.leave(cfg)
    return results


def build_trainer(cfg):
    """The trainer of a configuration.

    Raises:
        ConfigError: the toolbox or torch can not build it; the message is theirs, in one line.
    """
    try:
        return trainer_of(cfg)(cfg)
    except USER_ERRORS:
        raise
    except Exception as error:  # of a value that nobody has checked, it can be nearly anything
        if compat.lost_process(error):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        logger.debug("What can not be built:", exc_info=True)
        raise ConfigError(
            f"No training can be built from these values ({reason}): change the one that this is"
            " about, in --config-file or the KEY VALUE pairs; OUTPUT_DIR/log.txt says where it"
            " was."
        ) from error


def run_process(args):
    """:func:`run` in one process of the job."""
    # a full disk also has no room for log.txt: the sentence that says so comes without tracebacks
    logging.raiseExceptions = False
    try:
        import_modules(args.modules)  # a process that the launcher has started knows none
        return run(args)
    except USER_ERRORS as error:
        sys.exit(sentence(error))
    except RuntimeError as error:
        if not compat.lost_process(error):
            raise
        sys.exit(LOST)


def prepare(arguments) -> bool:
    """Check the configuration, and make what a run on own crops needs before its processes start;
    whether there is anything more to do.

    Raises:
        ConfigError: a value that can not work.
    """
    config = read_config(arguments.config_file, arguments.opts)
    crops = None
    if not reads_folder(config):
        config = load_config(arguments)
        if arguments.dry_run:
            raise ConfigError(
                "--dry-run says what is understood of GCL.DATA.FOLDER, and DATASETS.NAMES has no"
                " OwnCrops: leave it out."
            )
    elif prepares():
        crops = understand(arguments, load_config)
        if arguments.dry_run:
            return False
        config = load_config(arguments)
    try:
        compat.set_device(config.MODEL.DEVICE)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if not (arguments.resume or arguments.eval_only) and prepares():
        take_place(config.OUTPUT_DIR)
    if crops is not None:
        estimate(arguments, config, crops)
    return not arguments.dry_run


def take_place(output: str) -> None:
    """Let a run that begins be the one of ``output``: a run that was there before is not what
    --resume goes on from, nor what ``search`` takes, if this one is killed before its first
    checkpoint. Its checkpoints stay until they are written over."""
    path = os.path.join(output, LAST)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            name = file.read().strip()
        os.remove(path)
    except FileNotFoundError:
        return
    print(
        f"OUTPUT_DIR {output} has a run, whose place this one takes. To go on from that one after"
        f" all, write {name} into {path}, and give --resume."
    )


def main() -> None:
    parser = default_argument_parser()
    # the toolbox's is one port for all runs of a user: a second run at a time could not begin
    parser.set_defaults(dist_url="auto")
    add_import_argument(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what is understood of GCL.DATA.FOLDER and what follows from it, and stop",
    )
    arguments = parser.parse_args()
    try:
        import_modules(arguments.modules)
        arguments.config_file = find_config(arguments.config_file)  # the toolbox opens it, too
        if not prepare(arguments):
            return
        compat.launch(
            run_process,
            arguments.num_gpus,
            num_machines=arguments.num_machines,
            machine_rank=arguments.machine_rank,
            dist_url=arguments.dist_url,
            args=(arguments,),
        )
    except USER_ERRORS as error:
        sys.exit(sentence(error))
    except ProcessExitedException as error:
        if error.signal_name is None:
            sys.exit(error.exit_code)  # it has said why
        sys.exit(
            f"Process {error.error_index} of the job was ended by {error.signal_name}, which the"
            " system sends where memory runs out; the others are ended, too. --resume goes on from"
            " the last checkpoint."
        )


if __name__ == "__main__":
    main()
