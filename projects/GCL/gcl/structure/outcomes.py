"""What happened to the crops of a split, and the lists of crops beside their structures."""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tabulate import tabulate

from gcl.atomic_files import atomic

from .crop_keys import CropKeys

STATES = ("made", "there already", "nobody", "failed")
SHOWN = 5  # crops that a summary tells of each state
FAILED = "failed.txt"
"""File of a split's folder, see :func:`list_failed`."""

_NAMES = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR}


class Outcome(NamedTuple):
    """What happened to one crop: one of :data:`STATES`, and why; its key, where it has nothing; the
    axes that its mesh was guessed to have, where it was made of such a one."""

    state: str
    message: str = ""
    key: str = ""
    guessed: str = ""


@dataclass
class Summary:
    """What happened to a split.

    Attributes:
        counts: crops by state.
        lost: crops without a structure.
        seconds: wall time of the slowest process.
        guessed: crops by the axes that their meshes were guessed to have.
    """

    counts: Counter = field(default_factory=Counter)
    lost: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    guessed: Counter = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.state] += 1
        if outcome.guessed:
            self.guessed[outcome.guessed] += 1
        if outcome.message:
            self.lost.append(outcome)

    def merge(self, other: Summary) -> None:
        self.counts += other.counts
        self.lost += other.lost
        self.seconds = max(self.seconds, other.seconds)
        self.guessed += other.guessed

    @property
    def complete(self) -> bool:
        """Whether every crop has its structure."""
        return not (self.counts["nobody"] or self.counts["failed"])

    @property
    def messages(self) -> list[str]:
        """Why crops have none, the first :data:`SHOWN` of each state."""
        found = []
        for state in STATES:
            why = [outcome.message for outcome in self.lost if outcome.state == state]
            found += [f"{state}: {message}" for message in why[:SHOWN]]
        return found

    def table(self, split: str) -> str:
        """Counts and speed, and below what was guessed and the messages."""
        made = self.counts["made"]
        rate = f"{made / self.seconds:.1f}" if made and self.seconds else "-"
        row = [split, self.counts.total(), *(self.counts[s] for s in STATES), rate]
        headers = ("split", "crops", *STATES, "made/s")
        lines = [tabulate([row], headers=headers)]
        if self.guessed:
            guesses = ", ".join(f"{axes} {count}" for axes, count in sorted(self.guessed.items()))
            lines.append(f"axes of the mesh files, guessed: {guesses} (--axes says which they are)")
        return "\n".join([*lines, *self.messages])


def is_about_a_name(error: OSError) -> bool:
    """Whether a file can not be written because of its name: a matter of one crop, unlike a full or
    read-only disk."""
    return error.errno in _NAMES


def list_failed(crops: CropKeys, folder: str, lost: Iterable[Outcome]) -> int:
    """Write :data:`FAILED` into ``folder``: key, state and reason of all crops without a structure,
    with tabulators between them. Lines of other data sets stay; without lines there is no file.

    Returns:
        How many of ``crops`` it lists.
    """
    path = os.path.join(folder, FAILED)
    lines = {one_line(o.key): f"{o.state}\t{' '.join(o.message.split())}" for o in lost}
    kept = dict(line.split("\t", 1) for line in lines_of_others(path, crops) if "\t" in line)
    write_lines(path, (f"{key}\t{text}" for key, text in sorted((kept | lines).items())))
    return len(lines)


def lines_of_others(path: str, crops: CropKeys) -> list[str]:
    """Lines of a list, which begin with keys, that are not of the data sets of ``crops``."""
    if not os.path.exists(path):
        return []
    data_sets = {data_set(key) for key in crops.values()}
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read().split("\n")
    # names without a data set are a list of an earlier version
    return [line for line in lines if "/" in line and data_set(line) not in data_sets]


def write_lines(path: str, lines: Iterable[str]) -> None:
    """A list of crops, whose names may be any bytes; an empty one is no file."""
    text = "".join(f"{line}\n" for line in lines)
    if text:
        with atomic(path) as file:
            file.write(text.encode("utf-8", "surrogateescape"))
    elif os.path.exists(path):
        os.remove(path)


def one_line(key: str) -> str:
    """A key, which can have line breaks in it, without them."""
    return " ".join(re.split(r"[\t\r\n]", key))


def data_set(key: str) -> str:
    """Of a crop's key, or of a line that begins with one."""
    return key.partition("/")[0]
