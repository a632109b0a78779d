"""The geometric part of the toolbox's augmentation, applied alike to a crop and its structure
images."""

from __future__ import annotations

from collections.abc import Callable

from torchvision.transforms import InterpolationMode, v2


def build_joint_transform(cfg) -> Callable:
    """A map of tuples of PIL images (crop, structures): flip, padded crop, resized crop, affine of
    INPUT.

    torchvision's v2 transforms draw one geometry a call and apply it to all images of the tuple, so
    a mirrored crop gets the mirrored structures. Borders are filled with 0.
    """
    size = list(cfg.INPUT.SIZE_TRAIN)
    steps = []
    if cfg.INPUT.CROP.ENABLED:
        steps.append(
            v2.RandomResizedCrop(
                size,
                tuple(cfg.INPUT.CROP.SCALE),
                tuple(cfg.INPUT.CROP.RATIO),
                InterpolationMode.BICUBIC,
            )
        )
    if cfg.INPUT.PADDING.ENABLED:
        steps += [
            v2.Pad(cfg.INPUT.PADDING.SIZE, padding_mode=cfg.INPUT.PADDING.MODE),
            v2.RandomCrop(size),
        ]
    if cfg.INPUT.FLIP.ENABLED:
        steps.append(v2.RandomHorizontalFlip(cfg.INPUT.FLIP.PROB))
    if cfg.INPUT.AFFINE.ENABLED:
        steps.append(v2.RandomAffine(degrees=10, scale=(0.9, 1.1), shear=0.1))
    return v2.Compose(steps or [v2.Identity()])
