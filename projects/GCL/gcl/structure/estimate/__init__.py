"""From a crop of a pedestrian to the body in it: view, pose, shape and place.

    from . import StructureEstimator
    estimate = StructureEstimator.from_pretrained()(["crop.jpg"])
    estimate.yaw, estimate.vertices, estimate.faces, estimate.confidence

`estimator` is the call, `network` and `circle` what it computes, `crops` what it reads, `adapt`
how it fits itself to a user's cameras when asked to, `losses` and `randomise` what it was trained
with.
"""

from .estimator import Estimate, StructureEstimator

__all__ = ["Estimate", "StructureEstimator"]
