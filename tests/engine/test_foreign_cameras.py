"""Test sets whose cameras are not those of the training set, under GCL.CAMERA_NORM."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from fastreid.modeling import build_model
from torch import Tensor

from gcl.engine import foreign_cameras
from gcl.engine.foreign_cameras import own_statistics, test_cameras


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def batches() -> list[dict]:
    """12 crops of cameras 0, 1 and 7, of which 1 is bright."""
    camids = torch.tensor([0, 1, 7] * 4)
    images = 60 * draw(12, 3, 64, 32).abs() + 80 * (camids == 1)[:, None, None, None]
    parts = zip(images.split(5), camids.split(5), strict=True)
    return [{"images": x, "camids": c} for x, c in parts]


@pytest.fixture
def model(tiny_cfg):
    """Trained on cameras 0 and 1 of another place."""
    torch.manual_seed(0)
    model = build_model(tiny_cfg("GCL.CAMERA_NORM", True)).eval()
    camids = torch.arange(20) % 2
    model.heads.camera_norm.fit(draw(20, 16) * 2 + 5 * camids[:, None], camids)
    return model


@torch.no_grad()
def features(model, batches: list[dict], **keys: object) -> Tensor:
    return torch.cat([model(batch | keys) for batch in batches])


def config(tiny_cfg, choice: str):
    return tiny_cfg("DATASETS.NAMES", ("Market1501",), "GCL.FOREIGN_CAMERAS", choice)


@pytest.mark.parametrize(
    ("choice", "name"),
    [("same", "DukeMTMC"), ("all", "Market1501"), ("own", "Market1501"), ("same", "Market1501")],
)
def test_cameras_of_the_training_set_keep_their_statistics(tiny_cfg, model, batches, choice, name):
    plain = features(model, batches)
    with test_cameras(config(tiny_cfg, choice), model, name, batches):
        assert torch.equal(features(model, batches), plain)


def test_other_cameras_get_the_statistics_of_all_with_one_warning(
    tiny_cfg, model, batches, monkeypatch
):
    """As without camids, whatever their numbers are."""
    said = []
    monkeypatch.setattr(foreign_cameras.logger, "warning", lambda *args: said.append(args))
    foreign_cameras._warn_once.cache_clear()
    wanted, plain = features(model, batches, camids=None), features(model, batches)
    for _ in range(2):
        with test_cameras(config(tiny_cfg, "all"), model, "DukeMTMC", batches):
            got = features(model, batches)
    assert torch.equal(got, wanted) and not torch.allclose(got, plain, atol=0.1)
    assert torch.equal(features(model, batches), plain)  # and afterwards as ever
    ((message, *values),) = said
    line = message % tuple(values)
    assert "DukeMTMC" in line and "GCL.FOREIGN_CAMERAS" in line


@pytest.mark.parametrize("wrapped", [False, True])
def test_own_statistics_are_those_of_each_camera_s_images(tiny_cfg, model, batches, wrapped):
    """By a loop over all pictures; the training set's are left alone."""
    before = [buffer.clone() for buffer in model.buffers()]
    with torch.no_grad():
        x = [model.preprocess_image(batch) for batch in batches]
        pooled = torch.cat([model.backbone(part).mean((2, 3)) for part in x]).double()
        camids = torch.cat([batch["camids"] for batch in batches])
        rows = []
        for vector, camera in zip(pooled, camids, strict=True):
            seen = pooled[camids == camera]
            own = (1 + 32 / 256) * len(seen) / (len(seen) + 32)
            mean = own * seen.mean(0) + (1 - own) * pooled.mean(0)
            deviation = own * seen.std(0, correction=0) + (1 - own) * pooled.std(0, correction=0)
            rows.append((vector - mean) / (deviation + 1e-3))
        wanted = model.heads.bottleneck(torch.stack(rows).float()[..., None, None])[..., 0, 0]
        asked = SimpleNamespace(module=model) if wrapped else model
        with test_cameras(config(tiny_cfg, "own"), asked, "DukeMTMC", batches):
            got = features(model, batches)
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)
    assert all(map(torch.equal, before, model.buffers()))


def test_numbers_of_cameras_do_not_matter():
    """From -1 to a date; a table by number would not fit in memory."""
    pooled, camids = draw(9, 4), torch.tensor([0, 1, 2] * 3)
    dates = torch.tensor([-1, 7, 20261126])[camids]
    plain, other = own_statistics(pooled, camids), own_statistics(pooled, dates)
    assert torch.equal(plain(pooled, camids), other(pooled, dates))


def test_models_without_camera_norm_are_left_alone(tiny_cfg, batches):
    model = build_model(tiny_cfg()).eval()
    plain = features(model, batches)
    for choice in ("all", "own"):
        with test_cameras(config(tiny_cfg, choice), model, "DukeMTMC", batches):
            assert torch.equal(features(model, batches), plain)
