"""Values of the recipe of pku.yml that follow from the numbers of a data set.

Trained were two points: 640 images of two cameras (pku.yml) and 4,821 (docs/experiments.md, the
encoder of drawn people). Labels were measured on parts of both, too (there, defaults that follow
the data); the rest is what lies between and beyond.
"""

from __future__ import annotations

import math

from gcl.config import ConfigError

LEAST = 64
"""Images: at fewer the smallest neighbourhood, 12, is a large part of all of them."""
PASSES = 16
"""Epochs with contrast: each makes its pseudo labels anew."""
FALLS = 10
"""Of these epochs, after which the rate falls."""
A_TRACK = 16
"""Images of a track that count as different: its other frames show the same again."""
OF_TRACKS = 0.77
"""Distance within which two long tracks are one person's."""
CAMERAS = 64
"""That GCL.CAMERA_NORM can tell apart."""
OF_A_CAMERA = 32
"""Images, from which on its own statistics weigh as much as those of all cameras."""


def data_defaults(
    images: int, cameras: int, tracks: int = 0, *, joint: bool = True
) -> dict[str, object]:
    """Key -> value for a training set without labels.

    With N images, and d = min(N, 16 tracks) of them different (d = N without tracks):

    - GCL.ITERS_PER_EPOCH: max(min(d / 16, 40), d / 80) steps, so that the 16 epochs with contrast
      draw every image 32 times where there are few, 640 steps where there are up to 3,200, and
      every image 6.4 times where there are more. Epochs stay 2 + 1 + 14; without a joint phase they
      are 16 of contrast, whose rate falls when that of the joint phase does.
    - GCL.LABELS.K1: 12 + 2.75 log2(d / 640), in 12 ... 30: how many crops a person has, and so how
      far a neighbourhood should reach, does not follow from N where that is small, and where tracks
      are known it matters little. K2 and MIN_SAMPLES: a fifth of it (rounded up; rounded down, at
      most 4).
    - GCL.LABELS.EPS: e = 0.55 + 0.0172 log2(d / 640), in 0.55 ... 0.6; with T tracks
      e + (0.77 - e) (1 - T / N), as two tracks are as far from each other as their images are in
      the mean, and a mean of many is never as small as the least.
    - Images of a batch: 32; 16 below 128 images.
    - GCL.CAMERA_NORM: with 2 to 64 cameras of 32 images or more in the mean.

    None of them falls when N grows.

    Args:
        images: N.
        cameras: 1 where nobody knows any.
        tracks: 0 where nobody knows any; else an image without one counts as one.
        joint: whether GCL.PHASES has a joint phase.

    Raises:
        ConfigError: there are fewer images than anything can be learnt from.
    """
    if images < LEAST:
        raise ConfigError(
            f"GCL.DATA.FOLDER has {images} crops, and fewer than {LEAST} teach nothing: add crops,"
            " or use the packaged encoder as it is (gcl.modeling.packaged_encoder)."
        )
    different = min(images, A_TRACK * tracks) if tracks else images
    octaves = max(math.log2(different / 640), 0)
    k1 = min(round(12 + 2.75 * octaves), 30)
    eps = min(0.55 + 0.0172 * octaves, 0.6)
    if tracks:
        eps += (OF_TRACKS - eps) * max(1 - tracks / images, 0)
    batch = 32 if images >= 128 else 16
    if joint:
        epochs = {
            "GCL.CONTRAST.EPOCHS": 2,
            "GCL.GENERATOR.EPOCHS": 1,
            "GCL.JOINT.EPOCHS": PASSES - 2,
            "SOLVER.STEPS": [FALLS - 2],
        }
    else:
        epochs = {"GCL.CONTRAST.EPOCHS": PASSES, "GCL.CONTRAST.STEPS": [FALLS]}
    return {
        "GCL.ITERS_PER_EPOCH": max(math.ceil(max(min(different / 16, 40), different / 80)), 4),
        **epochs,
        "GCL.CONTRAST.IMS_PER_BATCH": batch,
        "SOLVER.IMS_PER_BATCH": batch,
        "GCL.LABELS.K1": k1,
        "GCL.LABELS.K2": math.ceil(k1 / 5),
        "GCL.LABELS.MIN_SAMPLES": min(k1 // 5, 4),
        "GCL.LABELS.EPS": round(eps, 2),
        "GCL.CAMERA_NORM": 2 <= cameras <= CAMERAS and images >= OF_A_CAMERA * cameras,
    }
