"""A trained encoder as ONNX: one file for trackers and servers that have no torch.

Input ``images`` (batch, 3, H, W) float32 RGB, output ``features`` (batch, D) of unit length; batch
is any number.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from fastreid.modeling.meta_arch.baseline import Baseline
from torch import Tensor, nn

from gcl.atomic_files import atomic
from gcl.config import ConfigError

INPUTS = {
    "raw": "0 - 255",
    "unit": "0 - 1, as Ultralytics gives it",
    "imagenet": "0 - 1, less ImageNet's mean, over its deviation, as BoxMOT gives it",
}
"""Values of the pixels that a graph takes."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of 0 - 1."""
BATCHES = (1, 3, 32)
TOLERANCE = 1e-4
OPSET = 17
MISSING = (
    "ONNX needs the packages onnx and onnxruntime: run pip install onnx onnxruntime, or install"
    " fastreid-gcl[onnx]."
)


class FeatureGraph(nn.Module):
    """Pixels as one of :data:`INPUTS` has them -> features (B, D) of unit length."""

    def __init__(self, model: Baseline, pixels: str) -> None:
        super().__init__()
        self.backbone, self.heads = model.backbone, model.heads
        mean, deviation = model.pixel_mean.clone(), model.pixel_std.clone()
        if pixels != "raw":  # what the encoder takes away was of 0 - 255
            mean, deviation = mean / 255, deviation / 255
        if pixels == "imagenet":
            theirs = [torch.tensor(v).view(1, 3, 1, 1).to(mean) for v in (MEAN, DEVIATION)]
            mean, deviation = (mean - theirs[0]) / theirs[1], deviation / theirs[1]
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, images: Tensor) -> Tensor:
        return F.normalize(self.heads(self.backbone((images - self.mean) / self.deviation)))


def onnx_bytes(model: Baseline, size: tuple[int, int], pixels: str) -> bytes:
    """The graph of a plain ``Baseline`` (:func:`~.plain_baseline.plain_baseline`), compared with
    torch in onnxruntime for batches of :data:`BATCHES`.

    Args:
        size: (H, W) of its input.
        pixels: one of :data:`INPUTS`.

    Raises:
        ConfigError: onnx or onnxruntime is not installed, the backbone has no graph, or its
            features there are others by more than :data:`TOLERANCE`.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ConfigError(MISSING) from error
    graph, content = FeatureGraph(model, pixels).cpu().eval(), io.BytesIO()
    axes = {"images": {0: "batch"}, "features": {0: "batch"}}
    try:
        with warnings.catch_warnings():
            # the newer exporter needs onnxscript, and takes ten times as long to the same graph
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph,
                (torch.zeros(2, 3, *size),),
                content,
                input_names=["images"],
                output_names=["features"],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as error:  # noqa: BLE001  whatever an operator without a graph leads to
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"This encoder has no ONNX graph ({reason}).") from error
    file = onnx.load_from_string(content.getvalue())
    file.doc_string = f"Re-ID features of unit length; images are RGB, {INPUTS[pixels]}."
    data = file.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    difference = max(_difference(session, graph, batch, size, pixels) for batch in BATCHES)
    if not difference <= TOLERANCE:
        raise ConfigError(
            f"In onnxruntime {onnxruntime.__version__} features differ from torch's by"
            f" {difference:.1e}: no ONNX is written."
        )
    return data


def write_onnx(model: Baseline, size: tuple[int, int], pixels: str, path: str) -> None:
    """Write :func:`onnx_bytes`, all or nothing."""
    data = onnx_bytes(model, size, pixels)
    with atomic(path) as file:
        file.write(data)


@torch.no_grad()
def _difference(session, graph: nn.Module, batch: int, size: tuple[int, int], pixels: str) -> float:
    generator = torch.Generator().manual_seed(batch)
    images = torch.randint(0, 256, (batch, 3, *size), generator=generator).float()
    if pixels != "raw":
        images /= 255
    if pixels == "imagenet":
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
        images = (images - mean) / deviation
    found = session.run(["features"], {"images": images.numpy()})[0]
    return float(np.abs(found - graph(images).numpy()).max())
