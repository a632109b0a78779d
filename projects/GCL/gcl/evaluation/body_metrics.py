"""How far an estimated body is from the true one: view, joints, silhouette.

Shapes: `N` people, `K` keypoints, `H` x `W` pictures.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gcl.structure.anny_data import KEYPOINTS

HIPS = (KEYPOINTS.index("left_hip"), KEYPOINTS.index("right_hip"))


class YawSummary(NamedTuple):
    """Errors of many people.

    Attributes:
        median: degrees; NaN of nobody, as all others.
        within_22, within_45: share of errors up to 22.5 and up to 45 degrees.
        flipped: share above 135 degrees: the front taken for the back, mostly.
    """

    median: float
    within_22: float
    within_45: float
    flipped: float


def yaw_errors(predicted: Tensor, true: Tensor) -> Tensor:
    """Degrees in [0, 180] between two yaws of any range; shapes broadcast."""
    return ((predicted - true + 180).remainder(360) - 180).abs()


def summarize_yaw(errors: Tensor) -> YawSummary:
    """What :func:`yaw_errors` (N,) of a set say."""
    if not len(errors):
        return YawSummary(*[float("nan")] * 4)
    shares = (errors <= 22.5, errors <= 45, errors > 135)
    # torch.median of an even number is the lower one of the middle two
    median = errors.double().quantile(0.5)
    return YawSummary(float(median), *(float(share.double().mean()) for share in shares))


def mpjpe(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean per-joint position error with the middle of the hips in one place.

    Args:
        predicted, true: (N, 17, 3) COCO keypoints in metres.

    Returns:
        (N,) millimetres.

    Raises:
        ValueError: other shapes.
    """
    _check(predicted, true)
    predicted, true = (p - p[:, HIPS].mean(1, keepdim=True) for p in (predicted, true))
    return 1000 * (predicted - true).norm(dim=-1).mean(-1)


def pa_mpjpe(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean per-joint position error after the best shift, rotation and scale of the prediction
    (Procrustes analysis): what is left when view, place and size do not count.

    The scale and rotation minimise the sum of squares (Umeyama 1991); never a reflection, which
    would make a left arm of a right one.

    Args:
        predicted, true: (N, K, 3) in metres.

    Returns:
        (N,) millimetres.

    Raises:
        ValueError: other shapes.
    """
    _check(predicted, true, joints=None)
    # in float64: the smallest singular value of a flat pose decides on the sign
    predicted, true = (p.double() - p.double().mean(1, keepdim=True) for p in (predicted, true))
    u, strength, vh = torch.linalg.svd(predicted.transpose(1, 2) @ true)
    sign = torch.ones_like(strength)
    sign[:, 2] = torch.linalg.det(u @ vh).sign()
    rotation = u * sign[:, None] @ vh  # of row vectors
    size = predicted.square().sum((1, 2)).clamp(min=1e-12)
    scale = (strength * sign).sum(1) / size
    aligned = scale[:, None, None] * (predicted @ rotation)
    return (1000 * (aligned - true).norm(dim=-1).mean(-1)).float()


def silhouette_iou(a: Tensor, b: Tensor) -> Tensor:
    """(N,) intersection over union of boolean masks (N, H, W); 1 where both are empty."""
    union = (a | b).sum((1, 2))
    return torch.where(union > 0, (a & b).sum((1, 2)) / union.clamp(min=1), 1.0)


def _check(predicted: Tensor, true: Tensor, joints: int | None = len(KEYPOINTS)) -> None:
    shape = tuple(true.shape)
    if predicted.shape != true.shape or len(shape) != 3 or shape[2] != 3:
        raise ValueError(
            f"keypoints must be (N, K, 3) alike; they are {tuple(predicted.shape)} and {shape}."
        )
    if joints is not None and shape[1] != joints:
        raise ValueError(f"keypoints must be COCO's {joints}; there are {shape[1]}.")
