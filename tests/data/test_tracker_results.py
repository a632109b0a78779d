"""Results of trackers: every delimiter, any order of lines, and sentences for what is no box."""

from __future__ import annotations

import numpy as np
import pytest
from recordings import write_results

from gcl.config import ConfigError
from gcl.data.tracker_results import NO_TRACK, UNKNOWN, read_results

ROWS = [(2, 7, 10, 20, 30.5, 60, 0.9, -1, -1, -1), (1, 7, 9, 19, 30, 60, 1, -1, -1, -1)]


@pytest.mark.parametrize(
    ("delimiter", "word"), [(",", "commas"), (", ", "commas"), (" ", "spaces"), ("\t", "tabs")]
)
def test_boxes_in_order_of_frame_and_track(tmp_path, delimiter, word):
    boxes = read_results(write_results(tmp_path / "größe 1.txt", ROWS, delimiter))
    np.testing.assert_array_equal(boxes.frame, [1, 2])
    np.testing.assert_array_equal(boxes.track, [7, 7])
    np.testing.assert_array_equal(boxes.corners, [[9, 19, 39, 79], [10, 20, 40.5, 80]])
    np.testing.assert_array_equal(boxes.confidence, [1, 0.9])
    assert boxes.note == f"{word} between 10 columns, frames count from 1" and boxes.first == 1


def test_what_tools_leave_out_or_add(tmp_path):
    """No confidence, numbers with decimals, a heading, empty lines, the mark of Windows."""
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffframe;id;x;y;w;h\r\n0.0;-1;1;2;3;4\r\n\r\n0;-1;5;6;7;8\r\n".encode())
    boxes = read_results(str(path))
    assert boxes.track.tolist() == [NO_TRACK] * 2 and boxes.first == 0
    np.testing.assert_array_equal(boxes.corners, [[1, 2, 4, 6], [5, 6, 12, 14]])
    assert (boxes.confidence == UNKNOWN).all()
    assert "frames count from 0" in boxes.note and "heading: 'frame;id;x;y;w;h'" in boxes.note


@pytest.mark.parametrize(
    "heading",
    ["frame, id, bb_left, bb_top, bb_width, bb_height", "#frame,who,?,?,?,?", "f i l t w h"],
)
def test_a_heading_may_call_the_columns_anything(tmp_path, heading):
    path, rest = tmp_path / "a.txt", "1,2,3,4,5,6\n"
    path.write_text(f"{heading}\n{rest}")
    np.testing.assert_array_equal(read_results(str(path)).corners, [[3, 4, 8, 10]])


def test_ids_can_count_from_0(tmp_path):
    rows = [(5, 0, 1, 2, 3, 4), (5, 1, 1, 2, 3, 4)]
    boxes = read_results(write_results(tmp_path / "a.txt", rows))
    assert boxes.track.tolist() == [0, 1] and boxes.first == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no boxes"),
        ("\n \n", "has no boxes"),
        ("frame,id,x,y,w,h\n", "has no boxes"),
        ("1,1,1,1,9,9\n1 2 1 1 9 9\n", "line 2: 1 columns, and the first line has 6 with commas"),
        ("1 1 1 1 9 9\n1,2,1,1,9,9\n", "line 2: 1 columns, .* with spaces"),
        ("1,1,1,1,9,9,1\n1,2,1,1,9,9\n", "line 2: 6 columns, .* cut off, or the delimiters"),
        ("1,1,1,1,9\n", "line 1: 5 columns .* a box needs 6: frame, id, x, y, w, h"),
        ("1,1,1,1,9,9\n1,1,1,1,9,x\n", "line 2: the h 'x' is no number"),
        ("1,1,nan,1,9,9\n", "line 1: the x 'nan' is no number"),
        ("1,1.5,1,1,9,9\n", "line 1: the id '1.5' is no whole number"),
        ("id, frame,x,y,w,h\n1,7,1,1,9,9\n", "line 1: the heading has 'frame' in column 2, and"),
        ("frame id label x y w h\n1 1 0 1 1 9 9\n", "the heading has 'x' in column 4, and the col"),
        ("Frame,ID,X1,Y1,X2,Y2\n1,1,1,1,9,9\n", "the heading has 'x2', a box's other corner"),
        (",,\n", "has no boxes"),
        ("-1,1,1,1,9,9\n", "line 1: the frame -1 is below 0"),
        ("1,-2,1,1,9,9\n", "line 1: the id -2 is below 0"),
    ],
)
def test_what_is_no_result_of_a_tracker(tmp_path, text, words):
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as error:
        read_results(str(path))
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_files_that_can_not_be_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\x00\xff\xfe")
    for name, words in (("a.txt", "it is no text"), ("b.txt", "No such file")):
        with pytest.raises(ConfigError, match=f"can not be read as a tracker's results .{words}"):
            read_results(str(tmp_path / name))
