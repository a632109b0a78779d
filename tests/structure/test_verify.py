"""Every kind of damage is found and named, and nothing else is."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image
from structure.figures import PUBLISHED, figure, write_pictures

from gcl.structure.geometry import render_views, write_geometry
from gcl.structure.render_files import TURNS, write_renders
from gcl.structure.store import GeometryStore, RenderStore
from gcl.structure.verify import (
    Problem,
    check_geometry,
    check_renders,
    files_of,
    report,
)


@pytest.fixture
def crop(tmp_path):
    """A crop of 48 x 128 pixels and its renders of 24 x 64, in the published layout."""
    Image.new("RGB", (48, 128)).save(tmp_path / "a.jpg")
    write_pictures(
        str(tmp_path / "train"), "a.jpg", render_views(figure(), (0, *TURNS), (64, 24)), "JPEG"
    )
    return str(tmp_path / "a.jpg")


def renders(tmp_path, crop) -> list[Problem]:
    return check_renders(RenderStore(str(tmp_path), "train", {crop: "a.jpg"}), crop)


def test_good_renders_have_no_problem(tmp_path, crop):
    assert renders(tmp_path, crop) == []


@pytest.mark.parametrize(("width", "height"), [(25, 64), (23, 64), (96, 256), (97, 256), (3, 8)])
def test_a_rounded_side_is_no_problem(tmp_path, crop, width, height):
    write_pictures(
        str(tmp_path / "train"), "a.jpg", render_views(figure(), (0, *TURNS), (height, width))
    )
    assert renders(tmp_path, crop) == []


@pytest.mark.parametrize("view", PUBLISHED)
@pytest.mark.parametrize("kind", ["missing", "broken", "cut", "size", "black"])
def test_one_bad_file_is_found(tmp_path, crop, view, kind):
    path = tmp_path / "train" / view / "a.jpg"
    if kind == "missing":
        path.unlink()
    elif kind == "broken":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-300])
        kind = "broken"
    elif kind == "size":
        Image.open(path).resize((48, 128)).save(path)
    elif kind == "black":
        noise = np.random.default_rng(0).integers(0, 9, (64, 24), np.uint8)  # as JPEG leaves it
        Image.fromarray(noise).save(path)
    problems = renders(tmp_path, crop)
    if view == "render" and kind == "size":  # the first one is the measure of the others
        assert {p.kind for p in problems} == {"size"} and len(problems) == 7
    else:
        assert [p[:3] for p in problems] == [(kind, str(path), crop)]


def test_a_crop_that_can_not_be_read_is_a_problem_and_not_the_end(tmp_path, crop):
    with open(crop, "wb") as file:
        file.write(b"no picture")
    (problem,) = renders(tmp_path, crop)
    assert problem[:2] == ("crop", crop) and "replace or remove it" in problem.detail


def test_another_shape_than_the_crop_s_is_found(tmp_path, crop):
    views = render_views(figure(), (0, *TURNS), (64, 32))
    write_pictures(str(tmp_path / "train"), "a.jpg", views)
    problems = renders(tmp_path, crop)
    assert [p.kind for p in problems] == ["aspect"] * 8
    assert problems[0].detail == "32 x 64, crop 48 x 128"


DAMAGE = ("missing", "cut", "bit", "black", "aspect")


@pytest.mark.parametrize("view", range(8))
@pytest.mark.parametrize("kind", DAMAGE)
def test_one_file_has_each_problem_once(tmp_path, crop, view, kind):
    """It takes the place of the pictures, which are whole."""
    (tmp_path / "train" / "renders").mkdir()
    path = str(tmp_path / "train" / "renders" / "a.jpg.tif")
    views = render_views(figure(), (0, *TURNS), (64, 24))
    write_renders(str(tmp_path / "train"), "a.jpg", views)
    store = RenderStore(str(tmp_path), "train", {crop: "a.jpg"})
    assert check_renders(store, crop) == [] and files_of(store) == 1
    if kind == "aspect":
        views = [image.resize((48, 64)) for image in views]
    elif kind == "black":
        for i in range(view + 1):
            views[i] = Image.new("L", (24, 64), 9)
    write_renders(str(tmp_path / "train"), "a.jpg", views)
    if kind == "missing":
        os.remove(path)
    elif kind == "cut":
        os.truncate(path, os.path.getsize(path) - 10 * (view + 1))
    elif kind == "bit":
        content = bytearray(open(path, "rb").read())
        content[-1 - view] ^= 1
        open(path, "wb").write(content)
    problems = [p[:3] for p in check_renders(store, crop)]
    assert problems == [({"cut": "broken", "bit": "broken"}.get(kind, kind), path, crop)]


def test_meshes_are_checked_too(tmp_path, crop):
    folder = tmp_path / "train" / "geometry"
    folder.mkdir()
    path = str(folder / "a.jpg.npz")
    store = GeometryStore(str(tmp_path), "train", {crop: "a.jpg"})
    assert files_of(store) == 1
    assert check_geometry(store, crop) == [Problem("missing", path, crop)]
    write_geometry(path, figure())
    assert check_geometry(store, crop) == []
    np.savez(path, vertices=np.zeros((3, 3)), faces=((0, 1, 2),))
    (problem,) = check_geometry(store, crop)
    assert (problem.kind, problem.path) == ("broken", path)


def test_the_report_counts_and_names_the_first_five():
    assert report([], 8) == "8 files: all good."
    black = [Problem("black", f"b{i}", "crop") for i in range(7)]
    text = report([*black, Problem("size", "s", "crop", "why")], 80)
    table, *lines = text.split("\n\n")[0], *text.split("\n\n")[1].splitlines()
    counts = [row.split()[-1] for row in table.splitlines()[2:]]
    assert counts == ["1", "7"] and "of 80 files" in table
    assert lines == ["size: s why", *(f"black: b{i}" for i in range(5)), "black: and 2 more"]


def test_files_are_those_that_crops_have_or_need(tmp_path, crop):
    """Eight pictures of a.jpg, one file of b.jpg; c.jpg would have one."""
    (tmp_path / "train" / "renders").mkdir()
    views = render_views(figure(), (0, *TURNS), (64, 24))
    write_renders(str(tmp_path / "train"), "b.jpg", views)
    crops = {crop: "a.jpg", "b.jpg": "b.jpg", "c.jpg": "c.jpg"}
    assert files_of(RenderStore(str(tmp_path), "train", crops)) == 8 + 1 + 1
