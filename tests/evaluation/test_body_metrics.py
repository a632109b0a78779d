"""View, joint and silhouette errors against loops, scipy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from gcl.evaluation.body_metrics import (
    mpjpe,
    pa_mpjpe,
    silhouette_iou,
    summarize_yaw,
    yaw_errors,
)


@pytest.fixture
def people():
    """(5, 17, 3) in metres."""
    return 0.5 * torch.randn(5, 17, 3, generator=torch.Generator().manual_seed(0))


def moved(people, scale=1.3, shift=(1.0, -2.0, 5.0)):
    turn = torch.from_numpy(Rotation.from_euler("xyz", (20, 130, -70), degrees=True).as_matrix())
    return scale * people @ turn.float() + torch.tensor(shift)


def test_yaw_errors_go_the_short_way_round():
    predicted = torch.tensor([350.0, 10.0, 0.0, 180.0, 359.0, -10.0, 725.0])
    true = torch.tensor([10.0, 350.0, 180.0, 0.0, 359.0, 370.0, 0.0])
    assert yaw_errors(predicted, true).tolist() == [20, 20, 180, 180, 0, 20, 5]
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(-720, 720, (200,), generator=generator).float() for _ in "ab")
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    expected = [min(abs(x - y + 360 * k) for k in range(-5, 6)) for x, y in pairs]
    assert yaw_errors(a, b).tolist() == pytest.approx(expected)


def test_the_summary_counts_its_limits_where_they_belong():
    found = summarize_yaw(torch.tensor([0.0, 22.5, 22.6, 45.0, 135.0, 180.0]))
    assert found.median == pytest.approx((22.6 + 45) / 2)
    assert found[1:] == pytest.approx((2 / 6, 4 / 6, 1 / 6))
    assert summarize_yaw(torch.tensor([7.0])) == (7.0, 1.0, 1.0, 0.0)
    assert all(math.isnan(value) for value in summarize_yaw(torch.zeros(0)))


def test_mpjpe_is_a_loop_over_joints(people):
    other = people + 0.1 * torch.randn(5, 17, 3, generator=torch.Generator().manual_seed(1))
    for a, b, found in zip(people.numpy(), other.numpy(), mpjpe(people, other), strict=True):
        root = [(p[11] + p[12]) / 2 for p in (a, b)]  # COCO's hips
        expected = np.mean(
            [np.linalg.norm(x - root[0] - y + root[1]) for x, y in zip(a, b, strict=True)]
        )
        assert float(found) == pytest.approx(1000 * expected, rel=1e-5)
    assert mpjpe(people, people + 3).abs().max() < 1e-2  # wherever the person stands
    one = people[:1].clone()
    one[0, 0, 1] += 0.17  # the nose alone
    assert mpjpe(one, people[:1]).tolist() == pytest.approx([10.0], rel=1e-4)


def test_pa_mpjpe_is_scipy_s_procrustes(people):
    """scipy takes the reflection, too, where that is better; from people nearly alike it is not."""
    other = moved(people + 0.1 * torch.randn(5, 17, 3, generator=torch.Generator().manual_seed(1)))
    for a, b, found in zip(people.numpy(), other.numpy(), pa_mpjpe(other, people), strict=True):
        scipy_true, aligned, _ = procrustes(a, b)
        size = np.linalg.norm(a - a.mean(0))
        expected = 1000 * size * np.linalg.norm(scipy_true - aligned, axis=1).mean()
        assert float(found) == pytest.approx(expected, rel=1e-4)


def test_shift_turn_and_size_do_not_count_but_a_mirror_does(people):
    assert pa_mpjpe(moved(people), people).max() < 1e-2
    mirrored = people * torch.tensor([-1.0, 1, 1])
    found = pa_mpjpe(mirrored, people)
    assert found.min() > 100
    a, b = ((p[0] - p[0].mean(0)).double().numpy() for p in (mirrored, people))

    def aligned(x):
        return np.exp(x[3]) * Rotation.from_rotvec(x[:3]).apply(a)

    starts = Rotation.random(8, random_state=0).as_rotvec()
    searches = [minimize(lambda x: ((aligned(x) - b) ** 2).sum(), [*s, 0.0]) for s in starts]
    best = min(searches, key=lambda search: search.fun)
    expected = 1000 * np.linalg.norm(aligned(best.x) - b, axis=1).mean()
    assert float(found[0]) == pytest.approx(expected, rel=1e-3)
    # scipy, which mirrors, finds no error at all
    assert procrustes(a, b)[2] < 1e-9


def test_a_point_for_a_person_is_no_division_by_zero(people):
    found = pa_mpjpe(torch.zeros_like(people), people)
    expected = (people - people.mean(1, keepdim=True)).norm(dim=-1).mean(-1)
    torch.testing.assert_close(found, 1000 * expected)
    assert mpjpe(people[:0], people[:0]).shape == pa_mpjpe(people[:0], people[:0]).shape == (0,)


def test_other_shapes_are_refused(people):
    for measure in (mpjpe, pa_mpjpe):
        with pytest.raises(ValueError, match=r"\(5, 17, 3\) and \(4, 17, 3\)"):
            measure(people, people[:4])
    with pytest.raises(ValueError, match="COCO's 17; there are 16"):
        mpjpe(people[:, 1:], people[:, 1:])


def test_iou_is_counted_pixel_by_pixel():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(4, 6, 5, generator=generator) < 0.4 for _ in "ab")
    a[3], b[3] = False, False
    b[2] = ~a[2]
    expected = []
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        pairs = [pair for rows in zip(x, y, strict=True) for pair in zip(*rows, strict=True)]
        either = sum(p or q for p, q in pairs)
        expected.append(sum(p and q for p, q in pairs) / either if either else 1.0)
    assert silhouette_iou(a, b).tolist() == pytest.approx(expected)
    assert expected[2:] == [0, 1]
