"""A network whose answers differ from crop to crop, without any training."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from gcl.structure.estimate.crops import load_crops
from gcl.structure.estimate.network import StructureNet


def crops(count: int, seed: int = 0) -> list[np.ndarray]:
    """Patches of random colours, in random sizes."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        patches = Image.fromarray(rng.integers(0, 256, (8, 4, 3), dtype=np.uint8))
        size = (int(rng.integers(40, 130)), int(rng.integers(40, 260)))
        out.append(np.asarray(patches.resize(size, Image.Resampling.BICUBIC)))
    return out


@torch.no_grad()
def random_network() -> StructureNet:
    torch.manual_seed(0)
    network = StructureNet().train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    network(load_crops(crops(24, 1)).float())  # statistics, without which little comes through
    for layer, gain in ((network.yaw, 14), (network.choice, 20), (network.phenotype, 40)):
        layer.weight.mul_(gain)
    network.pose.weight.mul_(20)
    network.framing.weight.mul_(3)
    return network.eval()
