"""The Anny body against the `anny` package itself; axes, sizes and errors of the interface."""

from __future__ import annotations

import importlib.metadata
import math
import re

import pytest
import torch

from gcl.structure.anny_data import FORMAT
from gcl.structure.body import (
    KEYPOINTS,
    PHENOTYPES,
    AnnyBody,
    as_phenotype,
    sample_phenotype,
)
from gcl.structure.poses import PARTS, neutral_pose, sample_pose
from gcl.structure.skeleton import posed_joints, skin, smallest_rotation

POINT = {name: number for number, name in enumerate(KEYPOINTS)}


@pytest.fixture(scope="module")
def body():
    """The build, about a minute, happens on a machine's first use only."""
    return AnnyBody()


@pytest.fixture(scope="module")
def reduced():
    return AnnyBody("reduced")


def people(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return sample_pose(count, generator), sample_phenotype(count, generator)


def anny_model(body):
    """anny.Anny made of the kept tensors, its bones at rest parallel to the axes."""
    import anny
    from anny.models.model_data import ModelData, ModelMetadata

    data, bones = body._data, len(body.bones)
    indices = torch.arange(bones).expand(len(body.weights), -1)
    eye = torch.eye(3).expand(bones, 3, 3)
    count = len(data["blend"])
    model_data = ModelData(
        metadata=ModelMetadata(
            bone_labels=body.bones, bone_parents=body.parents, phenotype_labels=list(PHENOTYPES)
        ),
        template_vertices=data["template"],
        faces=body.faces,
        blendshapes=data["blend"],
        stacked_phenotype_blend_shapes_mask=data["factors"].float(),
        phenotype_blendshape_projection=data["basis"],
        template_bone_heads=data["joints"],
        bone_heads_blendshapes=data["joints_blend"],
        vertex_bone_weights=body.weights,
        vertex_bone_indices=indices,
        base_mesh_vertex_indices=torch.arange(len(body.weights)),
        bone_template_orientation_matrices=eye,
        bone_orientation_blendshapes=torch.zeros(count, bones, 3, 3),
    )
    return anny.Anny.from_model_data(
        model_data,
        skinning_method="lbs",
        pose_parameterization="world-orient",
        bone_orientation="cached",
        root_identity_orientation=False,
    )


def test_shapes_and_poses_as_by_the_anny_package(body):
    pose, phenotype = people(4)
    phenotype[0] = 0.5
    phenotype[1] = torch.tensor([1.0, -1 / 3, 0, 1, 0, 1])  # a newborn, at the ends of all ranges
    model = anny_model(body)
    rest = body.rest(phenotype)
    joints = body.rest_joints(phenotype)
    turns = torch.eye(4).repeat(4, len(body.bones), 1, 1)
    turns[..., :3, :3] = body.skeleton.rotations(pose.rotations, joints, rest)
    turns[:, 0, :3, 3] = joints[:, 0]
    theirs = model(turns, phenotype)
    torch.testing.assert_close(rest, theirs["rest_vertices"], atol=1e-5, rtol=0)
    ours = body(pose, phenotype)
    shift = ours.joints[:, :1] - joints[:, :1]
    torch.testing.assert_close(ours.vertices, theirs["vertices"] + shift, atol=2e-5, rtol=0)
    heads = theirs["bone_poses"][..., :3, 3] + shift
    torch.testing.assert_close(ours.joints, heads, atol=2e-5, rtol=0)


def test_axes(body):
    """x to the person's left, y down, z away from the camera that the person faces."""
    out = body(neutral_pose(1))
    points = out.keypoints[0]
    assert out.vertices.shape == (1, 13718, 3) and body.faces.shape == (27420, 3)
    assert out.joints.shape == (1, len(body.bones), 3) and points.shape == (17, 3)
    for side in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        left, right = points[POINT[f"left_{side}"]], points[POINT[f"right_{side}"]]
        assert left[0] > 0.02 > -0.02 > right[0]
        torch.testing.assert_close(left[1:], right[1:], atol=0.01, rtol=0)
    assert points[POINT["nose"], 2] < points[POINT["left_ear"], 2] - 0.05
    heights = [points[POINT[f"left_{name}"], 1] for name in ("eye", "shoulder", "hip", "knee")]
    assert heights == sorted(heights)
    assert float(out.vertices[0, :, 1].max()) == 0
    assert 1.5 < -float(out.vertices[0, :, 1].min()) < 1.9
    torch.testing.assert_close(out.joints[0, 0, [0, 2]], torch.zeros(2))


def test_the_neutral_stance_is_upright_with_hanging_limbs(body):
    """Whatever the build: limbs within 20 degrees of the vertical, arms clear of the hips."""
    phenotype = torch.rand(12, 6, generator=torch.Generator().manual_seed(2))
    out = body(neutral_pose(1), phenotype)
    points = out.keypoints
    for start, end in (
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
        ("hip", "knee"),
        ("knee", "ankle"),
    ):
        for side in ("left", "right"):
            limb = points[:, POINT[f"{side}_{end}"]] - points[:, POINT[f"{side}_{start}"]]
            upright = limb[:, 1] / limb.norm(dim=1)
            # keypoints lie a little off the bones
            assert float(upright.min()) > math.cos(math.radians(33 if "wrist" in end else 36))
    hips = body.part_weights[:, PARTS.index("pelvis")] > 0.9
    wide = out.vertices[:, hips, 0].amax(1)
    assert bool((points[:, POINT["left_wrist"], 0] > wide).all())


def test_reduced_topology_is_the_same_person(body, reduced):
    pose, phenotype = people(6, seed=3)
    full, small = body(pose, phenotype), reduced(pose, phenotype)
    assert small.vertices.shape == (6, 1229, 3) and reduced.faces.shape == (2454, 3)
    assert float((full.joints - small.joints).norm(dim=-1).max()) < 0.02
    assert float((full.keypoints - small.keypoints).norm(dim=-1).max()) < 0.025
    for k in range(3):
        for side in (torch.amin, torch.amax):
            apart = side(full.vertices[..., k], 1) - side(small.vertices[..., k], 1)
            assert float(apart.abs().max()) < 0.05


def test_phenotypes_mean_what_they_say(body):
    def tall(**phenotype):
        out = body(neutral_pose(1), phenotype).vertices
        return -float(out[..., 1].min()), float(out[..., 2].max() - out[..., 2].min())

    assert tall(height=0.9)[0] > tall(height=0.1)[0] + 0.1
    assert tall(age=0.36)[0] < tall(age=0.8)[0] - 0.2
    assert tall(weight=1.0)[1] > tall(weight=0.0)[1]
    assert tall(gender=0.0)[0] > tall(gender=1.0)[0]


def test_batches(body):
    pose, phenotype = people(3, seed=5)
    together = body(pose, phenotype)
    for k in range(3):
        alone = body(pose.rotations[k : k + 1], phenotype[k : k + 1])
        torch.testing.assert_close(alone.vertices[0], together.vertices[k], atol=1e-5, rtol=0)
    one_person = body(pose, phenotype[:1])
    torch.testing.assert_close(one_person.vertices[0], together.vertices[0], atol=1e-5, rtol=0)
    one_pose = body(pose.rotations[:1], phenotype)
    torch.testing.assert_close(one_pose.vertices[0], together.vertices[0], atol=1e-5, rtol=0)
    empty = body(neutral_pose(0))
    assert [part.shape[0] for part in empty] == [0, 0, 0]
    assert body(neutral_pose(0), phenotype[:0]).vertices.shape == (0, 13718, 3)
    named = body(pose, {name: phenotype[:, k] for k, name in enumerate(PHENOTYPES)})
    assert torch.equal(named.vertices, together.vertices)


def test_what_clothes_need(body):
    torch.testing.assert_close(body.weights.sum(1), torch.ones(13718))
    torch.testing.assert_close(body.part_weights.sum(1), torch.ones(13718))
    assert torch.equal(body.canonical, body.rest(None)[0])
    head = body.canonical[body.part_weights[:, PARTS.index("head")] > 0.9]
    foot = body.canonical[body.part_weights[:, PARTS.index("foot_left")] > 0.9]
    assert head[:, 1].max() < foot[:, 1].min()
    assert foot[:, 0].min() > 0


def test_wrong_arguments_are_named(body):
    pose = neutral_pose(2)
    with pytest.raises(ValueError, match=r"a pose must be \(B, 25, 3, 3\)"):
        body(torch.eye(4).repeat(2, 104, 1, 1))
    with pytest.raises(ValueError, match="2 poses for 3 phenotypes"):
        body(pose, torch.full((3, 6), 0.5))
    with pytest.raises(ValueError, match="unknown phenotype size: there are gender"):
        body(pose, {"size": 0.3})
    with pytest.raises(ValueError, match="phenotype must be"):
        body(pose, torch.full((2, 5), 0.5))
    for wrong in (1.2, -0.1, math.nan):
        with pytest.raises(ValueError, match="from 0 to 1"):
            body(pose, {"weight": wrong})
    with pytest.raises(ValueError, match="topology must be one of full, reduced"):
        AnnyBody("smpl")


def test_without_anny_one_sentence_says_what_to_do(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ImportError, match="pip install anny"):
        AnnyBody()


def test_a_damaged_cache_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("GCL_CACHE", str(tmp_path))
    path = tmp_path / f"anny-{importlib.metadata.version('anny')}-{FORMAT}.safetensors"
    path.write_bytes(b"cut")
    with pytest.raises(OSError, match=f"{re.escape(str(path))} is damaged.*remove it"):
        AnnyBody()


def test_phenotypes_of_a_street(device):
    drawn = sample_phenotype(2000, torch.Generator().manual_seed(0))
    as_phenotype(drawn.to(device))
    assert torch.equal(drawn, sample_phenotype(2000, torch.Generator().manual_seed(0)))
    children = drawn[:, PHENOTYPES.index("age")] < 0.58
    assert 0.03 < float(children.float().mean()) < 0.1
    assert 0.4 < float((drawn[:, 0] > 0.5).float().mean()) < 0.6
    assert float(drawn.std(0).min()) > 0.05
    assert sample_phenotype(0, torch.Generator()).shape == (0, 6)


def test_smallest_rotation_turns_one_direction_into_the_other(device):
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(50, 3, generator=generator).to(device) for _ in range(2))
    b = torch.where((torch.cosine_similarity(a, b) < -0.9)[:, None], -b, b)
    turn = smallest_rotation(a, b)
    torch.testing.assert_close(
        (turn @ a[..., None])[..., 0] / a.norm(dim=1, keepdim=True),
        b / b.norm(dim=1, keepdim=True),
        atol=1e-4,
        rtol=0,
    )
    torch.testing.assert_close(
        turn @ turn.mT, torch.eye(3, device=device).expand(50, 3, 3), atol=1e-4, rtol=0
    )
    # its axis is at right angles to both: by no more than the angle between them
    cosine = torch.cosine_similarity(a, b)
    trace = turn.diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close((trace - 1) / 2, cosine, atol=1e-4, rtol=0)


def test_skinning_a_chain_of_two_bones(device):
    """An arm along x, bent by 90 degrees about z at (1, 0, 0); the middle is half and half."""
    joints = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]], device=device)
    bend = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], device=device)
    rotations = torch.stack((torch.eye(3, device=device), bend))[None]
    vertices = torch.tensor([[[0.5, 0, 0], [1, 0, 0], [2, 0, 0], [2, 0, 0]]], device=device)
    weights = torch.tensor([[1.0, 0], [0.5, 0.5], [0, 1], [0.5, 0.5]], device=device)
    posed = posed_joints(rotations, joints, [-1, 0])
    torch.testing.assert_close(posed, joints)
    expected = torch.tensor([[[0.5, 0, 0], [1, 0, 0], [1, 1, 0], [1.5, 0.5, 0]]], device=device)
    torch.testing.assert_close(skin(vertices, weights, rotations, joints, posed), expected)


@pytest.mark.gpu
def test_a_gpu_s_body_is_the_cpu_s(reduced):
    """To a tenth of a millimetre: float32 sums over some 100 bones and shapes."""
    pose, shape = people(4)
    wanted, found = reduced(pose, shape), AnnyBody("reduced", "cuda")(pose, shape)
    for one, other in zip(wanted, found, strict=True):
        assert other.is_cuda
        torch.testing.assert_close(other.cpu(), one, rtol=0, atol=1e-4)
