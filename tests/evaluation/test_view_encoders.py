"""Features of photographs and of views, against the model's own and a plain standardisation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fastreid.modeling import build_model

from gcl.evaluation.view_encoders import STAGES, ImageNetEncoder, ModelEncoder
from gcl.modeling.imagenet import ImageNet

CAMERAS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])


@pytest.fixture
def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (8, 3, 64, 32), dtype=torch.uint8, generator=generator)


def standardised(x: torch.Tensor) -> torch.Tensor:
    """By mean and deviation of each camera, one after the other; those of n rows weigh
    (1 + 32 / 256) n / (n + 32), those of all cameras the rest."""
    out = torch.empty_like(x)
    for camera in (0, 1):
        rows = CAMERAS == camera
        w = (1 + 32 / 256) * int(rows.sum()) / (int(rows.sum()) + 32)
        mean = w * x[rows].mean(0) + (1 - w) * x.mean(0)
        deviation = w * x[rows].std(0, correction=0) + (1 - w) * x.std(0, correction=0)
        out[rows] = (x[rows] - mean) / (deviation + 1e-3)
    return out


@torch.no_grad()
@pytest.mark.parametrize("norm", [False, True])
def test_photographs_have_the_features_of_re_id(tiny_cfg, pictures, norm):
    torch.manual_seed(0)
    model = build_model(tiny_cfg("GCL.CAMERA_NORM", norm)).eval()
    encoder = ModelEncoder(model)
    pooled = encoder.pool(pictures)
    model.heads.measure(pooled[:6] * 2, CAMERAS[:6])
    expected = F.normalize(model({"images": pictures.float(), "camids": CAMERAS}), dim=1)
    found = encoder.embed(pooled, CAMERAS, generated=False)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_views_are_standardised_by_their_own_statistics(tiny_cfg):
    torch.manual_seed(0)
    model = build_model(tiny_cfg("GCL.CAMERA_NORM", True)).eval()
    encoder = ModelEncoder(model)
    pooled = torch.rand(8, 16)
    model.heads.measure(pooled, CAMERAS)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    views = 3 * pooled + 5  # a style
    expected = model.heads.bottleneck(standardised(views)[..., None, None]).flatten(1)
    found = encoder.embed(views, CAMERAS, generated=True)
    torch.testing.assert_close(found, F.normalize(expected, dim=1), atol=1e-3, rtol=1e-3)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


@torch.no_grad()
def test_imagenet_features_are_standardised_in_each_camera(pictures):
    imagenet = ImageNet(STAGES)
    encoder = ImageNetEncoder(imagenet)
    pooled = encoder.pool(pictures)
    assert torch.equal(pooled, imagenet.pool(pictures)) and pooled.shape == (8, 1280)
    found = encoder.embed(pooled, CAMERAS, generated=False)
    expected = F.normalize(standardised(pooled), dim=1)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-2)
