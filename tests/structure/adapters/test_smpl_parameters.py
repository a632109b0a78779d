"""SMPL parameters in every shape in which they are written, through a body that shows what it
got."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from structure.figures import figure

from gcl.structure.adapters import PayloadError, open_adapter
from gcl.structure.adapters.smpl_parameters import rotations, smpl_parameters, translation

CENTRED = figure((0.0, 0.0, 0.0))
WEAK = ("cam", "pred_cam")


class Body:
    """In place of SMPLBody: the figure, as tall as betas[0] says, turned by the root alone."""

    faces = CENTRED.faces

    def from_parameters(self, global_orient, body_pose, betas):
        assert betas.shape == (len(body_pose), 10)
        assert body_pose.shape[1:] == (23, 3, 3) and global_orient.shape[1:] == (1, 3, 3)
        self.body_pose = body_pose
        vertices = CENTRED.vertices[None] * (1 + betas[:, :1, None] / 10)
        return SimpleNamespace(vertices=vertices @ global_orient[:, 0].mT)


def payload(matrices: bool, people: int | None, key: str = "cam") -> dict:
    """Half a turn about y, a bent elbow, 10 % taller, at a place that ``key`` says."""
    orient = np.float32([[0, math.pi, 0]])
    pose = np.zeros((23, 3), np.float32)
    pose[18] = (0, 0, 1)
    betas = np.eye(1, 10, dtype=np.float32)[0]
    values = {"global_orient": orient, "body_pose": pose, "betas": betas}
    if matrices:
        values["global_orient"] = np.float32([[[-1, 0, 0], [0, 1, 0], [0, 0, -1]]])
        c, s = math.cos(1), math.sin(1)
        values["body_pose"] = np.tile(np.eye(3, dtype=np.float32), (23, 1, 1))
        values["body_pose"][18] = [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    elif people is None:
        values["global_orient"], values["body_pose"] = orient[0], pose.reshape(69)
    values[key] = np.float32([0.9, 0.1, -0.2] if key in WEAK else [0.1, -0.2, 43])
    if people is not None:
        values = {k: np.repeat(v[None], people, 0) for k, v in values.items()}
    return values


@pytest.mark.parametrize("matrices", [False, True])
@pytest.mark.parametrize("people", [None, 1, 3])
@pytest.mark.parametrize("key", ["cam", "pred_cam", "transl", "pred_cam_t"])
def test_all_shapes_pose_the_same_body(matrices, people, key):
    body = Body()
    values = payload(matrices, people, key)
    found = smpl_parameters(values, body)
    assert len(found) == (people or 1)
    z = 2 * 5000 / (0.9 * 256) if key in WEAK else 43
    flipped = CENTRED.vertices.numpy() * 1.1 * np.array([-1, 1, -1])
    for vertices in found:
        np.testing.assert_allclose(vertices, flipped + (0.1, -0.2, z), atol=1e-5)
    elbow = body.body_pose[0, 18].numpy()
    np.testing.assert_allclose(elbow[:2, 0], [math.cos(1), math.sin(1)], atol=1e-6)
    assert torch.equal(body.body_pose[:, :18], torch.eye(3).expand(len(found), 18, 3, 3))


def test_parameters_in_the_dict_of_4d_humans(tmp_path):
    inner = payload(True, 1)
    outer = {"pred_cam_t": np.float32([[0, 0, 43]]), "pred_cam": inner.pop("cam")}
    np.savez(tmp_path / "a.npz", **outer, pred_smpl_params=np.array(inner, object))
    source = open_adapter("smpl", str(tmp_path), {"a.jpg": "a.jpg"}, Body())
    assert round(float(source("a.jpg").vertices[:, 2].mean())) == 43
    assert torch.equal(source.faces, CENTRED.faces)
    # ... and the body's faces serve where the tool writes vertices
    np.savez(tmp_path / "a.npz", pred_vertices=CENTRED.vertices, pred_cam_t=np.float32([0, 0, 9]))
    source = open_adapter("hmr2", str(tmp_path), {"a.jpg": "a.jpg"}, Body())
    assert torch.equal(source("a.jpg").faces, CENTRED.faces)


def test_axis_angle_is_rodrigues_formula():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(23, 3, generator=generator)
    for vector, matrix in zip(vectors, rotations(vectors.numpy(), 23)[0], strict=True):
        angle = vector.norm()
        k = torch.zeros(3, 3)
        k[0, 1], k[0, 2], k[1, 2] = -vector[2] / angle, vector[1] / angle, -vector[0] / angle
        k = k - k.T
        expected = torch.eye(3) + angle.sin() * k + (1 - angle.cos()) * k @ k
        torch.testing.assert_close(matrix, expected, atol=1e-5, rtol=0)
    # three people's roots are three vectors, not a matrix
    assert rotations(np.float32([[1, 0, 0], [0, 2, 0], [0, 0, 3]]), 1).shape == (3, 1, 3, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"betas": None}, "no key betas, but global_orient, body_pose, cam"),
        ({"cam": None}, "no key cam or transl"),
        ({"body_pose": np.zeros((21, 3))}, r"\(21, 3\) for 23 joints"),
        ({"body_pose": np.zeros(0)}, r"\(0,\) for 23 joints"),
    ],
)
def test_what_is_missing_is_named(tmp_path, change, message):
    values = {**payload(False, None), **change}
    np.savez(tmp_path / "a.npz", **{k: v for k, v in values.items() if v is not None})
    with pytest.raises(PayloadError, match=f"a.npz is no file of smpl: .*{message}"):
        open_adapter("smpl", str(tmp_path), {"a.jpg": "a.jpg"}, Body())("a.jpg")


def test_a_smaller_scale_is_further_away():
    near, far = (translation({"cam": [s, 0, 0]}, 1)[0, 2] for s in (1.0, 0.5))
    assert far == 2 * near
