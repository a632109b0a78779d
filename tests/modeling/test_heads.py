"""The identity head against the toolbox's embedding head; part code; cameras."""

from __future__ import annotations

import logging

import pytest
import torch
from fastreid.modeling.heads import build_heads
from fastreid.modeling.heads.embedding_head import EmbeddingHead
from torch import Tensor

from gcl.modeling import IdentityHead, heads


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomise_buffers(head: torch.nn.Module) -> None:
    """Running statistics that matter: not mean 0 and variance 1."""
    g = torch.Generator().manual_seed(3)
    for name, value in head.named_buffers():
        if name.endswith("running_mean"):
            value.copy_(torch.randn(value.shape, generator=g))
        elif name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=g))


# ---- parity with the toolbox
@pytest.mark.parametrize(
    "pairs",
    [
        (),
        ("MODEL.HEADS.EMBEDDING_DIM", 6),
        ("MODEL.HEADS.WITH_BNNECK", False),
        ("MODEL.HEADS.POOL_LAYER", "GeneralizedMeanPooling"),
        ("MODEL.HEADS.NUM_CLASSES", 7),
    ],
)
def test_evaluation_is_that_of_the_toolbox_head_on_the_same_weights(tiny_cfg, pairs):
    cfg = tiny_cfg(*pairs)
    ours, theirs = build_heads(cfg).eval(), EmbeddingHead(cfg).eval()
    assert isinstance(ours, IdentityHead)
    randomise_buffers(ours)
    theirs.load_state_dict(ours.state_dict())  # strict: the same names and shapes
    features = draw(3, 16, 8, 4).abs()
    assert torch.equal(ours(features), theirs(features))
    assert ours(features).shape == (3, ours.embedding_dim)


def test_embedding_dim_is_that_of_the_output(tiny_cfg):
    assert IdentityHead(tiny_cfg()).embedding_dim == 16
    assert IdentityHead(tiny_cfg("MODEL.HEADS.EMBEDDING_DIM", 6)).embedding_dim == 6


def test_training_returns_the_embedding_after_the_neck(tiny_cfg):
    """f = (pooled - batch mean) / batch deviation, for a fresh BN neck."""
    head = IdentityHead(tiny_cfg()).train()
    features = draw(5, 16, 8, 4)
    pooled = features.mean((2, 3))
    wanted = (pooled - pooled.mean(0)) / (pooled.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(head(features), wanted, rtol=1e-4, atol=1e-5)


def test_the_unused_classifier_does_not_train(tiny_cfg):
    head = IdentityHead(tiny_cfg("MODEL.HEADS.NUM_CLASSES", 7))
    assert not head.weight.requires_grad


# ---- part code
@pytest.mark.parametrize(("height", "parts"), [(8, 4), (16, 4), (6, 4), (4, 4), (3, 1), (2, 4)])
def test_part_code_is_the_mean_of_each_stripe(tiny_cfg, height, parts):
    """Stripe p of P covers rows floor(p h / P) to ceil((p + 1) h / P)."""
    head = IdentityHead(tiny_cfg("GCL.GENERATOR.NUM_PARTS", parts))
    features = draw(2, 16, height, 4)
    code = head.part_code(features)
    assert code.shape == (2, parts, 16)
    for p in range(parts):
        rows = features[:, :, p * height // parts : -(-(p + 1) * height // parts)]
        torch.testing.assert_close(code[:, p], rows.mean((2, 3)))


# ---- cameras
def test_only_original_views_in_training_move_the_statistics(tiny_cfg):
    head = IdentityHead(tiny_cfg("GCL.CAMERA_NORM", True))
    maps, camids = draw(4, 16, 8, 4), torch.tensor([0, 0, 1, 1])
    head.camera_norm.fit(head.pool(maps), camids)
    before = [b.clone() for b in head.camera_norm.buffers()]

    def moved() -> bool:
        return not all(map(torch.equal, before, head.camera_norm.buffers()))

    head.eval()(1 + maps, camids=camids)
    assert not moved()
    head.train()(1 + maps, camids=camids, generated=True)
    assert not moved()
    assert head.generated_norm.count[0].item() == 4
    head.train()(1 + maps, camids=camids)
    assert moved()


def test_head_standardises_pooled_features_before_the_neck(tiny_cfg):
    head = IdentityHead(tiny_cfg("GCL.CAMERA_NORM", True)).eval()
    randomise_buffers(head.bottleneck)
    maps, camids = draw(6, 16, 8, 4), torch.tensor([0, 0, 0, 1, 1, 1])
    pooled = head.pool(maps)
    torch.testing.assert_close(pooled, maps.mean((2, 3)))
    head.camera_norm.fit(pooled, camids)
    wanted = head.bottleneck(head.camera_norm(pooled, camids)[..., None, None])[..., 0, 0]
    assert torch.equal(head(maps, camids=camids), wanted)
    assert not torch.equal(head(maps, camids=camids), head(maps, camids=1 - camids))


def test_a_style_that_all_generated_views_share_does_not_reach_the_embedding(tiny_cfg):
    """Views that differ from the originals by a scale and a shift: the same embeddings."""
    head = IdentityHead(tiny_cfg("GCL.CAMERA_NORM", True)).eval()
    pooled, camids = draw(40, 16), torch.arange(40) % 2
    generated = 100 * pooled * torch.linspace(0.5, 2, 16) + torch.linspace(-30, 30, 16)
    head.camera_norm.fit(pooled, camids)
    head.generated_norm.fit(generated, camids)
    embedded = head.neck(generated, camids, head.generated_norm)
    torch.testing.assert_close(embedded, head.neck(pooled, camids), rtol=0.01, atol=0.01)
    assert (head.neck(generated, camids) - embedded).abs().min() > 0.1


@pytest.fixture
def warnings(caplog, monkeypatch):
    """``warnings()``: what was said so far; nothing was said before."""
    monkeypatch.setattr(logging.getLogger("gcl"), "propagate", True)
    heads._warn_once.cache_clear()
    return lambda: [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def fitted_head(tiny_cfg) -> IdentityHead:
    """Cameras 0 and 1, very different, and one image of camera 2."""
    head = IdentityHead(tiny_cfg("GCL.CAMERA_NORM", True)).eval()
    randomise_buffers(head.bottleneck)
    pooled, camids = draw(21, 16), torch.tensor([0] * 10 + [1] * 10 + [2])
    head.camera_norm.fit(pooled + 3 * camids[:, None], camids)
    return head


def by_all_cameras(head: IdentityHead, maps: Tensor) -> Tensor:
    norm = head.camera_norm
    mean = norm.sum[0] / norm.count[0]
    deviation = (norm.square[0] / norm.count[0] - mean.square()).sqrt() + 1e-3
    pooled = (maps.mean((2, 3)) - mean) / deviation
    return head.bottleneck(pooled[..., None, None])[..., 0, 0]


def test_without_camids_the_statistics_are_those_of_all_cameras(tiny_cfg, warnings):
    head, maps = fitted_head(tiny_cfg), draw(5, 16, 8, 4)
    for _ in range(3):
        torch.testing.assert_close(head(maps), by_all_cameras(head, maps), rtol=1e-4, atol=1e-4)
    (line,) = warnings()
    assert "GCL.CAMERA_NORM" in line and "no camids" in line and "all cameras" in line


@pytest.mark.parametrize("camera", [3, 63, 64, 1000, -1])
def test_of_an_unknown_camera_too(tiny_cfg, warnings, camera):
    """From 64 on none can have statistics; -1 is no camera. The others keep theirs."""
    head, maps = fitted_head(tiny_cfg), draw(4, 16, 8, 4)
    own = head(maps, camids=torch.tensor([0, 1, 0, 2]))
    assert not warnings()
    for _ in range(2):
        mixed = head(maps, camids=torch.tensor([0, 1, camera, camera]))
    assert torch.equal(mixed[:2], own[:2])
    wanted = by_all_cameras(head, maps)[2:]
    torch.testing.assert_close(mixed[2:], wanted, rtol=1e-4, atol=1e-4)
    assert (mixed[2:] - own[2:]).abs().max() > 0.1
    (line,) = warnings()
    assert "cameras without statistics" in line


def test_other_statistics_for_a_while(tiny_cfg, warnings):
    head, maps, camids = fitted_head(tiny_cfg), draw(4, 16, 8, 4), torch.tensor([0, 1, 70, 1])
    with head.standardised_by(lambda pooled, cameras: pooled + cameras[:, None]):
        got = head(maps, camids=camids)
    wanted = head.bottleneck((maps.mean((2, 3)) + camids[:, None])[..., None, None])[..., 0, 0]
    torch.testing.assert_close(got, wanted)
    assert not warnings()
    torch.testing.assert_close(head(maps), by_all_cameras(head, maps), rtol=1e-4, atol=1e-4)


# ---- half precision
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pairs", [(), ("GCL.CAMERA_NORM", True), ("MODEL.HEADS.EMBEDDING_DIM", 6)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_behind_a_map_of_half_precision_everything_is_float32(tiny_cfg, pairs, training, dtype):
    """Embedding, part code, statistics: those of the same map in float32, bit for bit."""
    cfg = tiny_cfg(*pairs)
    ours, wanted = IdentityHead(cfg), IdentityHead(cfg)
    wanted.load_state_dict(ours.state_dict())
    features, camids = (3 + 0.1 * draw(6, 16, 8, 4)).to(dtype), torch.tensor([0, 0, 0, 1, 1, 1])
    with torch.autocast("cpu", dtype=dtype):
        got = ours.train(training)(features, camids=camids)
        code = ours.part_code(features)
    assert got.dtype == code.dtype == torch.float32
    assert torch.equal(got, wanted.train(training)(features.float(), camids=camids))
    assert torch.equal(code, wanted.part_code(features.float()))
    for a, b in zip(ours.buffers(), wanted.buffers(), strict=True):
        assert torch.equal(a, b)


# ---- statistics of all training images
@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 5, 1024])
@pytest.mark.parametrize("width", [0, 6])
@pytest.mark.parametrize("camera_norm", [True, False])
def test_measuring_is_a_batch_of_all_images(tiny_cfg, monkeypatch, camera_norm, width, rows):
    """Mean and unbiased variance of all 11 behind the cameras' statistics and the reduction, which
    is what batch norm keeps of one batch at momentum 1; in parts of 1, 5 and all images."""
    monkeypatch.setattr(heads, "ROWS", rows)
    cfg = tiny_cfg("GCL.CAMERA_NORM", camera_norm, "MODEL.HEADS.EMBEDDING_DIM", width)
    head, pooled = build_heads(cfg).eval(), draw(11, 16) * 3 + 2
    randomise_buffers(head)
    cameras = torch.arange(11) % 2
    expected, x = torch.nn.BatchNorm2d(width or 16, momentum=1.0), pooled.clone()
    if camera_norm:
        head.camera_norm.fit(x, cameras)
        x = head.camera_norm(x, cameras)
    reduced = torch.nn.functional.linear(x, head.bottleneck[0].weight[..., 0, 0]) if width else x
    expected(reduced[..., None, None])
    head.measure(pooled, cameras)
    assert torch.equal(pooled, x)  # in place
    norm, tolerance = head.bottleneck[-1], {} if width else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(norm.running_mean, expected.running_mean, **tolerance)
    torch.testing.assert_close(norm.running_var, expected.running_var, **tolerance)
    assert norm.num_batches_tracked == 1 and norm.momentum == 0.1 and not norm.training
