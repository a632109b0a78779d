"""What commands have in common: the configuration, and how they end when a user has to act."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fastreid.config import CfgNode, get_cfg

from gcl.config import ConfigError, add_gcl_config, fitting, merge_file
from gcl.modeling.encoder_weights import weights_file

from .user_modules import import_modules

PACKAGE = Path(__file__).parents[1]

OF_FIXED_LENGTH = {
    *("INPUT.SIZE_TRAIN", "INPUT.SIZE_TEST", "GCL.GENERATOR.SIZE", "GCL.GENERATOR.BETAS"),
    *("MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"),
}
"""Keys whose lists have as many items as their defaults; those of others can be of any length."""

LOST = (
    "Another process of the job has ended: its own last words say why, or it was killed (where"
    " memory runs out, for instance). This one ends, too; start all of them again, a training with"
    " --resume."
)
"""What a process says that can not reach another one (:func:`gcl.compat.lost_process`)."""


def find_config(path: str) -> str:
    """The file that ``--config-file`` means, from any folder.

    Args:
        path: of the user's file or, where there is none, of one of ours as it is in the repository:
            projects/GCL/configs/market.yml, configs/market.yml. "": no file.

    Raises:
        ConfigError: there is no such file in either place.
    """
    if not path or os.path.isfile(path):
        return path
    # a wheel has them inside the package (setup.py); a checkout, where they are
    shipped = PACKAGE / "shipped"
    ours = shipped if shipped.is_dir() else PACKAGE.parents[2]
    if (ours / path).is_file():
        return str(ours / path)
    files = (f for top in ("configs", "projects/GCL/configs") for f in (ours / top).rglob("*.yml"))
    names = ", ".join(sorted(file.relative_to(ours).as_posix() for file in files))
    raise ConfigError(f"--config-file {path} is not a file. The package brings {names}.")


def read_config(path: str, pairs: Sequence[str]) -> CfgNode:
    """The values of a file, changed by KEY VALUE pairs; neither checked nor frozen.

    Raises:
        ConfigError: a file is not there, or something in it or in the pairs is no configuration.
    """
    cfg = get_cfg()
    add_gcl_config(cfg)
    merge_config(cfg, path, pairs)
    if cfg.MODEL.WEIGHTS and not os.path.isfile(weights_file(cfg.MODEL.WEIGHTS)):
        raise ConfigError(f"MODEL.WEIGHTS {cfg.MODEL.WEIGHTS} is not a file.")
    return cfg


def merge_config(cfg: CfgNode, path: str, pairs: Sequence[str]) -> None:
    """Change ``cfg`` by a file and then by KEY VALUE pairs.

    Args:
        path: "": no file.

    Raises:
        ConfigError: as :func:`read_config` does.
    """
    _check_pairs(cfg, list(map(str, pairs)))
    before = cfg.clone()
    try:
        if path:
            merge_file(cfg, path)
        cfg.merge_from_list([*_fitting_pairs(cfg, pairs)])
        _check_values(cfg, before)
    except ConfigError:
        raise
    except Exception as error:  # a damaged file, or any text as a value, can raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"{reason} (--config-file {path}, or the KEY VALUE pairs behind it)"
        ) from error


def _check_pairs(cfg: CfgNode, pairs: list[str]) -> None:
    """Name what is no KEY in the place of one; the toolbox would list all pairs."""

    def known(key: str) -> bool:
        node = cfg
        for part in key.split("."):
            if not isinstance(node, CfgNode) or part not in node:
                return False
            node = node[part]
        return True

    strangers = [key for key in pairs[::2] if not known(key)]
    for word in strangers:
        if word.startswith("--"):
            raise ConfigError(
                f"{word} stands among the KEY VALUE pairs: options come before the first of them."
            )
        if os.path.exists(word) or word.endswith(".pth"):
            raise ConfigError(
                f"{word} stands where a KEY of the KEY VALUE pairs is expected: --resume takes no"
                " file, it goes on from the last checkpoint of OUTPUT_DIR; MODEL.WEIGHTS is what"
                " starts a run from a file."
            )
    if len(pairs) % 2:
        what = f"{strangers[0]!r} is no key" if strangers else f"{pairs[-1]!r} has no value"
        raise ConfigError(f"The KEY VALUE pairs have an odd length: {what}.")


def _fitting_pairs(cfg: CfgNode, pairs: Sequence[str]) -> Iterator[object]:
    """The pairs, their values as the keys want them."""
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        node: object = cfg
        for part in key.split("."):
            node = node.get(part) if isinstance(node, CfgNode) else None
        yield from (key, fitting(node, value))


def _check_values(cfg: CfgNode, before: CfgNode, start: str = "") -> None:
    """Raises ConfigError for what the toolbox lets pass: None in the place of a value, a list whose
    items are no numbers, or no words, where they were, and one that is too long or too short."""
    for key, value in cfg.items():
        name, old = f"{start}{key}", before.get(key)
        if isinstance(value, CfgNode) and isinstance(old, CfgNode):
            _check_values(value, old, f"{name}.")
        elif value is None and old is not None:
            raise ConfigError(f"{name} is None: give a value such as {old!r}.")
        elif isinstance(value, list | tuple) and isinstance(old, list | tuple):
            if name in OF_FIXED_LENGTH and len(value) != len(old):
                raise ConfigError(f"{name} is {value!r}: give {len(old)} values such as {old!r}.")
            for kind in ((int, float), str):
                if old and all(isinstance(item, kind) for item in old):
                    strangers = [item for item in value if not isinstance(item, kind)]
                    if strangers:
                        raise ConfigError(
                            f"{name} has {strangers[0]!r} in it: give a value such as {old!r}."
                        )


def given_keys(path: str, pairs: Sequence[str]) -> set[str]:
    """Keys that a file, with what it is based on, and KEY VALUE pairs set: ``MODEL.WEIGHTS``."""

    def leaves(node: dict, start: str) -> Iterator[str]:
        for key, value in node.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{start}{key}.")
            else:
                yield f"{start}{key}"

    tree = CfgNode.load_yaml_with_base(path) if path else {}
    return {*leaves(tree, ""), *pairs[::2]}


def run_command(
    run: Callable[[argparse.Namespace], None],
    args: argparse.Namespace,
    errors: tuple[type[Exception], ...] = (ConfigError, OSError),
) -> None:
    """Import the files of ``--import`` and run; ``errors``, which a user can mend, end the process
    with their sentence."""
    try:
        import_modules(args.modules)
        run(args)
    except errors as error:
        sys.exit(sentence(error))


def sentence(error: Exception) -> str:
    """In one line, whatever names of files are in it; of an error from a data worker the last line,
    the others are its traceback."""
    name, lines = type(error).__name__, str(error).strip().splitlines()
    text = lines[-1] if any(line.startswith("Traceback") for line in lines) else " ".join(lines)
    return text if text.startswith(name) else f"{name}: {text}"
