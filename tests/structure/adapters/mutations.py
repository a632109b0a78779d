"""Damaged files of every kind, read one after another in a process of their own.

``python mutations.py FOLDER COUNT``: COUNT of each kind. Ends with 0 when each was a mesh or one of
the package's own errors, in bounded memory; prints how many were which.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import sys
import traceback
import warnings
import zipfile
from collections import Counter

import joblib
import numpy as np
import torch
import trimesh

from gcl.structure.adapters import NobodyError, PayloadError, open_adapter
from gcl.structure.geometry import Geometry, GeometryError, write_faces, write_geometry

MEMORY = 2**30
"""Bytes by which the process may grow."""
NUMBERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)


def write_files(folder: str) -> dict[str, tuple[str, bytes]]:
    """Good files: kind -> (source, content); the kind ends with the suffix."""
    ball = trimesh.creation.icosphere(1)
    vertices = (np.asarray(ball.vertices) * 0.8).astype(np.float32)
    faces = np.asarray(ball.faces)
    write_faces(folder, torch.from_numpy(faces))
    tool = {"pred_vertices": vertices[None], "pred_cam_t": np.float32([[0, 0, 5]])}
    objects = np.empty(1, object)
    objects[0] = vertices[None] * 1000
    mesh = trimesh.Trimesh(vertices * [1, -1, -1] - [0, 0, 5], faces, process=False)
    found = {}

    def keep(kind: str, source: str, write) -> None:
        file = io.BytesIO()
        write(file)
        found[kind] = source, file.getvalue()

    keep("a.pkl", "hmr2", lambda f: pickle.dump(tool, f))
    keep("ragged.pkl", "nlf", lambda f: pickle.dump({"vertices3d": [vertices[None] * 1000]}, f))
    clip = {0: {"verts": tool["pred_vertices"] + np.float32([0, 0, 5]), "frame_ids": np.arange(1)}}
    keep("0_0.pkl", "wham", lambda f: joblib.dump(clip, f))
    keep("zlib.pkl", "hmr2", lambda f: joblib.dump(tool, f, compress=3))
    keep("a.npy", "sam3dbody", lambda f: np.save(f, np.array([tool], object), allow_pickle=True))
    keep("plain.npy", "multihmr", lambda f: np.save(f, vertices[None] + np.float32([0, 0, 5])))
    keep("a.npz", "hmr2", lambda f: np.savez_compressed(f, **tool))
    keep("objects.npz", "nlf", lambda f: np.savez(f, vertices3d=objects))
    keep("a.pt", "hmr2", lambda f: torch.save({k: torch.tensor(v) for k, v in tool.items()}, f))
    keep(
        "a.json", "hmr2", lambda f: f.write(json.dumps(tool, default=lambda a: a.tolist()).encode())
    )
    for suffix in ("obj", "ply", "glb"):
        keep(f"a.{suffix}", "mesh", lambda f, s=suffix: f.write(_bytes(mesh.export(file_type=s))))
    keep(
        "ascii.ply",
        "mesh",
        lambda f: f.write(_bytes(mesh.export(file_type="ply", encoding="ascii"))),
    )
    path = os.path.join(folder, "own.npz")
    write_geometry(path, Geometry(vertices, faces, yaw=1.0, framing=torch.tensor([0, 1, 0.5])))
    with open(path, "rb") as file:
        found["own.npz"] = "geometry", file.read()
    os.remove(path)
    return found


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A file with up to three faults. Of an archive it is one entry, packed again, every other
    time: a checksum would tell most others at once."""
    if content[:2] == b"PK" and rng.random() < 0.5:
        return _repacked(content, rng)
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data) + 1) if rng.random() < 0.5 else rng.integers(200))
        size = int(rng.choice([1, 2, 4, 8, 50]))
        fault = rng.integers(7)
        if fault == 0:
            data[at : at + 1] = bytes([rng.integers(256)])
        elif fault == 1:
            data[at : at + size] = rng.bytes(size)
        elif fault == 2:
            number = NUMBERS[rng.integers(len(NUMBERS))] % 256**size
            data[at : at + size] = number.to_bytes(size, "little")
        elif fault == 3:
            del data[at : at + size]
        elif fault == 4:
            data[at:at] = data[at : at + size]
        elif fault == 5:
            data[at : at + size] = str(NUMBERS[rng.integers(len(NUMBERS))]).encode()
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def _repacked(content: bytes, rng: np.random.Generator) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        chosen = rng.integers(len(old.infolist()))
        for i, entry in enumerate(old.infolist()):
            inside = old.read(entry)
            new.writestr(entry, mutated(inside, rng) if i == chosen and inside else inside)
    return packed.getvalue()


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def read(folder: str, kind: str, source: str) -> str:
    """What the file of a kind in ``folder`` was: "mesh", or the error."""
    stem = os.path.splitext(kind)[0]
    crops = {f"{stem}.jpg": f"crops/{stem}.jpg"}
    try:
        open_adapter(source, folder, crops)(f"{stem}.jpg")
    except (PayloadError, GeometryError, NobodyError) as error:
        assert kind in str(error) or "no file" in str(error), f"{error} names no file"
        assert "\n" not in str(error)
        return type(error).__name__
    return "mesh"


def main(folder: str, count: int) -> int:
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    files, results, wrong = write_files(folder), Counter(), 0
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + 4 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))  # for what is taken and not touched
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for kind, (source, content) in files.items():
        path = os.path.join(folder, kind)
        for i in range(count):
            rng = np.random.default_rng([i, *kind.encode()])
            with open(path, "wb") as file:
                file.write(mutated(content, rng) if i else content)
            print(f"reads {kind} {i}", file=sys.stderr, flush=True)
            try:
                result = read(folder, kind, source)
            except BaseException:
                traceback.print_exc()
                result, wrong = "another error", wrong + 1
            results[kind, result] += 1
            wrong += i == 0 and result != "mesh"  # the first is as it was
        os.remove(path)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(json.dumps({f"{kind} {result}": n for (kind, result), n in sorted(results.items())}))
    print(f"grown by {grown >> 20} MiB")
    return wrong or int(grown > MEMORY)


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1], int(sys.argv[2])), 100))
