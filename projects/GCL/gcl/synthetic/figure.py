"""A dressed person as one mesh: the body, clothes, hair and bag, posed together.

Shapes: `B` people, `V` vertices of the body, `W` vertices of the figure, `F` triangles, `J` bones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gcl.structure.body import AnnyBody
from gcl.structure.poses import Pose
from gcl.structure.render import vertex_normals
from gcl.structure.skeleton import posed_joints, skin

from . import accessories, garments, rings
from .anatomy import Anatomy
from .identity import Identity
from .part import Body, Part

PARTS = (
    "body", "tail", "skirt", "left leg", "right leg", "left shoe", "right shoe", "hair", "knot",
    "bag", "hood",
)  # fmt: skip
"""Parts of a figure in the order of their vertices and triangles."""

_TUBES = (garments.DRAPE, garments.DRAPE, garments.LEG, garments.LEG, garments.SHOE, garments.SHOE,
          accessories.HAIR, accessories.BLOB, accessories.BLOB, accessories.BLOB)  # fmt: skip


class Figure(NamedTuple):
    """Dressed people in a pose.

    Attributes:
        vertices: (B, W, 3) in camera space, facing the camera; the lowest point has y = 0, the
            pelvis x = z = 0.
        rest: (B, W, 3) the same vertices at rest, by which colours go.
        place: (B, W, 2) along and round the part.
        body: (B, V, 3) the bare body in the same pose and axes as ``vertices``.
        heights: (B,) heights at rest by name.
    """

    vertices: Tensor
    rest: Tensor
    place: Tensor
    body: Tensor
    heights: dict[str, Tensor]


class Tailor(AnnyBody):
    """A body model that dresses its bodies. The reduced topology is enough below clothes.

    Attributes:
        anatomy: landmarks of the bodies.
        figure_faces: (F, 3) triangles of the figure.
        part: (F,) number of each of them's part in PARTS.
        groups: (W, G) shares of groups of bones in the figure's vertices, 0 but on the body.
    """

    def __init__(self) -> None:
        super().__init__("reduced")
        rest, joints = self.canonical[None], self.rest_joints(None)
        self.anatomy = Anatomy(self.bones, self.weights, _upright(rest)[0], _upright(joints)[0])
        blocks, first = [self.faces], len(self.weights)
        for levels, corners in _TUBES:
            blocks.append(rings.tube_faces(levels, corners, first))
            first += levels * corners + 2
        self.figure_faces = torch.cat(blocks)
        self.part = torch.cat([torch.full((len(b),), i) for i, b in enumerate(blocks)])
        shares = torch.stack(list(self.anatomy.shares.values()), 1)
        none = shares.new_zeros(first - len(shares), shares.shape[1])
        self.groups = torch.cat((shares, none))

    def dress(self, people: Sequence[Identity], pose: Pose) -> Figure:
        """``people`` (B of them), each in one of B poses."""
        shape = phenotypes(people)
        rest, joints = self.rest(shape), self.rest_joints(shape)
        rotations = self.skeleton.rotations(pose.rotations, joints, rest)
        posed = posed_joints(rotations, joints, self.parents)

        marks = self.anatomy.heights(_upright(rest), _upright(joints))
        first, who = _who_is_who(people)
        worn = self._clothes(rest[first], joints[first], [people[i] for i in first])
        dressed = worn.rest[who]
        # one picture at a time: a copy of the weights for each would leave the processor's cache
        weights = [worn.weights[i : i + 1] for i in who]
        each = (values.split(1) for values in (rotations, joints, posed))
        vertices = torch.cat(list(map(skin, _camera(dressed).split(1), weights, *each)))
        body = skin(rest, self.weights, rotations, joints, posed)
        root = posed[:, :1]
        zero = torch.stack((root[..., 0], vertices[..., 1].amax(1)[:, None], root[..., 2]), 2)
        return Figure(vertices - zero, dressed, worn.place[who], body - zero, marks)

    def _clothes(self, rest: Tensor, joints: Tensor, people: Sequence[Identity]) -> Part:
        """Different people in all their parts, at rest."""
        up, heads = _upright(rest), _upright(joints)
        normals = _upright(vertex_normals(rest, self.faces))
        body = Body(up, normals, heads, self.anatomy.heights(up, heads))
        arguments = (body, self.anatomy, people)
        parts = [
            garments.clothed_body(*arguments),
            garments.tail(*arguments),
            garments.skirt(*arguments),
            garments.trouser_leg(*arguments, "left"),
            garments.trouser_leg(*arguments, "right"),
            garments.shoe(*arguments, "left"),
            garments.shoe(*arguments, "right"),
            accessories.long_hair(*arguments),
            accessories.knot(*arguments),
            accessories.bag(*arguments),
            accessories.hood(*arguments),
        ]
        return Part(*(torch.cat(values, 1) for values in zip(*parts, strict=True)))


def _who_is_who(people: Sequence[Identity]) -> tuple[list[int], list[int]]:
    """(U,) where each of U different people comes first, and (B,) which of them each is: clothes
    are made once for all the pictures of a person."""
    first: list[int] = []
    who = []
    for i, person in enumerate(people):
        same = [n for n, j in enumerate(first) if people[j] is person or people[j] == person]
        if not same:
            same, first = [len(first)], [*first, i]
        who.append(same[0])
    return first, who



def phenotypes(people: Sequence[Identity]) -> dict[str, Tensor]:
    """Of B people, each (B,), by name."""
    names = people[0].phenotype
    return {name: torch.tensor([person.phenotype[name] for person in people]) for name in names}


def _upright(points: Tensor) -> Tensor:
    """Camera axes to (own left, back, up)."""
    x, y, z = points.unbind(-1)
    return torch.stack((x, z, -y), -1)


def _camera(points: Tensor) -> Tensor:
    """(own left, back, up) to camera axes."""
    x, y, z = points.unbind(-1)
    return torch.stack((x, -z, y), -1)
