"""What tracks say of E_id in a run, and the checkpoint that they choose."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from engine import runs
from sklearn.metrics import roc_auc_score

from gcl.data.build import TrainingSet
from gcl.engine import GCLTrainer, track_verification
from gcl.engine.feature_pass import extract_features
from gcl.engine.hooks import PhaseCheckpointer
from gcl.engine.track_verification import TrackVerificationHook, verify_pairs


@pytest.fixture
def in_tracks(monkeypatch):
    """Two images after each other are a track; no track meets another in time."""
    built = TrainingSet.__init__

    def build(self, cfg):
        built(self, cfg)
        self.items.sort(key=lambda item: (item[1], item[0]))  # by camera
        self.tracks, self.times = np.arange(len(self.items)) // 2, None

    monkeypatch.setattr(TrainingSet, "__init__", build)


def test_pairs_of_features_are_told_apart_by_their_cosine():
    torch.manual_seed(0)
    features = 3 * torch.randn(20, 8)
    same, different = np.array([[0, 1], [2, 3]]), np.array([[0, 5], [4, 9], [7, 8]])
    cosine = torch.nn.functional.cosine_similarity
    scores = [
        cosine(features[part[:, 0]], features[part[:, 1]]).tolist() for part in (same, different)
    ]
    found = verify_pairs(features, same, different)
    assert found.auc == pytest.approx(roc_auc_score([1, 1, 0, 0, 0], scores[0] + scores[1]))
    assert found.threshold == pytest.approx(min(scores[0]))


def test_each_epoch_is_measured_and_the_best_is_kept(in_tracks, toy, tmp_path):
    """Two epochs with contrast, one of the generator, which teaches E_id nothing. A labelled part
    is tested, and chooses nothing."""
    changes = {"GCL__PHASES": ("contrast", "generator"), "GCL__GENERATOR__EPOCHS": 1}
    trainer = runs.train(tmp_path, toy, TEST__EVAL_PERIOD=1, **changes)
    lines = [line for line in runs.metrics(tmp_path) if "tracks/auc" in line]
    assert [line["iteration"] for line in lines] == [2, 5]
    assert all("mAP" in line and 0 <= line["tracks/false_accept_rate"] <= 1 for line in lines)
    assert "tracks/start_auc" in runs.metrics(tmp_path)[0]
    best = runs.load(tmp_path / "model_best.pth")
    assert best["metric"] == max(line["tracks/auc"] for line in lines)
    assert best["best_metric"]["figure"] == "tracks/auc"
    figures = [line["tracks/auc"] for line in lines]
    assert best["epoch"] == int(np.argmax(figures))

    # what is logged is what the encoder then says of the pairs, measured as in a feature pass
    hook = next(h for h in trainer._hooks if isinstance(h, TrackVerificationHook))
    loader = trainer.train_set.feature_loader(hook.images)
    features = extract_features(trainer.gcl, loader)
    measured = verify_pairs(features, hook.pairs.same, hook.pairs.different)
    assert measured.auc == pytest.approx(figures[-1])


def test_measuring_leaves_the_model_and_the_random_state_as_they_were(in_tracks, toy, tmp_path):
    with runs.place(toy):
        trainer = GCLTrainer(runs.config(tmp_path, toy))
        trainer.epoch, trainer.storage = 0, SimpleNamespace(put_scalars=lambda **scalars: None)
        hook = next(h for h in trainer._hooks if isinstance(h, TrackVerificationHook))
        trainer.gcl.train()
        before, random = copy.deepcopy(trainer.gcl.state_dict()), torch.get_rng_state()
        hook.after_epoch()
        runs.assert_same(trainer.gcl.state_dict(), before)
        assert torch.equal(torch.get_rng_state(), random) and trainer.gcl.training


def test_features_that_are_no_numbers_end_the_run(in_tracks, toy, tmp_path, monkeypatch):
    broken = torch.full((4, 2), torch.nan)
    monkeypatch.setattr(track_verification, "extract_features", lambda *args, **kwargs: broken)
    with runs.place(toy):
        trainer = GCLTrainer(runs.config(tmp_path, toy))
        trainer.epoch = 0
        hook = next(h for h in trainer._hooks if isinstance(h, TrackVerificationHook))
        with pytest.raises(RuntimeError, match="Training diverged in epoch 0"):
            hook.after_epoch()


def known(tracks):
    items = [("", 0)] * len(tracks)
    return SimpleNamespace(tracks=np.array(tracks), times=None, items=items)


@pytest.mark.parametrize(
    ("tracks", "possible"), [([0, 0, 1, 1], True), ([0, 0, 0, -1], False), ([0, 1, 2, 3], False)]
)
def test_both_kinds_of_pairs_are_needed(tracks, possible):
    assert TrackVerificationHook(known(tracks)).possible == possible
    assert not TrackVerificationHook(SimpleNamespace(tracks=None)).possible


def test_the_best_of_another_figure_says_nothing():
    """A run that is resumed with tracks, or a test set, which it had not before."""

    def checkpointer(figure):
        return PhaseCheckpointer(SimpleNamespace(checkpointables={}), 1, figure=figure)

    old = checkpointer("")
    old.best_metric = 35.0
    for figure, best in (("tracks/auc", -1), ("", 35.0)):
        new = checkpointer(figure)
        new.load_state_dict(old.state_dict())
        assert new.best_metric == best
    new.load_state_dict({"best_metric": 7.0})  # of an earlier version
    assert new.best_metric == 7
