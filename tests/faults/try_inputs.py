"""Damaged inputs of every kind, read one after another in a process of their own.

``python -m faults.try_inputs FOLDER COUNT [KIND ...]``: COUNT of each kind, the first of each as it
was. Ends with 0 when each gave a right result or one of the package's own errors in one line, in
bounded memory, without running what was in it and without leaving a file. Prints how many were
which, and each that was neither.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import logging
import os
import resource
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path

import conftest  # noqa: F401  registers the tests' backbone
import numpy as np
import torch
from engine import runs
from faults.checkpoint_files import checkpoint_kinds
from faults.configurations import configuration_kinds
from faults.kinds import Kind
from faults.picture_files import picture_kinds
from faults.tool_files import tool_kinds
from toy import write_toy_dataset

MEMORY = 2**30
"""Bytes by which the process may grow at one input."""
LONGEST = 300
"""Seconds that an input may take, of a busy machine: only a hang takes as long."""


def kinds_in(folder: str) -> dict[str, list[Kind]]:
    """Kinds by the folder in which they are read."""
    data = os.path.join(folder, "toy")
    write_toy_dataset(data, people=4, test_people=1, orientations=4, size=(32, 16))
    folders = [os.path.join(folder, name) for name in ("tools", "pictures", "states", "configs")]
    for name in folders:
        os.makedirs(name)
    tools, pictures, states, configs = folders
    return {
        tools: tool_kinds(tools),
        pictures: picture_kinds(pictures),
        states: checkpoint_kinds(states, data),
        configs: configuration_kinds(configs, data),
    }


def outcome(kind: Kind, path: str, good: bool) -> str:
    """What came of a file: "right", or, where it is not ``good``, "refused"."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            kind.read(path)
    except kind.refusals as error:
        if good:
            raise
        text = str(error)
        assert text and "\n" not in text.strip(), f"{type(error).__name__} in lines: {text!r}"
        assert not kind.named or kind.name in text, f"{text!r} names no file"
        return "refused"
    return "right"


def files_of(folder: str) -> set[str]:
    return {str(path) for path in Path(folder).rglob("*") if "events.out" not in path.name}


def main(folder: str, count: int, *chosen: str) -> int:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    np.seterr(all="ignore")
    torch.set_num_threads(1)
    os.makedirs(os.path.join(folder, "place"))
    with runs.place(os.path.join(folder, "toy")):
        folders = kinds_in(folder)
        os.chdir(os.path.join(folder, "place"))
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + 4 * MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))  # for what is taken, not touched
        results, wrong = Counter(), 0
        for place, kinds in folders.items():
            for kind in kinds:
                if not chosen or kind.name in chosen:
                    wrong += try_kind(kind, place, count * kind.often, results)
    if left := os.listdir("."):
        wrong += 1
        print(f"left behind: {left}", file=sys.stderr)
    print(json.dumps({f"{name} {result}": n for (name, result), n in sorted(results.items())}))
    return wrong


def most_memory() -> int:
    """Bytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def try_kind(kind: Kind, folder: str, count: int, results: Counter) -> int:
    """How many of a kind were neither right nor refused, or left something behind."""
    path, wrong = os.path.join(folder, kind.name), 0
    there = files_of(folder) - {path}
    for i in range(count):
        rng = np.random.default_rng([i, *kind.name.encode()])
        content = kind.damage(kind.content, rng) if i else kind.content
        with open(path, "wb") as file:
            file.write(content)
        print(f"reads {kind.name} {i}", file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        before = most_memory()
        try:
            result = outcome(kind, path, good=i == 0)
            grown = most_memory() - before
            assert grown < MEMORY, f"grown by {grown >> 20} MiB"
            left = files_of(folder) - there - {path}
            assert not left, f"left behind: {left}"
        except BaseException:
            print(f"WRONG {kind.name} {i}", file=sys.stderr)
            traceback.print_exc()
            result, wrong = "something else", wrong + 1
        faulthandler.cancel_dump_traceback_later()
        results[kind.name, result] += 1
    if os.path.exists(path) and path not in there:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]), 100))
