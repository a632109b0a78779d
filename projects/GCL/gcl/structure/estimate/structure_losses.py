"""What the network's answers are held against.

Shapes: `B` crops, `M` hypotheses of the pose, `P` parts of a pose.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gcl.structure.body import AnnyBody
from gcl.structure.poses import PARTS
from gcl.structure.skeleton import axis_angle

from . import circle
from .network import Prediction, mirrored_pose

WEIGHTS = {"yaw": 1, "pose": 12, "choice": 1, "phenotype": 3, "framing": 12}
"""Of the losses, so that pose and framing learn as well as the yaw."""


class Truth(NamedTuple):
    """Attributes:
    yaw: (B,) degrees.
    pose: (B, P, 3, 2) first two columns of each part's rotation.
    phenotype: (B, 6).
    framing: (B, 3).
    """

    yaw: Tensor
    pose: Tensor
    phenotype: Tensor
    framing: Tensor

    def mirrored_where(self, flipped: Tensor) -> Truth:
        """View and pose as in the mirrored crop where ``flipped`` (B,); ``framing`` stays: it is
        measured in the crop."""
        pose = torch.where(flipped[:, None, None, None], mirrored_pose(self.pose), self.pose)
        return self._replace(yaw=torch.where(flipped, -self.yaw, self.yaw), pose=pose)


def levers() -> Tensor:
    """(P,) metres by which the body's surface moves against the pelvis, on average, per radian that
    a part turns: how much an error in each part's rotation matters."""
    body, small = AnnyBody("reduced"), 0.01
    turns = torch.eye(3).repeat(len(PARTS), 1, 1, 1).expand(-1, len(PARTS), -1, -1)
    found = []
    for axis in torch.eye(3):
        bent = turns.clone()
        parts = torch.arange(len(PARTS))
        bent[parts, parts] = axis_angle(small * axis)
        after, before = body(bent), body(turns[:1])
        # not against the ground: a foot that turns would lift everything above it
        moved = (after.vertices - after.joints[:, :1]) - (before.vertices - before.joints[:, :1])
        found.append(moved.norm(dim=2).mean(1) / small)
    return torch.stack(found).mean(0)


def structure_losses(prediction: Prediction, truth: Truth, lever: Tensor) -> dict[str, Tensor]:
    """Scalar losses by name, times WEIGHTS; their sum is what to minimise.

    - yaw: cross-entropy with a narrow distribution round the true direction;
    - pose: of the hypothesis nearest to the truth, metres by which the surface is off, about;
    - choice: cross-entropy of that hypothesis;
    - phenotype, framing: mean absolute errors.

    Args:
        lever: :func:`levers`.
    """
    apart = (prediction.pose - truth.pose[:, None]).square().sum((3, 4)).add(1e-6).sqrt()
    # a turn by a small angle a moves the two columns by sqrt(2) a or less
    distance = (apart * lever).sum(2)
    nearest, best = distance.min(1)
    # the others follow a little, else one that is never the nearest stays where it began
    pose = 0.95 * nearest + 0.05 * distance.mean(1)
    entropy = -(circle.targets(truth.yaw) * prediction.yaw.clamp(min=1e-8).log()).sum(1)
    chosen = prediction.choice.gather(1, best[:, None]).clamp(min=1e-8)
    losses = {
        "yaw": entropy.mean(),
        "pose": pose.mean(),
        "choice": -chosen.log().mean(),
        "phenotype": (prediction.phenotype - truth.phenotype).abs().mean(),
        "framing": (prediction.framing - truth.framing).abs().mean(),
    }
    return {f"loss_{name}": WEIGHTS[name] * loss for name, loss in losses.items()}
