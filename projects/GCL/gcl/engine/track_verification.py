"""How well E_id tells people apart, by what tracks leave no doubt about: without any label."""

from __future__ import annotations

import copy
import logging

import numpy as np
import torch
from fastreid.engine.train_loop import HookBase

from gcl.data.build import TrainingSet
from gcl.pseudo_labels import SurePairs, Verification, check_tracks, sure_pairs, unit_rows, verify

from .divergence import diverged, unusable
from .feature_pass import extract_features

logger = logging.getLogger(__name__)


class TrackVerificationHook(HookBase):
    """Measures E_id as it is after each epoch that taught it, and before the first: how well it
    tells images of one track from those of two (:func:`gcl.pseudo_labels.sure_pairs`), always the
    same ones. Does nothing where no track is known.

    After :class:`~.hooks.PhaseHook` and :class:`~.hooks.PhaseEvalHook`, before the checkpointer and
    the writers. Measures on some thousands of images, whose own statistics standardise them where
    GCL.CAMERA_NORM wants it; the model stays as it is.

    Attributes:
        possible: whether there are pairs of both kinds.
    """

    FIGURE = "tracks/auc"
    """Which chooses model_best."""

    def __init__(self, train_set: TrainingSet) -> None:
        self.train_set = train_set
        pairs = known_pairs(train_set)
        self.possible = pairs is not None
        if pairs is not None:
            self.images = pairs.images
            self.pairs = pairs.rows_of(self.images)

    def before_epoch(self) -> None:
        if self.possible and self.trainer.epoch == 0:
            self._measure("tracks/start_")  # a name of its own: writers take an epoch's last value

    def after_epoch(self) -> None:
        trainer = self.trainer
        if self.possible and trainer.plan.place(trainer.epoch).phase != "generator":
            self._measure()

    def _measure(self, prefix: str = "tracks/") -> None:
        trainer = self.trainer
        model, loader = trainer.gcl, trainer.train_set.feature_loader(self.images)
        with torch.random.fork_rng(devices=[]):  # a loader draws a number
            features = extract_features(model, loader, heads=copy.deepcopy(model.heads).eval())
        if problem := unusable(features):
            raise diverged(trainer, problem)
        measured = verify_pairs(features, self.pairs.same, self.pairs.different)
        scalars = {
            f"{prefix}auc": measured.auc,
            f"{prefix}false_accept_rate": measured.false_accept_rate,
        }
        trainer.storage.put_scalars(smoothing_hint=False, **scalars)
        logger.info(
            "Tracks: of %d pairs of images of one track and %d of two %s: AUC %.4f; at the"
            " similarity that keeps 95 %% of the first, %.2f %% of the others pass",
            len(self.pairs.same),
            len(self.pairs.different),
            "at the same time" if self.pairs.at_once else "of a camera",
            measured.auc,
            100 * measured.false_accept_rate,
        )


def known_pairs(train_set: TrainingSet) -> SurePairs | None:
    """Pairs of both kinds of the training images; None: nobody knows tracks, or they make none."""
    if train_set.tracks is None:
        return None
    count, cameras = len(train_set.tracks), [camera for _, camera in train_set.items]
    pairs = sure_pairs(check_tracks(count, train_set.tracks, train_set.times, cameras))
    return pairs if len(pairs.same) and len(pairs.different) else None


def verify_pairs(features: torch.Tensor, same: np.ndarray, different: np.ndarray) -> Verification:
    """Of features (N, D) and pairs (P, 2) of their rows, by cosine similarity."""
    rows = unit_rows(features).cpu().numpy()
    return verify(*((rows[p[:, 0]] * rows[p[:, 1]]).sum(1) for p in (same, different)))
