"""The command that pre-trains a view generator: one sentence for what a user can put right."""

from __future__ import annotations

import os
from functools import partial

import pytest
from engine import runs

from gcl.modeling.generator_weights import PACKAGED
from gcl.synthetic import shards, turns
from gcl.synthetic.plan import VERSION

CONFIG = runs.REPOSITORY / "projects/GCL/configs/pretrain_generator.yml"
# the toolbox can not print an epoch of fewer than three steps (it divides by zero)
SMALL = {
    "MODEL.DEVICE": "cpu",
    "MODEL.BACKBONE.PRETRAIN": False,
    "INPUT.SIZE_TRAIN": [64, 32],
    "GCL.GENERATOR.IMS_PER_BATCH": 2,
    "GCL.GENERATOR.WIDTH": 2,
    "GCL.GENERATOR.NUM_BLOCKS": 1,
    "GCL.DISCRIMINATOR.WIDTH": 2,
    "PRETRAIN.PEOPLE": 1,
    "PRETRAIN.WORKERS": 1,
    "PRETRAIN.STEPS": 3,
    "PRETRAIN.CHECKPOINT_PERIOD": 3,
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch) -> None:
    """Defaults write to logs/."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(run_tool):
    """``run(*pairs)``: exit status or sentence, and what was printed."""
    usual = [part for pair in SMALL.items() for part in pair]
    return partial(run_tool, "pretrain_generator", "--config-file", CONFIG), usual


def test_it_draws_trains_and_resumes(run, tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "SHARD", 1)
    monkeypatch.setattr(shards, "BATCH", 1)
    command, usual = run
    pairs = (*usual, "PRETRAIN.DATA", tmp_path / "data", "OUTPUT_DIR", tmp_path / "out")
    path = tmp_path / "out" / PACKAGED.name
    status, printed = command(*pairs)
    assert status is None and printed.splitlines()[-1] == f"weights: {path}"
    assert os.listdir(tmp_path / "data") == [f"turns-64x32-v{VERSION}-0-00000.npz"]
    assert {"log.txt", "metrics.json", "last.pth"} <= set(os.listdir(tmp_path / "out"))
    content = path.read_bytes()
    path.unlink()
    assert command("--resume", *pairs)[0] is None  # there is nothing left to do
    assert path.read_bytes() == content
    status, _ = command("--resume", *pairs, "PRETRAIN.STEPS", 6)
    assert "STEPS 3, CHECKPOINT_PERIOD 3" in status and "\n" not in status


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (("NO.SUCH_KEY", 1), "NO.SUCH_KEY"),
        (("PRETRAIN.STEPS",), "odd length"),
        (("PRETRAIN.STEPS", "many"), "PRETRAIN.STEPS"),
        (("PRETRAIN.STEPS", 0), "PRETRAIN.STEPS is 0: it must be at least 1."),
        (("PRETRAIN.CHECKPOINT_PERIOD", 2), "PRETRAIN.CHECKPOINT_PERIOD, 2, must divide it."),
        (("PRETRAIN.OWN", 1.5), "PRETRAIN.OWN is 1.5"),
        (("INPUT.SIZE_TRAIN", [66, 32], "GCL.GENERATOR.SIZE", [0, 0]), "66 x 32"),
        (("GCL.PHASES", ("contrast",)), "GCL.PHASES must contain generator"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_wrong_keys_are_one_sentence(run, tmp_path, pairs, said):
    command, usual = run
    status, _ = command(*usual, *pairs)
    assert status.startswith("ConfigError: ") and said in status and "\n" not in status
    assert os.listdir(tmp_path) == []


def test_a_configuration_that_is_not_there(run_tool):
    status, _ = run_tool("pretrain_generator", "--config-file", "no/such.yml")
    assert status.startswith("ConfigError: ") and "no/such.yml" in status and "\n" not in status


def test_a_folder_that_can_not_be_made_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    command, usual = run
    status, _ = command(*usual, "OUTPUT_DIR", tmp_path / "file" / "out")
    assert "NotADirectoryError" in status and str(tmp_path / "file") in status


def test_a_broken_file_of_people_is_named(run, tmp_path):
    """Of the full size, as the command draws them: it is not drawn again."""
    name = f"turns-64x32-v{VERSION}-0-00000.npz"
    (tmp_path / name).write_bytes(b"torn")
    command, usual = run
    status, _ = command(*usual, "PRETRAIN.DATA", tmp_path, "OUTPUT_DIR", tmp_path / "out")
    assert status.startswith("OSError: ") and str(tmp_path / name) in status
    assert "remove it" in status
