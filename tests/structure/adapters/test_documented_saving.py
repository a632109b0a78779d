"""docs/structures.md says how to save what tools do not save: that very code, run on stand-ins of
the tools' variables, leaves files that are read."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from structure.figures import figure

from gcl.structure.adapters import open_adapter
from gcl.structure.geometry import write_faces

PAGE = Path(__file__).parents[3] / "docs" / "structures.md"
SHIFT = np.float32([0.1, -0.2, 5.0])
MESH = figure().vertices
CENTRED = MESH - torch.from_numpy(SHIFT)
FACES = figure().faces.numpy().astype(np.uint32)  # as SMPL's files have them


def documented(title: str) -> str:
    """The first block of Python behind a bold title."""
    behind = PAGE.read_text().split(f"**{title}**", 1)[1]
    code = re.search(r"^```python\n(.*?)^```$", behind, re.M | re.S)[1]
    assert len(code.splitlines()) <= 14
    return code


@pytest.mark.parametrize("source", ["hmr2", "tokenhmr"])
def test_4d_humans_and_tokenhmr(tmp_path, source):
    """Two people in a.jpg, of whom the nearer is the crop's."""
    away = np.float32([1, 0, 9])
    variables = {
        "np": np,
        "os": os,
        "Path": Path,
        "args": SimpleNamespace(out_folder=str(tmp_path)),
        "img_path": Path("crops/a.jpg"),
        "batch": {"personid": torch.tensor([0, 1])},
        "out": {"pred_vertices": torch.stack([CENTRED, CENTRED]).requires_grad_()},
        "pred_cam_t_full": np.stack([SHIFT + away, SHIFT]),
        "model": SimpleNamespace(smpl=SimpleNamespace(faces=FACES)),
    }
    exec(documented("4D-Humans, TokenHMR"), variables)
    assert sorted(os.listdir(tmp_path)) == ["a_0.npz", "a_1.npz", "faces.npy"]
    geometry = open_adapter(source, str(tmp_path), {"a.jpg": "crops/a.jpg"})("a.jpg")
    np.testing.assert_allclose(geometry.vertices, MESH, atol=1e-6)


class NLF:
    """In place of NLF's TorchScript model, which wants (B, 3, H, W) uint8."""

    def to(self, device):
        return self

    def eval(self):
        return self

    def detect_smpl_batched(self, images):
        assert images.dtype == torch.uint8 and images.shape[:2] == (1, 3)
        # another one is further away; millimetres
        people = torch.stack([MESH + torch.tensor([1.0, 0, 9]), MESH]).to(images.device) * 1000
        return {"vertices3d": [people], "boxes": [torch.zeros(2, 5)]}


def test_nlf(tmp_path, monkeypatch, write_crop):
    write_crop(tmp_path / "crops" / "a.jpg")
    write_crop(tmp_path / "crops" / "b.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.jit, "load", {"nlf_l_multi.torchscript": NLF()}.__getitem__)
    exec(documented("NLF"), {})
    assert sorted(os.listdir("nlf_out")) == ["a.pt", "b.pt"]
    write_faces("nlf_out", figure().faces)
    source = open_adapter("nlf", "nlf_out", {"a.jpg": "crops/a.jpg", "b.png": "crops/b.png"})
    for crop in ("a.jpg", "b.png"):
        np.testing.assert_allclose(source(crop).vertices, MESH, atol=1e-5)


def test_gvhmr(tmp_path):
    """output_root/<video>/, beside its own files, which are not read."""
    output = tmp_path / "lobby"
    output.mkdir()
    torch.save({"smpl_params_incam": {"transl": torch.zeros(3, 3)}}, output / "hmr4d_results.pt")
    variables = {
        "np": np,
        "cfg": SimpleNamespace(
            output_root=str(tmp_path), output_dir=str(output), video_name="lobby"
        ),
        "pred_c_verts": torch.stack([MESH + torch.tensor([0, 0, i]) for i in range(3)]),
        "faces_smpl": FACES,
    }
    exec(documented("GVHMR"), variables)
    crops = {f"{i}.jpg": f"lobby/{i}.jpg" for i in range(3)}
    source = open_adapter("wham", str(tmp_path), crops, crop_names="{video}/{frame}")
    for i in range(3):
        expected = MESH + torch.tensor([0, 0, i])
        np.testing.assert_allclose(source(f"{i}.jpg").vertices, expected, atol=1e-6)
