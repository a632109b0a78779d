"""SMPL parameters, posed by the body model that the user is licensed for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gcl.structure.skeleton import axis_angle

from .tools import People, dicts

if TYPE_CHECKING:
    from gcl.structure.smpl_body import SMPLBody

FOCAL, CROP = 5000.0, 256  # pixels: HMR's convention for a camera over a crop
JOINTS = 23  # SMPL's without the root


def smpl_parameters(payload: Any, body: SMPLBody) -> People:
    """SMPL parameters, as HMR and what came from it write them: a dict, or a list of them.

    ``global_orient`` (1 joint) and ``body_pose`` (23 joints), each axis-angle or rotation matrices,
    ``betas`` (10,), and where the person is: ``cam`` (s, t_x, t_y), scale and shift of a weak
    perspective camera over the crop (also called ``pred_cam``), or ``transl`` / ``pred_cam_t`` (3,)
    in metres. A leading axis of people is fine, and so is all of it in ``pred_smpl_params``, as in
    the dict of 4D-Humans. x right, y down, z forward.

    Licence: SMPL is for non-commercial research only; commercial licences from Meshcapade.
    """
    people: People = []
    for person in dicts(payload):
        inner = person.get("pred_smpl_params", person)
        for key in ("global_orient", "body_pose", "betas"):
            if key not in inner:
                raise KeyError(f"no key {key}, but {', '.join(map(str, inner))}")
        pose = rotations(inner["body_pose"], JOINTS)
        betas = torch.tensor(np.asarray(inner["betas"], np.float32)).reshape(len(pose), -1)
        posed = body.from_parameters(rotations(inner["global_orient"], 1), pose, betas)
        shift = translation({**person, **inner}, len(pose))
        people += list((posed.vertices + shift[:, None]).numpy())
    return people


@dataclass(frozen=True)
class Posed:
    """:func:`smpl_parameters` with a body."""

    body: SMPLBody

    def __call__(self, payload: Any) -> People:
        return smpl_parameters(payload, self.body)


def rotations(value: Any, joints: int) -> Tensor:
    """(B, J, 3, 3) rotation matrices from matrices or axis-angle vectors of any leading shape.

    Raises:
        KeyError: the numbers are not those of ``joints`` joints.
    """
    array = torch.tensor(np.asarray(value, np.float32))
    if array.shape[-2:] == (3, 3) and array.numel() % (9 * joints) == 0 and _orthonormal(array):
        return array.reshape(-1, joints, 3, 3)
    if array.numel() == 0 or array.numel() % (3 * joints):
        raise KeyError(f"rotations of shape {tuple(array.shape)} for {joints} joints")
    return axis_angle(array.reshape(-1, joints, 3))


def _orthonormal(matrices: Tensor) -> bool:
    """Three axis-angle vectors make a 3 x 3 too, but hardly ever a rotation."""
    return bool(((matrices @ matrices.mT - torch.eye(3)).abs() < 1e-2).all())


def translation(person: Mapping, people: int) -> Tensor:
    """(B, 3) metres in camera space; (s, t_x, t_y) -> (t_x, t_y, 2 f / (s * side of the crop)).

    Raises:
        KeyError: no key says where the person is.
    """
    for key in ("pred_cam_t", "transl", "cam", "pred_cam"):
        if key in person:
            value = torch.tensor(np.asarray(person[key], np.float32)).reshape(people, 3)
            if key in ("pred_cam_t", "transl"):
                return value
            s, x, y = value.unbind(1)
            return torch.stack((x, y, 2 * FOCAL / (s * CROP)), 1)
    raise KeyError(f"no key cam or transl, but {', '.join(map(str, person))}")
