"""Tests on DATASETS.TESTS, of which a run never dies."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from engine import runs
from fastreid.evaluation.evaluator import DatasetEvaluator
from toy import DATASET

from gcl import ConfigError
from gcl.engine import testing
from gcl.engine.checkpoint import TrainingState
from gcl.engine.testing import TestedTrainer, check_tests, test_all


class Images(tuple):
    img_items = ()


class Loader(list):
    dataset = Images()


class Evaluator(DatasetEvaluator):
    """Sums up what a model says; None: as on a rank that is not the main process."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.total = error, 0.0

    def process(self, inputs: dict, outputs: torch.Tensor) -> None:
        self.total += float(outputs.sum())

    def evaluate(self) -> OrderedDict:
        if self.error is not None:
            raise self.error
        return OrderedDict(metric=self.total)


class Model(torch.nn.Module):
    def forward(self, batch: dict) -> torch.Tensor:
        assert not self.training
        if "fault" in batch:
            raise batch["fault"]
        return batch["images"].sum(1)


BATCHES = [{"images": torch.ones(2, 3)}, {"images": torch.ones(1, 3)}]  # a total of 9
FAULTS = {
    "NoData": (ConfigError("no such folder"), None, None),
    "Unreadable": (None, OSError("crop.jpg is truncated"), None),
    "Memory": (None, torch.OutOfMemoryError("out of memory"), None),
    "Worker": (None, RuntimeError("Caught in worker\nTraceback ...\nValueError: bad"), None),
    "Unranked": (None, None, IndexError("index 9 is out of bounds")),
    "Silent": (None, None, AssertionError()),
}


class Trainer(TestedTrainer):
    @classmethod
    def build_evaluator(cls, cfg, name: str):
        build, model, evaluate = FAULTS.get(name, (None, None, None))
        if build is not None:
            raise build
        batches = BATCHES + ([{"fault": model}] if model is not None else [])
        return Loader(batches), Evaluator(evaluate)


def config(*names: str) -> SimpleNamespace:
    flip = SimpleNamespace(FLIP=SimpleNamespace(ENABLED=False))
    return SimpleNamespace(
        DATASETS=SimpleNamespace(TESTS=names, NAMES=()),
        TEST=flip,
        GCL=SimpleNamespace(FOREIGN_CAMERAS="all"),
    )


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toolbox's setup_logger would hide our lines from pytest."""
    monkeypatch.setattr(logging.getLogger("gcl"), "propagate", True)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


# ---------------------------------------------------------------------- sets with and without
@pytest.mark.parametrize(
    ("name", "reason", "traceback"),
    [
        ("NoData", "no such folder", False),
        ("Unreadable", "crop.jpg is truncated", False),
        ("Memory", "out of memory", True),
        ("Worker", "ValueError: bad", True),
        ("Unranked", "index 9 is out of bounds", True),
        ("Silent", "AssertionError", True),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_a_set_that_fails_is_a_warning_and_the_others_have_their_results(
    caplog, name, reason, traceback, training
):
    model = Model().train(training)
    results, problems = test_all(Trainer, config("First", name, "Last"), model)
    assert results == {"First": {"metric": 9.0}, name: {}, "Last": {"metric": 9.0}}
    assert problems == {name: reason}
    assert warnings(caplog)[-1] == f"No result of {name}: {reason}"
    assert any(record.exc_info for record in caplog.records) == traceback
    assert model.training == training


def test_one_set_is_its_result_as_in_the_toolbox():
    assert Trainer.test(config("First"), Model()) == {"metric": 9.0}
    assert Trainer.test(config("NoData"), Model()) == {}
    assert Trainer.test(config(), Model()) == {}
    both = Trainer.test(config("First", "NoData"), Model())
    assert both == {"First": {"metric": 9.0}, "NoData": {}}


def test_a_fault_of_another_rank_is_everyone_s(monkeypatch):
    """Where the other could not read a crop, nobody waits for its features."""
    monkeypatch.setattr(testing.comm, "all_gather", lambda mine: [mine, "rank 1 failed"])
    monkeypatch.setattr(testing, "problem_of_all", lambda problem, *_: problem)
    monkeypatch.setattr(Evaluator, "evaluate", lambda self: pytest.fail("collected from all"))
    results, problems = test_all(Trainer, config("First"), Model())
    assert results == {"First": {}} and problems == {"First": "rank 1 failed"}


def test_the_model_runs_under_the_cameras_of_the_set(monkeypatch):
    """One after the other; the model is in evaluation mode before statistics are asked for."""
    model, inside = Model(), []

    @contextlib.contextmanager
    def cameras(cfg, asked, name, loader):
        assert asked is model and not model.training and len(loader) == len(BATCHES)
        inside.append(name)
        yield
        inside.append("end")

    monkeypatch.setattr(testing, "test_cameras", cameras)
    monkeypatch.setattr(
        Model, "forward", lambda self, batch: inside.append(1) or batch["images"].sum(1)
    )
    test_all(Trainer, config("First", "Last"), model)
    assert inside == ["First", 1, 1, "end", "Last", 1, 1, "end"]


# ---------------------------------------------------------------------- before training
def test_what_can_not_be_tested_is_said_before_training(tiny_cfg, market_data, tmp_path, caplog):
    check_tests(tiny_cfg("DATASETS.TESTS", ("Market1501",)))
    assert not warnings(caplog)
    check_tests(tiny_cfg("DATASETS.TESTS", ("Market1501", "DukeMTMC", "Market1501")))
    (line,) = warnings(caplog)
    assert "DATASETS.TESTS DukeMTMC" in line and "no results of it" in line
    caplog.clear()
    check_tests(tiny_cfg("DATASETS.TESTS", ()))
    assert "DATASETS.TESTS is empty" in warnings(caplog)[0]


def test_a_name_that_nobody_registered_stops_before_training(tiny_cfg):
    with pytest.raises(ConfigError, match="DATASETS.TESTS.*'Markt1501'"):
        check_tests(tiny_cfg("DATASETS.TESTS", ("Markt1501",)))


# ---------------------------------------------------------------------- whole runs
def one_camera(folder: Path) -> None:
    for path in [*folder.glob("*/*_c2s*")]:
        path.unlink()


def no_query(folder: Path) -> None:
    shutil.rmtree(folder / "query")


def empty_query(folder: Path) -> None:
    for path in (folder / "query").iterdir():
        path.unlink()


def no_gallery(folder: Path) -> None:
    shutil.rmtree(folder / "bounding_box_test")


def unreadable(folder: Path) -> None:
    min((folder / "bounding_box_test").iterdir()).write_bytes(b"no picture")


def small_gallery(folder: Path) -> None:
    for path in sorted((folder / "bounding_box_test").iterdir())[6:]:
        path.unlink()


@pytest.fixture
def copied(toy, tmp_path) -> Path:
    """The toy data set, to be spoilt; its root."""
    shutil.copytree(toy, tmp_path / "data")
    return tmp_path / "data"


SHORT = {
    "GCL__PHASES": ("contrast", "generator"),
    "GCL__CONTRAST__EPOCHS": 1,
    "GCL__GENERATOR__EPOCHS": 1,
    "SOLVER__CHECKPOINT_PERIOD": 10,
}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (one_camera, "none of the 8 query images has a match"),
        (no_query, "has no query images"),
        (empty_query, "has no query images"),
        (no_gallery, "has no gallery images"),
        (unreadable, "0005_c1s1"),
    ],
)
def test_a_run_without_results_trains_all_its_phases(copied, tmp_path, caplog, spoil, reason):
    spoil(copied / DATASET)
    trainer = runs.train(tmp_path / "run", copied, **SHORT)
    assert runs.checkpoints(tmp_path / "run") == {"model_0000.pth", "model_final.pth"}
    assert trainer._last_eval_results == {}
    assert any("No result of Market1501" in w and reason in w for w in warnings(caplog))
    seen = set().union(*runs.metrics(tmp_path / "run"))
    assert "loss_image" in seen and "mAP" not in seen


def test_a_run_without_test_sets(toy, tmp_path, caplog):
    runs.train(tmp_path, toy, DATASETS__TESTS=(), **SHORT)
    assert runs.checkpoints(tmp_path) == {"model_0000.pth", "model_final.pth"}
    assert any("DATASETS.TESTS is empty" in line for line in warnings(caplog))


def test_a_gallery_below_ten_has_results(copied, tmp_path):
    """Four of camera 1 and two of camera 2: what is right is within rank 10."""
    small_gallery(copied / DATASET)
    runs.train(tmp_path / "run", copied, GCL__PHASES=("contrast",), GCL__CONTRAST__EPOCHS=1)
    (results,) = (line for line in runs.metrics(tmp_path / "run") if "mAP" in line)
    assert results["Rank-10"] == 100 and 0 < results["mAP"] <= 100


class Killed(BaseException):
    pass


def test_a_kill_in_an_evaluation_loses_nothing(toy, tmp_path, monkeypatch):
    """Killed in both, a run resumed ends as one that was not. No checkpoint is due by the period,
    but a phase ends."""
    straight, out = tmp_path / "straight", tmp_path / "run"
    runs.train(straight, toy, **SHORT)
    for last in ("model_0000.pth", "model_final.pth"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(testing, "inference_on_dataset", killed_in(last, out))
            runs.train(out, toy, resume=True, **SHORT)
        assert (out / "last_checkpoint").read_text() == last
        assert not runs.load(out / last)["training_state"]["evaluated"]
    runs.train(out, toy, resume=True, **SHORT)
    assert runs.checkpoints(out) == runs.checkpoints(straight)
    for name in runs.checkpoints(out):
        runs.assert_same(runs.load(out / name), runs.load(straight / name))


def killed_in(checkpoint: str, out: Path):
    """The toolbox's inference, killed when this is the last checkpoint."""
    inference = testing.inference_on_dataset

    def run(*args: object, **kwargs: object) -> object:
        if (out / "last_checkpoint").read_text() == checkpoint:
            raise Killed
        return inference(*args, **kwargs)

    return run


def test_an_evaluation_that_is_missing_is_made_up(toy, finished, tmp_path):
    """After the first phase, and of the last epoch: nothing is left to train then."""
    for name, epoch in (("model_0001", 1), ("model_final", 5)):
        out = tmp_path / name
        out.mkdir()
        saved = runs.load(finished / f"{name}.pth")
        before = {"metric": saved.pop("metric"), "best_metric": saved.pop("best_metric")}
        saved["training_state"]["evaluated"] = False
        torch.save(saved | {"best_metric": {"best_metric": -1}}, out / f"{name}.pth")
        (out / "last_checkpoint").write_text(f"{name}.pth")
        trainer = runs.train(out, toy, resume=True, GCL__PHASES=("contrast", "generator", "joint"))
        assert trainer.start_epoch == epoch + 1
        again = runs.load(out / f"{name}.pth")
        assert again["training_state"]["evaluated"] and again["metric"] == before["metric"]
        runs.assert_same(again["model"], runs.load(finished / f"{name}.pth")["model"])
        assert runs.load(out / "model_best.pth")["metric"] >= again["metric"]
        assert any("mAP" in line for line in runs.metrics(out))


def test_checkpoints_of_earlier_versions_count_as_evaluated():
    state = TrainingState(3, False)
    state.load_state_dict({"seed": 5})
    assert state.evaluated and state.seed == 5
