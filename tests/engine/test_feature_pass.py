"""The feature pass: every training image through E_id in evaluation mode, in the bank's order."""

import pytest
import torch
from engine import runs
from fastreid.modeling import build_model

from gcl.data.build import TrainingSet
from gcl.data.sampler import ShuffleSampler
from gcl.engine import feature_pass
from gcl.engine.feature_pass import complete_statistics, extract_features, fit_view_statistics


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


@pytest.mark.parametrize("width", [0, 8])
def test_features_take_the_place_of_what_they_are_made_of(build, monkeypatch, width):
    """A million would be there twice; where they are narrower, they are other memory."""
    model, train_set = build(GCL__CAMERA_NORM=True, MODEL__HEADS__EMBEDDING_DIM=width)
    seen = []
    pool_features = feature_pass.pool_features

    def watched(*args):
        seen.append(pool_features(*args)[0])
        return seen[0], pool_features(*args)[1]

    monkeypatch.setattr(feature_pass, "pool_features", watched)
    features = extract_features(model, train_set.feature_loader())
    assert features.shape == (32, width or 128)
    assert (features.data_ptr() == seen[0].data_ptr()) == (width == 0)
    expected = one_by_one(model, train_set, lambda m, batch: m(batch))
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("mine", [True, False])
def test_a_rank_that_fails_leaves_no_other_waiting(build, monkeypatch, mine):
    """Each rank joins the gathering, then both raise: it what was wrong, the other which it was."""
    model, train_set = build()
    joined = []
    whole = (torch.ones(1, 128), torch.zeros(1))

    def gather(part):
        joined.append(part is None)
        return [whole, None] if not mine else [None, whole]

    def unreadable(batch):
        raise OSError("crop.jpg is truncated")

    monkeypatch.setattr(feature_pass.comm, "all_gather", gather)
    if mine:
        monkeypatch.setattr(model, "preprocess_image", unreadable)
    error, words = (OSError, "crop.jpg") if mine else (RuntimeError, "process 1 could not")
    with pytest.raises(error, match=words):
        extract_features(model, train_set.feature_loader())
    assert joined == [mine]


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
    w = (1 + 32 / 256) * 16 / (16 + 32)  # a camera has 16 of the 32 images
    for camera in (0, 1, 5):  # 5: training did not see it
        own = pooled[cameras == camera] if camera < 5 else pooled
        mean = w * own.mean(0) + (1 - w) * pooled.mean(0)
        spread = w * own.std(0, correction=0) + (1 - w) * pooled.std(0, correction=0)
        asked = torch.full_like(cameras, camera)
        alive = spread > 0.01  # epsilon matters for constant features
        assert alive.sum() > 20
        x = model.heads.camera_norm(pooled, asked)[:, alive]
        wanted = ((pooled - mean) / (spread + 1e-3))[:, alive]
        torch.testing.assert_close(x, wanted, atol=0.01, rtol=0.01)
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


@pytest.mark.parametrize("camera_norm", [True, False])
def test_a_new_neck_is_measured_with_and_without_camera_statistics(build, camera_norm):
    """To one that has seen nothing features have mean 0 and deviation 1, whatever they are."""
    model, train_set = build(GCL__CAMERA_NORM=camera_norm)
    model.heads.bottleneck[0].reset_running_stats()
    features = extract_features(model, train_set.feature_loader(), new_neck=True)
    norm = model.heads.bottleneck[0]
    assert norm.momentum == 0.1
    # (x - mean) / sqrt(variance + 1e-5) of the measured ones
    torch.testing.assert_close(features.mean(0), torch.zeros(128), atol=1e-4, rtol=0)
    wanted = norm.running_var * 31 / 32 / (norm.running_var + 1e-5)
    torch.testing.assert_close(features.var(0, correction=0), wanted, atol=1e-3, rtol=0)
    assert (wanted > 0.5).sum() > 20


# ---------------------------------------------------------------------- generated views
def view_loader(train_set, seed=0):
    sampler = ShuffleSampler(train_set.usable, 4, 8, seed=seed)
    return train_set.train_loader("joint", sampler)


@pytest.mark.parametrize("name", ["ViewGenerator", "AttentionViewGenerator"])
def test_statistics_of_views_are_those_of_all_views_before_they_count(build, name):
    model, train_set = build(
        GCL__CAMERA_NORM=True, GCL__GENERATOR__NAME=name, GCL__JOINT__UNTURNED=0.5
    )
    model.train()
    model.set_phase("joint")
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(3)
    fit_view_statistics(model, view_loader(train_set))
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, state[k])}
    moved = {k for k in moved if "num_batches_tracked" not in k}
    assert moved == {f"heads.generated_norm.{k}" for k in ("count", "sum", "square")}
    norm = model.heads.generated_norm
    assert norm.count[0].item() == 32 and norm.count[1:3].sum().item() == 32
    torch.manual_seed(3)
    pooled = torch.cat([model.pool_views(batch) for batch in view_loader(train_set)])
    torch.testing.assert_close(norm.sum[0] / 32, pooled.mean(0), rtol=1e-4, atol=1e-5)


def test_views_are_measured_as_a_joint_step_sees_them(build):
    """The first step moves the statistics by the very features that the pass would take."""
    model, train_set = build(
        GCL__CAMERA_NORM=True,
        GCL__JOINT__LEARNS="encoder",
        GCL__JOINT__UNTURNED=0.5,
        GCL__JOINT__SWAP_BACKGROUNDS=True,
        GCL__GENERATOR__NAME="AttentionViewGenerator",
    )
    model.bank.allocate(32)
    model.bank.labels.copy_(torch.arange(32) // 4)
    model.train()
    model.set_phase("joint")
    batch = next(iter(view_loader(train_set)))
    torch.manual_seed(3)
    pooled = model.pool_views(batch)
    torch.manual_seed(3)
    model(batch)
    torch.testing.assert_close(model.heads.generated_norm.sum[0], pooled.sum(0))


def test_weights_without_statistics_of_cameras_get_the_training_images(build, toy, tmp_path):
    cfg = runs.config(tmp_path, toy)
    cfg.defrost()
    cfg.GCL.STRUCTURE.DIR = "/no/such/folder"  # an evaluation needs none
    cfg.freeze()
    model, train_set = build()
    extract_features(model, train_set.feature_loader())
    wanted = {name: value.clone() for name, value in model.heads.state_dict().items()}
    again, _ = build()
    complete_statistics(again, cfg)
    runs.assert_same(dict(again.heads.state_dict()), wanted)
    assert wanted["camera_norm.count"].any()
    again.heads.camera_norm.sum.add_(1)  # its own stay
    before = {name: value.clone() for name, value in again.heads.state_dict().items()}
    complete_statistics(again, cfg)
    runs.assert_same(dict(again.heads.state_dict()), before)


def test_statistics_that_no_test_set_needs_are_not_measured(build, toy, tmp_path, monkeypatch):
    """Each test set by its own cameras': the training images need not be there."""
    model, _ = build()
    monkeypatch.setattr(feature_pass, "TrainingSet", lambda cfg: pytest.fail("opened"))
    own = runs.config(tmp_path, toy, GCL__FOREIGN_CAMERAS="own", DATASETS__TESTS=("DukeMTMC",))
    complete_statistics(model, own)
    assert not model.heads.camera_norm.count.any()


def test_without_cameras_statistics_none_are_measured(build):
    model, _ = build(GCL__CAMERA_NORM=False)
    before = {name: value.clone() for name, value in model.heads.state_dict().items()}
    complete_statistics(model, None)  # no data set is asked
    runs.assert_same(dict(model.heads.state_dict()), before)
