"""Files of drawn arrays: drawn once whatever interrupts, told apart, named when they are broken."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest

from gcl.synthetic import set_folder, shards
from gcl.synthetic.plan import VERSION
from gcl.synthetic.shards import read_shards, write_shards


class Drawn(NamedTuple):
    number: np.ndarray
    seeds: np.ndarray


class Draw:
    """Draws at once, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, tailor: object, seed: int, numbers: Sequence[int]) -> Drawn:
        self.asked.append(list(numbers))
        return Drawn(np.array(numbers), np.full((len(numbers), 2), seed, np.uint8))


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    monkeypatch.setattr(shards, "BATCH", 2)
    monkeypatch.setattr(shards, "get_tailor", lambda: None)


def write(folder: object, count: int, seed: int = 3, draw=None, **options) -> list[str]:
    usual = {"shard": 4, "prefix": "some-", "desc": "some", "unit": "item", **options}
    return write_shards(str(folder), draw or Draw(), count, seed, **usual)


def assert_holds(paths: Sequence[str], numbers: Sequence[int], seed: int = 3) -> None:
    found = read_shards(Drawn, paths)
    assert type(found) is Drawn and found.number.tolist() == list(numbers)
    assert found.seeds.dtype == np.uint8 and found.seeds.tolist() == [[seed, seed]] * len(numbers)


def test_files_hold_the_items_with_their_numbers(tmp_path):
    paths = write(tmp_path / "new" / "folder", 5)
    assert [os.path.basename(path) for path in paths] == [
        f"some-v{VERSION}-3-00000.npz",
        f"some-v{VERSION}-3-00001.npz",
    ]
    assert_holds(paths, range(8))
    assert_holds(paths[1:], range(4, 8))


def test_batches_end_with_their_file(tmp_path):
    draw = Draw()
    assert_holds(write(tmp_path, 6, draw=draw, shard=3), range(6))
    assert draw.asked == [[0, 1], [2], [3, 4], [5]]


def test_what_is_there_is_not_drawn_again(tmp_path):
    first = write(tmp_path, 8)
    before = [open(path, "rb").read() for path in first]
    os.remove(first[0])  # as if interrupted
    draw = Draw()
    assert write(tmp_path, 9, draw=draw)[:2] == first
    assert sum(draw.asked, []) == [0, 1, 2, 3, 8, 9, 10, 11]
    assert [open(path, "rb").read() for path in first] == before
    draw.asked.clear()
    assert write(tmp_path, 8, draw=draw) == first and not draw.asked


def test_an_interrupted_file_is_not_there(tmp_path):
    draw = Draw()

    def stop(tailor, seed, numbers):
        if 6 in numbers:
            raise KeyboardInterrupt
        return draw(tailor, seed, numbers)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 8, draw=stop)
    assert os.listdir(tmp_path) == [f"some-v{VERSION}-3-00000.npz"]
    assert_holds(write(tmp_path, 8), range(8))


def test_kinds_and_seeds_have_files_of_their_own(tmp_path):
    some = write(tmp_path, 4)
    other_seed, other_kind = write(tmp_path, 4, 5), write(tmp_path, 4, prefix="")
    assert len({*some, *other_seed, *other_kind}) == 3
    assert_holds(some, range(4))
    assert_holds(other_seed, range(4), 5)


def test_many_workers_draw_the_same(tmp_path, monkeypatch):
    """Threads in the place of processes, which would not see the small files of this test."""
    pools = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int, mp_context: object) -> None:
            pools.append(workers)
            super().__init__(1)  # the number of threads is torch's for all of them

    monkeypatch.setattr(set_folder, "ProcessPoolExecutor", Pool)
    paths = write(tmp_path, 8, workers=8)
    assert pools == [2]  # never more than there are files
    assert_holds(paths, range(8))


def test_none_at_all(tmp_path):
    assert write(tmp_path, 0) == [] == os.listdir(tmp_path)


def test_arrays_that_do_not_go_together_are_a_broken_file(tmp_path):
    """No rows; objects, which code could be in; another shape than the first file."""
    good, other = np.zeros(2), np.zeros((2, 1))
    paths = [str(tmp_path / f"{name}.npz") for name in ("good", "point", "objects", "other")]
    for path, array in zip(paths, (good, np.zeros(()), good.astype(object), other), strict=True):
        np.savez(path, **dict.fromkeys(Drawn._fields, array))
    assert len(read_shards(Drawn, paths[:1])[0]) == 2
    for path in paths[1:]:
        with pytest.raises(OSError, match=f"^{re.escape(path)} is broken .*remove it"):
            read_shards(Drawn, [paths[0], path])


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "foreign"])
def test_a_broken_file_is_named_with_the_remedy(tmp_path, kind):
    path = tmp_path / "a.npz"
    np.savez(path, number=np.zeros(20))
    content = path.read_bytes()
    made = {"empty": b"", "text": b"no array", "cut": content[: len(content) // 2]}
    path.write_bytes(made.get(kind, content))
    with pytest.raises(OSError, match=f"^{re.escape(str(path))} is broken .*remove it"):
        read_shards(Drawn, [str(path)])
    with pytest.raises(OSError, match="is broken"):
        read_shards(Drawn, [str(tmp_path / "missing.npz")])
