"""The command that writes an encoder for other tools."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from gcl.inference import ReID


def test_a_run_becomes_files_for_other_tools(run_tool, finished, toy, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    out = tmp_path / "out"
    status, printed = run_tool("export", finished, "--out", out, "--input", "imagenet", "raw")
    assert status is None, status
    names = ["config.yaml", "model_final.pth", "model_imagenet.onnx", "model_raw.onnx"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert printed.count("wrote ") == 4
    crops = sorted(toy.rglob("query/*.jpg"))[:3]
    pixels = np.stack([np.asarray(Image.open(path)) for path in crops]).transpose(0, 3, 1, 2)
    session = runtime.InferenceSession(str(out / "model_raw.onnx"))
    (features,) = session.run(None, {"images": pixels.astype(np.float32)})
    np.testing.assert_allclose(features, ReID.load(finished, "cpu").embed(crops), atol=1e-4)


@torch.no_grad()
def test_a_camera_s_statistics_can_be_taken(run_tool, finished, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    images = 255 * torch.rand(3, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    run = ReID.load(finished, "cpu")
    for camera in ("0", "1"):
        out = tmp_path / camera
        status, _ = run_tool("export", finished, "--out", out, "--camera", camera)
        assert "pip install onnx onnxruntime" in status  # and the checkpoint is there
        assert sorted(path.name for path in out.iterdir()) == ["config.yaml", "model_final.pth"]
        expected = run.forward(images, torch.full((3,), int(camera)))
        found = ReID.load(out, "cpu").forward(images)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    status, _ = run_tool("export", finished, "--out", tmp_path / "x", "--camera", "porch")
    assert "--camera porch" in status and "those of: 0, 1" in status
    assert not (tmp_path / "x").exists()


def test_a_run_is_not_overwritten(run_tool, finished, tmp_path):
    for name in ("config.yaml", "model_final.pth"):
        shutil.copy(finished / name, tmp_path)
    before = (tmp_path / "model_final.pth").read_bytes()
    status, _ = run_tool("export", tmp_path, "--out", f"{tmp_path}/.")
    assert "is the run's own folder" in status
    assert (tmp_path / "model_final.pth").read_bytes() == before


def test_what_is_no_run_gets_a_sentence(run_tool, tmp_path):
    status, _ = run_tool("export", tmp_path, "--out", tmp_path / "out")
    assert "has no model_final.pth" in status
