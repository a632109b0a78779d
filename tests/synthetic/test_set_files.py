"""Sets on disk: what the toolbox reads, the table, interruption; nothing is drawn twice."""

import csv
import hashlib
import runpy
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import gcl  # noqa: F401

# isort: split
from fastreid.data.datasets import DATASET_REGISTRY

from gcl.structure.adapters import open_adapter
from gcl.structure.crop_keys import crop_keys
from gcl.structure.geometry import write_geometry
from gcl.structure.poses import ACTIVITIES
from gcl.structure.prepare import Preparation, prepare
from gcl.structure.render_files import FOLDERS, TURNS, read_renders
from gcl.structure.store import RenderStore
from gcl.synthetic import Settings, dataset, set_folder, true_views, write_set
from gcl.synthetic import set_files as files
from gcl.synthetic.draw import bodies
from gcl.synthetic.plan import VERSION, plan

SMALL = Settings(people=2, test_people=2, cameras=2, shots=5, height=48, width=24, seed=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    write_set(root, SMALL, progress=False)
    return root


@pytest.fixture
def folder(made):
    return made / "synthetic-pedestrians"


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.*")
        if path.is_file()
    }


def rows_of(folder):
    with open(folder / "crops.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_toolbox_reads_it(made):
    data = DATASET_REGISTRY.get("SyntheticPedestrians")(root=str(made))
    assert {pid for _, pid, _ in data.train} == {"synthetic_1", "synthetic_2"}
    assert {cam for _, _, cam in data.train} == {"synthetic_0", "synthetic_1"}
    assert len(data.train) == 2 * 2 * 5
    assert {pid for _, pid, _ in data.query} == {pid for _, pid, _ in data.gallery} == {3, 4}
    assert (len(data.query), len(data.gallery)) == (2 * 2, 2 * 2 * 4)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_under_torchrun_one_process_of_a_machine_draws(made, monkeypatch, rank):
    """tools/prepare_structure.py has a group of processes, and not the toolbox's own of a machine,
    without which the toolbox can not tell the local rank."""
    drawn = []
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(dataset.comm, "get_local_rank", lambda: pytest.fail("asked the toolbox"))
    monkeypatch.setattr(files, "write_set", drawn.append)
    dataset.SyntheticPedestrians(root=str(made))
    assert drawn == [str(made)] * (rank == "0")


def test_the_stock_market_class_reads_it_too(folder):
    data = DATASET_REGISTRY.get("Market1501")(root=str(folder))
    assert (len(data.train), len(data.query), len(data.gallery)) == (20, 4, 16)


def test_every_crop_has_all_structures_of_its_size(folder):
    for split, folders in (("train", FOLDERS_TRAIN), ("test", FOLDERS_TEST)):
        crops = [str(p) for f in folders for p in (folder / files.CROPS / f).iterdir()]
        keys = crop_keys("SyntheticPedestrians", str(folder / files.CROPS), crops)
        store = RenderStore(str(folder / "meshes"), split, keys)
        assert crops and all(crop in store for crop in crops)
        for turn in (0, 45, 315):
            assert store.load(crops[0], turn).size == (24, 48)


FOLDERS_TRAIN = ("bounding_box_train",)
FOLDERS_TEST = ("query", "bounding_box_test")


def test_the_table_has_a_row_for_each_crop_and_says_what_its_name_says(folder):
    rows = rows_of(folder)
    listed = {(row["folder"], row["image"]) for row in rows}
    there = {(p.parent.name, p.name) for p in (folder / files.CROPS).glob("*/*.jpg")}
    assert listed == there and len(rows) == len(there) == 40
    for row in rows:
        assert row["image"].startswith(f"{int(row['person']):04d}_c{row['camera']}s1_")
        assert 0 <= float(row["yaw"]) < 360.005 and 0 < float(row["elevation"]) < 45
        assert row["activity"] in ACTIVITIES


def test_a_person_is_seen_from_all_around(folder):
    yaws = [float(r["yaw"]) for r in rows_of(folder) if (r["person"], r["camera"]) == ("1", "1")]
    gaps = np.diff(np.sort([*yaws, min(yaws) + 360]))
    assert gaps.max() < 160


def test_the_second_call_draws_nothing(made, monkeypatch):
    before = hashes(made)
    monkeypatch.setattr(files, "draw_batch", lambda *_: pytest.fail("drawn again"))
    monkeypatch.setattr(files, "plan", lambda *_: pytest.fail("planned again"))
    write_set(made, SMALL)
    write_set(made)  # whatever is there
    assert hashes(made) == before


@pytest.mark.parametrize("torn, missing", [(False, 2), (True, 3)])
def test_an_interrupted_set_is_completed_to_the_same_files(
    made, tmp_path, monkeypatch, torn, missing
):
    """40 crops are three batches; the first one was done, or torn by a kill in its middle."""
    draw, count = files.draw_batch, []

    def dies(*args):
        if count:
            raise KeyboardInterrupt
        count.append(1)
        return draw(*args)

    monkeypatch.setattr(files, "draw_batch", dies)
    with pytest.raises(KeyboardInterrupt):
        write_set(tmp_path, SMALL, progress=False)
    assert not (tmp_path / files.FOLDER / "crops.csv").exists()
    if torn:
        next((tmp_path / files.FOLDER / "meshes" / "train" / "render_90").iterdir()).unlink()

    drawn = []
    monkeypatch.setattr(files, "draw_batch", lambda *args: drawn.append(1) or draw(*args))
    write_set(tmp_path, progress=False)  # by the settings that it was begun with
    assert len(drawn) == missing
    assert hashes(tmp_path) == hashes(made)


def test_another_seed_gives_other_files(made, tmp_path):
    settings = replace(SMALL, people=1, test_people=1, seed=4)
    write_set(tmp_path, settings, progress=False)
    here, there = hashes(tmp_path), hashes(made)
    same = [name for name in here.keys() & there.keys() if name.endswith(".jpg")]
    assert same and not any(here[name] == there[name] for name in same)


def test_more_people_do_not_change_the_others():
    few, more = plan(SMALL), plan(replace(SMALL, people=5))
    assert [s for s in more if s.person <= 2] == [s for s in few if s.person <= 2]
    assert [s.scene for s in more if s.split == "test"] == [
        s.scene for s in few if s.split == "test"
    ]


def test_other_settings_are_refused_with_the_difference(made):
    with pytest.raises(ValueError, match="seed 3 instead of 9.*remove it or choose another folder"):
        write_set(made, replace(SMALL, seed=9))


@pytest.mark.parametrize(
    "wrong, message",
    [({"cameras": 1}, "cameras of at least 2"), ({"people": 0}, "people"), ({"seed": -1}, "seed")],
)
def test_settings_that_make_no_set(wrong, message):
    with pytest.raises(ValueError, match=message):
        Settings(**wrong)


def test_a_broken_settings_file_is_named(tmp_path):
    folder = tmp_path / files.FOLDER
    folder.mkdir()
    (folder / "set.json").write_text("{")
    with pytest.raises(ValueError, match="set.json is broken.*remove"):
        write_set(tmp_path)


def another_version(made, tmp_path):
    """A whole set that another version drew, with another render and a crop that ours has not."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / files.FOLDER
    text = (folder / "set.json").read_text()
    assert f'"version": {VERSION}' in text
    (folder / "set.json").write_text(text.replace(f'"version": {VERSION}', '"version": 1'))
    next((folder / "meshes" / "train" / "render_90").iterdir()).write_bytes(b"old")
    (folder / files.CROPS / "query" / "0009_c1s1_000001_00.jpg").write_bytes(b"old")
    return folder


def test_a_set_of_another_version_is_drawn_anew(made, tmp_path, caplog):
    folder = another_version(made, tmp_path)
    (folder / "notes.txt").write_text("stays")
    with pytest.raises(ValueError, match="another version.*python -m gcl.synthetic"):
        true_views(folder, "0001_c1s1_000001_00.jpg", (0,))
    assert write_set(tmp_path, progress=False) == str(folder)
    assert "drawn by another version of this software" in caplog.text
    assert (folder / "notes.txt").read_text() == "stays"
    (folder / "notes.txt").unlink()
    assert hashes(tmp_path) == hashes(made)


def test_what_is_killed_while_it_draws_anew_goes_on(made, tmp_path, monkeypatch):
    """Nothing of the other version is left, wherever the kill comes."""
    folder, write = another_version(made, tmp_path), set_folder.write_file

    def dies(path, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(set_folder, "write_file", dies)  # before the settings are written
    with pytest.raises(KeyboardInterrupt):
        write_set(tmp_path, progress=False)
    assert not (folder / "crops.csv").exists()
    monkeypatch.setattr(set_folder, "write_file", write)
    write_set(tmp_path, SMALL, progress=False)
    assert hashes(tmp_path) == hashes(made)


def test_other_settings_of_another_version_stay(made, tmp_path):
    folder = another_version(made, tmp_path)
    before = hashes(folder)
    with pytest.raises(ValueError, match="seed 3 instead of 9.*remove it or choose another folder"):
        write_set(tmp_path, replace(SMALL, seed=9))
    assert hashes(folder) == before


def test_structures_are_those_that_are_prepared_from_the_same_mesh(folder, tmp_path):
    """The very pixels, in every turn, of tools/prepare_structure.py --source geometry, as JPEG."""
    shots = plan(SMALL)[: files.BATCH]
    with files.one_thread():
        people = bodies(files.get_tailor(), [shot.scene for shot in shots], SMALL.size)
    crops = {str(folder / files.CROPS / s.folder / s.name): s.name for s in shots}
    for shot, body in zip(shots, people, strict=True):
        write_geometry(str(tmp_path / f"{shot.name}.npz"), body)
    source = open_adapter("geometry", str(tmp_path), crops)
    out = str(tmp_path / "train")
    assert prepare(Preparation(crops, source, out, ["renders"], SMALL.height)).complete
    for shot in shots:
        made = read_renders(f"{out}/renders/{shot.name}.tif", (0, *TURNS))
        for view, image in zip(FOLDERS, made, strict=True):
            ours = (folder / "meshes" / shot.split / view / shot.name).read_bytes()
            assert ours == files.jpeg(np.asarray(image), 95), (shot.name, view)


def test_true_views(folder):
    name = "0001_c1s1_000002_00.jpg"
    views = true_views(folder, name, (0, 45, 180))
    with Image.open(folder / files.CROPS / "bounding_box_train" / name) as crop:
        own = np.asarray(crop.convert("RGB"), int)
    # up to what sums in another order do: the crop was drawn in a batch
    assert np.abs(np.asarray(views[0], int) - own).mean() < 0.1
    assert all(np.abs(np.asarray(view, int) - own).mean() > 4 for view in views[1:])
    with pytest.raises(FileNotFoundError, match="no crop nobody"):
        true_views(folder, "nobody.jpg", (0,))
    with pytest.raises(FileNotFoundError, match="no synthetic set"):
        true_views(folder.parent, name, (0,))


def test_the_command_says_what_is_wrong_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gcl.synthetic", str(tmp_path), "--cameras", "1"])
    with pytest.raises(SystemExit, match="at least 2") as end:
        runpy.run_module("gcl.synthetic", run_name="__main__")
    assert "\n" not in end.value.code


def test_leftovers_of_a_copy_do_not_matter(made, tmp_path):
    """A finished set may be moved."""
    shutil.copytree(made, tmp_path / "moved")
    assert write_set(tmp_path / "moved", SMALL) == str(tmp_path / "moved" / files.FOLDER)
