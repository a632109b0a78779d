"""What happened to the crops: the table, and the list of all that have nothing."""

from __future__ import annotations

import errno
import os
from collections import Counter

import pytest

from gcl.structure.outcomes import Outcome, Summary, is_about_a_name, list_failed

CROPS = {f"/d/{i}.jpg": f"A/{i}.jpg" for i in range(9)}


def content(folder) -> str:
    return (folder / "failed.txt").read_text(encoding="utf-8", errors="surrogateescape")


def test_summaries_add_up():
    x, y = Outcome("nobody", "no x", "A/x"), Outcome("failed", "no y", "A/y")
    a, b = Summary(Counter(made=3, nobody=1), [x], 2.0), Summary(Counter(made=1), [y], 5.0)
    a.merge(b)
    assert a == Summary(Counter(made=4, nobody=1), [x, y], 5.0)
    assert a.table("test").splitlines()[2].split() == ["test", "5", "4", "0", "1", "0", "0.8"]


def test_guesses_are_told_in_one_line_with_the_remedy():
    a, b = Summary(), Summary()
    for axes in ("opengl", "opencv", "opengl"):
        a.add(Outcome("made", guessed=axes))
    b.add(Outcome("made"))
    b.add(Outcome("made", guessed="opengl"))
    assert "guessed" not in Summary().table("train")
    a.merge(b)
    lines = a.table("train").splitlines()
    assert lines[3:] == [
        "axes of the mesh files, guessed: opencv 1, opengl 3 (--axes says which they are)"
    ]


def test_a_table_tells_five_of_each_state_and_the_list_tells_all(tmp_path):
    summary = Summary()
    for i, key in enumerate(CROPS.values()):
        summary.add(Outcome("failed" if i < 7 else "nobody", f"no {i}", key))
    assert summary.messages == ["nobody: no 7", "nobody: no 8"] + [
        f"failed: no {i}" for i in range(5)
    ]
    assert list_failed(CROPS, str(tmp_path), summary.lost) == 9
    lines = [f"A/{i}.jpg\t{'failed' if i < 7 else 'nobody'}\tno {i}\n" for i in range(9)]
    assert content(tmp_path) == "".join(lines)


def test_lines_of_other_data_sets_stay_and_without_lines_there_is_no_file(tmp_path):
    folder = str(tmp_path)
    list_failed({"/e/1.jpg": "B/1.jpg"}, folder, [Outcome("failed", "two\nlines", "B/1.jpg")])
    list_failed(CROPS, folder, [Outcome("failed", "x", "A/1.jpg")])
    list_failed(CROPS, folder, [Outcome("nobody", "y", "A/2.jpg")])
    assert content(tmp_path) == "A/2.jpg\tnobody\ty\nB/1.jpg\tfailed\ttwo lines\n"
    list_failed({"/e/1.jpg": "B/1.jpg"}, folder, [])
    assert content(tmp_path) == "A/2.jpg\tnobody\ty\n"
    list_failed(CROPS, folder, [])
    assert os.listdir(tmp_path) == []


def test_names_of_any_bytes_are_listed(tmp_path):
    """As they are on the disk; a line break would be two lines."""
    for name in (b"\xff\xe4.jpg", b"a\nb\tc.jpg"):
        key = f"A/{os.fsdecode(name)}"
        assert list_failed({"/d": key}, str(tmp_path), [Outcome("failed", "no", key)]) == 1
        written = (tmp_path / "failed.txt").read_bytes()
        assert written == b"A/" + name.replace(b"\n", b" ").replace(b"\t", b" ") + b"\tfailed\tno\n"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENAMETOOLONG, True), (errno.EILSEQ, True), (errno.ENOSPC, False), (errno.EROFS, False)],
)
def test_a_name_is_told_from_a_full_disk(number, expected):
    assert is_about_a_name(OSError(number, "")) == expected
