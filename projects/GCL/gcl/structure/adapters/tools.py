"""What each mesh-recovery tool writes, as people in our camera space.

A reader takes the content of one file (:func:`.payload.read_payload`) and returns its people: a
list of (V, 3) vertices in metres, x right, y down, z forward. None found: an empty list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

People = list[np.ndarray]


def hmr2(payload: Any) -> People:
    """HMR2.0 / 4D-Humans: the dict that the model returns.

    ``pred_vertices`` (B, 6890, 3) and ``pred_cam_t`` (B, 3), metres; x right, y down, z forward,
    around the origin until the translation is added. ``demo.py --save_mesh`` writes .obj: "mesh".

    Licence: code MIT; its SMPL body model for non-commercial research only.
    """
    return _translated(payload)


def tokenhmr(payload: Any) -> People:
    """TokenHMR: the dict that the model returns, with 4D-Humans' keys, units and axes.

    Licence: non-commercial research only; forbids surveillance and the training of networks for it.
    """
    return _translated(payload)


def sam3dbody(payload: Any) -> People:
    """SAM 3D Body: the list of ``SAM3DBodyEstimator.process_one_image``, a dict a person.

    ``pred_vertices`` (V, 3) and ``pred_cam_t`` (3,), metres; x right, y down, z forward. The meshes
    that its notebook saves (.ply) are read by "mesh".

    Licence: SAM License, commercial use allowed; forbids military use, weapons and espionage.
    """
    return _translated(payload)


def nlf(payload: Any) -> People:
    """NLF (Neural Localizer Fields): the dict of ``detect_smpl_batched``.

    ``vertices3d``: a list with one (people, V, 3) tensor an image, MILLIMETRES in camera space; x
    right, y down, z forward. A file holds one image.

    Licence: models for non-commercial research only; so is its SMPL body model.
    """
    people = dicts(payload, "vertices3d")
    return [mesh / 1000 for person in people for mesh in _meshes(person["vertices3d"])]


def multihmr(payload: Any) -> People:
    """Multi-HMR: the list that the model returns, a dict a person, or the .npy of its demo.

    ``v3d`` (V, 3), in the first release ``verts_smplx``, metres in camera space (``transl`` is in
    them already); x right, y down, z forward. The demo's .npy is (people, V, 3) of the same.

    Licence: CC BY-NC-SA 4.0, non-commercial; so is its SMPL-X body model.
    """
    if isinstance(payload, np.ndarray) and payload.dtype != object:
        return _meshes(payload)
    if not len(payload):
        return []
    first = payload if isinstance(payload, Mapping) else payload[0]
    key = "verts_smplx" if isinstance(first, Mapping) and "verts_smplx" in first else "v3d"
    return [mesh for person in dicts(payload, key) for mesh in _meshes(person[key])]


def _translated(payload: Any) -> People:
    """``pred_vertices`` + ``pred_cam_t`` of every person."""
    people = []
    for person in dicts(payload, "pred_vertices", "pred_cam_t"):
        meshes = _meshes(person["pred_vertices"])
        shifts = np.asarray(person["pred_cam_t"], np.float32).reshape(-1, 1, 3)
        if len(meshes) != len(shifts):
            raise KeyError(f"{len(meshes)} meshes and {len(shifts)} pred_cam_t")
        people += [mesh + shift for mesh, shift in zip(meshes, shifts, strict=True)]
    return people


def dicts(payload: Any, *keys: str) -> list[Mapping]:
    """The dicts of a payload that is one or a list of them; each has ``keys``."""
    if isinstance(payload, np.ndarray) and payload.dtype == object:
        payload = payload.tolist()
    people = list(payload) if isinstance(payload, Sequence) else [payload]
    for person in people:
        if not isinstance(person, Mapping):
            raise KeyError(f"a dict with {' and '.join(keys)} was expected")
        for key in keys:
            if key not in person:
                raise KeyError(f"no key {key}, but {', '.join(map(str, person)) or 'nothing'}")
    return people


def _meshes(value: Any) -> People:
    """(V, 3), (people, V, 3), (images, people, V, 3) or a list of these -> one (V, 3) a person."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) and np.ndim(value[0]) >= 2:  # arrays that may differ in people
            return [mesh for part in value for mesh in _meshes(part)]
    array = np.asarray(value, np.float32)
    if array.size == 0:
        return []
    if array.ndim < 2 or array.shape[-1] != 3:
        raise KeyError(f"an array of shape {array.shape} holds no (V, 3) vertices")
    return list(array.reshape(-1, *array.shape[-2:]))
