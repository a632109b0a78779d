"""Folders of drawn pictures, of whatever kind: drawn once, completed after an interruption, never
drawn twice.

A file of JSON has the settings that it is drawn from, and ``<folder>/crops.csv`` a row for each
crop; it is written last, so a folder with it is whole. A set that another version of this
software drew is drawn anew.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple, TypeVar

from tqdm import tqdm

from gcl.atomic_files import atomic, remove_leftovers

from .plan import VERSION

logger = logging.getLogger(__name__)

TABLE = "crops.csv"

T = TypeVar("T")
Drawn = TypeVar("Drawn")
"""Settings: a frozen dataclass with a ``version`` and the name of its ``FILE``."""


class Batch(NamedTuple):
    """What is drawn together: always the same, so that a resumed set has the same files.

    Attributes:
        crops: how many.
        paths: all of its files.
        job: arguments of the function that draws them.
    """

    crops: int
    paths: list[str]
    job: tuple


def begin(
    folder: str, wanted: Drawn | None, usual: Drawn, pictures: Sequence[str], grows: str = ""
) -> Drawn | None:
    """Make ``folder`` ready for what is missing of a set.

    Args:
        wanted: None: the settings of the set that is there, or the usual ones.
        pictures: folders in ``folder``, which hold pictures of the set and nothing else.
        grows: name of the setting that may be higher than before: the files that are there stay.

    Returns:
        The settings to draw from; None when the set is whole.

    Raises:
        ValueError: another set is there.
        OSError: the folder can not be written.
    """
    there = read_settings(folder, type(usual))
    now = there and dataclasses.replace(there, version=VERSION)
    settings = wanted or now or usual
    if now is not None and not _leads_to(now, settings, grows):
        raise ValueError(
            f"{folder} holds another synthetic set ({_differences(now, settings)}): remove it or"
            " choose another folder."
        )
    table = os.path.join(folder, TABLE)
    if there != now:
        logger.warning(
            "%s was drawn by another version of this software, which drew otherwise: it is"
            " drawn anew.",
            folder,
        )
        # the table first, so that it is not taken for whole meanwhile, and not the settings, so
        # that a run that is killed here is gone on with
        _remove(table, *pictures)
    elif os.path.exists(table) and wanted in (None, now):
        return None
    _remove(table)
    for path in (folder, *pictures):
        os.makedirs(path, exist_ok=True)
        remove_leftovers(path)
    content = json.dumps(dataclasses.asdict(settings), indent=1)
    write_file(os.path.join(folder, settings.FILE), content.encode())
    return settings


def missing(batches: Iterable[Batch]) -> list[Batch]:
    """Those of which a file is not there."""
    return [batch for batch in batches if not all(map(os.path.exists, batch.paths))]


def draw_batches(
    draw: Callable[..., Any],
    batches: Sequence[Batch],
    total: int,
    *,
    desc: str,
    workers: int,
    progress: bool,
) -> None:
    """``draw(*job)`` of each batch, with a bar.

    Args:
        total: crops of the whole set.
        desc: what the bar calls them.
        workers: processes.
        progress: whether to show the bar.
    """
    done = total - sum(batch.crops for batch in batches)
    with tqdm(
        total=total, initial=done, desc=desc, unit="crop", disable=not progress, dynamic_ncols=True
    ) as bar:
        drawn = in_processes(draw, [batch.job for batch in batches], workers)
        for batch, _ in zip(batches, drawn, strict=True):
            bar.update(batch.crops)


def finish(folder: str, columns: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write the table, by which the set is whole."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    write_file(os.path.join(folder, TABLE), stream.getvalue().encode())


def read_settings(folder: str | os.PathLike, kind: type[Drawn]) -> Drawn | None:
    """Settings of the set of this kind in ``folder``, None when there is none.

    Raises:
        ValueError: the file is not such a file.
    """
    path = os.path.join(folder, kind.FILE)
    try:
        with open(path, "rb") as file:
            return kind(**json.load(file))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is broken ({error}): remove {folder}.") from error


def write_file(path: str, content: bytes) -> None:
    with atomic(path) as file:
        file.write(content)


def in_processes(draw: Callable[..., T], jobs: Sequence[tuple], workers: int) -> Iterator[T]:
    """``draw(*job)`` of each job, in their order, by so many processes; 1: by this one."""
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield draw(*job)
        return
    spawn = multiprocessing.get_context("spawn")  # torch does not survive a fork
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=spawn) as pool:
        yield from pool.map(draw, *zip(*jobs, strict=True))


def _leads_to(there: Drawn, wanted: Drawn, grows: str) -> bool:
    """Whether the files of one set are files of the other."""
    if grows and getattr(there, grows) <= getattr(wanted, grows):
        there = dataclasses.replace(there, **{grows: getattr(wanted, grows)})
    return there == wanted


def _differences(there: Drawn, wanted: Drawn) -> str:
    a, b = dataclasses.asdict(there), dataclasses.asdict(wanted)
    return ", ".join(f"{k} {a[k]} instead of {b[k]}" for k in a if a[k] != b[k])


def _remove(*paths: str) -> None:
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)
