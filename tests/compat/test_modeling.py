import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastreid.config import get_cfg
from fastreid.modeling.backbones import build_backbone
from fastreid.modeling.meta_arch.baseline import Baseline
from fastreid.modeling.meta_arch.mgn import MGN

from gcl.compat import NotFetchedError, stock


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


@pytest.mark.parametrize(
    ("name", "depth", "url", "file"),
    [
        ("resnet", "50x", "https://download.pytorch.org/models/resnet50-19c8e357.pth", ""),
        ("osnet", "x1_0", "https://drive.google.com/uc?id=", "osnet_x1_0_imagenet.pth"),
        ("regnet", "800x", "https://dl.fbaipublicfiles.com/pycls/dds_baselines/160905981/", ""),
        ("effnet", "b0", "https://dl.fbaipublicfiles.com/pycls/dds_baselines/161305613/", ""),
    ],
)
@pytest.mark.parametrize("fails", ["no connection", "nothing written"])
def test_where_imagenet_weights_go(
    name: str, depth: str, url: str, file: str, fails: str, monkeypatch: Any, tmp_path: Path
) -> None:
    """The file is looked for where the sentence says: what lies there is not fetched."""

    def download(url: str, place: str, quiet: bool) -> None:
        if fails == "no connection":
            raise ConnectionError("Failed to resolve")

    monkeypatch.setattr("gdown.download", download)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = f"build_{name}_backbone"
    cfg.MODEL.BACKBONE.DEPTH = depth
    cfg.MODEL.BACKBONE.PRETRAIN = True
    error = "ConnectionError" if fails == "no connection" else "FileNotFoundError"
    with pytest.raises(NotFetchedError) as caught:
        build_backbone(cfg)
    said = str(caught.value)
    found = re.search(rf"\({error}\): put the file (\S+) as (\S+), or .*PRETRAIN_PATH", said)
    assert found and found[1].startswith(url) and said.endswith(".") and "\n" not in said
    place = Path(found[2])
    assert place.parent == tmp_path / "checkpoints"
    assert place.name == (file or found[1].rpartition("/")[2])
    place.write_bytes(b"damaged")  # another failure, and it is told as it is
    with pytest.raises(Exception) as other:
        build_backbone(cfg)
    assert not isinstance(other.value, NotFetchedError)


def test_fetched_weights_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.DEPTH = "18x"
    cfg.MODEL.BACKBONE.PRETRAIN = False
    expected = build_backbone(cfg).state_dict()
    (tmp_path / "checkpoints").mkdir()
    torch.save(expected, tmp_path / "checkpoints" / "resnet18-5c106cde.pth")
    cfg.MODEL.BACKBONE.PRETRAIN = True
    found = build_backbone(cfg).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
