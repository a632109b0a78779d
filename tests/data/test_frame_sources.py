"""Frames of videos and of folders: which picture has which number, to the pixel."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recordings import frames, write_frames, write_results, write_video

from gcl.config import ConfigError
from gcl.data.frame_sources import open_frames
from gcl.data.tracker_results import read_results

PICTURES = frames(7)


@pytest.fixture
def boxes(tmp_path):
    """``boxes(*numbers)``: results with a box in each of these frames."""
    return lambda *numbers: read_results(
        write_results(tmp_path / "results.txt", [(n, 1, 0, 0, 9, 9) for n in numbers])
    )


def same(found: dict[int, object], expected: dict[int, np.ndarray | str]) -> None:
    assert found.keys() == expected.keys()
    for number, picture in expected.items():
        if isinstance(picture, str):
            assert found[number] == picture
        else:
            np.testing.assert_array_equal(np.asarray(found[number]), picture)


@pytest.mark.parametrize(
    ("suffix", "times"), [(".mkv", ()), (".mkv", (0, 1, 2, 40, 41, 300, 301)), (".avi", ())]
)
def test_a_video_s_frames_are_counted_whatever_their_rate(tmp_path, boxes, suffix, times):
    path = write_video(tmp_path / f"größe [1] %d{suffix}", PICTURES, times)
    for first in (0, 1):
        video = open_frames(path, boxes(first, 3))
        assert video.size == (96, 128) and video.first == first
        assert video.end == (None if suffix == ".mkv" else first + 7)
        wanted = [first, 3, first + 6]
        same(dict(video.pictures(wanted)), {n: PICTURES[n - first] for n in wanted})


@pytest.mark.parametrize("turn", [90, -90, 180])
def test_a_turned_video_is_turned_upright(tmp_path, boxes, turn):
    """A telephone stores a video as its sensor lies and says by how much a player turns it."""
    video = open_frames(write_video(tmp_path / "a.mkv", PICTURES, rotation=turn), boxes(1))
    upright = np.rot90(PICTURES[4], turn // 90)
    assert video.size == upright.shape[:2]
    same(dict(video.pictures([5])), {5: upright})


def test_frames_behind_the_end_and_in_a_video_that_is_cut_off(tmp_path, boxes):
    path = write_video(tmp_path / "a.avi", PICTURES)
    why = "behind frame {}, the last that can be decoded"
    same(dict(open_frames(path, boxes(1)).pictures([7, 8])), {7: PICTURES[6], 8: why.format(7)})
    assert open_frames(path, boxes(1)).lacks(np.array([1, 7, 8])).tolist() == [False, False, True]
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: len(whole) // 2])
    cut_off = open_frames(path, boxes(1))
    found = dict(cut_off.pictures(range(1, 8)))
    last = max(n for n, picture in found.items() if not isinstance(picture, str))
    assert 1 <= last < 6
    same(found, {n: PICTURES[n - 1] if n <= last else why.format(last) for n in range(1, 8)})


def test_a_folder_of_frames_goes_by_their_names(tmp_path, boxes):
    folder = write_frames(tmp_path / "a" / "img1", PICTURES, first=11)
    (Path(folder) / "notes.txt").write_text("no frame")
    (Path(folder) / "000013.png").unlink()
    (Path(folder) / "000014.png").write_text("no picture")
    for path in (folder, str(tmp_path / "a")):  # or the sequence that it is of
        found = open_frames(path, boxes(11, 13, 17))
        assert (found.size, found.end, found.note) == (
            (96, 128),
            18,
            "frames by the numbers in their names",
        )
        same(
            dict(found.pictures([11, 13, 14, 17, 18])),
            {
                11: PICTURES[0],
                13: "no such frame",
                14: "a frame that can not be read",
                17: PICTURES[6],
                18: "no such frame",
            },
        )


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["0", "1", "2"], 1),  # names from 0, results from 1
        (["0", "1", "2"], 0),
        (["1", "2", "3"], 0),
        (["100", "200", "300"], 1),  # each hundredth frame, counted by the tracker
        (["b", "c", "d"], 1),
        (["x", "9", "10"], 1),  # no number, then by number
    ],
)
def test_a_folder_of_frames_goes_by_their_order(tmp_path, boxes, names, first):
    for name, picture in zip(names, PICTURES, strict=False):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    found = open_frames(str(tmp_path), boxes(first, first + 1, first + 2))
    assert found.note == "frames by their order"
    same(dict(found.pictures(range(first, first + 3))), {first + i: PICTURES[i] for i in range(3)})


def test_what_is_no_recording(tmp_path, boxes):
    pytest.importorskip("av")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.jpg").write_text("no picture")
    (tmp_path / "text.mp4").write_text("no video")
    for name, words in (
        ("nowhere", "is no video and no folder of frames"),
        ("empty", "has no frames"),
        ("bad", "none of its 1 pictures can be read"),
        ("text.mp4", r"can not be read as a video \(.*\): give a whole one"),
    ):
        with pytest.raises(ConfigError, match=words) as error:
            open_frames(str(tmp_path / name), boxes(1))
        assert str(error.value).startswith(str(tmp_path / name))


def test_a_video_without_pyav(tmp_path, boxes, monkeypatch):
    (tmp_path / "a.mp4").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match="read by PyAV, which is not installed: pip install av"):
        open_frames(str(tmp_path / "a.mp4"), boxes(1))
