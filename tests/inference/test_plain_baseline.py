"""A checkpoint for the stock toolbox: the same features, without anything of this package.

Shapes: N images, C = 16 pooled channels.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from inference.conftest import draw

from gcl.config import ConfigError
from gcl.inference import ReID
from gcl.inference.plain_baseline import foreign_backbone, plain_baseline, write_baseline

FORMS = {
    "neck": (),
    "embedding and neck": ("MODEL.HEADS.EMBEDDING_DIM", 8),
    "embedding": ("MODEL.HEADS.EMBEDDING_DIM", 8, "MODEL.HEADS.WITH_BNNECK", False),
    "nothing": ("MODEL.HEADS.WITH_BNNECK", False),
    "learnt pooling": ("MODEL.HEADS.POOL_LAYER", "GeneralizedMeanPoolingP"),
}


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_the_cameras_statistics_are_folded_in(encoder, form, norm):
    made = encoder("GCL.CAMERA_NORM", norm, *FORMS[form])
    images = 127 + 60 * draw(5, 3, 64, 32)
    pooled = made.model.heads.pool(made.model.backbone(made.model.preprocess_image(images)))
    for camera in (-1, 0, 1) if norm else (-1,):
        plain, cfg = plain_baseline(made, camera)
        x = pooled.double()
        if norm:  # by hand, in float64
            mean, deviation = made.camera_norm.double().mean_and_deviation()
            made.camera_norm.float()
            x = (x - mean[camera + 1]) / deviation[camera + 1]
        expected = made.model.heads.bottleneck.double()(x[..., None, None]).flatten(1)
        made.model.heads.bottleneck.float()
        found = plain(images)
        assert found.dtype == torch.float32 and found.shape == expected.shape
        scale = expected.abs().max()
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=2e-6 * float(scale))
        assert type(plain.heads).__name__ == cfg.MODEL.HEADS.NAME == "EmbeddingHead"
        assert "GCL" not in cfg
    if norm:
        by_camera = ReID(made).forward(images, torch.ones(5, dtype=torch.long))
        found = torch.nn.functional.normalize(plain_baseline(made, 1)[0](images))
        torch.testing.assert_close(found, by_camera, rtol=1e-4, atol=1e-5)
        assert (by_camera - ReID(made).forward(images)).abs().max() > 0.01


def test_a_head_of_one_s_own_gets_a_sentence(encoder):
    made = encoder()
    made.model.heads.__class__ = type("MyHead", (type(made.model.heads),), {})
    with pytest.raises(ConfigError, match="can be used here, but not written for other tools"):
        plain_baseline(made)
    with pytest.raises(ConfigError, match="NORM GN"):
        plain_baseline(encoder("MODEL.HEADS.NORM", "GN", "MODEL.BACKBONE.FEAT_DIM", 32))


def test_a_backbone_of_one_s_own_is_known(encoder):
    assert foreign_backbone(encoder().cfg).endswith("conftest")
    for name in ("build_resnet_backbone", "build_efficientnet_lite0_backbone"):
        cfg = encoder().cfg.clone()
        cfg.MODEL.BACKBONE.NAME = name
        assert foreign_backbone(cfg) == ""


# What a user of the stock toolbox does; Python and torch of today lack names that it imports.
STOCK = """
import collections, collections.abc, importlib, json, os, sys, types
import numpy as np, torch
try:
    import torchvision
except RuntimeError:  # PyPI's beside a torch for the CPU
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
collections.Mapping = collections.abc.Mapping
sys.modules["torch._six"] = types.SimpleNamespace(string_classes=(str, bytes))
from fastreid.config import get_cfg
from fastreid.modeling import build_model
from fastreid.utils.checkpoint import Checkpointer
found = []
for folder, images in json.loads(sys.argv[1]):
    if os.path.isfile(os.path.join(folder, "efficientnet_lite0.py")):
        sys.path.insert(0, folder)
        import efficientnet_lite0
    cfg = get_cfg()
    cfg.merge_from_file(os.path.join(folder, "config.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg).eval()
    path = os.path.join(folder, "model_final.pth")
    model.load_state_dict(torch.load(path, weights_only=True)["model"])  # every name, and no other
    Checkpointer(model).load(path)
    with torch.no_grad():
        features = model(torch.from_numpy(np.load(images)))
    found.append(torch.nn.functional.normalize(features).tolist())
assert not [name for name in sys.modules if name.split(".")[0] == "gcl"]
print(json.dumps(found))
"""


@torch.no_grad()
def test_the_stock_toolbox_has_the_same_features(finished, tmp_path):
    line, expected, run = [], [], ReID.load(finished, "cpu")
    for name, model in (("packaged", ReID.load("packaged", "cpu")), ("run", run)):
        files = write_baseline(*plain_baseline(model.encoder), str(tmp_path / name))
        assert len(files) == 2 + (name == "packaged")
        images = 127 + 40 * draw(3, 3, *model.encoder.size)
        np.save(tmp_path / f"{name}.npy", images.numpy())
        line.append((str(tmp_path / name), str(tmp_path / f"{name}.npy")))
        expected.append(model.forward(images))
    command = [sys.executable, "-W", "ignore", "-c", STOCK, json.dumps(line)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for found, features in zip(json.loads(done.stdout.splitlines()[-1]), expected, strict=True):
        torch.testing.assert_close(torch.tensor(found), features, rtol=0, atol=1e-5)
    again = ReID.load(tmp_path / "run", "cpu")  # and so has this package
    torch.testing.assert_close(again.forward(images), run.forward(images))
