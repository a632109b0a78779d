"""Configurations: a file, and KEY VALUE pairs behind it. What is not refused is trained."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import yaml
from engine import runs
from faults.kinds import Kind
from faults.mutations import mutated
from faults.tiny_runs import TINY

from gcl.tools.train_net import build_trainer, load_config

VALUES = ("-1", "0", "0.0", "1", "2", "5", "-0.5", "0.5", "1.5", "1e3", "nan", "None", "True",
          "nonsense", "''", "()", "(0,)", "(1, 2, 3)", "('a',)", "[[1]]", "{'a': 1}", "(" * 200,
          "{[]: 1}", "\x00", "'", "!!python/object/apply:os.mkdir [canary]")  # fmt: skip


def configuration_kinds(folder: str, data: str) -> list[Kind]:
    """In ``folder``, with a toy data set ``data``."""
    out = os.path.join(folder, "run")
    pairs = runs.options(out, data, **TINY)
    cfg = runs.config(out, data, **TINY)
    keys = [key for key, value in _leaves(cfg) if key != "OUTPUT_DIR"]
    file = f"_BASE_: {runs.CONFIG}\n" + yaml.safe_dump(_tree(pairs), sort_keys=False)

    def read_file(path: str) -> None:
        _train(path, [], out)

    def read_pairs(path: str) -> None:
        given = Path(path).read_text().split("\n")
        _train(str(runs.CONFIG), [*pairs, *given], out)

    return [
        Kind("config.yml", file.encode(), read_file, _damage_lines, named=False, often=2),
        Kind("pairs", b"SEED\n7", read_pairs, _pairs_damage(keys), named=False, often=4),
    ]


def _train(path: str, pairs: list[str], out: str) -> None:
    """As tools/train_net.py does."""
    args = argparse.Namespace(config_file=path, opts=pairs, eval_only=False)
    try:
        cfg = load_config(args)
        os.makedirs(out, exist_ok=True)
        trainer = build_trainer(cfg)
        trainer.resume_or_load()
        trainer.train()
    finally:
        torch.set_default_dtype(torch.float32)
        shutil.rmtree(out, ignore_errors=True)
    assert all(value.isfinite().all() for value in trainer.model.state_dict().values())


def _leaves(node: dict, start: str = "") -> Iterator[tuple[str, object]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{start}{key}.")
        else:
            yield f"{start}{key}", value


def _tree(pairs: list[str]) -> dict:
    tree: dict = {}
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        *nodes, leaf = key.split(".")
        node = tree
        for name in nodes:
            node = node.setdefault(name, {})
        node[leaf] = value
    return tree


def _damage_lines(content: bytes, rng: np.random.Generator) -> bytes:
    """Of bytes, or of a line: gone, twice, moved to another depth, or of another value."""
    if rng.random() < 0.3:
        return mutated(content, rng)
    lines = content.decode().split("\n")
    at = int(rng.integers(len(lines)))
    fault = rng.integers(5)
    if fault == 0:
        del lines[at]
    elif fault == 1:
        lines.insert(int(rng.integers(len(lines))), lines[at])
    elif fault == 2:
        lines[at] = " " * int(rng.integers(5)) + lines[at].strip()
    else:
        name = lines[at].partition(":")[0]
        lines[at] = f"{name}: {VALUES[rng.integers(len(VALUES))]}"
    return "\n".join(lines).encode()


def _pairs_damage(keys: list[str]) -> Callable[[bytes, np.random.Generator], bytes]:
    def damage(content: bytes, rng: np.random.Generator) -> bytes:
        key = keys[rng.integers(len(keys))]
        if rng.random() < 0.15:
            key = (f"{key}.X", key.lower(), key.partition(".")[0], "", "_BASE_")[rng.integers(5)]
        pair = [key, VALUES[rng.integers(len(VALUES))]]
        if rng.random() < 0.05:
            pair.pop()
        return "\n".join(pair).encode()

    return damage
