"""Stateless losses, one idea a file; they import nothing of ours."""

from .adversarial import discriminator_loss, generator_loss, r1_penalty
from .class_centroid import centroid_loss
from .inter_camera import inter_camera_loss
from .perceptual import perceptual_distance
from .precision import full_precision
from .reconstruction import feature_consistency_loss, reconstruction_loss
from .view_invariant import (
    contrast_loss,
    own_view_loss,
    view_invariant_loss,
)

__all__ = [
    "centroid_loss",
    "contrast_loss",
    "discriminator_loss",
    "feature_consistency_loss",
    "full_precision",
    "generator_loss",
    "inter_camera_loss",
    "own_view_loss",
    "perceptual_distance",
    "r1_penalty",
    "reconstruction_loss",
    "view_invariant_loss",
]
