"""Whole runs over all phases: what they leave, what moves when, and what must not matter."""

import pytest
import torch
from engine import runs

from gcl import ConfigError
from gcl.data.build import TrainingSet
from gcl.engine import GCLTrainer
from gcl.engine.trainer import mixed_precision

# after epoch:   0 contrast, 1 contrast, 2 generator, 3 generator, 4 joint, final = 5 joint
NAMES = [f"model_{epoch:04d}.pth" for epoch in range(5)] + ["model_final.pth"]


@pytest.fixture(scope="module")
def saved(finished):
    return [runs.load(finished / name) for name in NAMES]


def weights(checkpoint, *parts):
    return {k: v for k, v in checkpoint["model"].items() if k.startswith(parts)}


ENCODER = ("backbone.", "heads.")
VIEWS = ("generator.", "discriminator.")


# ---------------------------------------------------------------------- what is left
def test_a_run_leaves_checkpoints_metrics_events_and_sheets(finished):
    assert runs.checkpoints(finished) == {*NAMES, "model_best.pth"}
    assert (finished / "last_checkpoint").read_text() == "model_final.pth"
    assert list(finished.glob("events.out.tfevents.*"))
    assert not list(finished.glob("*.tmp"))
    sheets = {path.name for path in (finished / "views").iterdir()}
    expected = {f"{kind}_{e:04d}.png" for kind in ("views", "turntable") for e in range(2, 6)}
    assert sheets == expected


def test_metrics_of_every_phase(finished):
    lines = runs.metrics(finished)
    seen = set().union(*lines)
    assert {
        "total_loss", "loss_view_ori", "loss_view_own", "loss_view_new", "loss_image",
        "loss_feature", "loss_generator", "loss_discriminator", "loss_r1", "labels/clusters",
        "labels/precision", "readiness/score", "readiness/rank1", "mAP", "Rank-1", "lr",
    } <= seen  # fmt: skip
    assert all(0 <= line["readiness/score"] <= 1 for line in lines if "readiness/score" in line)


def test_metrics_lack_no_epoch(finished):
    """3 steps an epoch: labels where epochs with contrast (0, 1, 4, 5) start, readiness where those
    with a generator (2 - 5) end, mAP where phases end. The toolbox's own writer loses most."""
    lines = runs.metrics(finished)

    def iterations(key: str) -> list[int]:
        return [line["iteration"] for line in lines if key in line]

    assert iterations("labels/clusters") == [0, 3, 12, 15]
    assert iterations("readiness/score") == [8, 11, 14, 17]
    assert iterations("mAP") == [5, 11, 17]
    assert iterations("total_loss") == [2, 5, 8, 11, 14, 17]


def test_everything_that_training_needs_is_in_a_checkpoint(saved):
    for epoch, checkpoint in enumerate(saved):
        assert checkpoint["epoch"] == epoch
        assert set(checkpoint) >= {"model", "optimizer", "lr_sched", "bank", "training_state"}
        assert checkpoint["bank"]["features"].shape == (32, 128)
        norms = checkpoint["bank"]["features"].norm(dim=1)
        torch.testing.assert_close(norms, torch.ones(32))
    assert [c["optimizer"]["phase"] for c in saved][::2] == ["contrast", "generator", "joint"]
    assert not any("bank" in name for name in saved[0]["model"])


# ---------------------------------------------------------------------- what moves
def test_contrast_moves_the_encoder_alone(saved):
    runs.assert_same(weights(saved[0], *VIEWS), weights(saved[1], *VIEWS))
    assert saved[1]["optimizer"]["generator"]["state"] == {}
    assert runs.differences(weights(saved[0], *ENCODER), weights(saved[1], *ENCODER))


@pytest.mark.parametrize("epoch", [2, 3])
def test_the_generator_phase_does_not_move_the_encoder(saved, epoch):
    """Not its weights, not its batch norm statistics, not its optimizer's state."""
    before, after = saved[1], saved[epoch]
    runs.assert_same(weights(before, *ENCODER), weights(after, *ENCODER))
    assert any(name.endswith("running_var") for name in weights(after, *ENCODER))
    state = before["optimizer"]["encoder"]["state"]
    assert state
    runs.assert_same(state, after["optimizer"]["encoder"]["state"])
    assert len(runs.differences(weights(before, *VIEWS), weights(after, *VIEWS))) > 20


def test_joint_moves_everything(saved):
    for parts in (("backbone.",), ("heads.",), ("generator.",), ("discriminator.",)):
        assert runs.differences(weights(saved[3], *parts), weights(saved[4], *parts))
    assert "momentum_buffer" in saved[4]["optimizer"]["encoder"]["state"][0]  # SGD, not Adam


def test_learning_rates_count_within_their_phase(saved):
    rates = [c["optimizer"]["encoder"]["param_groups"][0]["lr"] for c in saved]
    contrast, joint = 3.5e-4, runs.OPTIONS["SOLVER.BASE_LR"]  # both fall after their first epoch
    kept = [contrast, contrast]  # in the generator phase
    assert rates == pytest.approx([contrast, contrast / 10, *kept, joint, joint / 10])
    views = {c["optimizer"]["generator"]["param_groups"][0]["lr"] for c in saved}
    assert views == {1e-4}


# ---------------------------------------------------------------------- what does not matter
def test_one_seed_is_one_run(toy, finished, tmp_path):
    process = runs.start(tmp_path, toy)  # in a process with another past
    runs.finish(process, tmp_path)
    for name in ("model_0001.pth", "model_0003.pth", "model_final.pth"):
        runs.assert_same(runs.load(tmp_path / name), runs.load(finished / name))


def test_another_seed_is_another_run(toy, finished, tmp_path):
    runs.train(tmp_path, toy, SEED=8, GCL__PHASES=("contrast",), GCL__CONTRAST__EPOCHS=2)
    one, other = runs.load(tmp_path / "model_0000.pth"), runs.load(finished / "model_0000.pth")
    assert runs.differences(weights(one, "backbone."), weights(other, "backbone."))


def test_identities_of_the_training_set_do_not_matter(toy, finished, tmp_path):
    # the test set is Market1501, whose cameras these are
    names = {"DATASETS__NAMES": ("PermutedMarket",), "GCL__FOREIGN_CAMERAS": "same"}
    true = TrainingSet(runs.config(tmp_path, toy))
    dealt = TrainingSet(runs.config(tmp_path, toy, **names))
    assert true.items == dealt.items
    assert (true.identities != dealt.identities).sum() > 8
    runs.train(tmp_path, toy, **names)
    runs.assert_same(
        runs.load(tmp_path / "model_final.pth"), runs.load(finished / "model_final.pth")
    )
    # they were there to be seen: what is logged about them differs
    recall = [
        [line["labels/recall"] for line in runs.metrics(out) if "labels/recall" in line]
        for out in (tmp_path, finished)
    ]
    assert recall[0] != recall[1]


@pytest.fixture(scope="module")
def two_ranks(toy, tmp_path_factory):
    out = tmp_path_factory.mktemp("two_ranks")
    losses = (*runs.config(out, toy).MODEL.LOSSES.NAME, "InterCameraLoss")
    return out, *runs.train_two(out, toy, MODEL__LOSSES__NAME=losses)


def test_two_ranks_have_one_bank_after_every_step(two_ranks):
    _, first, second = two_ranks
    assert len(first["steps"]) == 18
    for step, (a, b) in enumerate(zip(first["steps"], second["steps"], strict=True)):
        assert not runs.differences(a, b), f"banks differ after step {step}"
    assert any((step["labels"] >= 0).any() for step in first["steps"])
    assert all(len(step["proxies"]) > 0 for step in first["steps"])


def test_two_ranks_have_one_model_after_every_epoch(two_ranks):
    _, first, second = two_ranks
    assert len(first["epochs"]) == 6
    for epoch, (a, b) in enumerate(zip(first["epochs"], second["epochs"], strict=True)):
        different = runs.differences(a["weights"], b["weights"])
        assert not different, f"after epoch {epoch}: {len(different)}, first {different[:3]}"


def test_two_ranks_have_one_seed(two_ranks):
    _, first, second = two_ranks
    seeds = [[epoch["seed"] for epoch in rank["epochs"]] for rank in (first, second)]
    assert seeds[0] == seeds[1]


def test_two_ranks_share_the_gradients_of_what_learns(two_ranks):
    """Numbers that are summed over ranks in each step: E_id's in the phase contrast, E_str's, G's
    and D's in the phase generator, all in the joint one; no zeros of the others."""
    out, first, second = two_ranks
    saved = runs.load(out / "model_final.pth")
    sizes = {
        part: sum(v.numel() for k, v in weights(saved, part).items() if "running_" not in k)
        for part in ("generator.", "discriminator.")
    }
    assert first["shared"] == second["shared"] == first["learning"]
    contrast, generator, joint = first["shared"][::6]
    assert first["shared"] == [contrast] * 6 + [generator] * 6 + [joint] * 6
    assert generator == sum(sizes.values()) and joint == contrast + generator


def test_one_of_two_ranks_measures_the_readiness(two_ranks):
    """Of four epochs with a generator; both have what it found in their log."""
    _, first, second = two_ranks
    assert (first["readiness"], second["readiness"]) == (4, 0)


def test_two_ranks_leave_one_set_of_files(two_ranks):
    out, _, _ = two_ranks
    assert runs.checkpoints(out) >= set(NAMES)
    assert len(list(out.glob("events.out.tfevents.*"))) == 1


# ---------------------------------------------------------------------- options
def test_an_epoch_is_all_images_once_unless_it_is_said_otherwise(toy, tmp_path):
    options = {"GCL__PHASES": ("contrast",)}
    cfg = runs.config(tmp_path, toy, GCL__ITERS_PER_EPOCH=0, SOLVER__IMS_PER_BATCH=5, **options)
    trainer = GCLTrainer(cfg)
    assert trainer.iters_per_epoch == 7  # 32 images
    assert trainer.max_iter == 2 * 7
    assert GCLTrainer(runs.config(tmp_path, toy, **options)).iters_per_epoch == 3


@pytest.mark.parametrize(
    ("key", "sizes"),
    [
        ("SOLVER.IMS_PER_BATCH", {"SOLVER__IMS_PER_BATCH": 4, "GCL__CONTRAST__IMS_PER_BATCH": 9}),
        (
            "GCL.CONTRAST.IMS_PER_BATCH",
            {"SOLVER__IMS_PER_BATCH": 6, "GCL__CONTRAST__IMS_PER_BATCH": 8},
        ),
    ],
)
def test_processes_must_divide_the_batches(toy, tmp_path, monkeypatch, key, sizes):
    monkeypatch.setattr("gcl.engine.trainer.comm.get_world_size", lambda: 3)
    with pytest.raises(ConfigError, match=f"^{key} is .*3, must divide") as caught:
        GCLTrainer(runs.config(tmp_path, toy, **sizes))
    assert "\n" not in str(caught.value)


def test_clusters_that_never_come_stop_the_run_with_the_sentence(toy, tmp_path):
    from gcl.engine.hooks import NoClusterError

    with pytest.raises(NoClusterError, match="no cluster.*GCL.LABELS.EPS"):
        runs.train(tmp_path, toy, GCL__LABELS__MIN_SAMPLES=33)


def test_images_without_structure_are_left_out_of_the_phases_that_need_one(toy, tmp_path):
    import shutil

    meshes = tmp_path / "meshes"
    shutil.copytree(toy / "meshes", meshes)
    gone = sorted((meshes / "train" / "render_90").iterdir())[:4]
    for path in gone:
        path.unlink()
    trainer = runs.train(
        tmp_path / "run", toy, GCL__STRUCTURE__DIR=str(meshes), GCL__STRUCTURE__MISSING="skip",
        GCL__CONTRAST__EPOCHS=1, GCL__GENERATOR__EPOCHS=1, GCL__JOINT__EPOCHS=1,
    )  # fmt: skip
    assert len(trainer.train_set) == 32 and len(trainer.train_set.usable) == 28
    assert trainer.gcl.bank.features.any(1).all()


@pytest.mark.parametrize(
    ("asked", "machine", "device", "used"),
    [
        (None, (9, 0), "cuda", True),
        (None, (8, 0), "cuda", True),
        (None, (7, 5), "cuda", False),
        (None, (9, 0), "cpu", False),
        (False, (9, 0), "cuda", False),
        (True, (7, 5), "cuda", True),
        (True, (9, 0), "cpu", True),
    ],
)
def test_half_precision_is_the_default_of_gpus_that_have_bfloat16(
    tiny_cfg, monkeypatch, asked, machine, device, used
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: machine)
    cfg = tiny_cfg()
    assert cfg.SOLVER.AMP.ENABLED is None
    cfg.merge_from_list(["MODEL.DEVICE", device, "SOLVER.AMP.ENABLED", asked])
    assert mixed_precision(cfg) is used


def test_a_run_in_half_precision_goes_through_all_phases(toy, tmp_path):
    """bfloat16, as on any CPU."""
    trainer = runs.train(tmp_path, toy, SOLVER__AMP__ENABLED=True)
    assert trainer.gcl.bank.features.isfinite().all()
    assert all(value.isfinite().all() for value in trainer.gcl.state_dict().values())
    assert "model_final.pth" in runs.checkpoints(tmp_path)
