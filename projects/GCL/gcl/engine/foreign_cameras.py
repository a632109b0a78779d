"""GCL.CAMERA_NORM on test sets whose cameras are not those of the training set.

Shapes: N images, C pooled features.
"""

from __future__ import annotations

import functools
import logging
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from gcl.modeling import RunningNorm
from gcl.modeling.heads import Standardisation

from .feature_pass import pool_features

logger = logging.getLogger(__name__)


def test_cameras(cfg, model, name: str, loader) -> AbstractContextManager:
    """Within it, images of the test set are standardised as GCL.FOREIGN_CAMERAS says.

    A camera number of another data set is another camera. Nothing to do for a training set, and for
    models without GCL.CAMERA_NORM.

    Args:
        model: in evaluation mode.
        name: of the data set.
        loader: over its query and gallery.
    """
    model = getattr(model, "module", model)  # without a distributed wrapper
    heads = getattr(model, "heads", None)
    choice = cfg.GCL.FOREIGN_CAMERAS
    known = name in cfg.DATASETS.NAMES or choice == "same"
    if getattr(heads, "camera_norm", None) is None or known:
        return nullcontext()
    if choice == "own":
        return heads.standardised_by(own_statistics(*pool_features(model, loader)))
    _warn_once(name)
    return heads.standardised_by(lambda pooled, camids: heads.camera_norm(pooled))


test_cameras.__test__ = False  # pytest collects what is called test...


def own_statistics(pooled: Tensor, camids: Tensor) -> Standardisation:
    """By the mean and deviation of each camera of a test set: pooled (N, C), camids (N,) of any
    numbers. Nobody's identity is asked for."""
    cameras = camids.unique()
    norm = RunningNorm(pooled.shape[1], groups=len(cameras)).to(pooled.device)
    norm.fit(pooled, torch.searchsorted(cameras, camids))
    return lambda x, c: norm(x, torch.searchsorted(cameras, c.to(cameras.device)))


@functools.cache
def _warn_once(name: str) -> None:
    logger.warning(
        "DATASETS.TESTS %s is none of DATASETS.NAMES: with GCL.CAMERA_NORM its images are"
        " standardised by the statistics of all training images. GCL.FOREIGN_CAMERAS own takes"
        " those of its own cameras, same says that its cameras are the training set's.",
        name,
    )
