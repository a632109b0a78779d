"""The toolbox's supervised training by the same command: seeds, resuming, transfer, two ranks."""

import json
import os
import shutil
from types import SimpleNamespace

import pytest
import torch
from engine import runs
from fastreid.config import get_cfg

from gcl import ConfigError, add_gcl_config, check_gcl_config
from gcl.engine import BaselineTrainer, trainer_of
from gcl.engine import checkpoint as checkpoint_module
from gcl.engine.baseline_trainer import training_items

CONFIG = runs.REPOSITORY / "configs/market.yml"

# 3 epochs of 4 steps
OPTIONS = {
    **{key: value for key, value in runs.OPTIONS.items() if not key.startswith("GCL.")},
    "SOLVER.IMS_PER_BATCH": 8,
    "SOLVER.MAX_EPOCH": 3,
    "SOLVER.WARMUP_ITERS": 2,
    "SOLVER.STEPS": [1],
    "TEST.EVAL_PERIOD": 2,
}


def pairs(out, **changes):
    values = {**OPTIONS, "OUTPUT_DIR": str(out)}
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    return [str(part) for pair in values.items() for part in pair]


def config(out, **changes):
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.merge_from_file(str(CONFIG))
    cfg.merge_from_list(pairs(out, **changes))
    check_gcl_config(cfg)
    cfg.freeze()
    return cfg


def train(out, resume=False, **changes):
    os.makedirs(out, exist_ok=True)
    trainer = BaselineTrainer(config(out, **changes))
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    """OUTPUT_DIR of a finished run. Read only."""
    out = tmp_path_factory.mktemp("baseline")
    with runs.place(toy):
        train(out)
    return out


def test_the_configuration_chooses_the_trainer(tmp_path):
    assert trainer_of(config(tmp_path)) is BaselineTrainer


def test_what_a_run_leaves(trained):
    assert runs.checkpoints(trained) == {
        "model_0000.pth", "model_0001.pth", "model_best.pth", "model_final.pth"
    }  # fmt: skip
    assert not list(trained.glob("*.tmp"))
    first, last = (runs.load(trained / name) for name in ("model_0000.pth", "model_final.pth"))
    assert (first["epoch"], last["epoch"]) == (0, 2)
    assert len(runs.differences(first["model"], last["model"])) > 100


def test_metrics_hold_every_evaluation_the_last_too(trained):
    """Of epochs 1 (the period of 2) and 2 (the last), 4 steps each. And the last checkpoint knows
    the last one."""
    lines = runs.metrics(trained)
    assert [line["iteration"] for line in lines if "mAP" in line] == [7, 11]
    assert lines[-1]["metric"] == runs.load(trained / "model_final.pth")["metric"]
    assert all({"loss_cls", "loss_triplet"} <= line.keys() for line in lines)


def test_one_seed_is_one_run(trained, tmp_path):
    torch.rand(5)  # another past
    train(tmp_path / "same")
    train(tmp_path / "other", SEED=8)
    final = runs.load(trained / "model_final.pth")
    runs.assert_same(runs.load(tmp_path / "same/model_final.pth"), final)
    assert runs.differences(runs.load(tmp_path / "other/model_final.pth")["model"], final["model"])


def test_resumed_it_goes_on_from_where_it_was(trained, tmp_path):
    shutil.copy(trained / "model_0001.pth", tmp_path)
    (tmp_path / "last_checkpoint").write_text("model_0001.pth")
    trainer = BaselineTrainer(config(tmp_path))
    trainer.resume_or_load(resume=True)
    saved = runs.load(tmp_path / "model_0001.pth")
    runs.assert_same(dict(trainer.model.state_dict()), saved["model"])
    runs.assert_same(trainer.optimizer.state_dict(), saved["optimizer"])
    trainer.train()
    assert (trainer.start_epoch, trainer.iter) == (2, 12)
    rates = [runs.load(p / "model_final.pth")["optimizer"]["param_groups"][0]["lr"]
             for p in (trained, tmp_path)]  # fmt: skip
    assert rates[0] == rates[1] < 3.5e-4


def test_the_order_does_not_depend_on_the_file_system():
    """Data set by data set, as the toolbox has them, each by path."""
    one, two = ([(f"{folder}/{i}.jpg", i, i % 2) for i in range(4)] for folder in "ba")
    sets = [SimpleNamespace(train=one[::-1]), SimpleNamespace(train=two[2:] + two[:2])]
    assert training_items(sets) == one + two


def test_a_checkpoint_is_whole_or_not_there(tmp_path, monkeypatch):
    trainer = BaselineTrainer(config(tmp_path))
    whole = torch.save

    def disk_full(state, path):
        whole(state, path)
        os.truncate(path, 100)
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint_module.torch, "save", disk_full)
    with pytest.raises(OSError, match="No space"):
        trainer.train()
    assert runs.checkpoints(tmp_path) == set() and not (tmp_path / "last_checkpoint").exists()


def test_no_evaluation_where_none_is_wanted(tmp_path):
    train(tmp_path, TEST__EVAL_PERIOD=0, SOLVER__MAX_EPOCH=1)
    assert (tmp_path / "model_final.pth").exists()
    assert not any("mAP" in line for line in runs.metrics(tmp_path))


# ---------------------------------------------------------------------- the command
def command(out, toy, *argv, **changes):
    """What tools/train_net.py said on stderr and its exit code."""
    line = ["--config-file", str(CONFIG), *argv, *pairs(out, **changes)]
    process = runs.launch(runs.command, out, str(toy), line)
    process.join(1800)
    return process.exitcode, (out / "errors").read_text()


@pytest.mark.parametrize("architecture", ["Baseline", "GCL"])
def test_direct_transfer(trained, toy, tmp_path, architecture):
    """--eval-only of a model of other identities, by the toolbox's architecture and by ours."""
    changes = {"MODEL__WEIGHTS": str(trained / "model_final.pth")}
    if architecture == "GCL":
        changes |= {"MODEL__META_ARCHITECTURE": "GCL", "MODEL__HEADS__NAME": "IdentityHead"}
    code, errors = command(tmp_path, toy, "--eval-only", **changes)
    assert code == 0, errors[-2000:]
    found = json.loads((tmp_path / "evaluation.json").read_text())
    last = runs.metrics(trained)[-1]
    assert {k: found[k] for k in ("mAP", "Rank-1")} == {k: last[k] for k in ("mAP", "Rank-1")}


def test_two_processes(toy, tmp_path):
    options = pairs(tmp_path, SOLVER__MAX_EPOCH=1)
    runs.command_two(tmp_path, toy, ["--config-file", str(CONFIG), *options])
    assert runs.load(tmp_path / "model_final.pth")["epoch"] == 0
    assert "mAP" in runs.metrics(tmp_path)[-1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MODEL__LOSSES__NAME": ("ViewInvariantLoss",)}, ["ViewInvariantLoss", "Base-bagtricks"]),
        ({"MODEL__HEADS__NAME": "IdentityHead"}, ["IdentityHead", "does not train Baseline"]),
        ({"DATALOADER__SAMPLER_TRAIN": "Naive"}, ["'Naive'", "NaiveIdentitySampler"]),
        ({"DATASETS__NAMES": ("Marked1501",)}, ["DATASETS.NAMES", "'Marked1501'"]),
        ({"SOLVER__IMS_PER_BATCH": 33}, ["32 training images", "SOLVER.IMS_PER_BATCH 33"]),
        ({"SOLVER__IMS_PER_BATCH": 9}, ["DATALOADER.NUM_INSTANCE is 2", "9 images"]),
        ({"SOLVER__IMS_PER_BATCH": 16}, ["4 people", "make 8"]),  # the sampler would never end
        (
            {"SOLVER__SCHED": "CosineAnnealingLR", "SOLVER__WARMUP_ITERS": 9},
            ["WARMUP_ITERS 9 are 3 epochs", "MAX_EPOCH is 3"],
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_value_that_can_not_work_is_named(tmp_path, changes, words):
    with pytest.raises(ConfigError) as caught:
        BaselineTrainer(config(tmp_path, **changes))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.endswith(".") and "\n" not in message


def test_processes_that_do_not_share_a_batch_evenly(tmp_path, monkeypatch):
    monkeypatch.setattr("gcl.engine.baseline_trainer.comm.get_world_size", lambda: 3)
    with pytest.raises(ConfigError, match="IMS_PER_BATCH is 8: the number of processes, 3"):
        BaselineTrainer(config(tmp_path))


