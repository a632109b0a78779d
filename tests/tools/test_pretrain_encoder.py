"""The command that trains the encoder: one sentence for what a user can put right."""

from __future__ import annotations

import os
import runpy
import sys

import pytest
from engine import runs

from gcl.modeling.encoder_weights import PACKAGED
from gcl.pretraining.encoder import check_encoder_cfg, get_encoder_cfg
from gcl.synthetic import people, shards
from gcl.synthetic.plan import VERSION

SCRIPT = runs.REPOSITORY / "tools/pretrain_encoder.py"
CONFIG = runs.REPOSITORY / "projects/GCL/configs/pretrain_encoder.yml"
SMALL = ("MODEL.DEVICE", "cpu", "MODEL.BACKBONE.NAME", "build_osnet_backbone",
         "MODEL.BACKBONE.DEPTH", "x0_25", "MODEL.BACKBONE.FEAT_DIM", 128, "MODEL.BACKBONE.PRETRAIN",
         False, "INPUT.SIZE_TRAIN", "[32, 16]", "SOLVER.IMS_PER_BATCH", 8)  # fmt: skip


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
    monkeypatch.setattr(people, "SHARD", 2)
    monkeypatch.setattr(shards, "BATCH", 2)
    out = tmp_path / "out"
    pairs = ("--config-file", CONFIG, *SMALL, "PRETRAIN.DATA", tmp_path / "data", "PRETRAIN.PEOPLE",
             2, "PRETRAIN.WORKERS", 1, "PRETRAIN.STEPS", 3, "PRETRAIN.CHECKPOINT_PERIOD", 3,
             "OUTPUT_DIR", out)  # fmt: skip
    path = out / PACKAGED.name
    assert run(*pairs) is None
    assert capsys.readouterr().out.splitlines()[-1] == f"weights: {path}"
    assert len(os.listdir(tmp_path / "data")) == 1
    assert {"log.txt", "metrics.json", "last.pth"} <= set(os.listdir(out))
    content = path.read_bytes()
    path.unlink()
    resumed = (pairs[0], pairs[1], "--resume", *pairs[2:])
    assert run(*resumed) is None  # there is nothing left to do
    assert path.read_bytes() == content
    assert "STEPS 3, CHECKPOINT_PERIOD 3" in run(*resumed, "PRETRAIN.STEPS", 6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("PRETRAIN.NO_SUCH_KEY", 1), "NO_SUCH_KEY"),
        (("PRETRAIN.STEPS", "many"), "PRETRAIN.STEPS"),
        (("PRETRAIN.STEPS", 0), "PRETRAIN.STEPS is 0: it must be at least 1."),
        (("MODEL.META_ARCHITECTURE", "GCL"), "MODEL.META_ARCHITECTURE is GCL"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_wrong_keys_are_one_sentence(run, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    message = run("--config-file", CONFIG, *arguments)
    assert message.startswith("ConfigError: ") and said in message and "\n" not in message
    assert os.listdir(tmp_path) == []


def test_a_broken_file_of_people_is_named(run, tmp_path):
    name = f"people-40x24-v{VERSION}-0-00000.npz"
    (tmp_path / name).write_bytes(b"torn")
    pairs = ("PRETRAIN.DATA", tmp_path, "PRETRAIN.PEOPLE", 2, "OUTPUT_DIR", tmp_path / "out")
    message = run("--config-file", CONFIG, *SMALL, *pairs)
    assert message.startswith("OSError: ") and str(tmp_path / name) in message
    assert "remove it" in message


def test_the_configuration_of_the_packaged_weights():
    """What it says of the training is what the code has without it."""
    cfg, usual = get_encoder_cfg(), get_encoder_cfg()
    cfg.merge_from_file(str(CONFIG))
    check_encoder_cfg(cfg)
    assert cfg.PRETRAIN == usual.PRETRAIN and cfg.SEED == usual.SEED
    assert cfg.MODEL.LOSSES.TRI.NORM_FEAT
