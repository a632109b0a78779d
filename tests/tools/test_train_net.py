"""The training command as a user types it: what it prints and leaves, and how it ends."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine import runs
from PIL import Image
from toy import write_toy_dataset

SCRIPT = runs.REPOSITORY / "tools/train_net.py"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_toy_dataset(root, people=4, test_people=4, orientations=4, size=(32, 16))
    return root


def train_net(data: Path, *argv: str) -> subprocess.CompletedProcess:
    """A process of its own; ends well or the test ends."""
    env = {**os.environ, "FASTREID_DATASETS": str(data), "OMP_NUM_THREADS": "1"}
    env.pop("GCL_DEVICE", None)
    line = [sys.executable, str(SCRIPT), "--config-file", str(runs.CONFIG), *argv]
    result = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result


def tables(printed: str) -> list[tuple[float, ...]]:
    """The rows of the toolbox's result tables."""
    rows = re.findall(r"^\| Market1501 \|(.*)\|$", printed, re.M)
    return [tuple(float(cell) for cell in row.split("|")) for row in rows]


@pytest.fixture(scope="session")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """OUTPUT_DIR of a run over all phases, and what it printed."""
    out = tmp_path_factory.mktemp("trained")
    return out, train_net(data, *runs.options(out, data)).stdout


def test_one_command_trains_all_phases(trained):
    out, printed = trained
    assert [len(row) for row in tables(printed)] == [6, 6, 6]  # a table at the end of each phase
    assert "Rank-1" in printed and "mAP" in printed
    places = [printed.index(f"Phase {name} begins") for name in ("contrast", "generator", "joint")]
    assert places == sorted(places)
    assert (out / "metrics.json").stat().st_size and (out / "log.txt").stat().st_size
    assert list(out.glob("events.out.tfevents.*"))
    assert runs.checkpoints(out) >= {"model_0000.pth", "model_final.pth", "model_best.pth"}
    for name in ("views_0002", "turntable_0002", "views_0005", "turntable_0005"):
        with Image.open(out / "views" / f"{name}.png") as sheet:
            assert sheet.width > 16 * 9
    assert "views" in next(out.glob("events.out.tfevents.*")).read_bytes().decode("latin1")


def test_trailing_pairs_are_the_configuration_of_the_run(trained):
    text = (trained[0] / "config.yaml").read_text()
    assert "DEPTH: x0_25" in text and "ALPHA: 0.2" in text
    assert re.search(r"LABELS:\n(    .*\n)*    K1: 6\n", text)


def test_eval_only_repeats_the_last_table(trained, data, tmp_path):
    out, printed = trained
    weights = ["MODEL.WEIGHTS", str(out / "model_final.pth")]
    gone = ("GCL.GENERATOR.WEIGHTS", tmp_path / "gone")  # what the generator once started from
    pairs = runs.options(tmp_path, data)
    result = train_net(data, "--eval-only", *pairs, *weights, *map(str, gone))
    assert tables(result.stdout) == tables(printed)[-1:]
    assert str(gone[1]) in (tmp_path / "config.yaml").read_text()  # as it was given


def test_resume_of_a_finished_run_says_so_and_ends_well(trained, data, tmp_path):
    out, _ = trained
    for name in ("model_final.pth", "last_checkpoint"):
        shutil.copy(out / name, tmp_path)
    result = train_net(data, "--resume", *runs.options(tmp_path, data))
    assert "nothing left to train" in result.stdout
    assert runs.checkpoints(tmp_path) == {"model_final.pth"}


# ---------------------------------------------------------------------- mistakes of users
def ended(out: Path, data: Path, *argv: str, config: Path = runs.CONFIG, **changes) -> str:
    """Run the command with a mistake in it; what it said on stderr, after exit code 1."""
    line = ["--config-file", str(config), *argv, *runs.options(out, data, **changes)]
    process = runs.launch(runs.command, out, str(data), line)
    process.join(1800)
    errors = (out / "errors").read_text()
    assert process.exitcode == 1, (process.exitcode, errors)
    assert "Traceback" not in errors, errors
    return errors.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"GCL__LABELS__K3": 1}, ["GCL.LABELS.K3"]),
        ({"GCL__MEMORY__ALPHA": "often"}, ["ALPHA", "often"]),
        ({"GCL__PHASES": ()}, ["GCL.PHASES", "contrast, generator, joint"]),
        ({"MODEL__LOSSES__NAME": ("ViewInvariantLoss", "Triplet")}, ["LOSSES.NAME", "'Triplet'"]),
        ({"GCL__STRUCTURE__DIR": ""}, ["GCL.STRUCTURE.DIR is empty"]),
        ({"GCL__STRUCTURE__DIR": "/nowhere/at/all"}, ["GCL.STRUCTURE.DIR", "/nowhere/at/all"]),
        ({"DATASETS__NAMES": ("Marked1501",)}, ["DATASETS.NAMES", "'Marked1501'"]),
        ({"SOLVER__IMS_PER_BATCH": 33}, ["32 training images", "SOLVER.IMS_PER_BATCH 33"]),
        ({"MODEL__DEVICE": "tpu"}, ["MODEL.DEVICE", "tpu"]),
        ({"MODEL__WEIGHTS": "/nowhere/model.pth"}, ["MODEL.WEIGHTS", "/nowhere/model.pth"]),
        ({"MODEL__WEIGHTS": str(SCRIPT)}, [str(SCRIPT), "can not be read"]),
        ({"SOLVER__MAX_EPOCH": 1}, ["SOLVER.MAX_EPOCH", "GCL.JOINT.EPOCHS"]),
        ({"MODEL__HEADS__NECK_FEAT": "before"}, ["MODEL.HEADS.NECK_FEAT", "after"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_value_that_can_not_work(data, tmp_path, changes, words):
    said = ended(tmp_path, data, **changes)
    assert said.startswith("ConfigError: ")
    assert all(word in said for word in words), said


def test_several_machines_without_an_address(data, tmp_path):
    # the toolbox's default address is a port of this machine, one for all runs of a user
    said = ended(tmp_path, data, "--num-machines", "2")
    assert "several machines need --dist-url tcp://HOST:PORT" in said


def test_an_evaluation_of_nothing(data, tmp_path):
    said = ended(tmp_path, data, "--eval-only")
    assert said.startswith("ConfigError: MODEL.WEIGHTS is empty")
    said = ended(tmp_path, data, "--eval-only", MODEL__BACKBONE__PRETRAIN=True)
    assert "fetches no ImageNet weights for build_osnet_backbone" in said


def test_an_evaluation_without_test_sets_or_queries(trained, data, tmp_path):
    """What has no result says why and does not end well; the others' are there."""
    weights = {"MODEL__WEIGHTS": str(trained[0] / "model_final.pth")}
    said = ended(tmp_path, data, "--eval-only", DATASETS__TESTS=(), **weights)
    assert said.startswith("ConfigError: DATASETS.TESTS is empty")
    copy = tmp_path / "data"
    shutil.copytree(data / "Market-1501-v15.09.15", copy / "DukeMTMC-reID")
    shutil.copytree(data / "Market-1501-v15.09.15", copy / "Market-1501-v15.09.15")
    shutil.rmtree(copy / "Market-1501-v15.09.15/query")
    names = ("Market1501", "DukeMTMC")
    said = ended(tmp_path / "out", copy, "--eval-only", DATASETS__TESTS=names, **weights)
    assert said.startswith("ConfigError: no result of Market1501") and "no query images" in said
    results = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert results["Market1501"] == {} and 0 < results["DukeMTMC"]["mAP"] <= 100


def test_weights_of_another_network(data, tmp_path):
    torch.save({"state_dict": {"module.base.conv1.weight": torch.ones(2)}}, tmp_path / "other.pth")
    weights = {"MODEL__WEIGHTS": str(tmp_path / "other.pth")}
    for mode in ([], ["--eval-only"]):
        said = ended(tmp_path, data, *mode, **weights)
        assert said.startswith(f"ConfigError: MODEL.WEIGHTS {tmp_path}/other.pth fits no weight of")


def test_a_configuration_file_that_is_not_there(data, tmp_path):
    said = ended(tmp_path, data, config=Path("/nowhere/market.yml"))
    assert "/nowhere/market.yml" in said


def test_a_data_set_that_is_not_there(data, tmp_path):
    said = ended(tmp_path, tmp_path / "empty", GCL__STRUCTURE__DIR=str(data / "meshes"))
    assert "DATASETS.NAMES Market1501" in said
    assert "FASTREID_DATASETS" in said and str(tmp_path / "empty") in said


@pytest.mark.parametrize("what", ["image", "render", "view folder", "renders"])
def test_files_that_are_broken_or_missing_are_named(data, tmp_path, what):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    images = sorted((copy / "Market-1501-v15.09.15/bounding_box_train").iterdir())
    views = copy / "meshes/train"
    if what == "image":
        images[3].write_bytes(images[3].read_bytes()[:50])
        words = [images[3].name, "can not be read"]
    elif what == "render":
        for path in (views / "render").iterdir():
            path.write_bytes(b"nothing")
        words = ["meshes/train/render/", "can not be read"]
    elif what == "view folder":
        shutil.rmtree(views / "render_315")
        words = ["GCL.STRUCTURE.DIR", "render_315"]
    else:
        for image in images[:7]:
            (views / "render_45" / image.name).unlink()
        words = ["7 of 32", *(image.name for image in images[:5]), "GCL.STRUCTURE.MISSING skip"]
    phases = {"GCL__PHASES": ("generator",)} if what == "render" else {}
    said = ended(tmp_path / "out", copy, **phases)
    assert all(word in said for word in words), said


def test_a_corrupt_image_is_named_by_workers_too(data, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    image = sorted((copy / "Market-1501-v15.09.15/bounding_box_train").iterdir())[3]
    image.write_bytes(b"nothing")
    said = ended(tmp_path / "out", copy, DATALOADER__NUM_WORKERS=1, GCL__PHASES=("contrast",))
    assert image.name in said and "can not be read" in said


def test_a_checkpoint_of_another_data_set_is_not_resumed(trained, data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("model_0001.pth", "last_checkpoint"):
        shutil.copy(trained[0] / name, out)
    (out / "last_checkpoint").write_text("model_0001.pth")
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    min((copy / "Market-1501-v15.09.15/bounding_box_train").iterdir()).unlink()
    said = ended(out, copy, "--resume")
    assert "(32, 128)" in said and "(31, 128)" in said and "DATASETS.NAMES" in said


def test_what_the_toolbox_can_not_build(data, tmp_path):
    said = ended(tmp_path, data, GCL__GENERATOR__BETAS=(2.0, 0.9))
    assert said.startswith("ConfigError: No training can be built") and "2.0" in said
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_clusters_that_never_come(data, tmp_path):
    said = ended(tmp_path, data, GCL__LABELS__MIN_SAMPLES=33)
    assert said.startswith("NoClusterError: ") and "GCL.LABELS.EPS" in said


def test_an_encoder_that_blows_up(data, tmp_path):
    said = ended(
        tmp_path,
        data,
        GCL__CONTRAST__OPT="SGD",
        GCL__CONTRAST__BASE_LR=100.0,
        SOLVER__CLIP_GRADIENTS__ENABLED=False,
    )
    assert said.startswith("DivergedError: Training diverged in epoch 0 (phase contrast): ")
    assert said.rstrip().endswith("lower GCL.CONTRAST.BASE_LR (100).")
