"""The command that trains the estimator: one sentence for what a user can put right."""

from __future__ import annotations

import os
import runpy
import sys

import pytest
from engine import runs

from gcl.pretraining import structure_estimator as estimator
from gcl.pretraining.structure_estimator import get_estimator_cfg
from gcl.synthetic import examples, shards
from gcl.synthetic.plan import VERSION

SCRIPT = runs.REPOSITORY / "tools/pretrain_estimator.py"
CONFIG = runs.REPOSITORY / "projects/GCL/configs/pretrain_estimator.yml"


@pytest.fixture
def run(monkeypatch):
    """``run(*arguments)``: the command in this process; what it says when it gives up, or None."""

    def command(*arguments: object) -> str | None:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as end:
            assert isinstance(end.code, str) and end.code  # printed, and the status is 1
            return end.code
        return None

    return command


def test_it_draws_trains_and_resumes(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(examples, "SHARD", 2)
    monkeypatch.setattr(shards, "BATCH", 2)
    out = tmp_path / "out"
    pairs = ("DATA", tmp_path / "data", "EXAMPLES", 2, "WORKERS", 1, "DEVICE", "cpu", "BATCH", 2,
             "STEPS", 3, "CHECKPOINT_PERIOD", 3, "OUTPUT_DIR", out)  # fmt: skip
    path = out / estimator.WEIGHTS
    assert run(*pairs) is None
    assert capsys.readouterr().out.splitlines()[-1] == f"weights: {path}"
    assert len(os.listdir(tmp_path / "data")) == 1
    assert {"log.txt", "metrics.json", "last.pth"} <= set(os.listdir(out))
    content = path.read_bytes()
    path.unlink()
    assert run("--resume", *pairs) is None  # there is nothing left to do
    assert path.read_bytes() == content
    assert "STEPS 3, CHECKPOINT_PERIOD 3" in run("--resume", *pairs, "STEPS", 6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("NO_SUCH_KEY", 1), "NO_SUCH_KEY"),
        (("STEPS",), "odd length"),
        (("STEPS", "many"), "STEPS"),
        (("STEPS", 0), "STEPS must be at least 1; it is 0."),
        (("BATCH", -4), "BATCH must be at least 1"),
        (("SEED", -1), "SEED must not be negative"),
        (("WORKERS", -1), "WORKERS must not be negative"),
        (("DEVICE", "gpu"), "DEVICE gpu can not be used: "),
        (("STEPS", 10, "CHECKPOINT_PERIOD", 4), "CHECKPOINT_PERIOD, 4, must divide it"),
        (("--config-file", "no/such.yml"), "no/such.yml"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_wrong_keys_are_one_sentence(run, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    message = run(*arguments)
    assert message.startswith("ConfigError: ") and said in message and "\n" not in message
    assert os.listdir(tmp_path) == []


def test_a_folder_that_can_not_be_made_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    message = run("OUTPUT_DIR", tmp_path / "file" / "out")
    assert "NotADirectoryError" in message and str(tmp_path / "file") in message


def test_a_broken_file_of_examples_is_named(run, tmp_path):
    """Of the full size, as the command draws them: it is not drawn again."""
    name = f"v{VERSION}-0-00000.npz"
    (tmp_path / name).write_bytes(b"torn")
    message = run("DATA", tmp_path, "EXAMPLES", 1, "OUTPUT_DIR", tmp_path / "out", "DEVICE", "cpu")
    assert message.startswith("OSError: ") and str(tmp_path / name) in message
    assert "remove it" in message


def test_the_configuration_of_the_packaged_weights_is_that_of_the_code():
    cfg = get_estimator_cfg()
    cfg.merge_from_file(str(CONFIG))
    assert cfg.STEPS % cfg.CHECKPOINT_PERIOD == 0
    assert cfg == get_estimator_cfg()
