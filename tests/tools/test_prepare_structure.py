"""The command: data sets and folders of crops, where files are looked for, and its errors."""

from __future__ import annotations

import os
import re
import sys

import joblib
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from structure.estimators import estimator  # noqa: F401  a fixture
from structure.figures import figure

from gcl.structure.geometry import read_geometry, render_views, write_faces, write_geometry
from gcl.structure.render_files import TURNS, names_in, read_renders
from gcl.tools import prepare_structure as tool


@pytest.fixture
def run(monkeypatch, capsys):
    """``run(*arguments)``: (exit status or sentence, what was printed)."""

    def call(*arguments: str, last: tuple[str, ...] = ()) -> tuple[int | str, str]:
        line = [
            "prepare_structure.py",
            *map(str, arguments),
            "--workers",
            "0",
            "--height",
            "32",
            *last,
        ]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as end:
            tool.main()
        return end.value.code, capsys.readouterr().out

    return call


@pytest.fixture
def crops(tmp_path, write_crop):
    """A folder of three crops."""
    for name in ("a.jpg", "b.png", "c.jpeg"):
        write_crop(tmp_path / "crops" / name)
    (tmp_path / "crops" / "notes.txt").write_text("no image")
    return tmp_path / "crops"


def named(folder: str, *names: str) -> set[str]:
    """Keys of crops in a folder of a data set."""
    return {f"{folder}/{name}" for name in names}


def write_tool_files(folder, stems) -> None:
    """Files as 4D-Humans' model gives them."""
    os.makedirs(folder)
    write_faces(str(folder), figure().faces)
    for stem in stems:
        values = {"pred_vertices": figure().vertices[None], "pred_cam_t": np.zeros((1, 3))}
        np.savez(os.path.join(folder, f"{stem}.npz"), **values)


def test_a_folder_of_crops_is_a_training_set(tmp_path, crops, run):
    write_tool_files(tmp_path / "in", "abc")
    out = tmp_path / "out"
    arguments = (crops, "--source", "hmr2", "--input", tmp_path / "in", "--out", out)
    status, printed = run(*arguments)
    assert status == 0
    assert printed.startswith("hmr2: Licence: ") and "non-commercial" in printed.splitlines()[0]
    assert printed.splitlines()[3].split()[:3] == ["train", "3", "3"]
    assert sorted(os.listdir(out)) == ["sheet_train.png", "train"]
    assert names_in(str(out / "train")) == named("crops", "a.jpg", "b.png", "c.jpeg")
    # again, and with the meshes too, from which the renders can be made again
    assert run(*arguments)[1].splitlines()[3].split()[:4] == ["train", "3", "0", "3"]
    assert run(*arguments, "--write", "geometry")[0] == 0
    os.remove(out / "train" / "renders" / "crops" / "a.jpg.tif")
    status, printed = run(crops, "--source", "geometry", "--out", out)
    assert status == 0 and printed.splitlines()[2].split()[:4] == ["train", "3", "1", "2"]


def test_the_estimator_is_the_default_source(tmp_path, crops, run, estimator):  # noqa: F811
    Image.new("RGB", (40, 64), (64, 30, 0)).save(crops / "b.png")
    (crops / "bad.jpg").write_bytes(b"")
    out = tmp_path / "out"
    status, printed = run(crops, "--out", out)
    assert status == 1  # one crop can not be read
    lines = printed.splitlines()
    assert lines[0].startswith("train: 3 crops estimated, ") and lines[0].endswith(" crops/s")
    assert lines[1].startswith("train: ") and lines[1].endswith(
        f"in {out}/train/low_confidence.txt"
    )
    assert "crops/b.png 0.118\n" in (out / "train" / "low_confidence.txt").read_text()
    assert lines[4].split()[:6] == ["train", "4", "3", "0", "0", "1"]
    assert lines[5].startswith(f"failed: image {crops}/bad.jpg can not be read")
    assert ("load", None) in estimator.log and "adapt" not in dict(estimator.log)
    # the renders are those of the mesh, in the place where the crop has the person
    assert names_in(str(out / "train")) == named("crops", "a.jpg", "b.png", "c.jpeg")
    mesh = out / "train" / "geometry" / "crops" / "b.png.npz"
    geometry = read_geometry(str(mesh), figure().faces)
    assert geometry.yaw == pytest.approx(64 / 255 * 360)
    views = render_views(geometry, (0, *TURNS), (32, 20))
    written = str(out / "train" / "renders" / "crops" / "b.png.tif")
    for image, view in zip(read_renders(written, (0, *TURNS)), views, strict=True):
        assert np.array_equal(image, view)
        rows = np.asarray(view).any(1).nonzero()[0]
        assert (rows[0], rows[-1]) == (16, 31)
    # again: nothing to do but what a killed run left
    estimator.log.clear()
    (crops / "bad.jpg").unlink()
    os.remove(out / "train" / "renders" / "crops" / "a.jpg.tif")
    status, printed = run(crops, "--out", out)
    assert status == 0 and estimator.log == []
    assert printed.splitlines()[0].endswith("low_confidence.txt")
    assert printed.splitlines()[3].split()[:6] == ["train", "3", "1", "2", "0", "0"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_axes_of_mesh_files_are_said_or_guessed_and_told(tmp_path, crops, run, workers):
    """Two of three meshes in our axes lie about the origin."""
    os.makedirs(tmp_path / "in")
    for name, shift in (("a", 5.0), ("b", 0.0), ("c", 0.0)):
        mesh = trimesh.Trimesh(figure((0.0, 0.0, shift)).vertices, figure().faces, process=False)
        mesh.export(tmp_path / "in" / f"{name}.ply")
    line = (crops, "--source", "mesh", "--input", tmp_path / "in", "--out")
    last = ("--write", "geometry", "--workers", workers)
    status, printed = run(*line, tmp_path / "guessed", last=last)
    told = "axes of the mesh files, guessed: opencv 1, opengl 2 (--axes says which they are)"
    assert status == 0 and printed.splitlines().count(told) == 1
    status, printed = run(*line, tmp_path / "said", "--axes", "opencv", last=last)
    assert status == 0 and "guessed" not in printed
    for name, shift in (("a.jpg", 5.0), ("b.png", 0.0), ("c.jpeg", 0.0)):
        mesh = read_geometry(str(tmp_path / f"said/train/geometry/crops/{name}.npz"))
        torch.testing.assert_close(mesh.vertices, figure((0.0, 0.0, shift)).vertices)
    status, _ = run(crops, "--out", tmp_path / "out", "--axes", "opencv")
    assert status == (
        "ConfigError: --axes is of mesh files: --source estimate has axes of its own; drop --axes."
    )


def test_meshes_alone_and_adaptation(tmp_path, crops, run, estimator):  # noqa: F811
    out = tmp_path / "out"
    line = (crops, "--out", out, "--write", "geometry", "--adapt", "--weights", "x.safetensors")
    status, printed = run(*line)
    assert status == 0 and printed.splitlines()[4].split()[:3] == ["train", "3", "3"]
    assert estimator.log == [("load", "x.safetensors"), ("adapt", 3), ("estimate", 3)]
    assert sorted(os.listdir(out / "train")) == ["geometry", "low_confidence.txt"]
    status, _ = run(crops, "--out", tmp_path / "other", "--weights", "x.txt")
    assert status == "ConfigError: --weights: x.txt is no file of weights."


def test_renders_are_checked_and_the_exit_status_says_so(tmp_path, crops, run):
    write_tool_files(tmp_path / "in", "abc")
    out = tmp_path / "out"
    run(crops, "--source", "hmr2", "--input", tmp_path / "in", "--out", out)
    check = (crops, "--source", "renders", "--out", out)
    status, printed = run(*check)
    assert (status, printed.splitlines()[0]) == (0, "train: 3 files: all good.")
    (out / "train" / "renders" / "crops" / "b.png.tif").write_bytes(b"")
    status, printed = run(*check)
    assert status == 1 and f"broken: {out}/train/renders/crops/b.png.tif" in printed
    assert "look at" in printed  # at the other two
    run(crops, "--source", "hmr2", "--input", tmp_path / "in", "--out", out, "--write", "geometry")
    check = (crops, "--source", "geometry", "--write", "geometry", "--out", out)
    status, printed = run(*check)
    assert (status, printed.splitlines()[0]) == (0, "train: 3 files: all good.")
    (out / "train" / "geometry" / "crops" / "a.jpg.npz").write_bytes(b"")
    status, printed = run(*check)
    assert status == 1 and f"broken: {out}/train/geometry/crops/a.jpg.npz" in printed


def test_crops_without_mesh_set_the_exit_status(tmp_path, crops, run):
    write_tool_files(tmp_path / "in", "a")
    status, printed = run(
        crops, "--source", "hmr2", "--input", tmp_path / "in", "--out", tmp_path / "out"
    )
    assert status == 1
    assert printed.splitlines()[3].split()[:6] == ["train", "3", "1", "0", "2", "0"]


def test_every_crop_that_fails_is_listed_and_the_run_ends_with_its_table(
    tmp_path,
    write_crop,
    run,
    estimator,  # noqa: F811
):
    """A sliver, a bomb, broken headers, names that are too long or no text: eight of them."""
    folder, out = tmp_path / "crops", tmp_path / "out"
    for i in range(3):
        write_crop(folder / f"{i}.jpg")
    Image.new("L", (1, 4000)).save(folder / "sliver.png")
    Image.new("1", (20000, 10000)).save(folder / "bomb.png")
    for i in range(4):
        (folder / f"header{i}.jpg").write_bytes(b"\xff\xd8\xff" + bytes(i))
    long, bytes_ = "x" * 248 + ".png", os.fsdecode(b"\xff.jpg")
    write_crop(folder / "x" / long)
    (folder / bytes_).write_bytes(b"")
    status, printed = run(folder, "--out", out)
    assert status == 1
    lines = printed.splitlines()
    assert lines[4].split()[:6] == ["train", "11", "3", "0", "0", "8"]
    assert f"all of them are in {out}/train/failed.txt" in lines and "look at" in lines[-1]
    listed = (out / "train" / "failed.txt").read_text(errors="surrogateescape").splitlines()
    failed = ["bomb.png", *(f"header{i}.jpg" for i in range(4)), "sliver.png", f"x/{long}", bytes_]
    assert [line.split("\t")[0] for line in listed] == [f"crops/{name}" for name in failed]
    assert all(len(line.split("\t")[2]) > 20 for line in listed)
    # mended: the list goes
    for name in failed:
        (folder / name).unlink()
    status, printed = run(folder, "--out", out)
    assert status == 0 and "failed.txt" not in printed
    assert not (out / "train" / "failed.txt").exists()


def test_structures_inside_the_folder_of_crops_are_no_crops(tmp_path, crops, run):
    write_tool_files(tmp_path / "in", "abc")
    line = (crops, "--source", "hmr2", "--input", tmp_path / "in", "--out", crops / "out")
    for made in ("3", "0"):
        status, printed = run(*line)
        assert status == 0 and printed.splitlines()[3].split()[:3] == ["train", "3", made]
    status, _ = run(*line[:-1], crops)
    assert "--out" in status and "is the folder of the crops" in status


def test_a_data_set_of_the_toolbox_has_two_splits(tmp_path, market_data, run):
    for split, stems in (("train", market_data), ("test", ["0005_c1s1_000001_00", "x_c2"])):
        folder = tmp_path / "in" / split
        folder.mkdir(parents=True)
        for name in stems:
            write_geometry(str(folder / f"{os.path.splitext(name)[0]}.npz"), figure())
    arguments = ("Market1501", "--source", "geometry", "--input", tmp_path / "in")
    arguments += ("--out", tmp_path / "out")
    status, printed = run(*arguments)
    assert status == 0
    assert names_in(str(tmp_path / "out" / "train")) == named(
        "Market1501/bounding_box_train", *market_data
    )
    status, printed = run(*arguments, "--split", "train", "test")
    assert status == 1  # the second test image, 0005_c2s1_000002_00, has no mesh
    assert names_in(str(tmp_path / "out" / "test")) == {"Market1501/query/0005_c1s1_000001_00.jpg"}
    assert "has no file for Market1501/bounding_box_test/0005_c2s1_000002_00.jpg" in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("NoSuchSet", "--source", "mesh", "--input", "."), "knows no data set 'NoSuchSet'"),
        (("{crops}", "--input", "{crops}"), "name the tool by --source"),
        (("{crops}", "--source", "mesh"), "--source mesh needs --input"),
        (("{crops}", "--source", "mesh", "--input", "{none}"), "none is no folder"),
        (("{crops}", "--source", "geometry"), "geometry is no folder"),
        (("{crops}", "--source", "hmr2", "--input", "{crops}"), "faces.npy does not exist"),
        (("{crops}", "--source", "renders"), "renders does not exist"),
        (("{crops}", "--source", "renders", "--split", "test"), "drop --split"),
        (("{crops}", "--source", "renders", "--write", "geometry"), "no mesh can be made from"),
        (("{empty}", "--source", "renders"), "empty has no images"),
        (("{crops}", "--source", "smpl", "--input", "{crops}"), "--smpl-model"),
        (
            ("{crops}", "--source", "smpl", "--input", "{crops}", "--smpl-model", "{none}"),
            "register at https://smpl.is.tue.mpg.de",
        ),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path, crops, run, arguments, sentence):
    (tmp_path / "empty").mkdir()
    places = {"crops": crops, "empty": tmp_path / "empty", "none": tmp_path / "none"}
    given = [a.format(**places) for a in arguments]
    status, printed = run(*given, "--out", tmp_path / "out")
    assert re.search(re.escape(sentence), str(status)), status
    assert "\n" not in status
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pair", [("--height", "0"), ("--workers", "-1"), ("--height", "tall")])
def test_numbers_that_make_no_sense_are_refused(tmp_path, crops, run, pair):
    line = (crops, "--source", "renders", "--out", tmp_path)
    assert run(*line, last=pair)[0] == 2  # argparse's, with the usage and a sentence


def test_crops_that_differ_in_their_suffix_alone(tmp_path, crops, write_crop, run, estimator):  # noqa: F811
    """Each has its estimate; a tool's file can not say whose it is."""
    write_crop(crops / "a.png", seed=1)
    out = tmp_path / "out"
    status, printed = run(crops, "--out", out)
    assert status == 0 and printed.splitlines()[4].split()[:3] == ["train", "4", "4"]
    assert names_in(str(out / "train")) == named("crops", "a.jpg", "a.png", "b.png", "c.jpeg")
    check = (crops, "--source", "renders", "--out", out)
    assert run(*check)[1].splitlines()[0] == "train: 4 files: all good."
    write_tool_files(tmp_path / "in", "abc")
    status, _ = run(crops, "--source", "hmr2", "--input", tmp_path / "in", "--out", tmp_path / "o2")
    assert "a would be the structure of two crops, crops/a.jpg and crops/a.png: put" in status
    assert "\n" not in status and not (tmp_path / "o2").exists()


def test_a_tool_s_files_in_the_folders_of_the_crops(tmp_path, write_crop, run, monkeypatch):
    """A registered set of a folder a camera, in which names repeat."""
    from fastreid.data.datasets.bases import ImageDataset

    paths = [write_crop(tmp_path / "shop" / f"cam{i}" / "1.jpg", seed=i) for i in (1, 2)]
    items = [(path, f"shop_{i}", f"shop_{i}") for i, path in enumerate(paths)]
    shop = ImageDataset(items, [], [])
    monkeypatch.setattr("gcl.tools.prepare_structure.load_dataset", lambda name: shop)
    for i in (1, 2):
        write_tool_files(tmp_path / "in" / f"cam{i}", ["1"])
    os.rename(tmp_path / "in" / "cam1" / "faces.npy", tmp_path / "in" / "faces.npy")
    out = tmp_path / "out"
    status, printed = run("Shop", "--source", "hmr2", "--input", tmp_path / "in", "--out", out)
    assert status == 0 and printed.splitlines()[3].split()[:3] == ["train", "2", "2"]
    assert names_in(str(out / "train")) == {"Shop/cam1/1.jpg", "Shop/cam2/1.jpg"}


def test_renders_in_the_authors_flat_folders_are_checked_as_they_are(
    tmp_path, market_data, write_renders, run
):
    root = write_renders(tmp_path / "flat", market_data)
    check = ("Market1501", "--source", "renders", "--out", root)
    status, printed = run(*check)
    assert (status, printed.splitlines()[0]) == (0, "train: 64 files: all good.")
    os.remove(tmp_path / "flat" / "train" / "render_90" / market_data[2])
    status, printed = run(*check)
    assert status == 1 and f"missing: {root}/train/render_90/{market_data[2]}" in printed


def test_a_full_disk_ends_in_one_sentence(tmp_path, crops, run):
    write_tool_files(tmp_path / "in", "abc")
    (tmp_path / "out").write_bytes(b"a file where the folder should be")
    arguments = (crops, "--source", "hmr2", "--input", tmp_path / "in", "--out", tmp_path / "out")
    status, _ = run(*arguments)
    assert "out" in status and "\n" not in status


@pytest.mark.parametrize(("rank", "status"), [(0, 1), (1, 0)])
def test_of_a_torchrun_job_only_the_process_that_prints_fails(run, monkeypatch, rank, status):
    """Torchrun kills all others as soon as one fails: the table would be lost."""
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(tool.dist, "init_process_group", lambda *args, **kwargs: None)
    monkeypatch.setattr(tool, "run", lambda args: False)
    assert run("crops", "--out", "out") == (status, "")


def test_crops_of_videos_are_named_by_an_option(tmp_path, write_crop, run):
    """WHAM's folder a video; which crops are whose, --crop-names says."""
    for video, frame in (("lobby", 1), ("yard", 2)):
        write_crop(tmp_path / "crops" / video / f"0_{frame:06d}.jpg")
        track = {"verts": figure().vertices.numpy()[None], "frame_ids": np.array([frame])}
        os.makedirs(tmp_path / "in" / video)
        joblib.dump({0: track}, tmp_path / "in" / video / "wham_output.pkl")
    write_faces(str(tmp_path / "in"), figure().faces)
    arguments = (tmp_path / "crops", "--source", "wham", "--input", tmp_path / "in")
    arguments += ("--out", tmp_path / "out")
    status, _ = run(*arguments)
    assert "say by {video} in --crop-names" in status
    status, _ = run(*arguments, "--crop-names", "{video}/{person}_{frame}")
    assert status == 0
    rendered = names_in(str(tmp_path / "out" / "train"))
    assert rendered == named("crops", "lobby/0_000001.jpg", "yard/0_000002.jpg")


@pytest.mark.parametrize("source", ["estimate", "hmr2", "geometry"])
def test_crop_names_of_a_source_without_clips_are_refused(tmp_path, crops, run, source):
    line = (crops, "--source", source, "--out", tmp_path / "out", "--crop-names", "{frame}")
    assert f"is for clips, not for --source {source}" in run(*line)[0]
