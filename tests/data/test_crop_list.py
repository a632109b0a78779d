"""Tables of crops, and what a list of them says of itself."""

from __future__ import annotations

import pytest

from gcl.config import ConfigError
from gcl.data.crop_list import (
    SHOWN,
    Crop,
    CropList,
    Numbers,
    Skipped,
    read_list,
    read_table,
    write_list,
)

STRANGE = ("a b/größe 人.jpg", 'x,"y".png', " lead.jpg", "two\nlines.jpg", "r\rr.jpg", "\udcff.bmp")


@pytest.fixture
def table(tmp_path):
    """``table(text)``: path of a file with that text."""

    def write(text: str) -> str:
        path = tmp_path / "crops.csv"
        path.write_bytes(text.encode())
        return str(path)

    return write


def test_a_list_survives_the_disk_whatever_its_names(tmp_path):
    crops = [Crop(name, f"c {i % 2}", f" {i}", i / 3) for i, name in enumerate(STRANGE)]
    crops.append(Crop("known.jpg"))
    skipped = (Skipped("a,b.txt", 'no "crop"'), Skipped("\udcfe.txt", "hidden"))
    before = CropList("shop", tuple(sorted(crops)), skipped)
    write_list(before, str(tmp_path))
    assert read_list("shop", str(tmp_path)) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops.csv", "skipped.csv"]


def test_cameras_and_tracks_are_counted_by_name():
    crops = (
        Crop("1", "b", "t1", 1.0),
        Crop("2", "a", "t1", 2.0),  # another camera's track
        Crop("3", "a", "t1"),
        Crop("4", "a"),
        Crop("5"),
    )
    found = CropList("shop", crops)
    assert found.cameras == ["a", "b", ""]
    assert found.tracks == [("a", "t1"), ("b", "t1")]
    assert found.numbers == Numbers(5, 3, 4)  # two crops are alone
    assert found.summary().splitlines() == [
        "shop: 5 crops, 3 cameras, 2 tracks (of 3 crops), times of 2 crops",
        "  camera a: 3 crops, 1 track",
        "  camera b: 1 crop, 1 track",
        "  no known camera, counted as one: 1 crop, 0 tracks",
    ]


def test_a_folder_without_cameras_has_one():
    found = CropList("shop", (Crop("1"), Crop("2")))
    assert found.numbers == Numbers(2, 1, 0)
    assert found.summary() == "shop: 2 crops, 1 camera, 0 tracks (of 0 crops), times of 0 crops"


def test_a_name_of_two_lines_is_one_in_the_summary():
    found = CropList("shop", (Crop("x", "two\nlines"),), (Skipped("a\rb\n.txt", "hidden"),))
    assert found.summary().splitlines()[1:] == [
        "  camera two\\nlines: 1 crop, 0 tracks",
        "left out: 1 file",
        "  1, the first a\\rb\\n.txt: hidden",
    ]


def test_skipped_files_are_summed_up_by_reason_and_long_lists_cut():
    skipped = [Skipped(f"{i}.jpg", f"{i} x 300, one side more than 8 times") for i in range(40)]
    skipped += [Skipped("notes.txt", "ends in no suffix")]
    crops = tuple(Crop(f"{i}", f"cam{i:03d}") for i in range(SHOWN + 5))
    lines = CropList("shop", crops, tuple(skipped), ("a note",)).summary("out.csv").splitlines()
    assert len(lines) == 1 + SHOWN + 1 + 1 + 1 + 2
    assert "  and 5 more cameras" in lines and "  a note" in lines
    assert "left out: 41 files, all in out.csv" in lines
    assert lines[-2] == "  40, the first 0.jpg: 0 x 300, one side more than 8 times"
    assert lines[-1] == "  1, the first notes.txt: ends in no suffix"


def test_columns_of_a_table_can_be_missing_and_cells_empty(table):
    text = "﻿Time,PATH,Note,track\r\n1.5,./a//b.jpg,x,t 1\r\n,c.jpg,,\r\n"
    assert read_table(table(text)) == (
        [Crop("a/b.jpg", "", "t 1", 1.5), Crop("c.jpg")],
        ["note"],
    )
    assert read_table(table("path\na.jpg\n")) == ([Crop("a.jpg")], [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,camera\na.jpg,1\n", r"no column path \(its first line is 'file,camera'\)"),
        ("", "no column path"),
        ("path;camera\na.jpg;1\n", "no column path"),
        ("path,camera,Camera\na.jpg,1,2\n", "several columns camera: keep one"),
        ("path,time\na.jpg,noon\n", "line 2: the time 'noon' is no number"),
        ("path,time\na.jpg,nan\n", "line 2: the time 'nan' is no number"),
        ("path,camera\na.jpg,1\n./a.jpg,2\n", "line 3: a.jpg is there twice"),
        ("path,camera\n,1\n", "line 2: there is no path"),
        ("path,camera\na,b.jpg,1\n", "line 2: there are more cells than columns"),
        ('path\n"a.jpg\n', "can not be read as a table"),
    ],
)
def test_a_table_that_can_not_work(table, text, words):
    path = table(text)
    with pytest.raises(ConfigError, match=words) as error:
        read_table(path)
    assert str(error.value).startswith(path) and "\n" not in str(error.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_table(str(tmp_path / "crops.csv"))
