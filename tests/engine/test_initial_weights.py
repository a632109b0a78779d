"""Files as other tools write them start the same model, and what fits nothing says so."""

import re

import numpy as np
import pytest
import torch
from engine import runs
from fastreid.config import get_cfg
from fastreid.modeling import build_model
from torch import nn
from torchvision.models import resnet18

from gcl import ConfigError, add_gcl_config
from gcl.engine import BaselineTrainer, GCLTrainer
from gcl.engine.checkpoint import AtomicCheckpointer
from gcl.engine.initial_weights import (
    check_evaluated_weights,
    initial_state,
    rename,
    without_imagenet,
)

PLAIN = ("conv1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer4.1.bn2.running_var")
NECK = ("heads.bottleneck.0.weight", "heads.bottleneck.0.running_mean")
OURS = {*(f"backbone.{name}" for name in PLAIN), *NECK, "heads.weight", "pixel_mean"}


# ---------------------------------------------------------------------- names
@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "backbone.", "base.", "encoder.", "model.", "module.base.", "module.backbone.",
     "module.encoder.base.", "model.module.encoder."],
)  # fmt: skip
def test_what_tools_put_before_a_name(prefix):
    theirs = [prefix + name for name in PLAIN]
    wanted = {prefix + name: f"backbone.{name}" for name in PLAIN}
    assert rename([*theirs, f"{prefix}fc.weight", "classifier.bias"], OURS) == wanted


@pytest.mark.parametrize("numbers", [(0, 1, 4, 5, 6, 7), (0, 1, 3, 4, 5, 6)])
def test_a_resnet_in_a_sequential(numbers):
    """SpCL, cluster-contrast and ICE with the ReLU in it, the authors' GCL without."""
    conv, norm, first, second, third, last = numbers
    theirs = {
        f"module.base.{conv}.weight": "backbone.conv1.weight",
        f"module.base.{norm}.bias": "backbone.bn1.bias",
        f"module.base.{first}.0.conv1.weight": "backbone.layer1.0.conv1.weight",
        f"module.base.{last}.1.bn2.running_var": "backbone.layer4.1.bn2.running_var",
    }
    others = [f"module.base.{number}.0.conv1.weight" for number in (second, third)]
    assert rename([*theirs, *others, "module.classifier.weight"], OURS) == theirs


@pytest.mark.parametrize("neck", ["module.feat_bn.", "feat_bn.", "bottleneck."])
def test_the_neck(neck):
    names = [f"{neck}weight", f"{neck}running_mean", f"{neck}other"]
    assert rename(names, OURS) == dict(zip(names, NECK, strict=False))


def test_a_neck_behind_an_embedding_layer_is_another():
    ours = {"backbone.conv1.weight", "heads.bottleneck.0.weight", "heads.bottleneck.1.running_mean"}
    assert rename(["feat_bn.weight", "conv1.weight"], ours) == {
        "conv1.weight": "backbone.conv1.weight"
    }


def test_the_exponent_of_gem():
    place = "heads.pool_layer.p"
    assert rename(["module.gap.p"], {place}) == {"module.gap.p": place}
    assert rename(["module.gap.p"], OURS) == {}


def test_our_own_names_stay_as_they_are():
    """Also those that look like another tool's: MGN's backbone is a Sequential."""
    ours = {*OURS, "backbone.0.weight", "backbone.4.0.conv1.weight", "b1.0.0.conv1.weight"}
    assert rename(ours, ours) == {name: name for name in ours}
    theirs = {f"module.{name}": name for name in ours}
    assert rename(theirs, ours) == theirs


# ---------------------------------------------------------------------- whole files
@pytest.fixture(scope="module")
def resnet():
    """torchvision's ResNet-18 with random statistics, and what SpCL makes of it."""
    torch.manual_seed(1)
    network = resnet18(weights=None)
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5) if "var" in name else buffer.normal_(0, 0.1)
    network.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)  # the toolbox's does not pad
    parts = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    base = nn.Sequential(*(getattr(network, part) for part in parts))
    neck = nn.BatchNorm1d(512)
    neck.running_mean.uniform_(0, 0.1)
    return network.eval(), nn.ModuleDict({"base": base, "feat_bn": neck}).eval()


@pytest.fixture
def baseline():
    """The toolbox's ResNet-18 with a neck, of other random weights."""
    cfg = get_cfg()
    cfg.merge_from_list(
        ["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.FEAT_DIM", 512,
         "MODEL.BACKBONE.LAST_STRIDE", 2,
         "MODEL.HEADS.WITH_BNNECK", True, "MODEL.HEADS.NUM_CLASSES", 3,
         "MODEL.PIXEL_MEAN", [0.0] * 3, "MODEL.PIXEL_STD", [1.0] * 3]
    )  # fmt: skip
    return build_model(cfg).eval()


def written_by(tool, network, spcl):
    """What a tool saves, and whether the neck is in it."""
    whole = {"state_dict": {f"module.{k}": v for k, v in spcl.state_dict().items()}}
    bare = network.state_dict()
    return {
        "torchvision": (bare, False),
        "timm": ({"state_dict": bare, "arch": "resnet18", "epoch": 3}, False),
        "timm, several wrappers": ({"model": {"state_dict": bare}, "epoch": 3}, False),
        "torchreid": (
            {"state_dict": bare, "epoch": 60, "rank1": np.float32(0.9), "optimizer": {"state": {}}},
            False,
        ),
        "SpCL": ({**whole, "epoch": 50, "best_mAP": np.float64(0.7)}, True),
    }[tool]


@pytest.mark.parametrize(
    "tool", ["torchvision", "timm", "timm, several wrappers", "torchreid", "SpCL"]
)
def test_features_of_a_file_are_the_tools_own(tool, resnet, baseline, tmp_path):
    """The oracle runs the tool's own network."""
    network, spcl = resnet
    saved, has_neck = written_by(tool, network, spcl)
    torch.save(saved, tmp_path / "weights.pth")
    AtomicCheckpointer(baseline).load(str(tmp_path / "weights.pth"), checkpointables=[])
    x = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        feature = spcl["base"](x).mean((2, 3))
        feature = spcl["feat_bn"](feature) if has_neck else feature / (1 + 1e-5) ** 0.5
        found = baseline(x)
    assert feature.std() > 0.1
    torch.testing.assert_close(found, feature, rtol=1e-4, atol=1e-5)


def test_how_many_fit_is_said(resnet, baseline, tmp_path, caplog):
    """ResNet-18 has 20 convolutions and 20 batch norms of 4 tensors; fc 2 more."""
    torch.save(resnet[0].state_dict(), tmp_path / "weights.pth")
    with caplog.at_level("INFO", "gcl"):
        AtomicCheckpointer(baseline).load(str(tmp_path / "weights.pth"), checkpointables=[])
    said = [r.getMessage() for r in caplog.records if r.name.startswith("gcl")]
    assert said == [
        f"MODEL.WEIGHTS {tmp_path}/weights.pth: 100 of its 102 tensors fit, 100 of the backbone's"
        " 100."
    ]


def test_a_part_of_a_backbone_is_a_warning(caplog):
    ours = {"backbone.a": torch.zeros(2), "backbone.b": torch.zeros(2), "heads.c": torch.zeros(2)}
    state = initial_state({"a": torch.ones(2), "b": torch.ones(3)}, ours, "x.pth")
    assert set(state) == {"backbone.a", "backbone.b"}
    warning = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warning) == 1 and "leaves 1 tensors" in warning[0] and "backbone.b" in warning[0]


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        ({"epoch": 3, "state_dict": {}}, ["holds no weights", "'model' or 'state_dict'"]),
        ([1, 2], ["holds no weights"]),
        ({"b": torch.ones(2), "heads.c": torch.ones(2)}, ["no weight of the backbone", "b (2,)",
                                                          "backbone.a (3,)", "MODEL.BACKBONE"]),
        ({"a": torch.ones(2)}, ["no weight of the backbone", "a (2,)"]),
        ({"base.a": torch.ones(3), "encoder.a": torch.ones(3)}, ["base.a and encoder.a"]),
    ],
)  # fmt: skip
def test_a_file_that_can_not_start_the_model(checkpoint, words):
    ours = {"backbone.a": torch.zeros(3), "heads.c": torch.zeros(2)}
    with pytest.raises(ConfigError, match=r"^MODEL\.WEIGHTS x\.pth .*\.$") as caught:
        initial_state(checkpoint, ours, "x.pth")
    for word in words:
        assert word in str(caught.value)


def test_a_file_that_can_not_be_read(tmp_path):
    model = nn.ModuleDict({"backbone": nn.Linear(2, 2)})
    path = tmp_path / "weights.pth"
    AtomicCheckpointer(model, str(tmp_path)).save("whole")
    whole = (tmp_path / "whole.pth").read_bytes()
    for content in (b"", b"nothing", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=re.escape(f"{path} can not be read: ")) as caught:
            AtomicCheckpointer(model).load(str(path), checkpointables=[])
        assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------- runs
@pytest.mark.parametrize("prefix", ["", "module.base."])
def test_a_run_starts_from_another_tools_file(toy, finished, tmp_path, prefix):
    own = runs.load(finished / "model_0001.pth")["model"]
    theirs = {k: v for k, v in own.items() if k.startswith("backbone.")}
    theirs = {prefix + k.removeprefix("backbone."): v for k, v in theirs.items()}
    torch.save({"state_dict": theirs, "best_mAP": np.float64(0.5)}, tmp_path / "theirs.pth")
    cfg = runs.config(tmp_path, toy, MODEL__WEIGHTS=str(tmp_path / "theirs.pth"))
    trainer = GCLTrainer(cfg)
    trainer.resume_or_load(resume=False)
    found = {k: v for k, v in trainer.gcl.state_dict().items() if k.startswith("backbone.")}
    runs.assert_same(found, {k: v for k, v in own.items() if k.startswith("backbone.")})


# ---------------------------------------------------------------------- ImageNet weights
def pretrained(**changes):
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.MODEL.BACKBONE.PRETRAIN = True
    for key, value in changes.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    cfg.freeze()
    return cfg


def test_with_weights_no_imagenet():
    cfg = pretrained(MODEL__WEIGHTS="some.pth")
    assert without_imagenet(cfg).MODEL.BACKBONE.PRETRAIN is False
    assert cfg.MODEL.BACKBONE.PRETRAIN is True
    assert without_imagenet(pretrained()).MODEL.BACKBONE.PRETRAIN is True


@pytest.mark.parametrize("trainer", [GCLTrainer, BaselineTrainer])
def test_trainers_build_without_it(trainer, monkeypatch):
    asked = []
    monkeypatch.setattr("fastreid.engine.defaults.build_model", lambda cfg: asked.append(cfg))
    for weights in ("", "some.pth"):
        trainer.build_model(pretrained(MODEL__WEIGHTS=weights))
    assert [cfg.MODEL.BACKBONE.PRETRAIN for cfg in asked] == [True, False]


def test_what_may_be_evaluated(tmp_path):
    (tmp_path / "imagenet.pth").touch()
    lite = {"MODEL__BACKBONE__NAME": "build_efficientnet_lite0_backbone"}
    check_evaluated_weights(pretrained(**lite))
    check_evaluated_weights(pretrained(MODEL__WEIGHTS="some.pth"))
    check_evaluated_weights(
        pretrained(MODEL__BACKBONE__PRETRAIN_PATH=str(tmp_path / "imagenet.pth"))
    )
    for changes, words in (
        ({}, "fetches no ImageNet weights for build_resnet_backbone"),
        ({"MODEL__BACKBONE__PRETRAIN": False, **lite}, "nothing to evaluate but random weights"),
        ({"MODEL__BACKBONE__PRETRAIN_PATH": "/nowhere.pth", **lite}, "PRETRAIN_PATH"),
    ):
        with pytest.raises(ConfigError, match=words):
            check_evaluated_weights(pretrained(**changes))
