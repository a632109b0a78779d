"""Pre-training of encoders on drawn people: losses, weights to ship, and bit-for-bit resumption."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import torch
from engine import runs
from fastreid.modeling import build_model
from fastreid.utils.events import EventStorage
from safetensors import safe_open
from safetensors.torch import load_file

from gcl import ConfigError
from gcl.engine.checkpoint import AtomicCheckpointer
from gcl.modeling import encoder_weights, packaged_encoder
from gcl.pretraining import encoder as module
from gcl.pretraining import people_batches
from gcl.pretraining.encoder import EncoderTrainer, check_encoder_cfg, get_encoder_cfg
from gcl.pretraining.weight_files import export_weights
from gcl.synthetic import people

STEPS, PERIOD, BATCH, PEOPLE = 6, 3, 8, 4
OPTIONS = {
    "MODEL.DEVICE": "cpu",
    "MODEL.BACKBONE.NAME": "build_osnet_backbone",
    "MODEL.BACKBONE.DEPTH": "x0_25",
    "MODEL.BACKBONE.FEAT_DIM": 128,
    "MODEL.BACKBONE.PRETRAIN": False,
    "MODEL.PIXEL_MEAN": [120.0, 110.0, 100.0],
    "MODEL.PIXEL_STD": [60.0, 55.0, 50.0],
    "INPUT.SIZE_TRAIN": (32, 16),
    "SOLVER.IMS_PER_BATCH": BATCH,
    "PRETRAIN.PEOPLE": PEOPLE - 1,  # rounded up to whole files
    "PRETRAIN.WORKERS": 1,
    "PRETRAIN.STEPS": STEPS,
    "PRETRAIN.CHECKPOINT_PERIOD": PERIOD,
    "DATALOADER.NUM_WORKERS": 0,
}


@pytest.fixture(scope="module", autouse=True)
def small(toy):
    """Files of two people."""
    with pytest.MonkeyPatch.context() as patch, runs.place(toy):
        patch.setattr(people, "SHARD", 2)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("people"))


def configuration(data, out, *pairs):
    cfg = get_encoder_cfg()
    cfg.merge_from_file(str(runs.REPOSITORY / "projects/GCL/configs/pretrain_encoder.yml"))
    cfg.merge_from_list([part for pair in OPTIONS.items() for part in pair])
    cfg.merge_from_list(["PRETRAIN.DATA", str(data), "OUTPUT_DIR", str(out), *pairs])
    cfg.freeze()
    return cfg


def trainer(data, out, *pairs) -> EncoderTrainer:
    cfg = configuration(data, out, *pairs)
    check_encoder_cfg(cfg)
    os.makedirs(out, exist_ok=True)
    return EncoderTrainer(cfg)


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """(trainer, file of weights) after a training that nothing disturbed."""
    done = trainer(data, tmp_path_factory.mktemp("straight"))
    return done, done.train()


# ---------------------------------------------------------------------- training
def test_everybody_is_a_class_and_everything_learns(straight, data, tmp_path):
    done, _ = straight
    before = trainer(data, tmp_path).model.state_dict()
    assert len(done.files) == PEOPLE // 2
    assert done.model.heads.weight.shape == (PEOPLE, 128)
    for name, parameter in done.model.named_parameters():
        if "gate" not in name:  # one unit behind a ReLU may be dead
            assert torch.equal(parameter, before[name]) != parameter.requires_grad, name
        assert parameter.isfinite().all()


def test_it_leaves_curves_and_a_checkpoint(straight):
    done, path = straight
    out = done.cfg.OUTPUT_DIR
    assert {"last.pth", "last_checkpoint", "metrics.json", os.path.basename(path)} <= {
        *os.listdir(out)
    }
    found = {key for line in runs.metrics(out) for key in line}
    assert {"loss_cls", "loss_triplet", "cls_accuracy", "lr"} <= found


@pytest.mark.parametrize("workers", [0, 2])
def test_it_repeats_bit_for_bit_whoever_makes_the_batches(straight, data, tmp_path, workers):
    done, path = straight
    torch.manual_seed(99)  # chance was elsewhere
    second = trainer(data, tmp_path, "DATALOADER.NUM_WORKERS", workers).train()
    with open(path, "rb") as one, open(second, "rb") as two:
        assert one.read() == two.read()


def test_an_interrupted_training_ends_as_if_nothing_had_happened(straight, data, tmp_path):
    done, path = straight
    first = trainer(data, tmp_path)
    runs.train_until(first, PERIOD + 1)  # one step after the checkpoint is lost
    assert not os.path.exists(tmp_path / os.path.basename(path))
    torch.manual_seed(99)
    second = trainer(data, tmp_path, "DATALOADER.NUM_WORKERS", 1)
    second.resume()
    assert second.start_epoch == 1
    second.train()
    runs.assert_same(dict(second.model.state_dict()), dict(done.model.state_dict()))
    runs.assert_same(second.optimizer.state_dict(), done.optimizer.state_dict())


@pytest.mark.gpu
def test_a_gpu_films_the_crops_itself(data, tmp_path):
    maker = trainer(data, tmp_path, "MODEL.DEVICE", "cuda", "DATALOADER.NUM_WORKERS", 1)
    maker.before_train()
    assert next(maker._batches)["pictures"].is_pinned()
    maker.train()
    figures = runs.metrics(tmp_path)[-1]
    assert math.isfinite(figures["loss_cls"]) and math.isfinite(figures["loss_triplet"])


def test_another_seed_is_another_training(straight, tmp_path):
    done, _ = straight
    other = trainer(tmp_path / "people", tmp_path, "SEED", 1)
    assert (other.files[0].crops != done.files[0].crops).any()
    assert not torch.equal(other.model.heads.weight, done.model.heads.weight)


def test_the_losses_are_the_toolboxs(data, tmp_path, monkeypatch):
    """Of crops as they are in a batch, in float32, one class a person."""
    maker = trainer(data, tmp_path)
    maker.before_train()
    batch = next(iter(maker._batches))
    monkeypatch.setattr(maker, "_batches", iter([batch]))
    with EventStorage():
        found = maker.losses()
        wanted = maker.model({"images": batch["images"].float(), "targets": batch["targets"]})
    assert found.keys() == {"loss_cls", "loss_triplet"} == wanted.keys()
    for key, value in wanted.items():
        assert value.item() > 0 and found[key].item() == pytest.approx(value.item(), rel=1e-5)


def test_it_learns_to_tell_people_apart(data, tmp_path, monkeypatch):
    """Four people, seen by cameras alike."""
    for name in ("photometric", "occlude"):
        monkeypatch.setattr(people_batches, name, lambda crops: crops)
    done = trainer(data, tmp_path, "PRETRAIN.STEPS", 120, "PRETRAIN.CHECKPOINT_PERIOD", 10,
                   "PRETRAIN.LR", 5e-3, "MODEL.LOSSES.CE.EPSILON", 0.0,
                   "DATALOADER.NUM_INSTANCE", 2, "PRETRAIN.PEOPLE", PEOPLE)  # fmt: skip
    done.train()
    assert runs.metrics(tmp_path)[-1]["loss_cls"] < 0.75 * math.log(PEOPLE)  # by chance: log


# ---------------------------------------------------------------------- weights
def test_weights_are_the_models_without_its_classes(straight):
    done, path = straight
    written, parameters = load_file(path), dict(done.model.named_parameters())
    assert {*done.model.state_dict()} - {*written} == {"heads.weight"}
    assert {"heads.bottleneck.0.weight", "heads.bottleneck.0.running_mean"} <= {*written}
    for name, value in written.items():
        own = done.model.state_dict()[name]
        assert torch.equal(value, own.half() if name in parameters else own), name
    with safe_open(path, "pt") as file:
        made_with = json.loads(file.metadata()["made_with"])
    wanted = {"PEOPLE": PEOPLE - 1, "STEPS": STEPS, "LR": 1e-3, "SEED": 0, "BATCH": BATCH}
    assert wanted.items() <= made_with.items()


def test_the_call_gives_the_features_of_the_trained_model(straight):
    done, path = straight
    model = done.model
    whole = {name: value.clone() for name, value in model.state_dict().items()}
    crops = torch.randint(0, 256, (5, 3, 32, 16), dtype=torch.uint8)
    halves = {n: v.half().float() if n in dict(model.named_parameters()) else v
              for n, v in whole.items()}  # fmt: skip
    model.load_state_dict(halves)
    with torch.no_grad():
        wanted = model.eval()({"images": crops.float()})
    model.load_state_dict(whole)
    model.train()
    found = packaged_encoder(path)(crops)
    assert found.shape == (5, 128)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ["Baseline", "GCL"])
@pytest.mark.parametrize("packaged", [False, True])
def test_models_start_from_them(straight, tmp_path, monkeypatch, architecture, packaged):
    """MODEL.WEIGHTS of the toolbox's Baseline and of GCL: backbone and neck, as they are."""
    done, path = straight
    if packaged:
        monkeypatch.setattr(encoder_weights, "PACKAGED", Path(path))
    cfg = done.cfg.clone()
    cfg.defrost()
    cfg.MODEL.META_ARCHITECTURE = architecture
    cfg.MODEL.HEADS.NUM_CLASSES = 9
    if architecture == "GCL":
        cfg.MODEL.HEADS.NAME = "IdentityHead"
        cfg.MODEL.LOSSES.NAME = ("ViewInvariantLoss",)
    model = build_model(cfg)
    value = "packaged" if packaged else path
    AtomicCheckpointer(model, str(tmp_path)).load(value, checkpointables=[])
    written, state = load_file(path), model.state_dict()
    assert written.keys() <= state.keys()
    for name, value in written.items():
        assert torch.equal(state[name], value.to(state[name].dtype)), name


def test_those_of_lite0_are_small_enough_to_ship(tmp_path):
    cfg = get_encoder_cfg()
    cfg.merge_from_file(str(runs.REPOSITORY / "projects/GCL/configs/pretrain_encoder.yml"))
    cfg.merge_from_list(["MODEL.BACKBONE.PRETRAIN", False, "MODEL.DEVICE", "cpu"])
    cfg.MODEL.HEADS.NUM_CLASSES = 2400
    export_weights(build_model(cfg), tmp_path / "w", leave_out=(module.CLASSIFIER,))
    assert os.path.getsize(tmp_path / "w") < 12e6


# ---------------------------------------------------------------------- mistakes
@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (("MODEL.META_ARCHITECTURE", "GCL"), "MODEL.META_ARCHITECTURE is GCL"),
        (("MODEL.WEIGHTS", "x.pth"), "MODEL.WEIGHTS is x.pth"),
        (("MODEL.LOSSES.NAME", ("ViewInvariantLoss",)), "contains 'ViewInvariantLoss'"),
        (("MODEL.LOSSES.NAME", ()), "contains nothing"),
        (("MODEL.DEVICE", "gpu"), "MODEL.DEVICE gpu can not be used"),
        (("DATALOADER.NUM_INSTANCE", 21), "there are 20 pictures of a person"),
        (("DATALOADER.NUM_INSTANCE", 0), "DATALOADER.NUM_INSTANCE is 0"),
        (("DATALOADER.NUM_WORKERS", -1), "DATALOADER.NUM_WORKERS is -1"),
        (("SOLVER.IMS_PER_BATCH", 10), "SOLVER.IMS_PER_BATCH is 10"),
        (("SOLVER.IMS_PER_BATCH", 4), "two people or more"),
        (("SOLVER.IMS_PER_BATCH", 16), "needs 4 people, PRETRAIN.PEOPLE is 3"),
        (("PRETRAIN.PEOPLE", 1), "PRETRAIN.PEOPLE is 1"),
        (("PRETRAIN.WORKERS", -1), "PRETRAIN.WORKERS is -1"),
        (("PRETRAIN.STEPS", 0), "PRETRAIN.STEPS is 0"),
        (("PRETRAIN.CHECKPOINT_PERIOD", 4), "PRETRAIN.CHECKPOINT_PERIOD, 4, must divide it"),
        (("PRETRAIN.LR", 0.0), "PRETRAIN.LR is 0.0"),
        (("SEED", -1), "SEED is -1"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_values_that_can_not_work_are_one_sentence(tmp_path, pairs, said):
    with pytest.raises(ConfigError) as error:
        check_encoder_cfg(configuration(tmp_path, tmp_path, *pairs))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_mistakes_are_told_before_people_are_drawn(data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "write_people", lambda *_: pytest.fail("drawn"))
    with pytest.raises(KeyError, match="no_such_backbone"):
        trainer(data, tmp_path, "MODEL.BACKBONE.NAME", "no_such_backbone")
