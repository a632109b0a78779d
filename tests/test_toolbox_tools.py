"""What the toolbox's tools make of a trained run: its predictor, and graphs for its exporters."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from fastreid.config import CfgNode, get_cfg
from fastreid.engine import DefaultPredictor
from fastreid.modeling import build_model
from torch import Tensor

import gcl


def crops(count: int, seed: int = 0) -> Tensor:
    return 255 * torch.rand(count, 3, 64, 32, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model(tiny_cfg):
    """With statistics of two cameras."""
    torch.manual_seed(0)
    model = build_model(tiny_cfg("GCL.CAMERA_NORM", True)).eval()
    model.heads.camera_norm.fit(torch.randn(20, 16) * 2 + 1, torch.arange(20) % 2)
    return model


def test_the_toolbox_s_predictor_of_a_finished_run(finished: Path, user_place) -> None:
    """From what is in OUTPUT_DIR; the run has GCL.CAMERA_NORM. One crop as in a batch."""
    cfg: CfgNode = get_cfg()
    gcl.add_gcl_config(cfg)
    cfg.merge_from_file(str(finished / "config.yaml"))
    cfg.MODEL.WEIGHTS = str(finished / "model_final.pth")
    predict = DefaultPredictor(cfg)
    images = crops(3)[..., :32, :16]
    batch = predict(images)
    assert batch.shape == (3, 128) and batch.isfinite().all()
    model = predict.model
    with torch.no_grad():
        pooled = model.heads.pool(model.backbone(model.preprocess_image({"images": images})))
        assert torch.equal(batch, model.heads.neck(pooled))
    for image, feature in zip(images, batch, strict=True):
        torch.testing.assert_close(predict(image[None])[0], feature, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_traced_graph_serves_any_batch(model) -> None:
    """What torch.onnx.export(dynamo=False) of the toolbox's exporters sees: one tensor."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        graph = torch.jit.trace(model, crops(3), check_trace=False)
    for count in (1, 3, 5):
        x = crops(count, seed=count)
        torch.testing.assert_close(graph(x), model(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_an_exported_graph_serves_any_batch(model) -> None:
    """What torch.onnx.export(dynamo=True) sees."""
    batch = torch.export.Dim("batch", min=1)
    graph = torch.export.export(model, (crops(3),), dynamic_shapes=({0: batch},)).module()
    for count in (1, 3, 5):
        x = crops(count, seed=count)
        torch.testing.assert_close(graph(x), model(x), rtol=1e-4, atol=1e-4)
