"""The losses against loops, and what is mirrored and what a turned part moves against the body."""

from __future__ import annotations

import math

import pytest
import torch
from structure.estimate.test_network import S, other, prediction, random_rotations

from gcl.structure.body import KEYPOINTS, AnnyBody, sample_phenotype
from gcl.structure.estimate import circle
from gcl.structure.estimate.network import HYPOTHESES, rotations
from gcl.structure.estimate.structure_losses import WEIGHTS, Truth, levers, structure_losses
from gcl.structure.poses import PARTS, sample_pose
from gcl.structure.render import render_structure, turn
from gcl.structure.skeleton import axis_angle

NAMES = {"loss_yaw", "loss_pose", "loss_choice", "loss_phenotype", "loss_framing"}
TO_ALL = 0.05  # share of the pose's loss that goes to every hypothesis


def some_truth(batch: int, seed: int = 3) -> Truth:
    generator = torch.Generator().manual_seed(seed)
    return Truth(
        360 * torch.rand(batch, generator=generator),
        random_rotations(batch, len(PARTS), seed=seed)[..., :2],
        torch.rand(batch, 6, generator=generator),
        torch.rand(batch, 3, generator=generator),
    )


@pytest.fixture(scope="module")
def lever():
    return levers()


def right_answer(truth: Truth):
    """A prediction that is the truth in its second hypothesis."""
    batch = len(truth.yaw)
    return prediction(batch)._replace(
        yaw=circle.targets(truth.yaw),
        choice=torch.tensor([0.0, 1.0, 0.0]).repeat(batch, 1),
        pose=torch.stack([truth.pose.flip(1), truth.pose, truth.pose.roll(1, 1)], 1),
        phenotype=truth.phenotype,
        framing=truth.framing,
    )


# ---------------------------------------------------------------------- losses
@pytest.mark.parametrize("batch", [1, 4])
def test_against_loops(lever, batch):
    guess, truth = prediction(batch), some_truth(batch)
    sums = dict.fromkeys(NAMES, 0.0)
    for b in range(batch):
        target = circle.targets(truth.yaw[b : b + 1])[0]
        for k in range(circle.BINS):
            sums["loss_yaw"] -= float(target[k]) * math.log(float(guess.yaw[b, k]))
        far = [
            sum(
                float(lever[p]) * float((guess.pose[b, m, p] - truth.pose[b, p]).norm())
                for p in range(len(PARTS))
            )
            for m in range(HYPOTHESES)
        ]
        sums["loss_pose"] += (1 - TO_ALL) * min(far) + TO_ALL * sum(far) / HYPOTHESES
        sums["loss_choice"] -= math.log(float(guess.choice[b, far.index(min(far))]))
        sums["loss_phenotype"] += float((guess.phenotype[b] - truth.phenotype[b]).abs().mean())
        sums["loss_framing"] += float((guess.framing[b] - truth.framing[b]).abs().mean())
    found = structure_losses(guess, truth, lever)
    assert found.keys() == NAMES
    for name, loss in found.items():
        assert loss.shape == ()
        weight = WEIGHTS[name.removeprefix("loss_")]
        assert weight > 0
        assert float(loss) == pytest.approx(weight * sums[name] / batch, rel=1e-3), name


def test_the_truth_costs_nothing_that_can_be_saved(lever):
    truth = some_truth(5)
    guess = right_answer(truth)
    found = structure_losses(guess, truth, lever)
    assert found["loss_choice"] == found["loss_phenotype"] == found["loss_framing"] == 0
    entropy = -(guess.yaw * guess.yaw.clamp(min=1e-30).log()).sum(1).mean()
    assert found["loss_yaw"] == pytest.approx(WEIGHTS["yaw"] * float(entropy), rel=1e-3)
    # what is left of the pose: a twentieth of the mean over the hypotheses that are wrong
    wrong = (guess.pose - truth.pose[:, None]).square().sum((3, 4)).sqrt() @ lever
    rest = WEIGHTS["pose"] * TO_ALL * float(wrong.mean())
    assert found["loss_pose"] == pytest.approx(rest, rel=0.05)


def test_nothing_is_better_than_the_truth(lever):
    truth = some_truth(5)
    best = structure_losses(right_answer(truth), truth, lever)
    for seed in range(5):
        noise = prediction(5, seed)
        mixed = right_answer(truth)
        mixed = mixed._replace(
            yaw=0.9 * mixed.yaw + 0.1 * noise.yaw,
            choice=0.9 * mixed.choice + 0.1 * noise.choice,
            pose=0.9 * mixed.pose + 0.1 * noise.pose,
            phenotype=0.9 * mixed.phenotype + 0.1 * noise.phenotype,
            framing=0.9 * mixed.framing + 0.1 * noise.framing,
        )
        worse = structure_losses(mixed, truth, lever)
        assert all(worse[name] > best[name] for name in NAMES)


def test_the_nearest_hypothesis_learns_and_the_others_follow_a_little(lever):
    truth = some_truth(3)
    guess = prediction(3)
    near = truth.pose + 0.1 * torch.randn(truth.pose.shape, generator=torch.manual_seed(0))
    pose = guess.pose.clone()
    pose[:, 2] = near
    pose.requires_grad_()
    choice = guess.choice.clone().requires_grad_()
    losses = structure_losses(guess._replace(pose=pose, choice=choice), truth, lever)
    sum(losses.values()).backward()
    # each part's gradient has length weight * lever / B, times its hypothesis's share
    share = pose.grad.flatten(3).norm(dim=3) / (WEIGHTS["pose"] * lever / 3)
    rest = TO_ALL / HYPOTHESES
    assert torch.allclose(share[:, 2], torch.tensor(1 - TO_ALL + rest), atol=1e-3)
    assert torch.allclose(share[:, :2], torch.tensor(rest), atol=1e-3)
    assert choice.grad[:, 2].lt(0).all() and not choice.grad[:, :2].any()


def test_losses_stay_finite_where_a_probability_is_zero(lever):
    truth = some_truth(2)
    guess = right_answer(truth)
    guess = guess._replace(yaw=torch.zeros_like(guess.yaw), choice=torch.zeros_like(guess.choice))
    fields = [field.clone().requires_grad_() for field in guess]
    losses = structure_losses(type(guess)(*fields), truth, lever)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(field.grad.isfinite().all() for field in fields)


# ---------------------------------------------------------------------- mirror images
def people(count: int) -> tuple[Truth, AnnyBody]:
    generator = torch.Generator().manual_seed(5)
    pose, phenotype = sample_pose(count, generator).rotations, sample_phenotype(count, generator)
    yaw = 360 * torch.rand(count, generator=generator)
    framing = torch.tensor([0.05, 0.95, 0.5]).repeat(count, 1)
    return Truth(yaw, pose[..., :2], phenotype, framing), AnnyBody("reduced")


def test_the_truth_of_flipped_crops_is_the_mirrored_body_from_the_mirrored_side():
    truth, body = people(6)
    flipped = torch.tensor([True, False, True, True, False, True])
    found = truth.mirrored_where(flipped)
    assert torch.equal(found.framing, truth.framing)
    assert torch.equal(found.phenotype, truth.phenotype)
    one = body(rotations(truth.pose), truth.phenotype)
    two = body(rotations(found.pose), found.phenotype)
    # joints from the mean of all, as `turn` leaves that where it is
    one, two = (turn(b.keypoints, t.yaw) for b, t in ((one, truth), (two, found)))
    one, two = one - one.mean(1, keepdim=True), two - two.mean(1, keepdim=True)
    swap = [KEYPOINTS.index(other(name)) for name in KEYPOINTS]
    assert torch.allclose(two[~flipped], one[~flipped], atol=1e-5)
    assert torch.allclose(two[flipped], one[flipped][:, swap] * S, atol=0.001)
    assert not torch.allclose(two[flipped], one[flipped], atol=0.05)


def test_the_truth_of_flipped_crops_looks_like_the_flipped_picture():
    truth, body = people(4)
    found = truth.mirrored_where(torch.ones(4, dtype=torch.bool))
    one, two = (
        render_structure(
            body(rotations(t.pose), t.phenotype).vertices,
            body.faces,
            t.yaw,
            size=(96, 48),
            framing=t.framing,
        )
        > 0
        for t in (truth, found)
    )
    one = one.flip(2)
    overlap = (one & two).sum((1, 2)) / (one | two).sum((1, 2))
    assert (overlap > 0.95).all()


def test_truths_of_nobody():
    truth, _ = people(1)
    nobody = Truth(*(field[:0] for field in truth))
    assert [len(field) for field in nobody.mirrored_where(torch.empty(0, dtype=bool))] == [0] * 4


# ---------------------------------------------------------------------- levers
def surface(body: AnnyBody, pose: torch.Tensor) -> torch.Tensor:
    """(V, 3) with the pelvis's joint at the origin."""
    found = body(pose)
    return found.vertices[0] - found.joints[0, 0]


@pytest.mark.parametrize(
    "part", ["pelvis", "chest", "thigh_left", "foot_left", "hand_left", "thumb_left", "shin_right"]
)
def test_a_lever_is_what_a_turn_of_one_part_moves(lever, part):
    """The mean over all vertices and axes of |moved| / angle, for 2 degrees to either side."""
    body, angle = AnnyBody("reduced"), math.radians(2)
    found = []
    for axis in range(3):
        for sign in (1, -1):
            pose = torch.eye(3).repeat(1, len(PARTS), 1, 1)
            still = surface(body, pose)
            turned = torch.zeros(3)
            turned[axis] = sign * angle
            pose[0, PARTS.index(part)] = axis_angle(turned)
            found.append(float((surface(body, pose) - still).norm(dim=1).mean()) / angle)
    assert float(lever[PARTS.index(part)]) == pytest.approx(sum(found) / 6, rel=0.02)


def test_levers_order_the_parts_by_what_hangs_on_them(lever):
    of = dict(zip(PARTS, lever.tolist(), strict=True))
    assert of["pelvis"] > of["spine"] > of["chest"] > of["neck"] > of["head"]
    for side in ("left", "right"):
        arm = [of[f"{part}_{side}"] for part in ("upper_arm", "forearm", "hand", "thumb")]
        leg = [of[f"{part}_{side}"] for part in ("thigh", "shin", "foot", "toes")]
        assert arm == sorted(arm, reverse=True) and leg == sorted(leg, reverse=True)
        assert of[f"thigh_{side}"] > of[f"hand_{side}"] > of[f"thumb_{side}"] > 0
    for part in PARTS:
        assert of[part] == pytest.approx(of[other(part)], rel=0.02), part
