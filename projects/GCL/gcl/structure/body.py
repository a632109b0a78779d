"""Bodies: shape and pose in, a mesh in camera space out.

Shapes: `B` people, `V` vertices, `F` triangles, `J` bones.
Camera space: x to the image right, y down, z forward, metres. A body faces the camera (yaw 0),
stands on the plane y = 0 and has its pelvis at x = z = 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .anny_data import KEYPOINTS, load_anny
from .poses import PARTS, Pose
from .skeleton import Skeleton, as_rotations, posed_joints, skin

__all__ = ["KEYPOINTS", "PHENOTYPES", "AnnyBody", "Body", "BodyOutput", "sample_phenotype"]

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
"""What shapes an Anny body, each from 0 to 1: gender 0 male, 1 female; age 0 baby, 1/3 child, 2/3
young, 1 old (newborn at -1/3)."""


class BodyOutput(NamedTuple):
    """Attributes:
    vertices: (B, V, 3).
    joints: (B, J, 3) where the bones begin.
    keypoints: (B, 17, 3) in COCO's order (`KEYPOINTS`).
    """

    vertices: Tensor
    joints: Tensor
    keypoints: Tensor


class Body(Protocol):
    """What every body model offers; `faces` is (F, 3) int64."""

    faces: Tensor

    def __call__(self, pose: Pose | Tensor, shape: Tensor | None = None, /) -> BodyOutput: ...


def sample_phenotype(batch: int, generator: torch.Generator) -> Tensor:
    """(B, 6) phenotypes of a street's people: mostly adults, few children, all builds."""
    u = torch.rand(batch, 8, generator=generator)
    bell = (u[:, 2:] + u[:, 2:].roll(1, 1)) / 2  # triangular about 0.5
    gender = torch.where(u[:, 0] < 0.5, 0.15 * u[:, 1] * 2, 1 - 0.15 * u[:, 1] * 2)
    child = u[:, 2] < 0.06
    age = torch.where(child, 0.36 + 0.2 * u[:, 3], 0.6 + 0.35 * u[:, 3])
    muscle, weight = 0.2 + 0.6 * bell[:, 2], 0.15 + 0.75 * bell[:, 3]
    height, proportions = 0.2 + 0.6 * bell[:, 4], 0.3 + 0.6 * bell[:, 5]
    return torch.stack((gender, age, muscle, weight, height, proportions), 1)


# (anchor positions) of the values of each phenotype, in the order of Anny's product table
_ANCHORS = {
    "race": (None, None, None),
    "gender": (0.0, 1.0),
    "age": (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0),
    "muscle": (0.0, 0.5, 1.0),
    "weight": (0.0, 0.5, 1.0),
    "height": (0.0, 1.0),
    "proportions": (0.0, 1.0),
    "cupsize": (0.0, 0.5, 1.0),
    "firmness": (0.0, 0.5, 1.0),
}

_BONES = {
    "pelvis": ("root",),
    "spine": ("spine04",),
    "chest": ("spine02",),
    "neck": ("neck01",),
    "head": ("head",),
    "collar": ("clavicle",),
    "upper_arm": ("upperarm01",),
    "forearm": ("lowerarm01",),
    "hand": ("wrist",),
    "fingers": tuple(f"finger{f}-{k}" for f in (2, 3, 4, 5) for k in (1, 2, 3)),
    "thumb": ("finger1-2", "finger1-3"),
    "thigh": ("upperleg01",),
    "shin": ("lowerleg01",),
    "foot": ("foot",),
    "toes": tuple(f"toe{k}-1" for k in (1, 2, 3, 4, 5)),
}
_ENDS = {
    "upper_arm": "lowerarm01",
    "forearm": "wrist",
    "hand": "finger3-1",
    "thigh": "lowerleg01",
    "shin": "foot",
}


class AnnyBody:
    """The Anny body (Apache-2.0, data CC0): no licence to sign, nothing to download.

    The first use on a machine builds the model in about a minute (a line on the screen says so) and
    keeps it in the folder `GCL_CACHE`.

    Args:
        topology: "full" (V = 13,718, F = 27,420) or "reduced" (1,229 and 2,454).
        device: where it calculates.

    Attributes:
        faces: (F, 3) int64, outward.
        bones: J names of bones; `parents` the index of each one's parent, -1 for the first.
        weights: (V, J) share of each bone in each vertex, rows sum to 1.
        part_weights: (V, P) the same, summed over the bones of each part of `poses.PARTS`.
        canonical: (V, 3) the average person at rest (an A-pose): the same point of the body has the
            same coordinates on everybody, which patterns on clothes need.
    """

    def __init__(self, topology: str = "full", device: str | torch.device = "cpu") -> None:
        data, names = load_anny(topology)
        data = {key: value.to(device) for key, value in data.items()}
        self.device = torch.device(device)
        self.faces = data["faces"].long()
        self.bones: list[str] = names["bones"]
        self.parents: list[int] = names["parents"]
        self.weights = data["weights"]
        self._data = data
        self.skeleton = Skeleton(self.parents, *_anny_parts(self.bones), self.weights)
        self.part_weights = self.skeleton.part_weights
        self.canonical = self.rest(None)[0]

    def rest(self, phenotype: Tensor | Mapping[str, float | Tensor] | None) -> Tensor:
        """(B, V, 3) vertices at rest (an A-pose), the pelvis near the origin."""
        return self._linear(phenotype, "template", "blend")

    def rest_joints(self, phenotype: Tensor | Mapping[str, float | Tensor] | None) -> Tensor:
        """(B, J, 3) where the bones of :meth:`rest` begin."""
        return self._linear(phenotype, "joints", "joints_blend")

    def __call__(
        self,
        pose: Pose | Tensor,
        phenotype: Tensor | Mapping[str, float | Tensor] | None = None,
    ) -> BodyOutput:
        """Bodies of these shapes in these poses, standing and facing the camera.

        Args:
            pose: B poses, or their rotations (B, P, 3, 3) alone.
            phenotype: (B or 1, 6) in the order of PHENOTYPES, or some of them by name (numbers or
                (B,)); what is not given is 0.5. B poses of one person and B people in one pose are
                both fine.

        Raises:
            ValueError: wrong shapes, names or values, or sizes that do not go together.
        """
        turns = as_rotations(pose).to(self.device, torch.float32)
        vertices, joints = self.rest(phenotype), self.rest_joints(phenotype)
        if len(turns) != len(joints) and 1 not in (len(turns), len(joints)):
            raise ValueError(
                f"{len(turns)} poses for {len(joints)} phenotypes: they must be as many, or one."
            )
        batch = len(turns) if len(joints) == 1 else len(joints)
        turns = turns.expand(batch, -1, -1, -1)
        vertices, joints = vertices.expand(batch, -1, -1), joints.expand(batch, -1, -1)
        rotations = self.skeleton.rotations(turns, joints, vertices)
        posed = posed_joints(rotations, joints, self.parents)
        vertices = skin(vertices, self.weights, rotations, joints, posed)
        keypoints = torch.einsum("kv,bvd->bkd", self._data["keypoints"], vertices)
        return stand(BodyOutput(vertices, posed, keypoints))

    def _linear(
        self, phenotype: Tensor | Mapping[str, float | Tensor] | None, template: str, basis: str
    ) -> Tensor:
        base, shapes = self._data[template], self._data[basis]
        return base + (self._coefficients(phenotype) @ shapes.flatten(1)).view(-1, *base.shape)

    def _coefficients(self, phenotype: Tensor | Mapping[str, float | Tensor] | None) -> Tensor:
        """(B, K) weights of the blend shapes."""
        values = as_phenotype(phenotype).to(self.device, torch.float32)
        columns = []
        for name, anchors in _ANCHORS.items():
            if name == "race":
                columns += [torch.full_like(values[:, 0], 1 / 3)] * 3
                continue
            known = name in PHENOTYPES
            value = values[:, PHENOTYPES.index(name)] if known else values[:, 0] * 0 + 0.5
            step = anchors[1] - anchors[0]
            columns += [(1 - (value - anchor).abs() / step).clamp(min=0) for anchor in anchors]
        table = torch.stack(columns, 1)[:, None]
        products = torch.where(self._data["factors"], table, 1.0).prod(-1)
        return products @ self._data["basis"]


def stand(body: BodyOutput) -> BodyOutput:
    """Move bodies so that the lowest vertex has y = 0 and the first joint x = z = 0."""
    root = body.joints[:, :1]
    floor = body.vertices[..., 1].amax(1)[:, None]
    shift = torch.stack((root[..., 0], floor, root[..., 2]), -1)
    return BodyOutput(*(points - shift for points in body))


def as_phenotype(phenotype: Tensor | Mapping[str, float | Tensor] | None) -> Tensor:
    """(B, 6), every value finite and in [0, 1] (age from -1/3)."""
    if phenotype is None:
        phenotype = {}
    if isinstance(phenotype, Mapping):
        unknown = set(phenotype) - set(PHENOTYPES)
        if unknown:
            raise ValueError(
                f"unknown phenotype {', '.join(sorted(unknown))}: there are"
                f" {', '.join(PHENOTYPES)}."
            )
        # on the CPU: what is not given would be elsewhere than tensors on a GPU
        columns = [torch.as_tensor(phenotype.get(n, 0.5)).reshape(-1).cpu() for n in PHENOTYPES]
        phenotype = torch.stack([c.float() for c in torch.broadcast_tensors(*columns)], 1)
    if phenotype.ndim != 2 or phenotype.shape[1] != len(PHENOTYPES):
        raise ValueError(
            f"phenotype must be (B, {len(PHENOTYPES)}), columns {', '.join(PHENOTYPES)}; its shape"
            f" is {tuple(phenotype.shape)}."
        )
    low = torch.zeros(len(PHENOTYPES), device=phenotype.device)
    low[PHENOTYPES.index("age")] = -1 / 3 - 1e-6
    if not bool(((phenotype >= low) & (phenotype <= 1)).all()):
        raise ValueError("phenotype values go from 0 to 1 (age from -1/3).")
    return phenotype


def _anny_parts(bones: list[str]) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Bone numbers of every part, and of the ends of limbs."""
    drivers: dict[str, list[int]] = {}
    ends: dict[str, int] = {}
    for part in PARTS:
        stem, _, side = part.rpartition("_")
        if side not in ("left", "right"):
            stem, side = part, ""
        suffix = {"left": ".L", "right": ".R", "": ""}[side]
        drivers[part] = [bones.index(name + suffix) for name in _BONES[stem]]
        if stem in _ENDS:
            ends[part] = bones.index(_ENDS[stem] + suffix)
    return drivers, ends
