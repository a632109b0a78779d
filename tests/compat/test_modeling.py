from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fastreid.config import get_cfg
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.meta_arch.baseline import Baseline
from fastreid.modeling.meta_arch.mgn import MGN

from gcl.compat import stock


@pytest.mark.parametrize("architecture", [Baseline, MGN])
def test_normalise_once(architecture: type) -> None:
    model = SimpleNamespace(
        pixel_mean=torch.full((1, 3, 1, 1), 100.0),
        pixel_std=torch.full((1, 3, 1, 1), 50.0),
        device="cpu",
    )
    images = torch.rand(2, 3, 4, 2) * 255
    original = images.clone()
    expected = (original - 100) / 50
    for _ in range(2):  # the second time is the flip test
        torch.testing.assert_close(
            architecture.preprocess_image(model, {"images": images}), expected
        )
    torch.testing.assert_close(architecture.preprocess_image(model, images), expected)
    assert torch.equal(images, original)
    with pytest.raises(TypeError):
        architecture.preprocess_image(model, [1])

    name = f"{architecture.__module__}.{architecture.__qualname__}.preprocess_image"
    stock(name)(model, {"images": images})
    assert not torch.equal(images, original)


@pytest.mark.parametrize(
    ("name", "depth", "channels"),
    [("build_regnet_backbone", "200x", 368), ("build_effnet_backbone", "b0", 1280)],
)
def test_regnet_files(
    name: str, depth: str, channels: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = name
    cfg.MODEL.BACKBONE.DEPTH = depth
    cfg.MODEL.BACKBONE.PRETRAIN = False
    backbone = build_backbone(cfg).eval()
    with torch.no_grad():
        assert backbone(torch.rand(1, 3, 64, 32)).shape[:2] == (1, channels)
    module = name.split("_")[1]
    config = stock(f"fastreid.modeling.backbones.regnet.{module}.{module}_cfg")
    with pytest.raises(FileNotFoundError):
        config.merge_from_file(f"fastreid/modeling/backbones/regnet/{module}.yaml")
