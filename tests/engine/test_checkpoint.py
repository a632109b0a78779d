"""A run killed in a checkpoint, or after one, and resumed ends like one that was not, bit for bit.

At whatever other moment: tests/faults/test_kills.py."""

import shutil
import signal

import pytest
import torch
from engine import runs
from torch import nn

from gcl import ConfigError
from gcl.data.same_lists import digest_of
from gcl.engine import checkpoint as module
from gcl.engine.checkpoint import AtomicCheckpointer, BankState, SourceState, TrainingState
from gcl.modeling import MemoryBank, SourceTerm


# ---------------------------------------------------------------------- files
@pytest.fixture
def checkpointer(tmp_path):
    return AtomicCheckpointer(nn.Linear(2, 2), str(tmp_path))


def test_a_checkpoint_holds_the_model_what_was_registered_and_the_rest(checkpointer, tmp_path):
    state = TrainingState(3, True, "digest")
    checkpointer.checkpointables["training_state"] = state
    checkpointer.save("model_0001", epoch=1)
    saved = runs.load(tmp_path / "model_0001.pth")
    assert saved["epoch"] == 1
    state = {"seed": 3, "evaluated": True, "images": "digest", "source": ""}
    assert saved["training_state"] == state
    runs.assert_same(saved["model"], dict(checkpointer.model.state_dict()))
    assert checkpointer.get_checkpoint_file() == str(tmp_path / "model_0001.pth")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model_0001.pth"]


def test_a_write_that_fails_leaves_the_last_checkpoint_as_it_was(
    checkpointer, tmp_path, monkeypatch
):
    checkpointer.save("model", epoch=1)
    whole = torch.save

    def disk_full(state, path):
        whole(state, path)
        with open(path, "r+b") as file:
            file.truncate(100)
        raise OSError("No space left on device")

    monkeypatch.setattr(module.torch, "save", disk_full)
    for name in ("model", "other"):
        with pytest.raises(OSError, match="No space"):
            checkpointer.save(name, epoch=2)
        assert checkpointer.get_checkpoint_file() == str(tmp_path / "model.pth")
        assert runs.load(tmp_path / "model.pth")["epoch"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model.pth"]
    monkeypatch.undo()
    checkpointer.save("model", epoch=3)
    assert runs.load(tmp_path / "model.pth")["epoch"] == 3


def test_torch_s_own_word_for_a_full_disk_is_a_sentence(checkpointer, tmp_path, monkeypatch):
    def disk_full(state, path):
        raise RuntimeError("[enforce fail at inline_container.cc:672] .\nunexpected pos 64 vs 0")

    monkeypatch.setattr(module.torch, "save", disk_full)
    with pytest.raises(OSError, match="model.pth can not be written .*unexpected pos.*--resume"):
        checkpointer.save("model", epoch=1)


def test_a_checkpoint_without_what_a_run_goes_on_by_is_not_resumed(checkpointer, tmp_path):
    """The toolbox would begin anew what is missing, and say nothing."""
    path = tmp_path / "model.pth"
    checkpointer.checkpointables["training_state"] = TrainingState(3, True)
    checkpointer.save("model", epoch=1)
    whole = runs.load(path)
    for part in ("model", "training_state", "epoch"):
        torch.save({k: v for k, v in whole.items() if k != part}, path)
        with pytest.raises(ConfigError, match=f"{path} has no '{part}'.* MODEL.WEIGHTS"):
            checkpointer.resume_or_load("", resume=True)
    torch.save(whole | {"training_state": [1]}, path)
    with pytest.raises(ConfigError, match=f"{path} can not be loaded .*start anew"):
        checkpointer.resume_or_load("", resume=True)


@pytest.mark.parametrize("track", [b"", b"model_0007.pth", b"\xff\xfe", b"a\x00b"])
def test_a_track_that_leads_nowhere_is_a_sentence(checkpointer, tmp_path, track):
    checkpointer.save("model", epoch=1)
    (tmp_path / "last_checkpoint").write_bytes(track)
    with pytest.raises(ConfigError, match="last_checkpoint names no checkpoint.*write the name"):
        checkpointer.resume_or_load("", resume=True)


def test_the_best_checkpoint_is_not_what_a_run_goes_on_from(checkpointer, tmp_path):
    checkpointer.save("model_0001", epoch=1)
    checkpointer.save("model_best", last=False, epoch=2)
    assert checkpointer.get_checkpoint_file() == str(tmp_path / "model_0001.pth")
    assert runs.load(tmp_path / "model_best.pth")["epoch"] == 2


def test_only_the_main_process_writes(tmp_path):
    AtomicCheckpointer(nn.Linear(2, 2), str(tmp_path), save_to_disk=False).save("model")
    AtomicCheckpointer(nn.Linear(2, 2), "").save("model")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- view generators
def networks(seed: int, *, middle: int = 2, last: str = "up") -> nn.ModuleDict:
    torch.manual_seed(seed)
    generator = nn.ModuleDict({"structure": nn.Linear(2, middle), last: nn.Linear(2, 2)})
    return nn.ModuleDict({part: nn.Linear(2, 2) for part in ("backbone", "discriminator")}
                         | {"generator": generator})  # fmt: skip


@pytest.mark.parametrize("other", [{"middle": 3}, {"last": "blocks"}])
def test_another_view_generator_is_not_mixed_with_this_one(tmp_path, other):
    """Where some of its weights would fit: E_id alone is taken, and nothing is resumed."""
    saved, model, fresh = networks(1, **other), networks(2), networks(2)
    AtomicCheckpointer(saved, str(tmp_path)).save("model", epoch=1)
    checkpointer = AtomicCheckpointer(model, str(tmp_path))
    with pytest.raises(ConfigError, match=r"view generator \(generator.*GCL.GENERATOR.*--resume"):
        checkpointer.resume_or_load("", resume=True)
    runs.assert_same(dict(model.state_dict()), dict(fresh.state_dict()))
    checkpointer.resume_or_load(str(tmp_path / "model.pth"), resume=False)
    wanted = dict(fresh.state_dict()) | {
        k: v for k, v in saved.state_dict().items() if k.startswith("backbone.")
    }
    runs.assert_same(dict(model.state_dict()), wanted)


@pytest.mark.parametrize("resume", [True, False])
def test_the_same_view_generator_and_none_are_loaded_as_ever(tmp_path, resume):
    for parts in (("backbone", "generator", "discriminator"), ("backbone",)):
        saved, model, fresh = networks(1), networks(2), networks(2)
        some = nn.ModuleDict({part: saved[part] for part in parts})
        AtomicCheckpointer(some, str(tmp_path)).save("model", epoch=1)
        checkpointer = AtomicCheckpointer(model, str(tmp_path))
        checkpointer.resume_or_load(str(tmp_path / "model.pth"), resume=resume)
        wanted = dict(fresh.state_dict()) | dict(some.state_dict())
        runs.assert_same(dict(model.state_dict()), wanted)


@pytest.mark.parametrize("resume", [True, False])
def test_nothing_to_resume_is_a_warning(checkpointer, tmp_path, caplog, resume):
    checkpointer.logger.propagate = True
    checkpointer.resume_or_load("", resume=resume)
    warned = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    expected = f"--resume: there is no checkpoint in OUTPUT_DIR {tmp_path}, the run begins anew."
    assert warned == [expected] * resume


# ---------------------------------------------------------------------- states
def test_the_bank_comes_back():
    bank, other = MemoryBank(3, 0.2, 5), MemoryBank(3, 0.2, 5)
    bank.fill(torch.randn(5, 3))
    bank.labels.copy_(torch.arange(5) - 1)
    BankState(other).load_state_dict(BankState(bank).state_dict())
    assert torch.equal(bank.features, other.features) and torch.equal(bank.labels, other.labels)


@pytest.mark.parametrize(("images", "dim"), [(6, 3), (5, 4)])
def test_the_bank_of_another_training_set_is_refused(images, dim):
    state = BankState(MemoryBank(3, 0.2, 5)).state_dict()
    with pytest.raises(ValueError, match=r"\(5, 3\).*DATASETS.NAMES") as caught:
        BankState(MemoryBank(dim, 0.2, images)).load_state_dict(state)
    assert f"({images}, {dim})" in str(caught.value)


def test_the_source_s_memory_and_statistics_come_back():
    def term() -> SourceTerm:
        return SourceTerm(3, 4, alpha=0.2, temperature=0.1, scale=1.0, camera_norm=True)

    source, other = term(), term()
    source.centroids = torch.randn(5, 3)
    source.norm.fit(torch.randn(6, 4), torch.arange(6) % 2)
    SourceState(other).load_state_dict(SourceState(source).state_dict())
    assert dict(source.named_buffers()).keys() == {
        "centroids", "norm.count", "norm.sum", "norm.square",
    }  # fmt: skip
    for name, value in source.named_buffers():
        assert torch.equal(value, dict(other.named_buffers())[name]), name


@pytest.mark.parametrize(("fixed", "seed"), [(True, 1), (False, 2)])
def test_a_seed_of_the_configuration_wins_over_the_checkpoint_s(fixed, seed):
    state = TrainingState(1, fixed)
    state.load_state_dict(TrainingState(2, False).state_dict())
    assert state.seed == seed


# ---------------------------------------------------------------------- runs
def stopped_after(finished, out, epoch):
    """``out`` as a run leaves it that was killed in the epoch after ``epoch``."""
    out.mkdir()
    name = f"model_{epoch:04d}.pth"
    shutil.copy(finished / name, out)
    (out / "last_checkpoint").write_text(name)


def assert_finished_alike(out, finished):
    runs.assert_same(runs.load(out / "model_final.pth"), runs.load(finished / "model_final.pth"))


@pytest.mark.parametrize("epoch", range(5))
def test_resumed_after_each_epoch(toy, finished, tmp_path, epoch):
    """From the middle of each phase and from its end."""
    out = tmp_path / "run"
    stopped_after(finished, out, epoch)
    torch.rand(epoch + 3)  # the process has another past
    trainer = runs.train(out, toy, resume=True)
    assert trainer.start_epoch == epoch + 1
    assert_finished_alike(out, finished)


def test_without_resume_a_run_starts_anew(toy, finished, tmp_path):
    out = tmp_path / "run"
    stopped_after(finished, out, 3)
    trainer = runs.train(out, toy, GCL__PHASES=("contrast",), GCL__CONTRAST__EPOCHS=1)
    assert trainer.start_epoch == 0


def test_a_seed_drawn_by_the_run_is_kept(toy, tmp_path):
    """SEED -1, two epochs of contrast: whole, and resumed after the first."""
    options = {"GCL__PHASES": ("contrast",), "SEED": -1}
    whole, out = tmp_path / "whole", tmp_path / "run"
    runs.train(whole, toy, **options)
    stopped_after(whole, out, 0)
    runs.train(out, toy, resume=True, **options)
    assert_finished_alike(out, whole)


STAYS = {
    "GCL__PHASES": ("generator", "joint"),
    "GCL__GENERATOR__CODE_NORM": True,
    "GCL__GENERATOR__FREEZE_LAYERS": ("structure", "blocks.0"),
    "GCL__JOINT__LEARNS": "encoder",
}


@pytest.fixture(scope="module")
def stays(toy, tmp_path_factory):
    """A run, epochs 0 and 1 generator, 2 and 3 joint, with layers and then a generator that stay as
    they are."""
    out = tmp_path_factory.mktemp("stays")
    with runs.place(toy):
        runs.train(out, toy, **STAYS)
    return out


def test_what_is_to_stay_stays_and_the_rest_moves(stays):
    first, second, third, last = (
        {k: v for k, v in runs.load(stays / name)["model"].items() if k.startswith(("g", "d"))}
        for name in ("model_0000.pth", "model_0001.pth", "model_0002.pth", "model_final.pth")
    )
    frozen = {k for k in first if k.startswith(("generator.structure.", "generator.blocks.0."))}
    weights = {k for k in first if "code_norm" not in k}
    assert frozen and weights - frozen

    def moved(a, b):
        return {k for k in a if not torch.equal(a[k], b[k])}

    assert moved(first, second) == set(first) - frozen
    statistics = {f"generator.code_norm.{name}" for name in ("count", "sum", "square")}
    assert moved(second, third) == moved(third, last) == statistics


@pytest.mark.parametrize("epoch", range(3))
def test_resumed_with_what_stays(toy, stays, tmp_path, epoch):
    out = tmp_path / "run"
    stopped_after(stays, out, epoch)
    trainer = runs.train(out, toy, resume=True, **STAYS)
    assert trainer.start_epoch == epoch + 1
    frozen = {n for n, p in trainer.gcl.generator.named_parameters() if not p.requires_grad}
    assert {name.split(".")[0] for name in frozen} == {"structure", "blocks"}
    assert_finished_alike(out, stays)


def test_a_finished_run_has_nothing_to_resume(toy, finished, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(finished / "model_final.pth", out)
    (out / "last_checkpoint").write_text("model_final.pth")
    runs.train(out, toy, resume=True)
    assert runs.checkpoints(out) == {"model_final.pth"}


@pytest.mark.parametrize("save", [0, 1, 2, 3, 4])
def test_killed_in_the_middle_of_writing_a_checkpoint(toy, finished, tmp_path, save):
    """The first one; before the evaluation of the first phase, model_best and after it; and one of
    the generator phase."""
    out = tmp_path / "run"
    process = runs.launch(runs.train_and_die, out, str(toy), save)
    process.join(1800)
    assert process.exitcode == -signal.SIGKILL
    halves = list(out.glob("*.tmp"))
    assert len(halves) == 1
    with pytest.raises(Exception):  # noqa: B017  whatever torch says of half a file
        runs.load(halves[0])
    for path in out.glob("*.pth"):
        runs.load(path)
    runs.train(out, toy, resume=True)
    assert_finished_alike(out, finished)


def test_a_run_goes_on_with_its_own_images_alone():
    saved = TrainingState(3, True, digest_of([("a.jpg", 0), ("b.jpg", 0)])).state_dict()
    for items in ([("a.jpg", 0)], [("a.jpg", 0), ("c.jpg", 0)], [("a.jpg", 0), ("b.jpg", 1)]):
        with pytest.raises(
            ConfigError, match="images of DATASETS.NAMES are not those of the check"
        ):
            TrainingState(3, True, digest_of(items)).load_state_dict(saved)
    moved = [("/elsewhere/a.jpg", 0), ("/elsewhere/b.jpg", 0)]
    TrainingState(3, True, digest_of(moved)).load_state_dict(saved)
    del saved["images"]  # of an earlier version
    TrainingState(3, True, "any").load_state_dict(saved)


@pytest.mark.parametrize(("before", "now"), [("a", "b"), ("a", ""), ("", "a")])
def test_a_run_goes_on_with_its_own_source_alone(before, now):
    saved = TrainingState(3, True, "images", before).state_dict()
    with pytest.raises(ConfigError, match="images of GCL.SOURCE.NAMES are not those of the check"):
        TrainingState(3, True, "images", now).load_state_dict(saved)
    TrainingState(3, True, "images", before).load_state_dict(saved)
    del saved["source"]  # of an earlier version
    TrainingState(3, True, "images").load_state_dict(saved)


# ---------------------------------------------------------------------- a labelled source
@pytest.fixture(scope="module")
def sourced(toy, source_options, tmp_path_factory):
    """A run of two epochs of contrast and two joint ones, beside a labelled source."""
    out = tmp_path_factory.mktemp("sourced")
    with runs.place(toy):
        runs.train(out, toy, GCL__PHASES=("contrast", "joint"), **source_options)
    return out


@pytest.mark.parametrize("epoch", range(3))
def test_resumed_beside_a_source(toy, source_options, sourced, tmp_path, epoch):
    out = tmp_path / "run"
    stopped_after(sourced, out, epoch)
    torch.rand(epoch + 3)
    options = {"GCL__PHASES": ("contrast", "joint"), **source_options}
    trainer = runs.train(out, toy, resume=True, **options)
    assert trainer.start_epoch == epoch + 1
    assert_finished_alike(out, sourced)


def test_a_checkpoint_keeps_the_source_apart_from_the_weights(finished, sourced):
    """Whoever evaluates the weights needs nothing of it, and without a source there is nothing."""
    first, last = (runs.load(sourced / f"model_{name}.pth") for name in ("0000", "final"))
    assert set(last["source"]) == {"centroids", "norm.count", "norm.sum", "norm.square"}
    assert last["source"]["centroids"].shape == (6, 128)
    torch.testing.assert_close(last["source"]["centroids"].norm(dim=1), torch.ones(6))
    assert runs.differences(first["source"]["centroids"], last["source"]["centroids"])
    without = runs.load(finished / "model_final.pth")
    assert set(without["model"]) == set(last["model"])
    assert "source" not in without


def test_the_source_s_loss_is_logged_in_its_phases_alone(sourced):
    lines = [line for line in runs.metrics(sourced) if "total_loss" in line]
    assert [line["iteration"] for line in lines if "loss_source" in line] == [2, 5, 8, 11]


def test_two_ranks_have_one_memory_of_the_source(toy, source_options, tmp_path):
    options = {"GCL__PHASES": ("contrast",), **source_options}
    first, second = runs.train_two(tmp_path, toy, **options)
    assert len(first["steps"]) == 6
    centroids = [step["centroids"] for step in first["steps"]]
    assert len({tuple(c.flatten().tolist()) for c in centroids}) == 6  # every step moves them
    for a, b in zip(first["steps"], second["steps"], strict=True):
        assert not runs.differences(a, b)
    for a, b in zip(first["epochs"], second["epochs"], strict=True):
        assert not runs.differences(a["weights"], b["weights"])


@pytest.mark.parametrize("half", [False, True])
def test_a_bank_is_as_large_in_its_checkpoint_and_goes_on_in_any_precision(half):
    bank = MemoryBank(8, 0.2, 5, half=half)
    bank.fill(torch.randn(5, 8))
    saved = BankState(bank).state_dict()
    assert saved["features"].element_size() == (2 if half else 4)
    other = MemoryBank(8, 0.2, 5, half=not half)
    BankState(other).load_state_dict(saved)
    torch.testing.assert_close(other.features.float(), bank.features.float(), rtol=1e-3, atol=1e-7)
