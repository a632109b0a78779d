"""Files that ask for more than a crop can have, or for other files, are refused."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from gcl.structure.adapters import PayloadError, read_payload
from gcl.structure.adapters.meshes import read_mesh


def bomb(path: Path, name: str, compression: int = zipfile.ZIP_DEFLATED) -> None:
    """An archive of half a megabyte with 512 MiB of zeros behind an array of one number."""
    with zipfile.ZipFile(path, "w", compression) as archive, archive.open(name, "w") as entry:
        np.save(entry, np.zeros(1))
        for _ in range(512):
            entry.write(bytes(2**20))


def test_an_archive_is_read_to_the_size_of_its_header(tmp_path, monkeypatch):
    """What is read of the entry, counted: the array, and no more than a buffer beyond."""
    bomb(tmp_path / "a.npz", "vertices.npy")
    read, plain = [], zipfile.ZipExtFile.read

    def counted(self, n=-1):
        content = plain(self, n)
        read.append(len(content))
        return content

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    with pytest.raises(PayloadError, match="vertices is longer than its header says"):
        read_payload(str(tmp_path / "a.npz"))
    assert 0 < sum(read) < 10_000


def test_a_header_can_not_ask_for_more_than_a_crop_has(tmp_path):
    for shape, message in (((2**40, 3), "more than"), ((2**26,), "more than"), ((2,), "with 8")):
        header = np.lib.format.header_data_from_array_1_0(np.zeros(1)) | {"shape": shape}
        with open(tmp_path / "a.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.write(bytes(8))
        with pytest.raises(PayloadError, match=f"a.npy can not be read .*{message}"):
            read_payload(str(tmp_path / "a.npy"))


def test_a_joblib_file_is_decompressed_to_the_bound(tmp_path):
    """Zeros shrink to a part in two hundred."""
    joblib.dump({"a": np.zeros(2**23)}, tmp_path / "a.pkl", compress=3)
    assert os.path.getsize(tmp_path / "a.pkl") < 2**19
    assert read_payload(str(tmp_path / "a.pkl"))["a"].nbytes == 2**26
    with pytest.raises(PayloadError, match="more than 32 MiB when it is decompressed"):
        read_payload(str(tmp_path / "a.pkl"), 2**25)


def test_a_torch_file_that_is_compressed_is_refused(tmp_path):
    torch.save({"a": torch.zeros(2**20)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as old,
        zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    assert os.path.getsize(tmp_path / "a.pt") < 10_000
    with pytest.raises(PayloadError, match="a.pt can not be read .*compressed"):
        read_payload(str(tmp_path / "a.pt"))


def test_a_tensor_of_a_few_bytes_and_any_shape_is_refused(tmp_path):
    torch.save({"v3d": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "a.pt")
    with pytest.raises(PayloadError, match="more bytes than a crop's file can have"):
        read_payload(str(tmp_path / "a.pt"))


def test_a_large_file_is_refused_unread(tmp_path):
    for name, read in (("a.pkl", read_payload), ("a.ply", read_mesh)):
        with open(tmp_path / name, "wb") as file:
            file.truncate(2**28 + 1)
        with pytest.raises(PayloadError, match=f"{name} can not be read .*more than 256 MiB"):
            read(str(tmp_path / name))


def test_a_mesh_file_reads_no_other_file(tmp_path):
    """A .glb may name others, by a path from its own."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.zeros((3, 3), np.float32).tobytes() + np.uint32([0, 1, 2]).tobytes())
    views = [{"buffer": 0, "byteLength": 36}, {"buffer": 0, "byteOffset": 36, "byteLength": 12}]
    accessors = [
        {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
        {"bufferView": 1, "componentType": 5125, "count": 3, "type": "SCALAR"},
    ]
    primitive = {"attributes": {"POSITION": 0}, "indices": 1}
    tree = {
        "asset": {"version": "2.0"},
        "buffers": [{"uri": secret.name, "byteLength": 48}],
        "bufferViews": views,
        "accessors": accessors,
        "meshes": [{"primitives": [primitive]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    sizes = np.uint32([2, 20 + len(text), len(text), 0x4E4F534A])
    (tmp_path / "a.glb").write_bytes(b"glTF" + sizes.tobytes() + text)
    with pytest.raises(PayloadError, match="a.glb can not be read"):
        read_mesh(str(tmp_path / "a.glb"))
    import trimesh

    # by its path trimesh would read it
    assert len(trimesh.load(str(tmp_path / "a.glb"), force="mesh", process=False).faces) == 1
