"""Structures of a data set: what is made, skipped, refused; killed runs; shares of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from photograph_files import HEIGHT, KINDS, WIDTH, write_photograph
from PIL import Image
from structure.figures import figure, write_pictures

from gcl.structure.adapters import NobodyError
from gcl.structure.crop_keys import files_below
from gcl.structure.geometry import read_faces, read_geometry, render_views, write_geometry
from gcl.structure.prepare import (
    Preparation,
    Verification,
    each,
    open_written,
    prepare,
    sheet,
    verify,
)
from gcl.structure.render_files import TURNS, names_in, renders_whole
from gcl.structure.store import GeometryStore, RenderStore

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


class Figures:
    """Crop -> the same figure; crops named nobody* have none, bad* a broken one."""

    faces = figure().faces

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, crop: str):
        self.asked.append(os.path.basename(crop))
        if os.path.basename(crop).startswith("nobody"):
            raise NobodyError(f"nobody in {crop}.")
        if os.path.basename(crop).startswith("bad"):
            raise ValueError(f"{crop} is bad.")
        return figure()


@pytest.fixture
def make_crops(tmp_path):
    """``make_crops(names)``: photographs of 24 x 64 pixels; returns paths, with names as keys."""

    def make(*names: str) -> dict[str, str]:
        for name in names:
            path = tmp_path / "crops" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 64), "gray").save(path)
        return {str(tmp_path / "crops" / name): name for name in names}

    return make


@pytest.fixture
def train(tmp_path) -> str:
    return str(tmp_path / "meshes" / "train")


@pytest.mark.parametrize("workers", [0, 2])
def test_renders_are_those_of_the_mesh_in_the_crop_s_shape(make_crops, train, workers):
    summary = prepare(
        Preparation(make_crops("a.png", "b.png"), Figures(), train, ["renders"], 96), workers
    )
    assert summary.counts == Counter({"made": 2}) and summary.complete
    assert names_in(train) == {"a.png", "b.png"} and os.listdir(train) == ["renders"]
    assert files_below(train) == {"renders/a.png.tif", "renders/b.png.tif"}  # one file a crop
    crops = make_crops("b.png")
    store = RenderStore(os.path.dirname(train), "train", crops)
    expected = render_views(figure(), (0, *TURNS), (96, 36))
    for turn, view in zip((0, *TURNS), expected, strict=True):
        assert np.array_equal(store.load(*crops, turn), view)


def test_meshes_share_the_folder_s_faces(make_crops, train):
    prepare(Preparation(make_crops("a.png"), Figures(), train, ["geometry"], 96))
    assert os.listdir(train) == ["geometry"]
    with np.load(f"{train}/geometry/a.png.npz") as arrays:
        assert set(arrays) == {"vertices"}
    faces = read_faces(f"{train}/geometry")
    assert (faces == figure().faces).all()
    assert (read_geometry(f"{train}/geometry/a.png.npz", faces).vertices == figure().vertices).all()


def test_what_is_there_is_not_made_again(make_crops, train):
    crops = make_crops("a.png", "b.png", "c.png")
    prepare(Preparation(make_crops("a.png", "b.png"), Figures(), train, ["renders"], 64))
    os.remove(f"{train}/renders/b.png.tif")
    before = os.stat(f"{train}/renders/a.png.tif").st_mtime_ns
    source = Figures()
    summary = prepare(Preparation(crops, source, train, ["renders"], 64))
    assert source.asked == ["b.png", "c.png"]
    assert summary.counts == Counter({"made": 2, "there already": 1})
    assert os.stat(f"{train}/renders/a.png.tif").st_mtime_ns == before
    # the geometry of all is asked for later
    source = Figures()
    summary = prepare(Preparation(crops, source, train, ["renders", "geometry"], 64))
    assert source.asked == ["a.png", "b.png", "c.png"] and summary.counts["made"] == 3
    assert os.stat(f"{train}/renders/a.png.tif").st_mtime_ns == before


def test_whole_renders_of_the_published_layout_are_not_made_again(make_crops, train):
    """a.png has its eight pictures, b.png but seven, c.png a damaged one, d.png none."""
    crops = make_crops("a.png", "b.png", "c.png", "d.png")
    for name, grey in (("a.png", 60), ("b.png", 70), ("c.png", 80)):
        write_pictures(train, name, [Image.new("L", (24, 64), grey)] * 8)
    os.remove(f"{train}/render_90/b.png")
    os.truncate(f"{train}/render_90/c.png", 50)
    source, before = Figures(), files_below(train)
    summary = prepare(Preparation(crops, source, train, ["renders"], 64))
    assert source.asked == ["b.png", "c.png", "d.png"]
    assert summary.counts == Counter({"made": 3, "there already": 1})
    assert files_below(train) - before == {f"renders/{name}.png.tif" for name in "bcd"}
    # what was made counts, also where some pictures are
    store = RenderStore(os.path.dirname(train), "train", crops)
    assert verify(Verification(store)) == []
    first, *others = crops
    assert np.asarray(store.load(first, 45)).tolist() == [[60] * 24] * 64
    view = render_views(figure(), (45,), (64, 24))[0]
    assert all(np.array_equal(store.load(crop, 45), view) for crop in others)
    source = Figures()
    prepare(Preparation(crops, source, train, ["renders"], 64))
    assert source.asked == []


def test_crops_without_a_mesh_are_counted_and_told(make_crops, train):
    crops = make_crops("a.png", "bad.png", *(f"nobody{i}.png" for i in range(7)))
    empty, bad, *_ = crops
    with open(empty, "wb"):
        pass
    summary = prepare(Preparation(crops, Figures(), train, ["renders"], 64))
    assert summary.counts == Counter({"nobody": 7, "failed": 2}) and not summary.complete
    table = summary.table("train")
    assert f"image {empty} can not be read" in table and f"failed: {bad}" in table
    assert table.count("nobody: ") == 5
    assert table.splitlines()[2].split() == ["train", "9", "0", "0", "7", "2", "-"]
    assert names_in(train) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_renders_have_the_shape_of_the_upright_crop(tmp_path, train, kind):
    path, pixels = write_photograph(tmp_path, kind)
    crops = {path: "set/crop.png"}
    prepare(Preparation(crops, Figures(), train, ["renders"], 2 * HEIGHT))
    store = RenderStore(os.path.dirname(train), "train", crops)
    assert verify(Verification(store)) == []
    assert store.load(path).size == (2 * WIDTH, 2 * HEIGHT)
    assert sheet(store, [path], str(tmp_path / "sheet.png")) == 1
    with Image.open(tmp_path / "sheet.png") as image:  # the crop is its first cell
        cell = image.crop((4, 18, 4 + round(128 * WIDTH / HEIGHT), 18 + 128))
    crop = Image.fromarray(pixels).resize(cell.size, Image.Resampling.BICUBIC)
    assert np.array_equal(cell, crop)


@pytest.mark.parametrize("size", [(24, 5), (24, 193), (20000, 10000)], ids=str)
def test_what_is_no_crop_fails_alone(make_crops, train, size):
    crops = make_crops("a.png", "b.png", "c.png")
    _, bad, good = crops
    Image.new("1", size).save(bad)
    summary = prepare(Preparation(crops, Figures(), train, ["renders", "geometry"], 64))
    assert summary.counts == Counter({"made": 2, "failed": 1})
    (message,) = summary.messages
    assert message.startswith(f"failed: image {bad} can not be ")
    assert names_in(train) == {"a.png", "c.png"}
    # one that was good once spoils neither the check nor the sheet
    os.truncate(good, os.path.getsize(good) // 2)
    store = RenderStore(os.path.dirname(train), "train", crops)
    assert sheet(store, list(crops), os.path.join(train, "sheet.png")) == 1
    problems = verify(Verification(store))
    assert [(p.kind, p.path) for p in problems if p.kind == "crop"] == [("crop", bad)]


def test_a_disk_error_stops_the_run(make_crops, train, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gcl.structure.prepare.write_renders", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(Preparation(make_crops("a.png"), Figures(), train, ["renders"], 64))


@pytest.mark.parametrize("content", [b"", b"PK", "cut", "a bit", "a pickle"])
def test_a_damaged_mesh_is_made_again(make_crops, train, content):
    crops = make_crops("a.png", "b.png")
    wanted = ["geometry"]
    prepare(Preparation(crops, Figures(), train, wanted, 64))
    path = f"{train}/geometry/b.png.npz"
    with open(path, "rb") as file:
        whole = file.read()
    if content == "a pickle":
        np.savez(path, vertices=np.array([{}], object))
    else:
        bit = whole[:900] + bytes([whole[900] ^ 1]) + whole[901:]
        damaged = {"cut": whole[:1000], "a bit": bit}.get(content, content)
        with open(path, "wb") as file:
            file.write(damaged)
    source = Figures()
    summary = prepare(Preparation(crops, source, train, wanted, 64))
    assert source.asked == ["b.png"]
    assert summary.counts == Counter({"made": 1, "there already": 1})
    with open(path, "rb") as file:
        assert file.read() == whole


@pytest.mark.parametrize("cut", [0, 100])
def test_a_damaged_render_is_made_again(make_crops, train, cut):
    crops = make_crops("a.png", "b.png")
    prepare(Preparation(crops, Figures(), train, ["renders"], 64))
    os.truncate(f"{train}/renders/b.png.tif", cut)
    source = Figures()
    prepare(Preparation(crops, source, train, ["renders"], 64))
    assert source.asked == ["b.png"]
    store = RenderStore(os.path.dirname(train), "train", crops)
    assert verify(Verification(store)) == []


def test_a_name_that_the_disk_can_not_have_fails_alone(make_crops, train):
    """252 letters, and a suffix behind them."""
    crops = make_crops("a.png", "y" * 248 + ".png", "z.png")
    long = list(crops)[1]
    for write in ("renders", "geometry"):
        summary = prepare(Preparation(crops, Figures(), train, [write], 32))
        assert summary.counts == Counter(made=2, failed=1)
        (lost,) = summary.lost
        assert (lost.state, lost.key) == ("failed", crops[long])
        why = "its structure can not be written (File name too long)"
        assert lost.message.startswith(f"{long}: {why}")


def test_a_folder_that_the_disk_can_not_have_fails_its_crops_alone(make_crops, train):
    crops = make_crops("a.png", "b.png")
    first, second = crops
    crops = {first: crops[first], second: "x" * 300 + "/b.png"}
    summary = prepare(Preparation(crops, Figures(), train, ["renders", "geometry"], 32))
    assert summary.counts == Counter(made=1, failed=1) and summary.lost[0].key == crops[second]


def test_crops_of_equal_names_have_structures_of_their_own(make_crops, train):
    """In other folders, with another suffix, in other data sets; a flat structure is nobody's."""
    crops = make_crops("a/1.jpg", "a/1.png", "a/c1/1.png", "b/c1/1.png")
    flat = {path: key.rsplit("/", 1)[1] for path, key in crops.items() if "b/c1" in key}
    prepare(Preparation(flat, Figures(), train, ["renders", "geometry"], 32))
    summary = prepare(Preparation(crops, Figures(), train, ["renders", "geometry"], 32))
    assert summary.counts == Counter(made=4)
    assert names_in(train) == {"1.png", *crops.values()}
    meshes = {f"{key}.npz" for key in crops.values()}
    assert files_below(f"{train}/geometry", ".npz") == {"1.png.npz"} | meshes
    again = Preparation(crops, Figures(), train, ["renders", "geometry"], 32)
    assert prepare(again).counts == Counter({"there already": 4})


def test_the_longest_name_of_a_file_system_is_written(make_crops, train):
    name = "x" * 240 + ".png"
    crops = make_crops(name)
    assert prepare(
        Preparation(crops, Figures(), train, ["renders", "geometry"], 32)
    ).counts == Counter(made=1)
    assert names_in(train) == {name} and os.path.exists(f"{train}/geometry/{name}.npz")


def test_what_killed_runs_left_goes_from_all_folders(make_crops, train):
    crops = make_crops("a/c1/1.png")
    prepare(Preparation(crops, Figures(), train, ["renders", "geometry"], 32))
    left = [f"{train}/{folder}/a/c1/.1.png.0f.part" for folder in ("renders", "geometry")]
    for path in left:
        with open(path, "wb"):
            pass
        os.utime(path, (time.time() - 4000,) * 2)
    prepare(Preparation(crops, Figures(), train, ["renders", "geometry"], 32))
    assert not any(map(os.path.exists, left))


def test_renders_are_checked_crop_by_crop(make_crops, train):
    crops = make_crops("a.png", "b.png", "c.png")
    prepare(Preparation(crops, Figures(), train, ["renders"], 64))

    def problems(source: str = "renders", workers: int = 0) -> list:
        store = open_written(os.path.dirname(train), "train", [source], crops, 64)
        return verify(Verification(store), workers)

    assert problems() == []
    os.remove(f"{train}/renders/b.png.tif")
    for workers in (0, 1):
        (problem,) = problems(workers=workers)
        assert (problem.kind, problem.path) == ("missing", f"{train}/renders/b.png.tif")
        assert problem.crop == list(crops)[1]
    os.mkdir(f"{train}/geometry")
    assert len(problems("geometry")) == 3


# ---- processes
def test_shares_are_disjoint_and_complete(monkeypatch):
    class Numbers:
        def __len__(self) -> int:
            return 11

        def __getitem__(self, index: int) -> int:
            return index

    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "3")
        shares.append(list(each(Numbers(), 0, "")))
    assert [len(share) for share in shares] == [4, 4, 3]
    assert sorted(sum(shares, [])) == list(range(11))


def tool(*arguments: str, launcher: tuple[str, ...] = ()) -> list[str]:
    launcher = launcher or (sys.executable,)
    return [*launcher, os.path.join(ROOT, "tools", "prepare_structure.py"), *arguments]


@pytest.fixture
def input_folder(tmp_path, make_crops):
    """40 crops and their meshes; the folder of each."""
    crops = make_crops(*(f"{i:02d}.jpg" for i in range(40)))
    (tmp_path / "input").mkdir()
    for i in range(40):
        write_geometry(str(tmp_path / "input" / f"{i:02d}.npz"), figure())
    return os.path.dirname(next(iter(crops))), str(tmp_path / "input")


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_killed_run_leaves_whole_files_and_goes_on(tmp_path, input_folder, workers):
    """SIGKILL in the middle of the work, then the same command again."""
    crops, meshes = input_folder
    out = str(tmp_path / "out")
    command = tool(crops, "--source", "geometry", "--input", meshes, "--out", out)
    command += ["--height", "200", "--workers", workers]
    written = f"{out}/train/renders/crops"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.time() + 600  # of a busy machine; only a hang takes as long
    while not (os.path.isdir(written) and len(os.listdir(written)) >= 5):
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.005)
    process.kill()  # the main process only: its workers must end by themselves,
    process.communicate(timeout=30)  # which closes the last end of the pipe
    whole = names_in(f"{out}/train")
    done = len(whole)
    assert 3 <= done < 40 and all(renders_whole(f"{out}/train", name) for name in whole)
    with Image.open(f"{out}/train/renders/{min(whole)}.tif") as image:
        assert image.size == (75, 8 * 200)
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert names_in(f"{out}/train") == {f"crops/{i:02d}.jpg" for i in range(40)}
    row = result.stdout.splitlines()[2].split()
    assert row[:6] == ["train", "40", str(40 - done), str(done), "0", "0"]
    assert f"look at {out}/sheet_train.png" in result.stdout


def test_torchrun_shares_the_work(tmp_path, input_folder):
    crops, meshes = input_folder
    out = str(tmp_path / "out")
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    arguments = (crops, "--source", "geometry", "--input", meshes, "--out", out, "--workers", "0")
    command = tool(*arguments, "--height", "32", launcher=launcher)
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert len(names_in(f"{out}/train")) == 40
    assert result.stdout.splitlines()[2].split()[:3] == ["train", "40", "40"]  # told once, of all
    assert result.stdout.count("look at") == 1


# ---- the sheet
def test_a_sheet_shows_crop_own_view_and_turns(tmp_path, make_crops, train):
    crops = make_crops(*(f"{i}.png" for i in range(20)))
    for i, crop in enumerate(crops):
        Image.new("RGB", (24, 64), (10 * i, 0, 0)).save(crop)
    even = dict(list(crops.items())[::2])
    prepare(Preparation(even, Figures(), train, ["renders", "geometry"], 128))
    path = str(tmp_path / "sheet.png")
    root = os.path.dirname(train)
    own = np.asarray(RenderStore(root, "train", even).load(next(iter(even)), 90))
    for write, kind in ((["renders"], RenderStore), (["geometry"], GeometryStore)):
        store = open_written(root, "train", write, crops, 128)
        assert isinstance(store, kind)
        assert sheet(store, crops, path, rows=5) == 5
        with Image.open(path) as image:
            pixels = np.asarray(image)
        width, height, gap, header = 48, 128, 4, 14
        assert pixels.shape == (5 * (height + gap) + gap + header, 9 * (width + gap) + gap, 3)
        reds = [pixels[header + gap + r * (height + gap) + 64, gap + 24, 0] for r in range(5)]
        assert len(set(reds)) == 5 and all(red % 20 == 0 for red in reds)  # those with structures
        column = gap + 3 * (width + gap)
        cell = pixels[header + gap : header + gap + height, column : column + width, 0]
        assert np.array_equal(cell, own)
    assert sheet(store, list(crops)[1::2], str(tmp_path / "no.png")) == 0
    assert not os.path.exists(tmp_path / "no.png")
