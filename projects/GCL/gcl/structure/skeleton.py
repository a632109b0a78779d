"""From named body parts to the bones of a body model, and from bones to skin.

Shapes: `B` people, `J` bones (parents first), `P` parts of :data:`gcl.structure.poses.PARTS`,
`V` vertices. All coordinates are camera space (x right = the person's left, y down, z forward).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .poses import PARTS, Pose

STAND_OFF = 5.0
"""Degrees between the vertical and the arms of a slim person who stands."""
SPACE = 0.05
"""Metres between the widest part of the hips and the middle of the wrist."""


class Skeleton:
    """Turns poses of parts into rotations of bones.

    The neutral stance of :mod:`gcl.structure.poses` is found from the joints of the rest pose, of
    every person anew: limbs are turned, by the smallest rotation, to where they point when somebody
    stands, the arms as far out as the hips need. So models that rest in an A-pose and in a T-pose,
    and bodies of any shape, take the same poses.

    Args:
        parents: (J) index of each bone's parent, -1 for the first.
        drivers: which bones a part turns: part name -> bone indices. Parts without bones (the
            fingers of a coarse model) are left out.
        ends: limb part -> bone whose joint is the limb's other end.
        weights: (V, J) skinning weights.

    Attributes:
        part_weights: (V, P) skinning weights summed over the bones of each part.
    """

    def __init__(
        self,
        parents: Sequence[int],
        drivers: Mapping[str, Sequence[int]],
        ends: Mapping[str, int],
        weights: Tensor,
    ) -> None:
        self.parents = list(parents)
        self.part = [-1] * len(self.parents)
        for name, bones in drivers.items():
            for bone in bones:
                self.part[bone] = PARTS.index(name)
        self.limbs = {name: (drivers[name][0], end) for name, end in ends.items()}
        self.part_weights = self._by_part(weights)
        # belly, hips and upper thighs: what hanging arms must clear
        names = ("pelvis", "spine", "thigh_left", "thigh_right")
        trunk = self.part_weights[:, [PARTS.index(name) for name in names]].sum(1) > 0.7
        self._trunk = trunk.nonzero()[:, 0]

    def _by_part(self, weights: Tensor) -> Tensor:
        owner: list[int] = []
        for bone, parent in enumerate(self.parents):
            owner.append(self.part[bone] if self.part[bone] >= 0 else owner[parent])
        share = torch.zeros(len(weights), len(PARTS), device=weights.device)
        return share.index_add_(1, torch.tensor(owner, device=weights.device), weights)

    def rotations(self, pose: Tensor, joints: Tensor, vertices: Tensor) -> Tensor:
        """(B, J, 3, 3) rotation of every bone from the rest pose, in camera axes.

        Args:
            pose: (B, P, 3, 3).
            joints: (B, J, 3) rest joints.
            vertices: (B, V, 3) rest vertices.
        """
        neutral = self._neutral(joints, vertices)
        turned: list[Tensor] = []  # by the pose alone, accumulated along the chain
        still: list[Tensor] = []  # from the rest pose to the neutral stance
        eye = torch.eye(3, dtype=joints.dtype, device=joints.device).expand(len(joints), 3, 3)
        for bone, parent in enumerate(self.parents):
            part = self.part[bone]
            above = eye if parent < 0 else turned[parent]
            turned.append(above if part < 0 else above @ pose[:, part])
            still.append(neutral.get(part, eye if parent < 0 else still[parent]))
        return torch.stack(turned, 1) @ torch.stack(still, 1)

    def _neutral(self, joints: Tensor, vertices: Tensor) -> dict[int, Tensor]:
        """Rotations (B, 3, 3) from the rest pose to the neutral stance, of parts that differ."""
        out = self._stand_off(joints, vertices)
        zero = torch.zeros_like(out)
        found: dict[int, Tensor] = {}
        for name, (start, end) in self.limbs.items():
            side = 1.0 if name.endswith("_left") else -1.0
            angle = zero if name.startswith(("thigh", "shin")) else out
            hanging = torch.stack((side * angle.sin(), angle.cos(), zero), -1)
            found[PARTS.index(name)] = smallest_rotation(joints[:, end] - joints[:, start], hanging)
        eye = torch.eye(3, dtype=joints.dtype, device=joints.device).expand(len(joints), 3, 3)
        for side in ("left", "right"):  # soles stay on the ground as they rest
            found[PARTS.index(f"foot_{side}")] = eye
        return found

    def _stand_off(self, joints: Tensor, vertices: Tensor) -> Tensor:
        """(B,) radians between arms and vertical, so that the wrists pass the hips."""
        upper, lower = self.limbs["upper_arm_left"], self.limbs["forearm_left"]
        arm = sum((joints[:, end] - joints[:, start]).norm(dim=-1) for start, end in (upper, lower))
        hips = vertices[:, self._trunk, 0].abs().amax(1)
        sine = (hips + SPACE - joints[:, upper[0], 0]) / arm
        return sine.clamp(math.sin(math.radians(STAND_OFF)), 0.5).asin()


def smallest_rotation(start: Tensor, end: Tensor) -> Tensor:
    """(B, 3, 3) rotations that turn the direction of `start` (B, 3) into that of `end` (B, 3), by
    Rodrigues' formula; the two must not be opposite."""
    a = torch.nn.functional.normalize(start, dim=-1)
    b = torch.nn.functional.normalize(end, dim=-1)
    k = cross_matrix(torch.linalg.cross(a, b))
    eye = torch.eye(3, dtype=start.dtype, device=start.device)
    return eye + k + k @ k / (1 + (a * b).sum(-1))[:, None, None]


def axis_angle(vectors: Tensor) -> Tensor:
    """(..., 3) axes times angles in radians -> (..., 3, 3) rotations."""
    return torch.linalg.matrix_exp(cross_matrix(vectors))


def cross_matrix(vectors: Tensor) -> Tensor:
    """(..., 3) v -> (..., 3, 3) K with K w = v x w."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))


def as_rotations(pose: Pose | Tensor) -> Tensor:
    """(B, P, 3, 3) of a pose.

    Raises:
        ValueError: another shape.
    """
    turns = pose.rotations if isinstance(pose, Pose) else pose
    if turns.ndim != 4 or turns.shape[1:] != (len(PARTS), 3, 3):
        raise ValueError(
            f"a pose must be (B, {len(PARTS)}, 3, 3), a rotation for each of poses.PARTS; its shape"
            f" is {tuple(turns.shape)}."
        )
    return turns


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
        weights: (V, J), or (B, V, J) where people differ; rows sum to 1.
        rotations, joints, posed: (B, J, 3, 3), (B, J, 3) at rest, (B, J, 3).
    """
    shift = posed - (rotations @ joints[..., None])[..., 0]
    transform = torch.cat((rotations, shift[..., None]), -1)
    blended = (weights @ transform.flatten(2)).unflatten(2, (3, 4))
    return (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3]
