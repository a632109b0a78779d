"""Files of mesh-recovery tools and of our own geometry."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import torch
import trimesh
from faults.kinds import Kind
from faults.mutations import hostile, mutated, rearranged

from gcl.structure.adapters import open_adapter
from gcl.structure.geometry import Geometry, read_faces, write_faces, write_geometry


def tool_kinds(folder: str) -> list[Kind]:
    ball = trimesh.creation.icosphere(1)
    vertices = (np.asarray(ball.vertices) * 0.8).astype(np.float32)
    faces = np.asarray(ball.faces)
    write_faces(folder, torch.from_numpy(faces))
    tool = {"pred_vertices": vertices[None], "pred_cam_t": np.float32([[0, 0, 5]])}
    tensors = {key: torch.tensor(value) for key, value in tool.items()}
    millimetres = vertices[None] * 1000
    objects = np.empty(1, object)
    objects[0] = millimetres
    moved = vertices + np.float32([0, 0, 5])
    clip = {0: {"verts": moved[None], "frame_ids": np.arange(1)}}
    mesh = trimesh.Trimesh(vertices * [1, -1, -1] - [0, 0, 5], faces, process=False)

    def container(name: str, source: str, write: Callable, value: Any) -> Kind:
        """A file of nested containers, which can be rearranged, and which can hold code."""

        def damage(content: bytes, rng: np.random.Generator) -> bytes:
            chance = rng.random()
            if chance < 0.7:
                return mutated(content, rng)
            if chance < 0.9:
                return _written(write, rearranged(value, rng))
            codes = hostile(os.path.join(folder, "canary"))
            return _written(write, {**value, "z": codes[sorted(codes)[rng.integers(len(codes))]]})

        return Kind(name, _written(write, value), _reader(source), damage)

    def plain(name: str, source: str, write: Callable[[io.BytesIO], Any]) -> Kind:
        return Kind(name, _written(lambda _, file: write(file), None), _reader(source))

    def as_object(value: Any, file: io.BytesIO) -> None:
        np.save(file, np.array([value], object), allow_pickle=True)

    kinds = [
        container("a.pkl", "hmr2", pickle.dump, tool),
        container("ragged.pkl", "nlf", pickle.dump, {"vertices3d": [millimetres]}),
        container("0_0.pkl", "wham", joblib.dump, clip),
        container("zlib.pkl", "hmr2", lambda v, f: joblib.dump(v, f, compress=3), tool),
        container("a.npy", "sam3dbody", as_object, tool),
        container("a.pt", "hmr2", torch.save, tensors),
        plain("plain.npy", "multihmr", lambda f: np.save(f, moved[None])),
        plain("a.npz", "hmr2", lambda f: np.savez_compressed(f, **tool)),
        plain("objects.npz", "nlf", lambda f: np.savez(f, vertices3d=objects)),
        plain("a.json", "hmr2", lambda f: f.write(_json(tool))),
        plain("a.obj", "mesh", lambda f: f.write(_exported(mesh, "obj"))),
        plain("a.ply", "mesh", lambda f: f.write(_exported(mesh, "ply"))),
        plain("ascii.ply", "mesh", lambda f: f.write(_exported(mesh, "ply", encoding="ascii"))),
        plain("a.glb", "mesh", lambda f: f.write(_exported(mesh, "glb"))),
    ]  # fmt: skip
    own = os.path.join(folder, "own.npz")
    write_geometry(own, Geometry(vertices, faces, yaw=1.0, framing=torch.tensor([0, 1, 0.5])))
    with open(own, "rb") as file:
        kinds.append(Kind("own.npz", file.read(), _reader("geometry"), often=3))
    os.remove(own)
    with open(os.path.join(folder, "faces.npy"), "rb") as file:
        kinds.append(Kind("faces.npy", file.read(), _read_faces))
    return kinds


def _reader(source: str) -> Callable[[str], None]:
    def read(path: str) -> None:
        stem = os.path.splitext(os.path.basename(path))[0]
        crops = {f"{stem}.jpg": f"crops/{stem}.jpg"}
        geometry = open_adapter(source, os.path.dirname(path), crops)(f"{stem}.jpg")
        assert geometry.vertices.isfinite().all() and len(geometry.faces)

    return read


def _read_faces(path: str) -> None:
    assert read_faces(os.path.dirname(path)).shape[1] == 3


def _written(write: Callable[[Any, io.BytesIO], Any], value: Any) -> bytes:
    file = io.BytesIO()
    write(value, file)
    return file.getvalue()


def _exported(mesh: trimesh.Trimesh, kind: str, **options: object) -> bytes:
    content = mesh.export(file_type=kind, **options)
    return content if isinstance(content, bytes) else content.encode()


def _json(tool: dict) -> bytes:
    return json.dumps(tool, default=lambda array: array.tolist()).encode()
