"""EfficientNet-Lite0 with ImageNet weights: eyes that no training of ours has opened."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gcl.structure.efficientnet import EfficientNetLite0


class ImageNet:
    """The network as it is; gradients reach the pictures and nothing else.

    Args:
        stages: of which :meth:`maps` gives the outputs.

    Raises:
        ImportError: the weights are not installed.
    """

    def __init__(self, stages: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._stages, self._network = stages, EfficientNetLite0()
        self._network.load_imagenet()
        self._network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """Of (B, 3, H, W) in 0-255 the maps of the stages."""
        outputs = self._network.stages(self._normalised(pictures), max(self._stages) + 1)
        return [outputs[i] for i in self._stages]

    def pool(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in 0-255 -> (B, 1280)."""
        return self._network(self._normalised(pictures)).mean((2, 3))

    def _normalised(self, pictures: Tensor) -> Tensor:
        device = next(self._network.parameters()).device
        pictures = (pictures.to(device).float() - 127.5) / 127.5
        return pictures.contiguous(memory_format=torch.channels_last)
