"""Poses: rotations, deterministic, in ranges that people's joints have."""

from __future__ import annotations

import math

import pytest
import torch

from gcl.structure.poses import ACTIVITIES, PARTS, neutral_pose, rotation, sample_pose


def draw(count, seed=0, activity=None):
    return sample_pose(count, torch.Generator().manual_seed(seed), activity)


def angle(turns):
    """Degrees of rotations (..., 3, 3)."""
    trace = turns.diagonal(dim1=-2, dim2=-1).sum(-1)
    return ((trace - 1) / 2).clamp(-1, 1).acos() * (180 / math.pi)


def points(turns, part, towards=(0.0, 1.0, 0.0)):
    """Where `towards` goes by the rotation of one part."""
    return turns[:, PARTS.index(part)] @ torch.tensor(towards)


@pytest.mark.parametrize("axis", "xyz")
def test_rotation_is_right_handed(axis):
    k = "xyz".index(axis)
    first, second = torch.eye(3)[(k + 1) % 3], torch.eye(3)[(k + 2) % 3]
    quarter = rotation(axis, torch.tensor(90.0))
    torch.testing.assert_close(quarter @ first, second, atol=1e-6, rtol=0)
    torch.testing.assert_close(quarter @ torch.eye(3)[k], torch.eye(3)[k])


def test_neutral_is_the_identity():
    pose = neutral_pose(3)
    assert torch.equal(pose.rotations, torch.eye(3).expand(3, len(PARTS), 3, 3))
    assert [ACTIVITIES[k] for k in pose.activity] == ["stand"] * 3


@pytest.mark.parametrize("activity", [None, *ACTIVITIES])
def test_all_are_rotations_within_reach_of_joints(activity):
    pose = draw(300, 1, activity)
    turns = pose.rotations
    eye = torch.eye(3).expand_as(turns)
    torch.testing.assert_close(turns @ turns.mT, eye, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(300, len(PARTS)))
    limit = {"forearm": 150, "upper_arm": 90, "thigh": 55, "shin": 85, "head": 75, "hand": 40}
    for k, part in enumerate(PARTS):
        stem = part.removesuffix("_left").removesuffix("_right")
        assert float(angle(turns[:, k]).max()) < limit.get(stem, 66), part


def test_knees_bend_to_the_back_and_elbows_to_the_front():
    turns = draw(400, 2).rotations
    for side in ("left", "right"):
        assert float(points(turns, f"shin_{side}")[:, 2].min()) > -0.06  # +z is the back
        assert float(points(turns, f"forearm_{side}")[:, 2].max()) < 0.06


def test_walking_legs_and_arms_swing_against_each_other():
    """Over many walkers the left thigh is in front when the right is behind, and the left arm
    goes with the right leg; the phase says which."""
    pose = draw(600, 3, "walk")
    left, right = (points(pose.rotations, f"thigh_{side}")[:, 2] for side in ("left", "right"))
    arm = points(pose.rotations, "upper_arm_left")[:, 2]
    assert float(torch.corrcoef(torch.stack((left, right)))[0, 1]) < -0.7
    assert float(torch.corrcoef(torch.stack((left, arm)))[0, 1]) < -0.5
    strike = (pose.phase < 0.05) | (pose.phase > 0.95)  # the left heel touches down
    assert bool((left[strike] < right[strike] - 0.3).all())
    off = (pose.phase - 0.5).abs() < 0.05
    assert bool((right[off] < left[off] - 0.3).all())


def test_standing_feet_are_close_together():
    turns = draw(200, 4, "stand").rotations
    for side in ("left", "right"):
        assert float(points(turns, f"thigh_{side}")[:, 2].abs().max()) < math.sin(math.radians(16))


def test_each_activity_differs_from_walking_in_its_own_way():
    def forearm(activity):
        turns = draw(300, 5, activity).rotations
        bends = [angle(turns[:, PARTS.index(f"forearm_{side}")]) for side in ("left", "right")]
        return torch.stack(bends, 1)

    assert bool((forearm("phone").amax(1) > 70).all())
    assert 0.4 < float((forearm("carry").amax(1) > 60).float().mean()) < 0.8
    looks = angle(draw(300, 5, "turn").rotations[:, PARTS.index("head")])
    assert float(looks.median()) > 15
    nods = points(draw(400, 5, "phone").rotations, "neck", (0.0, -1.0, 0.0))[:, 2]
    assert 0.3 < float((nods < -0.15).float().mean()) < 0.8  # the head over the phone


def test_activities_are_drawn_asked_for_or_given_one_by_one():
    drawn = draw(1000, 6).activity
    share = torch.bincount(drawn, minlength=len(ACTIVITIES)) / 1000
    assert float(share[ACTIVITIES.index("walk")]) > 0.45 and float(share.min()) > 0.02
    given = torch.tensor([3, 1, 4])
    assert torch.equal(draw(3, 6, given).activity, given)
    with pytest.raises(ValueError, match="activity must be one of walk, .*swim"):
        draw(2, 0, "swim")
    with pytest.raises(ValueError, match="activity must be"):
        draw(2, 0, torch.tensor([0, 5]))


def test_a_seed_gives_the_same_poses_in_any_batch():
    ten, three = draw(10, 7), draw(3, 7)
    for one, other in zip(ten, three, strict=True):
        assert torch.equal(one[:3], other)
    assert not torch.equal(draw(3, 8).rotations, three.rotations)
    assert draw(0).rotations.shape == (0, len(PARTS), 3, 3)


def test_an_activity_does_not_move_the_draws_of_another():
    """Every person uses the same columns of the table: the legs are those of any walker."""
    walk, turn = draw(20, 9, "walk").rotations, draw(20, 9, "turn").rotations
    for part in ("thigh_left", "shin_right", "forearm_left"):
        assert torch.equal(walk[:, PARTS.index(part)], turn[:, PARTS.index(part)])
