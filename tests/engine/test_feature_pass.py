"""The feature pass: every training image through E_id in evaluation mode, in the bank's order."""

import pytest
import torch
from engine import runs
from fastreid.modeling import build_model

from gcl.data.build import TrainingSet
from gcl.engine.feature_pass import extract_features


@pytest.fixture
def build(toy, tmp_path):
    def build(**changes):
        torch.manual_seed(0)
        cfg = runs.config(tmp_path, toy, **changes)
        model = build_model(cfg)
        for module in model.modules():  # running statistics that matter
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
        return model, TrainingSet(cfg)

    return build


def one_by_one(model, train_set, function):
    """``function(model, batch)`` of each image alone."""
    model.eval()
    dataset = train_set.feature_loader().dataset
    rows = []
    with torch.no_grad():
        for i, (path, camera) in enumerate(train_set.items):
            item = dataset[i]
            assert (item["img_paths"], item["camids"]) == (path, camera)
            batch = {"images": item["images"][None], "camids": torch.tensor([camera])}
            rows.append(function(model, batch))
    return torch.cat(rows)


def test_rows_are_the_images_in_order(build):
    model, train_set = build(GCL__CAMERA_NORM=False)
    expected = one_by_one(model, train_set, lambda m, batch: m(batch))
    features = extract_features(model, train_set.feature_loader())
    assert features.shape == (32, 128)
    assert not features.requires_grad
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-4)
    # images differ, so a wrong order would have shown
    assert torch.pdist(expected).min() > 1e-3


def test_batches_do_not_matter(build):
    model, train_set = build(TEST__IMS_PER_BATCH=32)
    whole = extract_features(model, train_set.feature_loader())
    model, train_set = build(TEST__IMS_PER_BATCH=5)
    parts = extract_features(model, train_set.feature_loader())
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("phase", ["contrast", "generator"])
def test_the_pass_changes_no_mode_and_no_statistic(build, phase):
    model, train_set = build(GCL__CAMERA_NORM=False)
    model.train()
    model.set_phase(phase)
    modes = [module.training for module in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    extract_features(model, train_set.feature_loader())
    assert [module.training for module in model.modules()] == modes
    runs.assert_same(state, dict(model.state_dict()))


def test_camera_statistics_are_those_of_each_camera_s_images(build):
    model, train_set = build(GCL__CAMERA_NORM=True)
    pooled = one_by_one(
        model, train_set, lambda m, b: m.heads.pool(m.backbone(m.preprocess_image(b)))
    )
    extract_features(model, train_set.feature_loader())
    cameras = torch.tensor([camera for _, camera in train_set.items])
    assert cameras.unique().tolist() == [0, 1]
    common = torch.full_like(cameras, 5)  # a camera that training did not see
    for asked, chosen in ((cameras, 0), (cameras, 1), (common, None)):
        rows = cameras >= 0 if chosen is None else cameras == chosen
        x = model.heads.camera_norm(pooled, asked)[rows]
        alive = pooled[rows].std(0) > 0.01  # epsilon matters for constant features
        assert alive.sum() > 20
        torch.testing.assert_close(x.mean(0), torch.zeros(128), atol=1e-3, rtol=0)
        spread = x[:, alive].std(0, correction=0)
        torch.testing.assert_close(spread, torch.ones(len(spread)), atol=0.12, rtol=0)
    own, other = (model.heads.camera_norm(pooled, camera) for camera in (cameras, 1 - cameras))
    assert (own - other).abs().max() > 0.1  # cameras do differ


def test_features_are_standardised_by_the_statistics_of_the_same_pass(build):
    model, train_set = build(GCL__CAMERA_NORM=True)
    first = extract_features(model, train_set.feature_loader())
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.mul_(1.1)
    second = extract_features(model, train_set.feature_loader())
    expected = one_by_one(model, train_set, lambda m, batch: m(batch))
    torch.testing.assert_close(second, expected, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(first, second, atol=1e-3)


def test_the_neck_behind_camera_statistics_takes_those_of_all_images(build):
    """f = (x - mean) / sqrt(variance + 1e-5) over the training images, whatever it ran on before;
    weight 1 and bias 0."""
    model, train_set = build(GCL__CAMERA_NORM=True)
    features = extract_features(model, train_set.feature_loader())
    torch.testing.assert_close(features.mean(0), torch.zeros(128), atol=1e-4, rtol=0)
    spread = features.std(0)
    alive = spread > 0.5  # the tiny encoder has constant features, too
    assert alive.sum() > 20
    torch.testing.assert_close(spread[alive], torch.ones(int(alive.sum())), atol=1e-3, rtol=0)
    assert [norm.momentum for norm in model.heads.bottleneck] == [0.1]
