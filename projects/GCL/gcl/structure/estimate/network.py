"""The network: a crop in, view, pose, shape and framing out.

Shapes: `B` crops, `K` bins of the yaw, `M` hypotheses of the pose, `P` parts of a pose.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gcl.structure.body import PHENOTYPES
from gcl.structure.efficientnet import EfficientNetLite0
from gcl.structure.poses import PARTS

from . import circle

SIZE = (128, 64)
"""Height and width to which every crop is resized."""
CHUNK = 32
"""Crops that a CPU looks at together: the activations of more leave its cache."""
HYPOTHESES = 3
WIDTH = 384
_OTHER_SIDE = [
    PARTS.index(n.replace("_left", "_?").replace("_right", "_left").replace("_?", "_right"))
    for n in PARTS
]


class Prediction(NamedTuple):
    """Attributes:
    yaw: (B, K) probabilities (:mod:`.circle`).
    choice: (B, M) probability of each pose.
    pose: (B, M, P, 3, 2) first two columns of each part's rotation, near unit length.
    phenotype: (B, 6) in [0, 1].
    framing: (B, 3) top, bottom and centre of the body as shares of the crop.
    """

    yaw: Tensor
    choice: Tensor
    pose: Tensor
    phenotype: Tensor
    framing: Tensor

    def best_pose(self) -> Tensor:
        """(B, P, 3, 2) the most probable pose."""
        rows = torch.arange(len(self.choice), device=self.choice.device)
        return self.pose[rows, self.choice.argmax(1)]


class StructureNet(nn.Module):
    """EfficientNet-Lite0 and a layer that sees where in the crop everything is.

    A stride seen from the side fits two poses, and the mean of the two stands still: so there are
    `M` poses, of which training improves the one nearest to the truth (Guzman-Rivera et al.,
    "Multiple choice learning", NeurIPS 2012) and the probability that it is that one.
    Rotations are columns that :func:`rotations` makes orthonormal (Zhou et al., "On the continuity
    of rotation representations in neural networks", CVPR 2019).
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite0(last_stride=1, head=False)
        cells = (SIZE[0] // 16) * (SIZE[1] // 16)
        self.neck = nn.Sequential(
            nn.Conv2d(320, 64, 1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(64 * cells, WIDTH),
            nn.ReLU(),
        )
        self.yaw = nn.Linear(WIDTH, circle.BINS)
        self.choice = nn.Linear(WIDTH, HYPOTHESES)
        self.pose = nn.Linear(WIDTH, HYPOTHESES * len(PARTS) * 6)
        self.phenotype = nn.Linear(WIDTH, len(PHENOTYPES))
        self.framing = nn.Linear(WIDTH, 3)
        # where training starts: a person who stands and fills the crop
        for layer in (self.pose, self.phenotype, self.framing):
            nn.init.normal_(layer.weight, std=0.01)
        stance = torch.eye(3)[:, :2].repeat(HYPOTHESES, len(PARTS), 1, 1)
        with torch.no_grad():
            self.pose.bias.copy_(stance.flatten() + 0.02 * torch.randn(stance.numel()))
            self.framing.bias.copy_(torch.tensor([0.03, 0.97, 0.5]))

    def forward(self, crops: Tensor) -> Prediction:
        """(B, 3, 128, 64) RGB in 0-255."""
        crops = crops.to(memory_format=torch.channels_last)  # a third faster on a CPU
        hidden = self.neck(self.backbone((crops - 127.5) / 127.5))
        return Prediction(
            self.yaw(hidden).softmax(1),
            self.choice(hidden).softmax(1),
            self.pose(hidden).view(-1, HYPOTHESES, len(PARTS), 3, 2),
            self.phenotype(hidden).sigmoid(),
            self.framing(hidden),
        )


def mirror(prediction: Prediction) -> Prediction:
    """What is true of the mirrored crop: left and right change places."""
    top, bottom, centre = prediction.framing.unbind(1)
    return prediction._replace(
        yaw=circle.mirrored(prediction.yaw),
        pose=mirrored_pose(prediction.pose),
        framing=torch.stack((top, bottom, 1 - centre), 1),
    )


def mirrored_pose(columns: Tensor) -> Tensor:
    """(..., P, 3, 2) first two columns of rotations of the mirrored body: R becomes S R S with
    S = diag(-1, 1, 1), on the other side."""
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [-1.0, 1.0]], device=columns.device)
    return columns[..., _OTHER_SIDE, :, :] * signs


def merge(one: Prediction, other: Prediction) -> Prediction:
    """Two opinions on the same crops: distributions, shape and framing are averaged; each pose of
    ``one`` is averaged with the nearest of ``other``, and so is their probability."""
    apart = (one.pose[:, :, None] - other.pose[:, None]).square().flatten(3).sum(3)
    partner = apart.argmin(2)
    rows = torch.arange(len(partner), device=partner.device)[:, None]
    return Prediction(
        (one.yaw + other.yaw) / 2,
        (one.choice + other.choice[rows, partner]) / 2,
        (one.pose + other.pose[rows, partner]) / 2,
        (one.phenotype + other.phenotype) / 2,
        (one.framing + other.framing) / 2,
    )


def both_ways(network: StructureNet, crops: Tensor) -> Prediction:
    """What the network says of crops (B, 3, 128, 64) and of their mirror images, merged."""
    both = torch.cat((crops, crops.flip(3)))
    parts = both.split(CHUNK if crops.device.type == "cpu" else len(both))
    said = [torch.cat(field) for field in zip(*map(network, parts), strict=True)]
    one = Prediction(*(field[: len(crops)] for field in said))
    other = Prediction(*(field[len(crops) :] for field in said))
    return merge(one, mirror(other))


def rotations(columns: Tensor) -> Tensor:
    """(..., 3, 2) -> (..., 3, 3) rotations by Gram-Schmidt."""
    first, second = columns.unbind(-1)
    first = nn.functional.normalize(first, dim=-1)
    second = second - (first * second).sum(-1, keepdim=True) * first
    second = nn.functional.normalize(second, dim=-1)
    return torch.stack((first, second, torch.linalg.cross(first, second)), -1)
