"""At the end each weight of E_id is (1 - s) w + s w_0; its statistics are the mean's own."""

import copy

import pytest
import torch
from engine import runs

from gcl import ConfigError
from gcl.engine.feature_pass import pool_features
from gcl.engine.start_share import StartShareHook

SHARE = 0.25
CHANGES = {"GCL__FREEZE_BN": True, "GCL__GENERATOR__EPOCHS": 1, "GCL__JOINT__EPOCHS": 1}


def encoder(state: dict) -> dict[str, torch.Tensor]:
    return {n: v for n, v in state.items() if n.startswith(("backbone.", "heads."))}


@pytest.fixture(scope="module")
def plain(toy, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain")
    with runs.place(toy):
        trainer = runs.GCLTrainer(runs.config(out, toy, **CHANGES))
    start = {n: v.clone() for n, v in encoder(trainer.gcl.state_dict()).items()}
    return start, runs.train(out, toy, **CHANGES)


@pytest.fixture(scope="module")
def shared(toy, tmp_path_factory):
    return runs.train(tmp_path_factory.mktemp("shared"), toy, GCL__START_SHARE=SHARE, **CHANGES)


def test_the_last_weights_are_the_mean(plain, shared):
    start, plain = plain[0], plain[1].gcl
    for name, got in shared.gcl.named_parameters():
        end = dict(plain.named_parameters())[name]
        expected = end
        if name.startswith(("backbone.", "heads.")):
            expected = (1 - SHARE) * end + SHARE * start[name]
            assert torch.equal(end, start[name]) or not torch.equal(got, end), name
        torch.testing.assert_close(got, expected, msg=name)


def test_statistics_are_those_of_the_mean(shared):
    """Of the cameras and of the neck, over all training images."""
    model = shared.gcl.eval()
    pooled, camids = pool_features(model, shared.train_set.feature_loader())
    anew = copy.deepcopy(model.heads.camera_norm)
    anew.fit(pooled, camids)
    runs.assert_same(dict(model.heads.camera_norm.state_dict()), dict(anew.state_dict()))
    standard = model.heads.camera_norm(pooled, camids)
    neck = model.heads.bottleneck[0]
    torch.testing.assert_close(neck.running_mean, standard.mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(neck.running_var, standard.var(0), atol=1e-5, rtol=1e-4)


def test_without_cameras_the_neck_s_statistics_are_measured_too(toy, tmp_path):
    changes = {"GCL__FREEZE_BN": True, "GCL__CAMERA_NORM": False, "GCL__PHASES": ("contrast",)}
    trainer = runs.train(tmp_path, toy, GCL__START_SHARE=SHARE, **changes)
    pooled, _ = pool_features(trainer.gcl.eval(), trainer.train_set.feature_loader())
    neck = trainer.gcl.heads.bottleneck[0]
    torch.testing.assert_close(neck.running_mean, pooled.mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(neck.running_var, pooled.var(0), atol=1e-5, rtol=1e-4)


def test_epochs_before_the_last_are_as_they_were(plain, shared):
    for epoch in (0, 2):
        name = f"model_{epoch:04d}.pth"
        a = runs.load(f"{plain[1].cfg.OUTPUT_DIR}/{name}")
        b = runs.load(f"{shared.cfg.OUTPUT_DIR}/{name}")
        runs.assert_same(a, {k: v for k, v in b.items() if k != "start"})


def test_a_resumed_run_ends_like_one_that_was_not(toy, shared, tmp_path):
    changes = {"GCL__START_SHARE": SHARE, **CHANGES}
    with runs.place(toy):
        trainer = runs.GCLTrainer(runs.config(tmp_path, toy, **changes))
        trainer.resume_or_load(resume=False)
        runs.train_until(trainer, 3 * 3 + 1)
    resumed = runs.train(tmp_path, toy, resume=True, **changes)
    whole = runs.load(f"{shared.cfg.OUTPUT_DIR}/model_final.pth")
    runs.assert_same(runs.load(tmp_path / "model_final.pth"), whole)
    # and not twice, where nothing is left to train
    resumed = runs.train(tmp_path, toy, resume=True, **changes)
    runs.assert_same(dict(resumed.gcl.state_dict()), whole["model"])


def test_without_a_share_nothing_is_kept(plain):
    assert "start" not in runs.load(f"{plain[1].cfg.OUTPUT_DIR}/model_final.pth")
    assert not any(isinstance(hook, StartShareHook) for hook in plain[1]._hooks)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none(toy, tmp_path, share):
    with pytest.raises(ConfigError, match=r"GCL.START_SHARE is .*\[0, 1\)"):
        runs.config(tmp_path, toy, GCL__START_SHARE=share, GCL__FREEZE_BN=True)


def test_batch_norm_must_not_move(toy, tmp_path):
    with pytest.raises(ConfigError, match="GCL.FREEZE_BN True, or GCL.START_SHARE 0"):
        runs.config(tmp_path, toy, GCL__START_SHARE=0.5)
