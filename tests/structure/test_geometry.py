"""The mesh format: ``<stem>.npz`` in metres, faces in it or in the folder's ``faces.npy``."""

from __future__ import annotations

import os
import re
import time

import numpy as np
import pytest
import torch
from structure.figures import figure

from gcl.atomic_files import atomic, remove_leftovers
from gcl.structure.geometry import (
    Geometry,
    GeometryError,
    read_faces,
    read_geometry,
    render_views,
    write_faces,
    write_geometry,
)
from gcl.structure.render import render_structure

TRIANGLE = ((0, 1, 2),)
CORNERS = ((0.0, 0.0, 3.0), (1.0, 0.0, 3.0), (0.0, 1.7, 3.0))


def test_a_mesh_comes_back_as_it_was(tmp_path):
    path = str(tmp_path / "a.npz")
    write_geometry(path, Geometry(CORNERS, TRIANGLE, yaw=90.0, confidence=0.5))
    back = read_geometry(path)
    assert back.vertices.dtype == torch.float32 and back.vertices.tolist()[1] == [1.0, 0.0, 3.0]
    assert back.faces.tolist() == [[0, 1, 2]]
    assert (back.yaw, back.confidence) == (90.0, 0.5)
    with np.load(path) as arrays:  # what design.md promises to others
        assert arrays["vertices"].dtype == np.float32 and arrays["vertices"].shape == (3, 3)
        assert arrays["faces"].shape == (1, 3)
    write_geometry(path, Geometry(CORNERS, TRIANGLE))
    assert (read_geometry(path).yaw, read_geometry(path).confidence) == (None, None)


def test_faces_of_the_folder_are_written_once(tmp_path):
    assert read_faces(str(tmp_path)) is None
    geometry = Geometry(CORNERS, TRIANGLE)
    write_faces(str(tmp_path), geometry.faces)
    faces = read_faces(str(tmp_path))
    assert torch.equal(faces, geometry.faces) and faces.dtype == torch.int64
    path = str(tmp_path / "a.npz")
    write_geometry(path, geometry, faces)
    with np.load(path) as arrays:
        assert set(arrays) == {"vertices"}
    assert torch.equal(read_geometry(path, faces).faces, faces)
    with pytest.raises(GeometryError, match=f"{re.escape(path)}.*no faces in it and no faces.npy"):
        read_geometry(path)
    # other faces than the folder's go into the file, and the folder's are left alone
    other = Geometry(CORNERS, ((2, 1, 0),))
    write_geometry(path, other, faces)
    assert read_geometry(path, faces).faces.tolist() == [[2, 1, 0]]
    write_faces(str(tmp_path), other.faces)
    assert torch.equal(read_faces(str(tmp_path)), faces)


def test_equal_faces_are_one_tensor(tmp_path):
    """The renderer remembers what it works out of a face list with that very tensor."""
    for name in "ab":
        write_geometry(str(tmp_path / name), figure())
    first, second = (read_geometry(str(tmp_path / name)).faces for name in "ab")
    assert first is second
    assert Geometry(CORNERS, TRIANGLE).faces.tolist() == [[0, 1, 2]]
    assert torch.equal(read_geometry(str(tmp_path / "a")).faces, first)


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((0, 3)), TRIANGLE, "vertices have the shape"),
        (np.zeros((5, 2)), TRIANGLE, "vertices have the shape"),
        (np.zeros((1, 5, 3)), TRIANGLE, "vertices have the shape"),
        (CORNERS, np.zeros((0, 3), int), "faces have the shape"),
        (CORNERS, np.zeros((1, 3)), "faces are torch.float64, not integers"),
        (CORNERS, ((0, 1, 3),), "faces name vertices 0 to 3 of a mesh of 3"),
        (CORNERS, ((0, 1, -1),), "faces name vertices -1 to 1"),
        (np.array(CORNERS) * np.nan, TRIANGLE, "not finite"),
        (np.array(CORNERS) * 1000, TRIANGLE, r"1\.7e\+03 long, which is no person in metres"),
        (np.array(CORNERS) / 1000, TRIANGLE, "no person in metres"),
    ],
)
def test_what_is_no_person_is_refused(tmp_path, vertices, faces, message):
    with pytest.raises(GeometryError, match=message):
        Geometry(np.asarray(vertices), np.asarray(faces))
    path = str(tmp_path / "a.npz")
    np.savez(path, vertices=vertices, faces=faces)
    with pytest.raises(GeometryError, match=f"{re.escape(path)} can not be used: .*{message}"):
        read_geometry(path)


@pytest.mark.parametrize(
    "content", [b"", b"no archive", "cut", "damaged", "pickle", "no vertices", None]
)
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "a.npz"
    write_geometry(str(path), figure())
    if content == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif content == "damaged":
        with np.load(path) as arrays:
            np.savez_compressed(path, **arrays)
        whole = path.read_bytes()
        path.write_bytes(whole[:200] + bytes(100) + whole[300:])
    elif content == "pickle":
        np.savez(path, vertices=np.array([{}], object))
    elif content == "no vertices":
        np.savez(path, faces=TRIANGLE)
    elif content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(GeometryError, match=re.escape(str(path))):
        read_geometry(str(path))


@pytest.mark.parametrize("content", [b"", b"no array", np.zeros((4, 3)), np.zeros((4, 2), int)])
def test_broken_faces_are_named(tmp_path, content):
    path = tmp_path / "faces.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(GeometryError, match=re.escape(str(path))):
        read_faces(str(tmp_path))


def test_views_are_the_renderer_s_in_255_greys():
    geometry, turns = figure(), (0, 90, 200.5)
    views = render_views(geometry, turns, (64, 40))
    assert [(view.mode, view.size) for view in views] == [("L", (40, 64))] * 3
    for view, turn in zip(views, turns, strict=True):
        expected = render_structure(
            geometry.vertices[None], geometry.faces, float(turn), size=(64, 40)
        )
        np.testing.assert_allclose(np.asarray(view), expected[0].numpy() * 255, atol=0.5001)
        assert np.asarray(view).max() > 100


def test_views_are_where_the_framing_has_the_person(tmp_path):
    """Read from a file: every view is the unframed one moved and scaled, in rows exactly."""
    plain = figure()
    framed = Geometry(plain.vertices, plain.faces, framing=(0.25, 1.5, 0.75), doubtful=True)
    write_geometry(str(tmp_path / "a.npz"), framed)
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["framing"].dtype == np.float32 and arrays["framing"].shape == (3,)
    back = read_geometry(str(tmp_path / "a.npz"))
    assert back.framing.tolist() == [0.25, 1.5, 0.75] and back.doubtful is True
    for view in render_views(back, (0, 90, 200.5), (80, 120)):
        there = np.asarray(view) > 0
        rows, columns = there.any(1).nonzero()[0], there.any(0).nonzero()[0]
        assert rows[0] == pytest.approx(20, abs=1) and rows[-1] == 79  # the feet are cut off
        # an arm of half a metre is in the crop whole, whatever its side
        assert columns[0] > 60 and columns[-1] < 119
    write_geometry(str(tmp_path / "a.npz"), plain)
    back = read_geometry(str(tmp_path / "a.npz"))
    assert back.framing is None and back.doubtful is False


@pytest.mark.parametrize(
    ("framing", "message"),
    [
        ((0.1, 0.9), r"framing has the shape \(2,\), not \(3,\)"),
        (0.5, r"framing has the shape \(\)"),
        ((0.1, np.nan, 0.5), "framing must be finite"),
        ((0.9, 0.1, 0.5), "bottom .* larger than its top"),
        ((10, 120, 32), "framing 10, 120, 32 has no person in the crop .*not pixels"),
        ((-1.0, 0.0, 0.5), "no person in the crop"),
        ((0.1, 0.9, 2.1), "no person in the crop"),
        ((0.5, 0.501, 0.5), "no person in the crop"),
    ],
)
def test_a_framing_without_the_person_is_refused(tmp_path, framing, message):
    with pytest.raises(GeometryError, match=message):
        Geometry(CORNERS, TRIANGLE, framing=framing)
    path = str(tmp_path / "a.npz")
    np.savez(path, vertices=CORNERS, faces=TRIANGLE, framing=framing)
    with pytest.raises(GeometryError, match=f"{re.escape(path)} can not be used: .*{message}"):
        read_geometry(path)


# ---- files that are there whole, or not at all
def test_an_exception_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic(str(path)) as file:
        file.write(b"half")
        file.flush()
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.txt"]
    with atomic(str(path)) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.txt"]


def test_leftovers_of_killed_runs_go_when_they_are_old(tmp_path):
    for name in (".a.jpg.0f.part", ".b.jpg.1f.part", "c.part", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    os.utime(tmp_path / ".a.jpg.0f.part", (time.time() - 4000,) * 2)
    assert remove_leftovers(str(tmp_path)) == 1
    assert sorted(os.listdir(tmp_path)) == [".b.jpg.1f.part", ".hidden", "c.part"]
