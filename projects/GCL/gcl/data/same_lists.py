"""Lists of images that all processes of a job must have alike."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from fastreid.utils import comm


def problem_of_all(problem: str, name: str, items: Sequence[tuple]) -> str:
    """What keeps the processes from using a list of images: the problem of the first that has one,
    or that their lists differ; "": nothing. A row of the bank and an image of a batch must be the
    same everywhere.

    A collective call: every process makes it, one with a problem, too.

    Args:
        problem: of this process, in a sentence; "": none.
        name: what to call the list: a key and its value.
        items: (path, ...) of each image, in order; nothing else of an image may differ, either.
    """
    if comm.get_world_size() == 1:
        return problem
    gathered = comm.all_gather((problem, len(items), digest_of(items)))
    found = next((problem for problem, _, _ in gathered if problem), "")
    if found or len({(count, digest) for _, count, digest in gathered}) == 1:
        return found
    counts = ", ".join(str(count) for _, count, _ in gathered)
    return (
        f"{name}: the processes of this job list other images, people or cameras ({counts} images):"
        " give every machine the same files, and let numbers and order of a data set of your own"
        " follow from them alone (sort what comes from a set or a folder)."
    )


def digest_of(items: Sequence[tuple]) -> str:
    """Of (path, ...) of each image, in order, wherever the folder of all of them lies: machines may
    have the data sets in folders of other names, and a run may move."""
    paths = [os.path.abspath(path) for path, *_ in items]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    digest = hashlib.sha256()
    for path, (_, *rest) in zip(paths, items, strict=True):
        name = os.path.relpath(path, folder)
        digest.update(repr((name, *rest)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
