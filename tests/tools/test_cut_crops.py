"""The command from recordings to a folder that is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings import frames, write_frames, write_results, write_video

from gcl.config import ConfigError
from gcl.data.crop_cutting import Recording
from gcl.data.own_crops import list_folder
from gcl.tools.cut_crops import recordings_of

ROWS = [(f, t, 10 + 40 * t, 20, 20, 50, 0.9) for f in range(1, 11) for t in (0, 1)]
PICTURES = frames(10)


@pytest.fixture
def gate(tmp_path) -> Path:
    """A folder of frames, as a sequence of MOTChallenge, with its results beside it."""
    write_frames(tmp_path / "größe 1" / "img1", PICTURES)
    write_results(tmp_path / "größe 1.txt", ROWS)
    return tmp_path / "größe 1"


def test_a_video_and_a_folder_become_two_cameras(gate, tmp_path, run_tool):
    video = write_video(tmp_path / "hall.mkv", PICTURES)
    write_results(tmp_path / "hall.txt", [(30, 1, 10, 20, 20, 50), *(row[:6] for row in ROWS)])
    out = tmp_path / "my crops"
    line = (gate, video, "--out", out, "--every", 5)
    end, printed = run_tool("cut_crops", *line, "--dry-run")
    assert end is None and not out.exists()
    assert "camera größe 1, 128 x 96, 10 frames" in printed and "to cut: 4 crops" in printed
    end, printed = run_tool("cut_crops", *line)
    assert end is None, end
    assert "not cut: 1 crop, the first hall/0001/000030.jpg: behind frame 10, the last" in printed
    assert printed.endswith(f"{out}: 8 crops, listed in crops.csv\n")
    found = list_folder(str(out))
    assert found.numbers == (8, 2, 4) and found.cameras == ["größe 1", "hall"]
    assert found.crops[0] == ("größe 1/0000/000001.jpg", "größe 1", "0000", 1.0)
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    end, printed = run_tool("cut_crops", *line)
    assert end is None and before == {path: path.read_bytes() for path in out.rglob("*.*")}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--every", 0), "ConfigError: --every is 0"),
        (("--confidence", 0.95), "ConfigError: No box becomes a crop"),
        (("--results", "/no.txt"), "ConfigError: /no.txt can not be read as a tracker's results"),
        (("--cameras", "a", "b"), "ConfigError: --cameras has 2 names for 1 recording: give one"),
        (("--cameras", "a/b"), "ConfigError: --cameras: 'a/b' can not be the name of a folder"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(gate, tmp_path, run_tool, change, words):
    end, _ = run_tool("cut_crops", gate, "--out", tmp_path / "out", *change)
    assert end.startswith(words) and "\n" not in end and not (tmp_path / "out").exists()


def test_recordings_are_named_after_their_files(gate, tmp_path):
    path = str(gate)
    named = [Recording(f"{path}/img1", f"{path}.txt", "größe 1")]
    assert recordings_of([f"{path}/img1"], None, None) == named
    (tmp_path / "a.b.txt").touch()
    (tmp_path / "a.b.mp4").touch()
    video = str(tmp_path / "a.b.mp4")
    assert recordings_of([video], None, None) == [Recording(video, f"{tmp_path}/a.b.txt", "a.b")]
    two = recordings_of([video, path, path], ["1.txt", "2.txt", "3.txt"], ["x", "y", "x"])
    assert [(one.camera, one.number) for one in two] == [("x", 1), ("y", 0), ("x", 2)]
    with pytest.raises(ConfigError, match="Several recordings have the name größe 1: say by --cam"):
        recordings_of([path, path], None, None)
    (tmp_path / "größe 1.txt").unlink()
    with pytest.raises(ConfigError, match="its tracker's results, .*1.txt, are not there: name"):
        recordings_of([path], None, None)
