"""From named body parts to the bones of a body model, and from bones to skin.

Shapes: `B` people, `J` bones (parents first), `P` parts of :data:`gcl.structure.poses.PARTS`,
`V` vertices. All coordinates are camera space (x right = the person's left, y down, z forward).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .poses import PARTS, rotation


class Skeleton:
    """Turns poses of parts into rotations of bones.

    The neutral stance of :mod:`gcl.structure.poses` is found from the joints of the rest pose, of
    every person anew: limbs are turned, by the smallest rotation, to where they point when somebody
    stands. So models that rest in an A-pose and in a T-pose, and bodies of any shape, take the same
    poses.

    Args:
        parents: (J) index of each bone's parent, -1 for the first.
        drivers: which bones a part turns: part name -> bone indices. Parts without bones (toes,
            fingers of a coarse model) are left out.
        ends: limb part -> bone whose joint is the limb's other end.
    """

    def __init__(
        self,
        parents: Sequence[int],
        drivers: Mapping[str, Sequence[int]],
        ends: Mapping[str, int],
    ) -> None:
        self.parents = list(parents)
        self.part = [-1] * len(self.parents)
        for name, bones in drivers.items():
            for bone in bones:
                self.part[bone] = PARTS.index(name)
        self.limbs = {PARTS.index(name): (drivers[name][0], end) for name, end in ends.items()}

    def rotations(self, pose: Tensor, joints: Tensor, clearance: Tensor | float = 0.0) -> Tensor:
        """(B, J, 3, 3) rotation of every bone from the rest pose, in camera axes.

        Args:
            pose: (B, P, 3, 3).
            joints: (B, J, 3) rest joints.
            clearance: (B,) degrees by which the neutral arms stand off beyond the usual ones.
        """
        neutral = self._neutral(joints, clearance)
        turned: list[Tensor] = []  # by the pose alone, accumulated
        still: list[Tensor] = []
        eye = torch.eye(3, dtype=joints.dtype, device=joints.device).expand(len(joints), 3, 3)
        for bone, parent in enumerate(self.parents):
            part = self.part[bone]
            above = eye if parent < 0 else turned[parent]
            turned.append(above if part < 0 else above @ pose[:, part])
            still.append(neutral.get(part, eye if parent < 0 else still[parent]))
        return torch.stack(turned, 1) @ torch.stack(still, 1)

    def _neutral(self, joints: Tensor, clearance: Tensor | float) -> dict[int, Tensor]:
        """Rotation from the rest pose to the neutral stance, for the parts that differ."""
        found: dict[int, Tensor] = {}
        for part, (start, end) in self.limbs.items():
            name = PARTS[part]
            side = 1.0 if name.endswith("_left") else -1.0
            target = _hanging(name, side, joints, clearance)
            rest = joints[:, end] - joints[:, start]
            found[part] = _smallest_rotation(rest, target)
        eye = torch.eye(3, dtype=joints.dtype, device=joints.device).expand(len(joints), 3, 3)
        for side in ("left", "right"):  # feet stay flat as they rest
            found[PARTS.index(f"foot_{side}")] = eye
        return found


def _hanging(name: str, side: float, joints: Tensor, clearance: Tensor | float) -> Tensor:
    """(B, 3) where a limb points in the neutral stance."""
    out = torch.zeros(len(joints), dtype=joints.dtype, device=joints.device)
    if "arm" in name or "hand" in name:
        out = out + 5.0 + clearance
    out = out * (math.pi / 180)
    return torch.stack((side * out.sin(), out.cos(), torch.zeros_like(out)), -1)


def _smallest_rotation(start: Tensor, end: Tensor) -> Tensor:
    """(B, 3, 3) that turns the direction of `start` (B, 3) into that of `end`, not opposite."""
    a = torch.nn.functional.normalize(start, dim=-1)
    b = torch.nn.functional.normalize(end, dim=-1)
    axis = torch.linalg.cross(a, b)
    zero = torch.zeros_like(axis[:, 0])
    x, y, z = axis.unbind(-1)
    k = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).view(-1, 3, 3)
    eye = torch.eye(3, dtype=start.dtype, device=start.device)
    return eye + k + k @ k / (1 + (a * b).sum(-1))[:, None, None]


def posed_joints(rotations: Tensor, joints: Tensor, parents: Sequence[int]) -> Tensor:
    """(B, J, 3): each joint is carried along by its parent bone; the first stays."""
    posed = [joints[:, 0]]
    for bone, parent in enumerate(parents):
        if parent >= 0:
            offset = (joints[:, bone] - joints[:, parent])[..., None]
            posed.append(posed[parent] + (rotations[:, parent] @ offset)[..., 0])
    return torch.stack(posed, 1)


def skin(
    vertices: Tensor, weights: Tensor, rotations: Tensor, joints: Tensor, posed: Tensor
) -> Tensor:
    """Linear blend skinning: v -> sum over bones j of w_j (R_j (v - joint_j) + posed_j).

    Args:
        vertices: (B, V, 3) at rest.
        weights: (V, J), rows sum to 1.
        rotations, joints, posed: (B, J, 3, 3), (B, J, 3) at rest, (B, J, 3).
    """
    shift = posed - (rotations @ joints[..., None])[..., 0]
    transform = torch.cat((rotations, shift[..., None]), -1)
    b, j = transform.shape[:2]
    blended = (weights @ transform.permute(1, 0, 2, 3).reshape(j, -1)).view(-1, b, 3, 4)
    blended = blended.transpose(0, 1)
    return (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3]


__all__ = ["Skeleton", "posed_joints", "rotation", "skin"]
