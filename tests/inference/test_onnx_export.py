"""ONNX: the features of the encoder, for any batch and each kind of pixels."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from gcl.config import ConfigError
from gcl.inference import onnx_export
from gcl.inference.onnx_export import INPUTS, onnx_bytes, write_onnx
from gcl.inference.plain_baseline import plain_baseline

MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
PIXELS = {
    "raw": lambda x: x,
    "unit": lambda x: x / 255,
    "imagenet": lambda x: (x / 255 - MEAN) / DEVIATION,
}


@pytest.fixture
def plain(reid):
    return plain_baseline(reid.encoder)[0]


@pytest.mark.parametrize("pixels", INPUTS)
def test_features_are_the_encoder_s_for_any_batch(reid, plain, tmp_path, pixels):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    write_onnx(plain, reid.encoder.size, pixels, str(path))
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("images", ["batch", 3, 64, 32])
    assert (made.name, made.shape) == ("features", ["batch", reid.dimension])
    rng = np.random.default_rng(0)
    for batch in (1, 2, 3, 7, 32):
        images = rng.integers(0, 256, (batch, 3, 64, 32)).astype(np.float32)
        (found,) = session.run(None, {"images": PIXELS[pixels](images).astype(np.float32)})
        with torch.no_grad():
            expected = reid.forward(torch.from_numpy(images)).numpy()
        assert np.abs(found - expected).max() < 1e-4
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_another_network_is_not_written(reid, plain, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(ConfigError, match="features differ from torch's by"):
        write_onnx(plain, reid.encoder.size, "raw", str(tmp_path / "model.onnx"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_without_the_packages_there_is_a_sentence(reid, plain, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match="pip install onnx onnxruntime"):
        onnx_bytes(plain, reid.encoder.size, "raw")
