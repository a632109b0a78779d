"""Standardisation by running statistics of groups, drawn towards those of all:
(x - mean) / (deviation + eps), each w of the group's and 1 - w of all,
w = (1 + prior / window) n / (n + prior), at most 1."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gcl.modeling import RunningNorm, layers


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def standardised(f: Tensor, seen: Tensor) -> Tensor:
    """(f - mean) / (deviation + eps) over the rows of ``seen``, in float64."""
    seen = seen.double()
    return (f.double() - seen.mean(0)) / (seen.std(0, unbiased=False) + 1e-3)


def drawn(f: Tensor, own: Tensor, seen: Tensor) -> Tensor:
    """(f - mean) / (deviation + eps) for a group with the rows ``own`` of all rows ``seen``."""
    own, seen = own.double(), seen.double()
    w = (1 + 32 / 256) * len(own) / (len(own) + 32)
    mean = w * own.mean(0) + (1 - w) * seen.mean(0)
    deviation = w * own.std(0, unbiased=False) + (1 - w) * seen.std(0, unbiased=False)
    return (f.double() - mean) / (deviation + 1e-3)


def close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got.double().cpu(), wanted, rtol=1e-4, atol=1e-4)


def test_against_a_loop(device):
    """Every image with the statistics of its camera's training images."""
    features, camids = draw(9, 4) * 3 + 1, torch.tensor([0, 0, 0, 2, 2, 2, 2, 5, 5])
    norm = RunningNorm(4, groups=8).to(device)
    norm.fit(features.to(device), camids.to(device))
    new, cameras = draw(5, 4, seed=1), [2, 0, 5, 0, 2]
    got = norm(new.to(device), torch.tensor(cameras))
    for f, camera, row in zip(new, cameras, got, strict=True):
        close(row, drawn(f, features[camids == camera], features))


@pytest.mark.parametrize("images", [1, 2, 3])
def test_a_camera_of_few_images_is_not_taken_at_its_word(images):
    """By their own statistics two images are exactly +-1 in every channel, and one is 0."""
    others, few = draw(200, 8), draw(images, 8, seed=1)
    norm = RunningNorm(8, groups=2)
    norm.fit(torch.cat([others, few]), torch.tensor([0] * 200 + [1] * images))
    got = norm(few, torch.ones(images, dtype=torch.long))
    assert len(got.abs().unique()) == 8 * images
    # about as by the statistics of all
    torch.testing.assert_close(got, norm(few), rtol=0, atol=0.4)
    assert not torch.equal(got, norm(few))


def test_the_prior_is_how_many_images_weigh_as_much_as_all():
    features, camids = draw(90, 4) * 3 + 1, torch.tensor([0] * 80 + [1] * 10)
    norm = RunningNorm(4, groups=2, prior=10, window=100)
    norm.fit(features, camids)
    own = (1 + 10 / 100) / 2
    mean = own * features[80:].mean(0) + (1 - own) * features.mean(0)
    deviation = own * features[80:].std(0, correction=0)
    deviation += (1 - own) * features.std(0, correction=0)
    f = draw(1, 4, seed=1)
    torch.testing.assert_close(norm(f, torch.tensor([1])), (f - mean) / (deviation + 1e-3))


def test_a_group_with_a_full_window_is_taken_at_its_word():
    """As without a prior: 40 images where the statistics follow the last 30."""
    features, camids = draw(60, 4) * 3 + 1, torch.tensor([0] * 20 + [1] * 40)
    norms = [RunningNorm(4, groups=2, prior=prior, window=30) for prior in (10, 0)]
    for norm in norms:
        norm.fit(features, camids)
    f = draw(5, 4, seed=1)
    ours, plain = (norm(f, torch.ones(5, dtype=torch.long)) for norm in norms)
    torch.testing.assert_close(ours, plain)
    few, alone = (norm(f, torch.zeros(5, dtype=torch.long)) for norm in norms)
    assert not torch.allclose(few, alone, atol=1e-3)


def test_standardised_training_images_have_mean_0_and_deviation_1_in_each_camera():
    features = torch.cat([draw(50, 3), 20 + 5 * draw(70, 3, seed=1)])
    camids = torch.tensor([0] * 50 + [1] * 70)
    norm = RunningNorm(3, groups=2, eps=0.0, prior=0)
    norm.fit(features, camids)
    out = norm(features, camids)
    for camera in (0, 1):
        rows = out[camids == camera]
        torch.testing.assert_close(rows.mean(0), torch.zeros(3), rtol=0, atol=1e-4)
        torch.testing.assert_close(rows.std(0, unbiased=False), torch.ones(3), rtol=0, atol=1e-4)


@pytest.mark.parametrize("camera", [1, 3, 4, 7, 100, -1])
def test_cameras_without_statistics_take_those_of_all_images(camera):
    """1 was not seen, 3 and more are beyond groups, -1 is no camera.

    Camera 2 is the last that can be known: no other may be mistaken for it.
    """
    features, camids = draw(10, 4) * 2 - 1, torch.tensor([0, 0, 0, 0, 2, 2, 2, 2, 2, 3])
    norm = RunningNorm(4, groups=3)
    norm.fit(features, camids)
    f = draw(1, 4, seed=1)
    close(norm(f, torch.tensor([camera])), standardised(f, features))
    assert not torch.allclose(norm(f, torch.tensor([2])), norm(f, torch.tensor([camera])))


def test_a_fit_forgets_earlier_ones():
    norm = RunningNorm(4, groups=3)
    norm.fit(draw(4, 4), torch.tensor([0, 0, 1, 1]))
    norm.update(draw(4, 4, seed=2), torch.tensor([0, 0, 1, 1]))
    features = draw(4, 4, seed=1)
    norm.fit(features, torch.tensor([0, 0, 0, 0]))
    for camera in (0, 1):  # 1 is unknown again
        close(norm(features, torch.full((4,), camera)), standardised(features, features))


@pytest.mark.parametrize("part", [1, 7, 300])
def test_statistics_do_not_depend_on_the_parts_they_are_taken_in(part, monkeypatch):
    """Bit for bit: of 300 vectors of 200 numbers at once, or parts of vectors, sums in columns."""
    norms, x = [RunningNorm(200, groups=5) for _ in range(2)], draw(300, 200)
    group = torch.randint(-1, 7, (300,), generator=torch.Generator().manual_seed(1))
    for norm, size in zip(norms, (layers.PART, part), strict=True):
        monkeypatch.setattr(layers, "PART", size)
        norm.fit(x * 3 + 1, group)
        norm.update(x[:90], group[:90])
    for whole, parts in zip(*(norm.buffers() for norm in norms), strict=True):
        assert torch.equal(whole, parts)


@pytest.mark.parametrize("window", [3, 50])
def test_statistics_follow_by_exponential_weights_per_camera(window, device):
    """An image weighs (1 - 1/window)^m after batches with m images of its camera; a fit weighs
    min(images, window) in all. Row 0 does so with all cameras' images."""
    norm = RunningNorm(4, groups=6, window=window).to(device)
    fitted, fitted_cams = draw(8, 4), torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])
    norm.fit(fitted.to(device), fitted_cams)
    batches = [
        (draw(3, 4, seed=s) + s, torch.tensor(c))
        for s, c in ((1, [0, 1, 0]), (2, [1, 1, 1]), (3, [0, 0, 2]))
    ]
    for f, camids in batches:
        norm.update(f.to(device), camids)
    new = draw(2, 4, seed=9)

    def moments(camera: int | None) -> tuple[float, Tensor, Tensor]:
        """Weight, mean and deviation of a camera's images; None: of all."""

        def of(camids: Tensor) -> Tensor:
            return torch.ones_like(camids, dtype=torch.bool) if camera is None else camids == camera

        start = fitted[of(fitted_cams)]
        rows = [start]
        weights = [torch.full((len(start),), min(window / max(len(start), 1), 1.0))]
        for f, camids in batches:
            mine = f[of(camids)]
            weights = [w * (1 - 1 / window) ** len(mine) for w in weights] + [torch.ones(len(mine))]
            rows.append(mine)
        x, w = torch.cat(rows).double(), torch.cat(weights).double()[:, None]
        total = max(w.sum().item(), 1e-9)
        mean = (w * x).sum(0) / total
        return w.sum().item(), mean, ((w * (x - mean).square()).sum(0) / total).sqrt()

    _, mean, deviation = moments(None)
    for camera in (0, 1, 2, 9):  # 2 has one image and 9 none
        n, own_mean, own_deviation = moments(camera)
        w = min((1 + 32 / window) * n / (n + 32), 1)
        wanted = (new - (w * own_mean + (1 - w) * mean)) / (
            w * own_deviation + (1 - w) * deviation + 1e-3
        )
        close(norm(new.to(device), torch.full((2,), camera)), wanted)


def test_no_gradient_flows_through_the_statistics():
    norm, f = RunningNorm(4, groups=3), draw(4, 4).requires_grad_()
    camids = torch.tensor([0, 0, 1, 1])
    norm.update(f, camids)
    norm(f, camids).sum().backward()
    scale = norm(torch.ones(4, 4), camids) - norm(torch.zeros(4, 4), camids)  # 1 / (std + eps)
    torch.testing.assert_close(f.grad, scale, rtol=1e-3, atol=1e-3)


def test_statistics_are_saved_with_the_weights_and_do_not_train():
    norm = RunningNorm(4, groups=3)
    norm.fit(draw(4, 4), torch.tensor([0, 0, 1, 1]))
    other = RunningNorm(4, groups=3)
    other.load_state_dict(norm.state_dict())
    f, camids = draw(3, 4, seed=1), torch.tensor([0, 1, 2])
    assert torch.equal(other(f, camids), norm(f, camids))
    assert list(norm.parameters()) == []


def test_nothing_is_changed_before_anything_was_measured():
    x = draw(3, 4)
    assert torch.equal(RunningNorm(4, groups=2)(x, torch.tensor([0, 1, 5])), x)
    assert torch.equal(RunningNorm(4)(x), x)


def test_one_vector_has_no_deviation():
    """Only its mean is known: x - x_0."""
    norm = RunningNorm(4)
    norm.update(draw(1, 4))
    x = draw(3, 4, seed=1)
    torch.testing.assert_close(norm(x), x - draw(1, 4))


def test_without_groups_all_vectors_are_one_group():
    norm, x = RunningNorm(4), draw(9, 4) * 2 + 5
    norm.fit(x)
    close(norm(x), standardised(x, x))


def test_a_constant_channel_stays_finite():
    norm, x = RunningNorm(2), torch.full((5, 2), 1000.1)
    norm.fit(x)
    assert norm(x).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_statistics_of_half_precision_are_kept_in_float32(dtype, device):
    """400^2 is beyond float16."""
    norm, x = RunningNorm(4).to(device), (draw(8, 4) + 400).to(device, dtype)
    norm.fit(x)
    norm.update(x)
    assert norm.square.dtype == torch.float32
    assert norm.square.isfinite().all()
