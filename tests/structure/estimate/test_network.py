"""Shapes and start of the network; the mathematics of mirror images, rotations and second opinions.

S = diag(-1, 1, 1) is the mirror; a rotation R of one side becomes S R S of the other.
"""

from __future__ import annotations

import pytest
import torch
from structure.estimate.networks import crops, random_network

from gcl.structure.body import KEYPOINTS, AnnyBody, sample_phenotype
from gcl.structure.estimate import circle
from gcl.structure.estimate.crops import load_crops
from gcl.structure.estimate.network import (
    HYPOTHESES,
    SIZE,
    Prediction,
    StructureNet,
    both_ways,
    merge,
    mirror,
    mirrored_pose,
    rotations,
)
from gcl.structure.poses import PARTS, sample_pose

S = torch.tensor([-1.0, 1.0, 1.0])


def other(name: str) -> str:
    """The name of the same thing on the other side."""
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


def random_rotations(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(*shape, 3, 3, generator=generator))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]
    return q * q.det()[..., None, None]


def prediction(batch: int, seed: int = 0) -> Prediction:
    generator = torch.Generator().manual_seed(seed)
    return Prediction(
        torch.randn(batch, circle.BINS, generator=generator).softmax(1),
        torch.randn(batch, HYPOTHESES, generator=generator).softmax(1),
        random_rotations(batch, HYPOTHESES, len(PARTS), seed=seed)[..., :2],
        torch.rand(batch, 6, generator=generator),
        torch.rand(batch, 3, generator=generator),
    )


def assert_close(one: Prediction, two: Prediction) -> None:
    for name, a, b in zip(Prediction._fields, one, two, strict=True):
        assert torch.allclose(a, b, atol=1e-6), name


# ---------------------------------------------------------------------- network
@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return StructureNet().eval()


def random_crops(batch: int) -> torch.Tensor:
    return 255 * torch.rand(batch, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("batch", [0, 1, 3])
@torch.no_grad()
def test_shapes_and_ranges(network, batch):
    found = network(random_crops(batch))
    assert found.yaw.shape == (batch, circle.BINS)
    assert found.choice.shape == (batch, HYPOTHESES)
    assert found.pose.shape == (batch, HYPOTHESES, len(PARTS), 3, 2)
    assert found.phenotype.shape == (batch, 6)
    assert found.framing.shape == (batch, 3)
    for probabilities in (found.yaw, found.choice):
        assert torch.allclose(probabilities.sum(1), torch.ones(batch))
        assert (probabilities >= 0).all()
    assert ((found.phenotype >= 0) & (found.phenotype <= 1)).all()


@torch.no_grad()
def test_it_begins_with_somebody_who_stands_and_fills_the_crop(network):
    found = network(random_crops(4))
    assert torch.allclose(found.framing, torch.tensor([0.03, 0.97, 0.5]), atol=0.05)
    assert torch.allclose(rotations(found.pose), torch.eye(3), atol=0.2)
    assert torch.allclose(found.phenotype, torch.tensor(0.5), atol=0.05)
    # the hypotheses differ: of equal ones the first would be the nearest for ever
    apart = (found.pose[:, 0] - found.pose[:, 1]).abs().amax((1, 2, 3))
    assert (apart > 0.01).all()


def test_every_weight_learns():
    torch.manual_seed(0)
    network = StructureNet().train()
    sum((field * torch.rand_like(field)).sum() for field in network(random_crops(2))).backward()
    for name, value in network.named_parameters():
        assert value.grad is not None and value.grad.isfinite().all(), name
    for layer in (network.yaw, network.choice, network.pose, network.phenotype, network.framing):
        assert layer.weight.grad.any()


# ---------------------------------------------------------------------- mirror images
def test_a_mirror_image_of_a_mirror_image_is_the_picture(device):
    one = Prediction(*(field.to(device) for field in prediction(3)))
    assert_close(mirror(mirror(one)), one)


def test_what_is_mirrored_and_what_is_not():
    one = prediction(3)
    two = mirror(one)
    assert torch.equal(two.choice, one.choice) and torch.equal(two.phenotype, one.phenotype)
    assert torch.equal(two.framing[:, :2], one.framing[:, :2])
    assert torch.allclose(two.framing[:, 2], 1 - one.framing[:, 2])
    assert torch.equal(two.yaw, circle.mirrored(one.yaw))
    assert torch.equal(two.pose, mirrored_pose(one.pose))


def test_a_mirrored_rotation_is_srs_of_the_other_side():
    turns = random_rotations(2, len(PARTS))
    found = rotations(mirrored_pose(turns[..., :2]))
    mirror_matrix = S.diag()
    for number, part in enumerate(PARTS):
        there = turns[:, PARTS.index(other(part))]
        assert torch.allclose(found[:, number], mirror_matrix @ there @ mirror_matrix, atol=1e-5)


def test_a_mirrored_pose_is_the_pose_of_the_mirrored_body():
    generator = torch.Generator().manual_seed(0)
    pose, phenotype = sample_pose(8, generator).rotations, sample_phenotype(8, generator)
    body = AnnyBody("reduced")
    one = body(pose, phenotype)
    two = body(rotations(mirrored_pose(pose[..., :2])), phenotype)
    swap = [KEYPOINTS.index(other(name)) for name in KEYPOINTS]
    assert torch.allclose(two.keypoints[:, swap] * S, one.keypoints, atol=0.001)
    # the same surface, though its left and right vertices have other numbers
    between = torch.cdist(two.vertices * S, one.vertices)
    assert between.amin(1).max() < 0.003 and between.amin(2).max() < 0.003
    # and these people are not symmetric: without the mirror they are far away
    assert (one.keypoints[:, swap] * S - one.keypoints).norm(dim=2).amax(1).min() > 0.05


# ---------------------------------------------------------------------- second opinions
def test_merge_against_loops():
    one, two = prediction(4, 1), prediction(4, 2)
    found = merge(one, two)
    for name in ("yaw", "phenotype", "framing"):
        mean = (getattr(one, name) + getattr(two, name)) / 2
        assert torch.allclose(getattr(found, name), mean), name
    for b in range(4):
        for m in range(HYPOTHESES):
            apart = [float((one.pose[b, m] - two.pose[b, k]).norm()) for k in range(HYPOTHESES)]
            k = apart.index(min(apart))
            assert torch.allclose(found.pose[b, m], (one.pose[b, m] + two.pose[b, k]) / 2)
            assert torch.allclose(found.choice[b, m], (one.choice[b, m] + two.choice[b, k]) / 2)


def test_of_one_opinion_nothing_changes():
    one = prediction(3)
    assert_close(merge(one, one), one)
    order = torch.tensor([2, 0, 1])
    assert_close(
        merge(one, one._replace(pose=one.pose[:, order], choice=one.choice[:, order])), one
    )


def test_of_a_symmetric_situation_nothing_changes():
    """Somebody who stands straight and faces the camera from the middle of the crop."""
    one = prediction(1)._replace(
        yaw=circle.targets(torch.zeros(1)),
        pose=torch.eye(3)[:, :2].repeat(1, HYPOTHESES, len(PARTS), 1, 1),
        framing=torch.tensor([[0.1, 0.9, 0.5]]),
        choice=torch.full((1, HYPOTHESES), 1 / HYPOTHESES),
    )
    assert_close(merge(one, mirror(one)), one)


def test_with_its_mirror_image_every_answer_but_the_pairing_is_symmetric():
    one = prediction(3)
    found = merge(one, mirror(one))
    assert torch.allclose(found.yaw, circle.mirrored(found.yaw))
    assert torch.allclose(found.framing[:, 2], torch.tensor(0.5))


def test_opinions_on_nobody():
    assert [len(field) for field in merge(prediction(0), mirror(prediction(0)))] == [0] * 5


# ---------------------------------------------------------------------- rotations
def test_columns_become_rotations(device):
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn(50, 3, 2, generator=generator).to(device)
    found = rotations(columns)
    assert torch.allclose(found.mT @ found, torch.eye(3, device=device), atol=1e-5)
    assert torch.allclose(found.det(), torch.ones(50, device=device), atol=1e-5)
    # the first column keeps its direction, the second the plane in which it lies
    first, second = columns.unbind(-1)
    assert torch.allclose(found[..., 0] * first.norm(dim=1, keepdim=True), first, atol=1e-5)
    assert torch.allclose(
        (found[..., 2] * second).sum(1), torch.zeros(50, device=device), atol=1e-5
    )
    assert ((found[..., 1] * second).sum(1) > 0).all()


def test_true_rotations_are_kept_whatever_the_length_of_their_columns():
    turns = random_rotations(20)
    assert torch.allclose(rotations(turns[..., :2]), turns, atol=1e-5)
    assert torch.allclose(rotations(turns[..., :2] * torch.tensor([0.2, 3.0])), turns, atol=1e-5)


def test_no_columns():
    assert rotations(torch.empty(0, len(PARTS), 3, 2)).shape == (0, len(PARTS), 3, 3)


@pytest.mark.gpu
@pytest.mark.usefixtures("exact_gpu")
def test_a_gpu_says_what_a_cpu_does():
    """float32, sums in another order, some 50 layers: to 1e-3 of answers of the size of 1 to 10."""
    network, some = random_network(), load_crops(crops(6)).float()
    with torch.no_grad():
        wanted = both_ways(network, some)
        found = both_ways(network.cuda(), some.cuda())
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(other.cpu(), one, rtol=1e-3, atol=5e-3)
