"""Files of tools for videos, in the layout in which the tools write them: joblib, a file a clip."""

from __future__ import annotations

import os
import pickle
from collections import defaultdict
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch
from structure.figures import figure

from gcl.structure.adapters import CROP_NAMES, NobodyError, PayloadError, open_adapter
from gcl.structure.crop_keys import MissingStructureError
from gcl.structure.geometry import GeometryError, write_faces

FIGURE = figure((0.1, -0.2, 5.0))
WORLD = np.array([1, -1, -1], np.float32)


def body(person: int, frame: int) -> np.ndarray:
    """Where the camera sees that person in that frame: another place for each."""
    return FIGURE.vertices.numpy() + np.float32([person, frame / 100, person])


def wham(people: dict[int, list[int]]) -> dict:
    """What WHAM's demo.py dumps: numpy's numbers as keys of a defaultdict, and in camera and in
    world coordinates."""
    results: dict = defaultdict(dict)
    for person, frames in people.items():
        vertices = np.stack([body(person, frame) for frame in frames])
        track = results[np.int64(person)]
        track["pose"] = track["pose_world"] = np.zeros((len(frames), 72), np.float32)
        track["trans"] = np.zeros((len(frames), 3), np.float32)
        track["trans_world"] = np.ones((len(frames), 3), np.float32)
        track["betas"] = np.zeros((len(frames), 10), np.float32)
        track["verts"], track["frame_ids"] = vertices, np.array(frames)
        track["verts_world"] = vertices * WORLD
    return results


def phalp(seen: dict[int, dict[int, int]]) -> dict:
    """What PHALP dumps: time -> {person: frames since it was seen}; betas[0] tells the person,
    ``camera`` both."""
    frames = {}
    for time, people in seen.items():
        path = f"outputs/_DEMO/clip/img/{time + 1:06d}.jpg"
        smpl = [
            {
                "global_orient": np.eye(3, dtype=np.float32)[None],
                "body_pose": np.tile(np.eye(3, dtype=np.float32), (23, 1, 1)),
                "betas": np.eye(1, 10, dtype=np.float32)[0] * person,
            }
            for person in people
        ]
        frames[path] = {
            "time": time,
            "shot": 0,
            "frame_path": path,
            "tid": list(people),
            "tracked_time": list(people.values()),
            "tracked_ids": [person for person, unseen in people.items() if not unseen],
            "mask": [[{"size": [9, 9], "counts": "a1"}] for _ in people],
            "conf": [np.float32(0.9) for _ in people],
            "smpl": smpl,
            "camera": [np.float32([person, time / 100, 40]) for person in people],
        }
    return frames


class Body:
    """In place of SMPLBody: the figure, as tall as betas[0] says."""

    faces = FIGURE.faces

    def from_parameters(self, global_orient, body_pose, betas):
        vertices = figure((0, 0, 0)).vertices[None] * (1 + betas[:, :1, None] / 10)
        return SimpleNamespace(vertices=vertices @ global_orient[:, 0].mT)


@pytest.fixture
def opened(tmp_path):
    """``opened(source, files, crops, pattern)``: path below the folder -> content (dumped)."""

    def call(source: str, files: dict, crops: str, pattern: str = CROP_NAMES, compress: int = 0):
        for file, content in files.items():
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            joblib.dump(content, path, compress=compress)
        write_faces(str(tmp_path), FIGURE.faces)
        keys = {f"{crop}.jpg": f"crops/{crop}.jpg" for crop in crops.split()}
        return open_adapter(source, str(tmp_path), keys, Body(), crop_names=pattern)

    return call


def same(geometry, person: int, frame: int) -> None:
    np.testing.assert_allclose(geometry.vertices, body(person, frame), atol=1e-6)
    assert torch.equal(geometry.faces, FIGURE.faces)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3)])
def test_a_crop_gets_its_person_in_its_frame(opened, compress):
    """And no other's, nor those of the world."""
    files = {"clip/wham_output.pkl": wham({0: [0, 1, 2], 3: [1, 2]})}
    source = opened("wham", files, "0_000000 0_2 3_1 3_2 3_0 1_0 other", compress=compress)
    for person, frame, crop in ((0, 0, "0_000000"), (0, 2, "0_2"), (3, 1, "3_1"), (3, 2, "3_2")):
        same(source(f"{crop}.jpg"), person, frame)
    for crop, message in (
        ("3_0", "no person 3 in frame 0; it has 2 frames of that person, 1 to 2"),
        ("1_0", "no person 1 in frame 0; it has the persons 0, 3"),
        ("other", "crops/other.jpg is not named {person}_{frame}"),
    ):
        with pytest.raises(NobodyError, match=message.replace("{", r"\{")):
            source(f"{crop}.jpg")


def test_what_is_kept_is_the_crops_bodies_alone(opened):
    """A view would keep all frames of the clip."""
    source = opened("wham", {"clip/wham_output.pkl": wham({0: list(range(50))})}, "0_7 0_9")
    assert all(kept.base is None for _, kept in source._bodies.values())
    assert len(source._bodies) == 2


def test_wham_s_api_has_other_names(opened):
    track = wham({0: [4]})[0]
    track = {"verts_cam": track["verts"], "frame_id": track["frame_ids"]}
    same(opened("wham", {"clip/wham_output.pkl": {0: track}}, "0_4")("0_4.jpg"), 0, 4)


def test_clips_are_found_by_the_video_s_name(opened, tmp_path):
    """WHAM: a folder a video; GVHMR as documented: a file of its name; PHALP: demo_<video>."""
    files = {
        "lobby/wham_output.pkl": wham({0: [1]}),
        "demo_yard.pkl": wham({0: [2]}),
        "gate/gate.pkl": wham({0: [3]}),
    }
    # which lie beside WHAM's own, and are not its results
    (tmp_path / "lobby").mkdir()
    joblib.dump({}, tmp_path / "lobby" / "tracking_results.pth")
    crops = "lobby/0_1 yard/0_2 gate/0_3 none/0_3"
    source = opened("wham", files, crops, "{video}/{person}_{frame}")
    same(source("lobby/0_1.jpg"), 0, 1)
    same(source("yard/0_2.jpg"), 0, 2)
    same(source("gate/0_3.jpg"), 0, 3)
    with pytest.raises(NobodyError, match="has no clip none, of which crops/none/0_3.jpg is"):
        source("none/0_3.jpg")


def test_without_a_person_in_the_names_a_clip_has_one(opened):
    source = opened("wham", {"clip/wham_output.pkl": wham({5: [1, 2]})}, "1 2 3", "{frame}")
    same(source("2.jpg"), 5, 2)
    with pytest.raises(NobodyError, match="no person 5 in frame 3"):
        source("3.jpg")
    with pytest.raises(GeometryError, match=r"has the persons 5, 6: say by \{person\}"):
        opened("wham", {"clip/wham_output.pkl": wham({5: [1], 6: [1]})}, "1", "{frame}")


@pytest.mark.parametrize(
    ("files", "crops", "pattern", "error", "message"),
    [
        (["a"], "x y", "{person}_{frame}", GeometryError, r"no crop is named \{person\}.*crops/x"),
        ([], "0_1", "{person}_{frame}", GeometryError, "has no .pkl file, a clip of wham"),
        (["a", "b"], "0_1", "{person}_{frame}", GeometryError, r"clips a, b: say by \{video\}"),
        (["a"], "u/0_1 v/0_1", "{person}_{frame}", MissingStructureError, "two crops, .*u.*v"),
        (["a", "u/a"], "0_1", "{person}_{frame}", MissingStructureError, "both the clip a"),
        (["a"], "0_1", "{who}_{frame}", GeometryError, "fields are"),
    ],
)
def test_what_can_not_be_told_stops_at_once(opened, files, crops, pattern, error, message):
    with pytest.raises(error, match=message):
        opened("wham", {f"{file}.pkl": wham({0: [1]}) for file in files}, crops, pattern)


def test_a_damaged_clip_is_an_error_of_its_crops_alone(opened, tmp_path):
    files = {"good.pkl": wham({0: [1]}), "kind.pkl": {0: {"pose": np.zeros((1, 72))}}}
    files["short.pkl"] = {0: {"verts": np.zeros((2, 9, 3)), "frame_ids": np.arange(3)}}
    joblib.dump(wham({0: [1]}), tmp_path / "cut.pkl", compress=3)
    content = (tmp_path / "cut.pkl").read_bytes()
    (tmp_path / "cut.pkl").write_bytes(content[: len(content) // 2])
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(os.mkdir))
    names = ("good", "kind", "short", "cut", "evil")
    crops = " ".join(f"{name}/0_1" for name in names)
    source = opened("wham", files, crops, "{video}/{person}_{frame}")
    same(source("good/0_1.jpg"), 0, 1)
    for name, message in (
        ("kind", "is no file of wham: no key verts, but pose"),
        ("short", r"is no file of wham: verts of the shape \(2, 9, 3\) for 3 frames"),
        ("cut", "can not be read .*no end"),
        ("evil", "is refused"),
    ):
        with pytest.raises(PayloadError, match=f"{name}.pkl {message}"):
            source(f"{name}/0_1.jpg")


def test_a_body_that_is_none_is_named(opened):
    track = {"verts": np.zeros((1, 9, 3), np.float32), "frame_ids": np.array([4])}
    with pytest.raises(GeometryError, match="a.pkl, person 0 in frame 4: faces name vertices"):
        opened("wham", {"a.pkl": {0: track}}, "0_4")("0_4.jpg")


def test_phalp_s_people_are_posed_where_they_were_seen(opened):
    """tracked_time above 0: the person is not in this frame, and the entry repeats another."""
    files = {"results/demo_clip.pkl": phalp({0: {1: 0}, 1: {1: 1, 2: 0}, 2: {1: 0, 2: 0}})}
    source = opened("phalp", files, "1_0 1_1 1_2 2_1 2_2", compress=3)
    for person, frame in ((1, 0), (1, 2), (2, 1), (2, 2)):
        expected = figure((0, 0, 0)).vertices * (1 + person / 10)
        expected = expected + torch.tensor([person, frame / 100, 40])
        found = source(f"{person}_{frame}.jpg").vertices
        np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(NobodyError, match="person 1 in frame 1; it has 2 frames"):
        source("1_1.jpg")


def test_phalp_needs_the_body_s_file(tmp_path):
    with pytest.raises(GeometryError, match="--source phalp needs .*--smpl-model"):
        open_adapter("phalp", str(tmp_path), {})


def test_wham_needs_faces(tmp_path):
    with pytest.raises(GeometryError, match=r"faces.npy does not exist.*smpl.faces\)"):
        open_adapter("wham", str(tmp_path), {})
