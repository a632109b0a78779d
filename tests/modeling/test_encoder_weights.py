"""Encoders in files: which file is meant, what is read, and what the call does with crops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from fastreid.config import get_cfg
from fastreid.modeling import build_model
from safetensors.torch import save_file

from gcl import ConfigError
from gcl.modeling import generator_weights
from gcl.modeling import packaged_encoder as call
from gcl.modeling.encoder_weights import architecture, read_weights, weights_file

MODULE = "gcl.modeling.encoder_weights"


@pytest.fixture
def baseline():
    """A toolbox Baseline for crops of 32 x 16, and its configuration."""
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DEVICE = "Baseline", "cpu"
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH = "build_osnet_backbone", "x0_25"
    cfg.MODEL.BACKBONE.FEAT_DIM, cfg.MODEL.BACKBONE.PRETRAIN = 128, False
    cfg.MODEL.HEADS.WITH_BNNECK, cfg.MODEL.HEADS.POOL_LAYER = True, "GeneralizedMeanPooling"
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [90.0, 80.0, 70.0], [50.0, 60.0, 70.0]
    cfg.INPUT.SIZE_TRAIN = [32, 16]
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    for name, value in model.state_dict().items():  # a neck and an exponent that are seen
        if name.endswith(("running_mean", "running_var", "pool_layer.p")):
            value.uniform_(0.5, 2)
    return model, cfg


@pytest.fixture
def file(baseline, tmp_path) -> str:
    model, cfg = baseline
    state = {name: value for name, value in model.state_dict().items() if name != "heads.weight"}
    made_with = json.dumps({"architecture": architecture(cfg)})
    path = str(tmp_path / "encoder.safetensors")
    save_file(state, path, {"made_with": made_with})
    return path


def test_features_are_the_models_own(baseline, file):
    crops = torch.rand(4, 3, 32, 16) * 255
    with torch.no_grad():
        wanted = baseline[0]({"images": crops})
    encoder = call(file)
    assert torch.equal(encoder(crops), wanted)
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())


def test_crops_of_any_type_and_size(baseline, file):
    crops = torch.randint(0, 256, (2, 3, 64, 32), dtype=torch.uint8)
    small = torch.nn.functional.interpolate(
        crops.float(), (32, 16), mode="bilinear", antialias=True
    )
    before = crops.clone()
    with torch.no_grad():
        wanted = baseline[0]({"images": small})
    found = call(file)(crops)
    assert torch.equal(found, wanted) and found.dtype == torch.float32
    assert torch.equal(crops, before)


def test_the_packaged_one(file, monkeypatch, tmp_path):
    monkeypatch.setattr(f"{MODULE}.PACKAGED", Path(file))
    assert weights_file("packaged") == file
    crops = torch.rand(1, 3, 32, 16) * 255
    assert torch.equal(call()(crops), call(file)(crops))
    monkeypatch.setattr(f"{MODULE}.PACKAGED", tmp_path / "none.safetensors")
    with pytest.raises(ConfigError, match=r"none.safetensors; make one by .*pretrain_encoder.py"):
        weights_file("packaged")
    assert weights_file("some/other.pth") == "some/other.pth" and weights_file("") == ""


def test_files_that_are_no_encoders(baseline, file, tmp_path):
    with pytest.raises(ConfigError, match=r"no/such.safetensors can not be read"):
        call("no/such.safetensors")
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"torn")
    with pytest.raises(ConfigError, match=r"torn.safetensors can not be read"):
        read_weights(str(torn))
    with pytest.raises(ConfigError, match="is no encoder's"):
        call(str(generator_weights.PACKAGED))
    state, made_with = read_weights(file)
    del state["backbone.conv1.conv.weight"]
    save_file(state, str(torn), {"made_with": json.dumps(made_with)})
    with pytest.raises(ConfigError, match="is not whole"):
        call(str(torn))
