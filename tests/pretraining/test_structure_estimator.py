"""Training of the estimator: what it leaves behind, and that an interruption changes nothing."""

from __future__ import annotations

import json
import os

import pytest
import torch
from engine import runs
from safetensors.torch import load_file

from gcl.pretraining import structure_estimator as module
from gcl.pretraining.structure_estimator import EstimatorTrainer, get_estimator_cfg
from gcl.structure.estimate import StructureEstimator
from gcl.structure.estimate.network import SIZE, StructureNet, mirrored_pose
from gcl.synthetic import examples

STEPS, PERIOD = 6, 3  # the toolbox can not print an epoch of fewer (it divides by zero)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Files of four examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "SHARD", 4)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("examples"))


def trainer(data, out, *pairs) -> EstimatorTrainer:
    cfg = get_estimator_cfg()
    cfg.merge_from_list(
        ["DATA", data, "EXAMPLES", 4, "WORKERS", 1, "DEVICE", "cpu", "BATCH", 2, "STEPS", STEPS]
        + ["CHECKPOINT_PERIOD", PERIOD, "OUTPUT_DIR", str(out), *pairs]
    )
    cfg.freeze()
    os.makedirs(out, exist_ok=True)
    return EstimatorTrainer(cfg)


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """(trainer, OUTPUT_DIR) after a training that nothing disturbed."""
    out = tmp_path_factory.mktemp("straight")
    done = trainer(data, out)
    done.train()
    return done, out


def test_it_leaves_weights_curves_and_a_checkpoint(straight):
    _, out = straight
    assert {"last.pth", "last_checkpoint", "metrics.json", module.WEIGHTS} <= set(os.listdir(out))
    assert list(out.glob("events.out.tfevents.*"))
    assert not list(out.glob("*.part")) and not list(out.glob("*.tmp"))
    lines = [json.loads(line) for line in (out / "metrics.json").read_text().splitlines()]
    last = {name: value for line in lines for name, value in line.items()}
    losses = {name for name in last if name.startswith("loss_")}
    assert losses == {f"loss_{n}" for n in ("yaw", "pose", "choice", "phenotype", "framing")}
    assert all(0 <= last[name] < 100 for name in losses)
    assert last["iteration"] == STEPS - 1
    assert all(value.isfinite().all() for value in runs.load(out / "last.pth")["model"].values())


def test_matrices_decay_and_nothing_else(straight):
    done, _ = straight
    decays = {group["weight_decay"] for group in done.optimizer.param_groups}
    assert decays == {0.0, done.cfg.WEIGHT_DECAY}
    for group in done.optimizer.param_groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


def test_it_trains_every_layer_from_imagenet_on(straight):
    done, _ = straight
    torch.manual_seed(done.cfg.SEED)
    before = StructureNet()
    before.backbone.load_imagenet()
    for name, value in before.named_parameters():
        assert not torch.equal(value, done.model.get_parameter(name)), name


def test_the_file_of_weights_is_half_as_large_and_is_an_estimator(straight):
    done, out = straight
    path = str(out / module.WEIGHTS)
    written, state = load_file(path), done.model.state_dict()
    assert written.keys() == state.keys()
    parameters = {name for name, _ in done.model.named_parameters()}
    for name, value in state.items():
        assert written[name].isfinite().all(), name
        assert torch.equal(written[name], value.half() if name in parameters else value), name
    numbers = sum(value.numel() for value in state.values())
    assert os.path.getsize(path) == pytest.approx(2 * numbers, rel=0.05)
    assert os.path.getsize(path) < 25e6  # what may be inside the package
    crops = done.examples.crops.numpy()
    estimate = StructureEstimator.from_pretrained(path)(list(crops))
    assert estimate.vertices.isfinite().all() and len(estimate.yaw) == 4


# ---------------------------------------------------------------------- repeat and resume
def test_an_interrupted_training_ends_as_if_nothing_had_happened(straight, data, tmp_path):
    done, _ = straight
    first = trainer(data, tmp_path)
    runs.train_until(first, PERIOD + 1)  # one step after the checkpoint is lost
    assert not os.path.exists(tmp_path / module.WEIGHTS)
    torch.manual_seed(99)  # chance goes on elsewhere
    second = trainer(data, tmp_path)
    second.resume()
    assert second.start_epoch == 1
    path = second.train()
    runs.assert_same(dict(second.model.state_dict()), dict(done.model.state_dict()))
    runs.assert_same(second.optimizer.state_dict(), done.optimizer.state_dict())
    assert second.schedule.get_last_lr() == done.schedule.get_last_lr()
    written, expected = (
        load_file(path),
        load_file(os.path.join(done.cfg.OUTPUT_DIR, module.WEIGHTS)),
    )
    runs.assert_same(written, expected)


def test_resume_of_a_training_that_is_over_writes_its_weights_again(straight, data, tmp_path):
    done, out = straight
    for name in ("last.pth", "last_checkpoint"):
        os.link(out / name, tmp_path / name)
    again = trainer(data, tmp_path)
    again.resume()
    runs.assert_same(load_file(again.train()), load_file(str(out / module.WEIGHTS)))


def test_another_seed_is_another_training(straight, data, tmp_path):
    done, _ = straight
    other = trainer(data, tmp_path, "SEED", 1)
    assert not torch.equal(other.examples.crops, done.examples.crops)
    assert not torch.equal(other.model.pose.weight, done.model.pose.weight)


# ---------------------------------------------------------------------- batches
def test_a_batch_is_crops_with_what_is_true_of_them(straight):
    done, _ = straight
    torch.manual_seed(0)
    flips = 0
    for _ in range(8):
        crops, truth = done._batch()
        assert crops.shape == (2, 3, *SIZE) and crops.min() >= 0 and crops.max() <= 255
        for i in range(2):
            # the yaw says which of the examples it is, and whether it was flipped
            yaw = float(truth.yaw[i])
            row = int((done.examples.yaw - abs(yaw)).abs().argmin())
            assert abs(yaw) == float(done.examples.yaw[row])
            pose = done.examples.rotations[row, ..., :2]
            expected = mirrored_pose(pose) if yaw < 0 else pose
            assert torch.equal(truth.pose[i], expected)
            assert torch.equal(truth.phenotype[i], done.examples.phenotype[row])
            flips += yaw < 0
        assert (truth.framing[:, 1] > truth.framing[:, 0]).all()
    assert 0 < flips < 16


def test_the_truth_is_mirrored_where_the_crop_is(straight, monkeypatch):
    done, _ = straight
    seen, random_crop = [], module.random_crop
    monkeypatch.setattr(
        module, "random_crop", lambda *args: seen.append(random_crop(*args)) or seen[-1]
    )
    torch.manual_seed(0)
    truths = [done._batch()[1] for _ in range(8)]
    for cuts, truth in zip(seen, truths, strict=True):
        assert torch.equal(truth.yaw < 0, cuts.flipped)
        assert torch.equal(truth.framing, cuts.framing)
