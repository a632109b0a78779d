"""A folder of crops in, a trained run out: the training command on DATASETS.NAMES OwnCrops."""

from __future__ import annotations

import os
import shutil
import types
from pathlib import Path

import numpy as np
import pytest
import yaml
from engine import runs
from structure.estimators import FakeEstimator, estimator  # noqa: F401  a fixture
from toy import DATASET, write_toy_dataset

from gcl.config import ConfigError
from gcl.data.crop_list import Crop, CropList, Numbers, Skipped, read_list
from gcl.engine.data_defaults import data_defaults
from gcl.engine.hooks import LoaderHook
from gcl.tools import folder_run
from gcl.tools.command_line import read_config
from gcl.tools.folder_run import (
    follow_folder,
    own_keys,
    resumed,
    understand,
    without_unreadable,
)
from gcl.tools.train_net import load_config, take_place

FOLDER = runs.REPOSITORY / "projects/GCL/configs/folder.yml"
PATTERN = "{camera}/tr{track}/{frame}.jpg"

# as few steps and weights as there can be; K1 and the like follow from the data
SMALL = {
    key: value
    for key, value in runs.OPTIONS.items()
    if not key.startswith(("GCL.LABELS", "GCL.CAMERA_NORM", "SOLVER.IMS", "GCL.CONTRAST.IMS"))
} | {
    "MODEL.WEIGHTS": "",
    "GCL.GENERATOR.NAME": "ViewGenerator",
    "GCL.GENERATOR.WEIGHTS": "",
    "GCL.GENERATOR.FREEZE_LAYERS": (),
    "GCL.GENERATOR.SIZE": [32, 16],
    "GCL.PHASES": ("generator", "joint"),
    "GCL.GENERATOR.EPOCHS": 1,
    "GCL.JOINT.EPOCHS": 1,
    "GCL.LABELS.EPS": 0.7,
}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """64 crops of 8 people to train on and 16 of others, in Market-1501's layout."""
    root = tmp_path_factory.mktemp("drawn")
    write_toy_dataset(root, people=8, test_people=2, orientations=4, size=(32, 16))
    return root / DATASET


@pytest.fixture
def crops(drawn, tmp_path) -> Path:
    """The 64 as an anonymous nested folder that says camera, track and time; and two others."""
    folder = tmp_path / "my crops"
    for i, path in enumerate(sorted((drawn / "bounding_box_train").iterdir())):
        person, camera, frame, _ = path.stem.split("_")
        place = folder / f"gate{camera[1]}" / f"tr{int(person) * 37 % 101}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / f"{int(frame)}.jpg")
        assert i < 64
    (folder / "notes.txt").write_text("no crop")
    (folder / "gate1" / "half.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture
def command(run_tool, crops, tmp_path, estimator, user_place):  # noqa: F811
    """``command(*options, KEY=value, ...)``: end and print of the training command, into out."""

    def call(*options: str, **changes: object):
        pairs = SMALL | {
            "GCL.DATA.FOLDER": str(crops),
            "GCL.DATA.PATTERN": PATTERN,
            "OUTPUT_DIR": str(tmp_path / "out"),
        }
        pairs |= {key.replace("__", "."): value for key, value in changes.items()}
        line = [part for pair in pairs.items() for part in pair if pair[1] is not None]
        return run_tool("train_net", "--config-file", FOLDER, *options, *line)

    return call


def arguments(*pairs: object, config: Path = FOLDER) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        config_file=str(config), opts=[str(p) for p in pairs], eval_only=False
    )


# ---------------------------------------------------------------------- the whole command
def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_becomes_a_run_that_goes_on_without_what_came_later(
    command, crops, tmp_path, drawn, run_tool
):
    out, before = tmp_path / "out", sorted(crops.rglob("*"))
    end, printed = command()
    assert end is None, end
    assert f"{crops}: 64 crops, 2 cameras, 16 tracks (of 64 crops), times of 64 crops" in printed
    assert "camera gate1: 32 crops, 8 tracks" in printed
    assert "left out: 2 files" in printed and "1, the first notes.txt" in printed
    assert "GCL.LABELS.K1 12\n" in printed and "GCL.LABELS.EPS 0.7 (given)" in printed
    assert printed.index("GCL.LABELS.K1") < printed.index("crops estimated")
    assert (out / "structures" / "train" / "renders" / "my crops" / "gate1").is_dir()
    assert FakeEstimator.log.count(("load", None)) == 1
    listed = read_list(str(crops), str(out))
    assert len(listed.crops) == 64 and len(listed.skipped) == 2
    assert sorted(crops.rglob("*")) == before  # a folder that nobody may write to will do
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["GCL"]["STRUCTURE"]["DIR"] == str(out / "structures")
    assert config["GCL"]["LABELS"]["K1"] == data_defaults(64, 2, 16)["GCL.LABELS.K1"] == 12
    assert config["DATASETS"]["TESTS"] == []
    assert "model_final.pth" in runs.checkpoints(out)
    assert "not used by the model" not in printed  # the report needs no generator
    scalars = {key for line in runs.metrics(out) for key in line}
    assert "labels/clusters" in scalars
    assert not {"labels/precision", "labels/rand_index"} & scalars  # nobody knows who is who
    assert "tracks/auc" in scalars and "model_best.pth" in runs.checkpoints(out)
    result = files_in(out / "result")
    assert len(np.load(out / "result" / "embeddings.npy")) == 64
    rows = result["clusters.csv"].decode().splitlines()
    assert [row.split(",")[0] for row in rows] == ["path", *(crop.name for crop in listed.crops)]
    page = result["report.html"].decode()
    assert str(crops) in page and "1 ends in no suffix of a picture" in page
    assert "Generated views recognised (readiness)" in page

    # the camera went on; so does the run, on the crops that it began with
    shutil.copy(next((crops / "gate1").rglob("*.jpg")), crops / "gate1" / "tr7.jpg")
    test = {
        f"GCL__DATA__{part}": drawn / folder
        for part, folder in (("QUERY", "query"), ("GALLERY", "bounding_box_test"))
    }
    end, printed = command("--resume", GCL__JOINT__EPOCHS=2, TEST__EVAL_PERIOD=1, **test)
    assert end is None, end
    assert "since the run began 1 crop came, the first gate1/tr7.jpg" in printed
    assert FakeEstimator.log.count(("load", None)) == 1  # its structures are there
    assert read_list(str(crops), str(out)) == listed
    assert len(runs.load(out / "model_final.pth")["bank"]["labels"]) == 64
    assert "mAP" in runs.metrics(out)[-1]  # tested, with the labelled part
    assert runs.metrics(out)[-1]["iteration"] == 3 * 3 - 1  # three steps in each of three epochs
    again = files_in(out / "result")
    assert again["crops.csv"] == result["crops.csv"] and again != result
    assert "mAP of the labelled test" in again["report.html"].decode()

    # and --eval-only judges it as it was trained
    end, _ = command("--eval-only", MODEL__WEIGHTS=out / "model_final.pth", **test)
    assert end is None, end
    assert read_list(str(crops), str(out)) == listed
    assert files_in(out / "result") == again

    # what came of it can be had again, of the run where it is
    moved = out.rename(out.with_name("moved"))
    shutil.rmtree(moved / "result")
    end, printed = run_tool("report", moved, "MODEL.DEVICE", "cpu")
    assert end is None and f"Look at {moved / 'result' / 'report.html'}" in printed
    once_more = files_in(moved / "result")
    for name in again.keys() - {"report.html"}:  # in which its folder has another name
        assert once_more[name] == again[name], name
    moved.rename(out)

    # a run that begins in its place has structures of the crops as they are now
    meshes = {
        path: path.stat().st_mtime_ns for path in (out / "structures/train/geometry").rglob("*.npz")
    }
    changed = crops / listed.crops[0].name
    changed.write_bytes((crops / listed.crops[1].name).read_bytes())
    os.utime(changed, ns=(max(meshes.values()) + 1,) * 2)
    end, printed = command(GCL__ITERS_PER_EPOCH=-1)
    assert "ITERS_PER_EPOCH" in end and (out / "last_checkpoint").is_file()  # nothing has begun
    end, printed = command()
    assert end is None, end
    assert "1 crop written again since a structure was estimated: anew" in printed
    assert "whose place this one takes" in printed and "model_final.pth" in printed
    anew = [path for path, moment in meshes.items() if path.stat().st_mtime_ns != moment]
    assert [path.name for path in anew if path.name != "faces.npz"] == [f"{changed.name}.npz"]

    # but not without them
    changed.unlink()
    end, _ = command("--resume", GCL__JOINT__EPOCHS=3)
    assert f"1 of the 64 crops of the run in {out} are gone from {crops}" in end
    assert listed.crops[0].name in end


def test_a_crop_that_goes_while_the_run_trains_ends_it_with_its_name(
    command, crops, tmp_path, monkeypatch
):
    """Its checkpoint stays, and it goes on when the crop is back."""
    out, after_epoch, gone = tmp_path / "out", LoaderHook.before_epoch, []

    def lose(hook):
        after_epoch(hook)
        if hook.trainer.epoch == 1 and not gone:
            for path in sorted(crops.rglob("*.jpg")):
                gone.append((path, path.read_bytes()))
                path.unlink()

    monkeypatch.setattr(LoaderHook, "before_epoch", lose)
    changes = {"GCL__PHASES": "('contrast',)", "GCL__CONTRAST__EPOCHS": 2}
    end, _ = command(**changes)
    assert "No such file" in end and "\n" not in end
    assert any(str(path) in end for path, _ in gone)
    assert runs.checkpoints(out) == {"model_0000.pth", "model_best.pth"}
    assert not (out / "result").exists()
    for path, data in gone:
        path.write_bytes(data)
    end, _ = command("--resume", **changes)
    assert end is None and (out / "result" / "report.html").is_file()


@pytest.mark.parametrize("phases", ["('contrast',)", "('contrast', 'generator', 'joint')"])
def test_tracks_are_views_where_they_are_asked_for(command, tmp_path, phases):
    end, _ = command(GCL__PHASES=phases, GCL__DATA__TRACKS="views")
    assert end is None, end
    lines = runs.metrics(tmp_path / "out")
    scalars = {key for line in lines for key in line}
    assert {"loss_view_own", "loss_view_new", "loss_view_ori", "tracks/auc"} <= scalars


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_tracks_that_nobody_knows_are_no_views(command, options):
    unknown = {"GCL__DATA__PATTERN": "{camera}/{}/{}", "GCL__DATA__TRACKS": "views"}
    end, _ = command(*options, **unknown)
    assert "GCL.DATA.TRACKS is views, but no track is known" in end


def test_a_result_needs_a_finished_run(run_tool, tmp_path, user_place):
    end, _ = run_tool("report", tmp_path)
    assert f"{tmp_path} is no OUTPUT_DIR of a training" in end
    (tmp_path / "config.yaml").write_text("MODEL: {META_ARCHITECTURE: GCL, DEVICE: cpu}\n")
    end, _ = run_tool("report", tmp_path)
    assert "model_final.pth is not there: let the run come to its end" in end


def test_a_dry_run_says_what_is_understood_and_leaves_nothing(command, tmp_path):
    end, printed = command("--dry-run")
    assert end is None
    assert "64 crops, 2 cameras, 16 tracks" in printed and "GCL.LABELS.K1 12" in printed
    assert "half.jpg: image file can not be read" in printed
    assert not (tmp_path / "out").exists() and FakeEstimator.log == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"GCL__DATA__FOLDER": None}, "GCL.DATA.FOLDER is empty"),
        ({"GCL__DATA__FOLDER": "/no/where"}, "GCL.DATA.FOLDER /no/where is no folder"),
        ({"GCL__DATA__PATTERN": "{who}"}, "GCL.DATA.PATTERN {who}: fields are"),
        ({"GCL__DATA__TABLE": "/no.csv"}, "/no.csv can not be read as a table"),
        ({"GCL__DATA__QUERY": "/no"}, "GCL.DATA.QUERY and GCL.DATA.GALLERY make a test together"),
        ({"GCL__LABELS__K2": 0}, "GCL.LABELS.K2 is 0"),
        ({"GCL__DATA__TRACKS": "both"}, "GCL.DATA.TRACKS is 'both': choose from labels, views"),
        ({"GCL__LABELS__SITES": "(('gate1',),)"}, "GCL.LABELS.SITES names no site of camera"),
        ({"DATASETS__NAMES": "('Market1501',)"}, "which OwnCrops alone reads"),
        ({"DATASETS__COMBINEALL": True}, "DATASETS.COMBINEALL is on"),
        ({"MODEL__META_ARCHITECTURE": "Baseline"}, "OwnCrops has none and trains GCL alone"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mistakes_end_before_any_work(command, tmp_path, changes, words):
    end, printed = command("--dry-run", **changes)
    assert str(end).startswith("ConfigError: ") and words in end
    assert "\n" not in end and "reading" not in printed and not (tmp_path / "out").exists()


STRANGE = ("a,b", 'x,"y"', "two\nlines", "{camera}", "{{z}}", "q'r", " lead", "größe 人[v2]")
STRANGE += ("100%d", "-x", "r\rr", "#c", "a;b", "tab\tb", "end ", "\udcff", "a\\b")


def test_names_can_be_anything_from_the_folder_to_the_checkpoint(command, crops, tmp_path):
    """Equal base names in three folders, and names that mean something to a table, a pattern, a
    terminal or a list."""
    for i, path in enumerate(sorted(crops.glob("gate*/*/*.jpg"))):
        new = crops / 'flat {a}, "b"\n' / STRANGE[i % 3] / f"{STRANGE[i // 3 % len(STRANGE)]}.jpg"
        new.parent.mkdir(parents=True, exist_ok=True)
        path.rename(new.with_stem(f"{new.stem}{i}") if new.exists() else new)
    end, printed = command(GCL__DATA__PATTERN=None)
    assert end is None, end
    assert "64 crops, 1 camera, 0 tracks" in printed
    listed = read_list(str(crops), str(tmp_path / "out"))
    assert sorted(crop.name for crop in listed.crops) == sorted(
        path.relative_to(crops).as_posix() for path in crops.glob("flat*/*/*.jpg")
    )
    made = tmp_path / "out" / "structures" / "train" / "renders" / crops.name
    assert len([path for path in made.rglob("*") if path.is_file()]) == 64
    end, _ = command("--dry-run", OUTPUT_DIR=tmp_path / "other")
    assert end.startswith("ConfigError: GCL.DATA.PATTERN") and end.endswith(", is named so.")


def test_too_few_crops_are_one_sentence(command, crops):
    for folder in sorted(crops.glob("gate*/tr*"))[:2]:
        shutil.rmtree(folder)
    (crops / "gate1" / "half.jpg").unlink()
    end, _ = command("--dry-run")
    assert "56 crops, and fewer than 64 teach nothing" in end


def test_a_dry_run_of_another_data_set(run_tool, user_place):
    pairs = ["GCL.PHASES", "('contrast',)"]
    config = runs.REPOSITORY / "projects/GCL/configs/market.yml"
    end, _ = run_tool("train_net", "--config-file", config, "--dry-run", *pairs)
    assert "DATASETS.NAMES has no OwnCrops" in end


# ---------------------------------------------------------------------- what follows, what is given
def test_what_is_given_goes_before_what_follows_from_the_data(tmp_path):
    """On the command line, or in a file of the user's above folder.yml; not what folder.yml and
    pku.yml have themselves."""
    config = tmp_path / "mine.yml"
    config.write_text(
        f"_BASE_: {FOLDER}\nGCL:\n  LABELS:\n    EPS: 0.55\nTEST: {{EVAL_PERIOD: 2}}\n"
    )
    pairs = ["GCL.LABELS.K1", "25", "GCL.DATA.FOLDER", "shop"]
    given = own_keys(str(config), pairs)
    assert given == {"GCL.LABELS.EPS", "TEST.EVAL_PERIOD", "GCL.LABELS.K1", "GCL.DATA.FOLDER"}
    cfg = read_config(str(config), pairs)
    follow_folder(cfg, given, Numbers(200_000, 1, 0))
    labels = cfg.GCL.LABELS
    assert (labels.K1, labels.EPS) == (25, 0.55)  # 30 and 0.6 would follow
    assert (labels.K2, labels.MIN_SAMPLES, cfg.GCL.ITERS_PER_EPOCH) == (6, 4, 2500)
    assert cfg.GCL.CAMERA_NORM is False  # pku.yml's is True
    assert own_keys(str(FOLDER), []) == set()


def test_folder_yml_is_pku_s_recipe_at_pku_s_size(tmp_path):
    pku = read_config(str(FOLDER.with_name("pku.yml")), [])
    numbers = Numbers(640, 2, 80)
    pairs = ["GCL.DATA.FOLDER", str(tmp_path), "OUTPUT_DIR", str(tmp_path / "out")]
    cfg = load_config(arguments(*pairs), numbers)
    expected = ["DATASETS.NAMES", ("OwnCrops",), "DATASETS.TESTS", (), "OUTPUT_DIR", cfg.OUTPUT_DIR]
    expected += ["GCL.DATA.FOLDER", str(tmp_path), "GCL.STRUCTURE.DIR", "auto"]
    expected += ["GCL.STRUCTURE.MISSING", "skip", "SOLVER.CHECKPOINT_PERIOD", 1]
    expected += ["GCL.LABELS.EPS", 0.74]  # of tracks
    pku.merge_from_list(expected)
    assert cfg == pku


def test_contrast_alone_is_one_key(tmp_path):
    pairs = ["GCL.PHASES", "('contrast',)", "GCL.DATA.FOLDER", str(tmp_path)]
    cfg = read_config(str(FOLDER), pairs)
    follow_folder(cfg, own_keys(str(FOLDER), pairs), Numbers(640, 2, 80))
    alone = read_config(str(FOLDER.parent / "ablations" / "pku_contrast.yml"), [])
    assert cfg.GCL.CONTRAST == alone.GCL.CONTRAST and cfg.GCL.PHASES == alone.GCL.PHASES
    assert cfg.GCL.CONTRAST.EPOCHS == 16  # folder.yml's own are the two before views teach


def test_labels_that_know_of_no_track_have_the_values_of_crops(tmp_path):
    pairs = ["GCL.PHASES", "('contrast',)", "GCL.DATA.FOLDER", str(tmp_path)]
    pairs += ["GCL.DATA.TRACKS", "views"]
    cfg = read_config(str(FOLDER), pairs)
    follow_folder(cfg, own_keys(str(FOLDER), pairs), Numbers(4821, 6, 990))
    alone = read_config(str(FOLDER.parent / "ablations" / "cuhk03_contrast.yml"), [])
    assert cfg.GCL.LABELS == alone.GCL.LABELS and cfg.GCL.CONTRAST == alone.GCL.CONTRAST


def test_an_own_labelled_part_is_tested_beside_other_sets(tmp_path):
    cfg = read_config(
        str(FOLDER),
        ["GCL.DATA.FOLDER", "x", "GCL.DATA.QUERY", "q", "GCL.DATA.GALLERY", "g"]
        + ["DATASETS.TESTS", "('Market1501',)"],
    )
    for _ in range(2):
        follow_folder(cfg, set(), Numbers(640, 1, 0))
        assert cfg.DATASETS.TESTS == ("Market1501", "OwnCrops")


# ---------------------------------------------------------------------- lists
def test_each_file_is_opened_and_what_is_no_crop_left_out(tmp_path, write_crop):
    good = write_crop(tmp_path / "a b" / "1.jpg")
    names = ("a b/1.jpg", "cut.jpg", "gone.jpg", "text.jpg")
    (tmp_path / "cut.jpg").write_bytes(Path(good).read_bytes()[:-400])
    (tmp_path / "text.jpg").write_text("no picture")
    before = CropList(str(tmp_path), tuple(map(Crop, names)), (Skipped("x.txt", "why"),), ("a",))
    after = without_unreadable(before, (64, 32))
    assert after.crops == (Crop("a b/1.jpg"),) and after.notes == ("a",)
    assert [name for name, _ in after.skipped] == ["cut.jpg", "gone.jpg", "text.jpg", "x.txt"]
    reasons = dict(after.skipped)
    assert "No such file" in reasons["gone.jpg"]
    assert not any(str(tmp_path) in reason for reason in reasons.values())


def test_a_run_goes_on_with_its_crops_alone():
    before = CropList("shop", (Crop("1", "a"), Crop("2", "a")), (Skipped("bad", "broken"),))
    same = CropList("shop", (*before.crops, Crop("bad", "a")))
    assert resumed(same, before, "out") == before
    later = CropList("shop", (Crop("0", "a"), *before.crops), (), ())
    goes_on = resumed(later, before, "out")
    assert goes_on.crops == before.crops and goes_on.skipped == before.skipped
    assert "since the run began 1 crop came, the first 0" in goes_on.notes[0]
    with pytest.raises(ConfigError, match="1 of the 2 crops of the run in out are gone from shop"):
        resumed(CropList("shop", before.crops[:1]), before, "out")
    other = CropList("shop", (Crop("1", "a"), Crop("2", "b")))
    with pytest.raises(ConfigError, match="1 crop of .*, the first 2, with another camera"):
        resumed(other, before, "out")


def test_the_model_of_other_crops_is_kept(tmp_path, write_crop):
    """And so --resume never goes on from it, nor is it used with cameras of other numbers."""
    crops, out = tmp_path / "crops", tmp_path / "out"
    for i in range(64):
        write_crop(crops / f"{i}.jpg", seed=i)
    args = arguments("GCL.DATA.FOLDER", crops, "OUTPUT_DIR", out)
    args.resume = args.dry_run = False
    understand(args, load_config)
    write_crop(crops / "64.jpg")
    understand(args, load_config)  # nothing has been trained
    (out / "last_checkpoint").write_text("model_0003.pth")
    understand(args, load_config)  # the same crops
    write_crop(crops / "65.jpg")
    args.resume = True
    understand(args, load_config)  # without what came
    args.resume = False
    with pytest.raises(ConfigError, match="OUTPUT_DIR .*out has the model of a run on other crops"):
        understand(args, load_config)
    # nor is it lost where a run that began in its place was killed before its first checkpoint
    take_place(str(out))
    (out / "model_final.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match="OUTPUT_DIR .*out has the model of a run on other crops"):
        understand(args, load_config)
    assert len(read_list(str(crops), str(out)).crops) == 65


def test_crops_that_were_written_again_are_told(tmp_path, write_crop):
    """By the times of their files: a name says nothing of what is in it."""
    for name in ("1.jpg", "2.jpg"):
        os.utime(write_crop(tmp_path / name), (1000, 1000))
    crops = CropList(str(tmp_path), (Crop("1.jpg"), Crop("2.jpg")))
    assert resumed(crops, crops, "out", 1000) == crops
    os.utime(tmp_path / "2.jpg", (1001, 1001))
    (note,) = resumed(crops, crops, "out", 1000).notes
    assert "1 crop of it, the first 2.jpg, was written again" in note


def test_an_output_that_can_not_be_written_to_is_told_before_any_crop_is_opened(
    command, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(folder_run, "without_unreadable", lambda *args: pytest.fail("opened"))
    end, _ = command(OUTPUT_DIR=tmp_path / "file" / "out")
    assert f"OUTPUT_DIR {tmp_path / 'file' / 'out'} can not be written to (Not a directory)" in end

    def denied(**where):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folder_run.tempfile, "TemporaryFile", denied)
    end, _ = command()
    assert "can not be written to (Permission denied): give another folder." in end


def test_torchrun_is_told_to_prepare_by_torchrun(monkeypatch, tmp_path):
    from gcl.tools.folder_run import estimate

    args = arguments("GCL.DATA.FOLDER", "shop", "OUTPUT_DIR", tmp_path)
    args.resume = False
    cfg = load_config(args, Numbers(640, 2, 0))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torchrun tools/prepare_structure.py shop --out"):
        estimate(args, cfg, CropList("shop", (Crop("1.jpg"),)))
    os.makedirs(tmp_path / "structures" / "train")
    assert estimate(args, cfg, CropList("shop", (Crop("1.jpg"),))) is None
