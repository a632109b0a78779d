"""Crops out of recordings: what is written, byte for byte, whatever happened on the way."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image
from recordings import frames, write_frames, write_results, write_video

from gcl.config import ConfigError
from gcl.data import crop_cutting
from gcl.data.box_choice import Choice
from gcl.data.crop_cutting import Plan, Recording, cut, prepare_folder
from gcl.data.crop_list import Crop
from gcl.data.own_crops import list_folder
from gcl.structure.crop_keys import files_below

PICTURES = frames(12)
CHOICE = Choice(every=4, height=24)
ROWS = [
    *((f, 1, 10 + f, 20, 16.4, 40, 0.9) for f in range(1, 13)),
    *((f, 2, 80, 20 + f, 20, 50, 0.9) for f in range(3, 10)),
    (4, 3, 40, 20, 16, 40, 0.1),
    (5, -1, 40, 20, 16, 40, 0.9),
]
NAMES = [*(f"gate/0001/{f:06d}.jpg" for f in (1, 5, 9)), "gate/0002/000003.jpg"]
NAMES += ["gate/0002/000007.jpg", "gate/no_track/000005_000.jpg"]


@pytest.fixture
def gate(tmp_path) -> Recording:
    """A folder of frames with its results."""
    frames = write_frames(tmp_path / "gate", PICTURES)
    return Recording(frames, write_results(tmp_path / "gate.txt", ROWS), "gate")


def make(out: Path, *recordings: Recording, choice: Choice = CHOICE):
    plans = [Plan(recording, choice) for recording in recordings]
    prepare_folder(str(out), plans, choice)
    return cut(plans, str(out))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in sorted(files_below(str(folder)))}


def test_crops_carry_camera_track_and_frame(gate, tmp_path):
    crops, lost = make(tmp_path / "out", gate)
    assert sorted(crop.name for crop in crops) == NAMES and lost == []
    found = contents(tmp_path / "out")
    assert sorted(found) == ["crops.csv", "cutting.json", *NAMES]
    box = (15, 20, 31, 60)  # of track 1 in frame 5, rounded
    expected = io.BytesIO()
    Image.fromarray(PICTURES[4]).crop(box).save(expected, "JPEG", quality=95)
    assert found["gate/0001/000005.jpg"] == expected.getvalue()
    # as the folder is read: by its table, and by the names alone
    table = list_folder(str(tmp_path / "out"))
    assert table.crops[0] == Crop(NAMES[0], "gate", "0001", 1.0)
    assert table.crops[-1] == Crop(NAMES[-1], "gate", "", 5.0)
    os.remove(tmp_path / "out" / "crops.csv")
    named = list_folder(str(tmp_path / "out"), "{camera}/{track}/{frame}.jpg")
    assert named.crops[:-1] == table.crops[:-1]


def test_a_video_gives_what_its_frames_give(gate, tmp_path):
    make(tmp_path / "frames", gate)
    video = Recording(write_video(tmp_path / "gate.mkv", PICTURES), gate.results, "gate")
    make(tmp_path / "video", video)
    one, other = (contents(tmp_path / name) for name in ("frames", "video"))
    assert one.pop("cutting.json") != other.pop("cutting.json")
    assert one == other


@pytest.mark.parametrize("kills", [0, 3])
def test_a_killed_call_goes_on_to_the_same_bytes(gate, tmp_path, monkeypatch, kills):
    """In the middle of a file, before the first one is there or when some are."""
    make(tmp_path / "whole", gate)
    out, save = tmp_path / "killed", Image.Image.save
    done = []

    def killed(self, file, *args, **kwargs):
        if len(done) >= kills:
            # a kill leaves its part; an exception would take it away
            Path(out, "gate", ".000000.jpg.0.part").write_bytes(b"half")
            raise KeyboardInterrupt
        save(self, file, *args, **kwargs)
        done.append(file)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            make(out, gate)
    assert not (out / "crops.csv").exists() and len(list(out.rglob("[0-9]*.jpg"))) == kills
    make(out, gate)
    assert contents(out) == contents(tmp_path / "whole")


def test_what_is_there_is_not_made_again(gate, tmp_path, monkeypatch):
    make(tmp_path / "out", gate)
    before = contents(tmp_path / "out")
    monkeypatch.setattr(crop_cutting, "_write", None)
    make(tmp_path / "out", gate)
    assert contents(tmp_path / "out") == before


def test_another_way_of_cutting_needs_another_folder(gate, tmp_path):
    out = tmp_path / "out"
    make(out, gate)
    with pytest.raises(ConfigError, match="cut in another way: every was 4, and is 5. Give anoth"):
        make(out, gate, choice=Choice(every=5, height=24))
    write_results(tmp_path / "gate.txt", ROWS[1:])
    with pytest.raises(ConfigError, match="cut in another way: camera gate was"):
        make(out, gate)
    (out / "cutting.json").write_text("{")
    with pytest.raises(ConfigError, match="cutting.json is damaged"):
        make(out, gate)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ConfigError, match="full has other files in it: give a new folder"):
        make(tmp_path / "full", gate)


def test_recordings_of_one_camera_keep_their_tracks_apart(gate, tmp_path):
    other = Recording(gate.frames, gate.results, "gate", 2)
    crops, _ = make(tmp_path / "out", Recording(gate.frames, gate.results, "gate", 1), other)
    assert {crop.name for crop in crops} == {f"{i}/{name}" for i in (1, 2) for name in NAMES}
    table = list_folder(str(tmp_path / "out"))
    assert table.cameras == ["gate"]
    assert table.tracks == [("gate", f"{i}/000{j}") for i in (1, 2) for j in (1, 2)]
    os.remove(tmp_path / "out" / "crops.csv")
    named = list_folder(str(tmp_path / "out"), "{camera}/{track}/{frame}.jpg")
    assert named.tracks == table.tracks


def test_frames_that_are_not_there_are_told_and_left_out(gate, tmp_path):
    os.remove(Path(gate.frames) / "000005.png")
    Path(gate.frames, "000007.png").write_text("no picture")
    Image.fromarray(PICTURES[0][:24, :20]).save(Path(gate.frames) / "000009.png")
    crops, lost = make(tmp_path / "out", gate)
    assert dict(lost) == {
        "gate/0001/000005.jpg": "no such frame",
        "gate/no_track/000005_000.jpg": "no such frame",
        "gate/0002/000007.jpg": "a frame that can not be read",
        "gate/0001/000009.jpg": "too little of it is in the picture, 20 x 24",
    }
    assert len(crops) == 2
    assert list_folder(str(tmp_path / "out")).crops == tuple(sorted(crops))


def test_results_of_another_recording(gate, tmp_path):
    late = [(f + 9, 1, 10, 20, 20, 40) for f in range(1, 13)]
    boxes = write_results(tmp_path / "late.txt", late)
    with pytest.raises(
        ConfigError, match="9 of the 12 boxes are in frames that .* does not"
    ):
        Plan(Recording(gate.frames, boxes, "gate"), CHOICE)
    wide = [(f, 1, 10 + 40 * (f > 4), 150, 20, 40) for f in range(1, 13)]
    boxes = write_results(tmp_path / "wide.txt", wide)
    with pytest.raises(ConfigError, match="12 of the 12 boxes are outside the .*, 128 x 96: give"):
        Plan(Recording(gate.frames, boxes, "gate"), CHOICE)
    few = [(f + 5, 1, 10, 20, 20, 40) for f in range(1, 13)]
    plan = Plan(Recording(gate.frames, write_results(tmp_path / "a.txt", few), "gate"), CHOICE)
    assert plan.lacking == 5 and "\n  5 boxes in frames that are not there" in plan.summary()
    os.remove(Path(gate.frames) / "000007.png")
    assert Plan(plan.recording, CHOICE).lacking == 6


def test_what_was_understood(gate):
    assert Plan(gate, CHOICE).summary().splitlines() == [
        f"{gate.frames}: camera gate, 128 x 96, 12 frames (frames by the numbers in their names)",
        f"  {gate.results}: 21 boxes, 3 tracks (commas between 7 columns, frames count from 1)",
        "  to cut: 6 crops of 2 tracks",
        "  left out: 14 boxes, between samples",
        "  left out: 1 box, confidence < 0.3",
    ]
