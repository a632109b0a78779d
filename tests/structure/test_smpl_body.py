"""SMPLBody with a model file made here: a stick figure of 6,890 vertices with SMPL's 24 joints.

Nothing of the licensed model is in these tests.
"""

from __future__ import annotations

import math
import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
import scipy.sparse
import torch

from gcl.structure.poses import PARTS, neutral_pose, rotation, sample_pose
from gcl.structure.smpl_body import SMPLBody, _read

PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
# a T-pose in SMPL's axes: x to the left hand, y up, the face to +z
JOINTS = [
    (0, 0, 0), (0.1, -0.1, 0), (-0.1, -0.1, 0), (0, 0.1, 0), (0.1, -0.5, 0), (-0.1, -0.5, 0),
    (0, 0.25, 0), (0.1, -0.9, 0), (-0.1, -0.9, 0), (0, 0.3, 0), (0.1, -0.95, 0.12),
    (-0.1, -0.95, 0.12), (0, 0.5, 0), (0.08, 0.42, 0), (-0.08, 0.42, 0), (0, 0.6, 0.02),
    (0.18, 0.43, 0), (-0.18, 0.43, 0), (0.45, 0.43, 0), (-0.45, 0.43, 0), (0.7, 0.43, 0),
    (-0.7, 0.43, 0), (0.78, 0.43, 0), (-0.78, 0.43, 0),
]  # fmt: skip


def model_data(seed=0):
    """Vertices about the joints, each moved by its own joint; small shape and pose terms."""
    rng = np.random.default_rng(seed)
    owner = np.arange(6890) % 24
    template = np.float64(JOINTS)[owner] + rng.uniform(-0.03, 0.03, (6890, 3))
    regressor = np.zeros((24, 6890))
    for joint in range(24):
        mine = owner == joint
        regressor[joint, mine] = 1 / mine.sum()
        template[mine] += np.float64(JOINTS[joint]) - template[mine].mean(0)
    weights = np.eye(24)[owner]
    return {
        "v_template": template,
        "shapedirs": rng.normal(0, 0.005, (6890, 3, 10)),
        "posedirs": rng.normal(0, 0.0001, (6890, 3, 207)),
        "J_regressor": scipy.sparse.csc_matrix(regressor),
        "weights": weights,
        "kintree_table": np.stack((np.array(PARENTS) % 2**32, np.arange(24))),
        "f": rng.integers(0, 6890, (13776, 3)).astype(np.uint32),
    }


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(model_data(), protocol=2))
    return path


@pytest.fixture(scope="module")
def body(model_file):
    return SMPLBody(model_file)


def test_the_neutral_stance_from_a_t_pose(body):
    """Arms hang, 5 degrees off; the face is towards the camera; feet down at y = 0."""
    out = body(neutral_pose(2))
    assert out.vertices.shape == (2, 6890, 3) and body.faces.shape == (13776, 3)
    assert out.joints.shape == (2, 24, 3) and out.keypoints.shape == (2, 17, 3)
    left, right = out.joints[0, 20], out.joints[0, 21]
    shoulder = out.joints[0, 16]
    drop = 0.52 * torch.tensor([math.sin(math.radians(5)), math.cos(math.radians(5)), 0])
    torch.testing.assert_close(left, shoulder + drop, atol=0.01, rtol=0)
    assert left[0] > 0 > right[0]
    assert out.joints[0, 10, 2] < out.joints[0, 7, 2] - 0.1  # toes in front of ankles
    assert float(out.vertices[..., 1].max()) == 0
    torch.testing.assert_close(out.keypoints[0, 5:11], out.joints[0, 16:22])
    torch.testing.assert_close(out.keypoints[0, 11:], out.joints[0, [1, 2, 4, 5, 7, 8]])


def test_a_bent_part_carries_what_hangs_on_it(body):
    """The left elbow by 90 degrees to the front: the forearm then points to the camera."""
    turns = neutral_pose(1).rotations
    turns[:, PARTS.index("forearm_left")] = rotation("x", torch.tensor(-90.0))
    before, after = body(neutral_pose(1)), body(turns)
    torch.testing.assert_close(after.joints[:, 18], before.joints[:, 18], atol=2e-3, rtol=0)
    along = after.joints[0, 20] - after.joints[0, 18]
    torch.testing.assert_close(
        along / along.norm(), torch.tensor([0.087, 0, -0.996]), atol=0.02, rtol=0
    )
    torch.testing.assert_close(after.joints[:, 21], before.joints[:, 21], atol=2e-3, rtol=0)


def test_joint_angles_are_those_of_the_package(body):
    """from_parameters passes SMPL's own pose on: vertices as smplx has them, in its axes."""
    generator = torch.Generator().manual_seed(0)
    orient = torch.randn(3, 3, generator=generator)
    pose, betas = (
        torch.randn(3, 69, generator=generator) / 3,
        torch.randn(3, 10, generator=generator),
    )
    ours = body.from_parameters(orient, pose, betas)
    theirs = body.model.__class__.__mro__[1].forward(
        body.model, betas=betas, body_pose=pose, global_orient=orient, transl=torch.zeros(3, 3)
    )
    torch.testing.assert_close(ours.vertices, theirs.vertices, atol=1e-5, rtol=0)
    matrices = torch.linalg.matrix_exp(
        torch.stack([torch.linalg.cross(row.expand(3, 3), torch.eye(3)) for row in orient]).mT
    )
    same = body.from_parameters(matrices[:, None], pose, betas)
    torch.testing.assert_close(same.vertices, ours.vertices, atol=1e-5, rtol=0)


def test_poses_of_a_street_and_batches(body):
    pose = sample_pose(3, torch.Generator().manual_seed(1))
    betas = torch.randn(3, 10, generator=torch.Generator().manual_seed(2))
    together = body(pose, betas)
    for k in range(3):
        alone = body(pose.rotations[k : k + 1], betas[k : k + 1])
        torch.testing.assert_close(alone.vertices[0], together.vertices[k], atol=1e-5, rtol=0)
    torch.testing.assert_close(body(pose).joints[:, 0, [0, 2]], torch.zeros(3, 2))
    assert body(pose.rotations[:1], betas).vertices.shape == (3, 6890, 3)
    assert body(neutral_pose(0)).vertices.shape == (0, 6890, 3)
    torch.testing.assert_close(body.part_weights.sum(1), torch.ones(6890))


def test_wrong_arguments_are_named(body):
    with pytest.raises(ValueError, match=r"betas must be \(B, 10\)"):
        body(neutral_pose(1), torch.zeros(1, 9))
    with pytest.raises(ValueError, match="2 poses for 3 betas"):
        body(neutral_pose(2), torch.zeros(3, 10))
    with pytest.raises(ValueError, match=r"rotations must be \(B, 23, 3, 3\) or \(B, 69\)"):
        body.from_parameters(torch.zeros(1, 3), torch.zeros(1, 63))
    with pytest.raises(ValueError, match="1 global_orient for 2 body_pose"):
        body.from_parameters(torch.zeros(1, 3), torch.zeros(2, 69))


def test_files_are_read_without_running_them(model_file, tmp_path):
    expected = model_data()
    arrays = {k: v.toarray() if k == "J_regressor" else v for k, v in expected.items()}
    np.savez(tmp_path / "model.npz", **arrays)
    for path in (model_file, tmp_path / "model.npz"):
        found = vars(_read(path))
        assert found.keys() == expected.keys()
        for key, value in arrays.items():
            assert np.array_equal(found[key], value)


def test_chumpy_arrays_are_read_without_chumpy(tmp_path, monkeypatch):
    """The files of the first release hold chumpy objects, and chumpy no longer installs."""

    class Ch:
        def __init__(self, x):
            self.x, self.other = x, 3

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    package, module = ModuleType("chumpy"), ModuleType("chumpy.ch")
    module.Ch = package.ch = Ch
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "chumpy", package)
        patch.setitem(sys.modules, "chumpy.ch", module)
        data = model_data()
        for protocol in (0, 2):
            file = tmp_path / f"{protocol}.pkl"
            file.write_bytes(pickle.dumps(data | {"posedirs": Ch(data["posedirs"])}, protocol))
    for protocol in (0, 2):
        assert np.array_equal(_read(tmp_path / f"{protocol}.pkl").posedirs, data["posedirs"])


class _Attack:
    def __reduce__(self):
        return eval, ("1 + 1",)


@pytest.mark.parametrize("data", [_Attack(), {"v_template": _Attack()}])
def test_a_file_that_would_run_code_is_refused(tmp_path, data):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(data))
    with pytest.raises(ValueError, match="model.pkl can not be read.*eval.*smpl.is.tue.mpg.de"):
        _read(path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04cut", pickle.dumps([1, 2])])
@pytest.mark.parametrize("suffix", ["pkl", "npz"])
def test_a_broken_file_is_named(tmp_path, content, suffix):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"model.{suffix}.*register at"):
        _read(path)


def test_another_model_is_named(tmp_path):
    data = model_data()
    del data["posedirs"]
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(data))
    with pytest.raises(ValueError, match="without posedirs"):
        _read(path)
    path.write_bytes(pickle.dumps(model_data() | {"v_template": np.zeros((10475, 3))}))
    with pytest.raises(ValueError, match="no SMPL model with 6,890 vertices"):
        _read(path)


def test_what_is_missing_is_said_with_where_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="register at.*non-commercial.*surveillance"):
        _read(tmp_path / "none.pkl")
    monkeypatch.setitem(sys.modules, "smplx", None)
    with pytest.raises(ImportError, match=r"pip install fastreid-gcl\[smpl\].*register at"):
        SMPLBody(tmp_path / "none.pkl")


@pytest.mark.parametrize(
    ("part", "place", "value"),
    [("indices", 0, 2**30), ("indices", 0, -1), ("indptr", 5, 2**30), ("indptr", -1, 10**6)],
)
def test_a_sparse_matrix_whose_indices_are_wrong_is_refused(tmp_path, part, place, value):
    """Scipy would write to wherever they point."""
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    data = model_data()
    getattr(data["J_regressor"], part)[place] = value
    path.write_bytes(pickle.dumps(data, protocol=2))
    with pytest.raises(ValueError, match="SMPL_NEUTRAL.pkl can not be read as an SMPL model"):
        _read(path)


@pytest.mark.parametrize("kind", [scipy.sparse.csc_matrix, scipy.sparse.csr_matrix])
@pytest.mark.parametrize("protocol", [2, 4])
def test_sparse_matrices_are_the_arrays_that_they_stand_for(tmp_path, kind, protocol):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    data = model_data()
    dense = data["J_regressor"].toarray()
    path.write_bytes(pickle.dumps(data | {"J_regressor": kind(dense)}, protocol))
    assert np.array_equal(_read(path).J_regressor, dense)
