"""From crops to bodies, in one call.

Shapes: `B` crops, `V` vertices, `F` triangles.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gcl.structure.body import AnnyBody
from gcl.structure.render import turn

from . import circle
from .adapt import adapt
from .crops import Crop, load_crops
from .folded import folded
from .network import Prediction, StructureNet, both_ways, rotations

WEIGHTS = Path(__file__).parent / "weights" / "structure_lite0.safetensors"
DOUBT = 0.5
"""Below this confidence nothing but view and framing is believed."""
SMALLEST = 0.3
"""No body is less high in its crop, as a share: crops are cut round people."""


class Estimate(NamedTuple):
    """Attributes:
    yaw: (B,) degrees in [0, 360); 0 faces the camera, 90 the image's right.
    vertices: (B, V, 3) metres in camera space, at this yaw.
    faces: (F, 3) int64.
    confidence: (B,) probability that the yaw is right to within 45 degrees.
    framing: (B, 3) top, bottom and centre of the body as shares of the crop.
    keypoints: (B, 17, 3) in COCO's order, in the axes of ``vertices``.
    doubtful: (B,) bool, confidence below DOUBT: the vertices are somebody who stands.
    """

    yaw: Tensor
    vertices: Tensor
    faces: Tensor
    confidence: Tensor
    framing: Tensor
    keypoints: Tensor
    doubtful: Tensor


class StructureEstimator:
    """Estimates the body, its view and its place in crops of pedestrians.

        estimator = StructureEstimator.from_pretrained()
        estimate = estimator(["crop.jpg", array])  # .yaw .vertices .faces .confidence ...

    Args:
        network: trained by tools/pretrain_estimator.py.
        device: where it calculates.

    Attributes:
        faces: (F, 3) triangles of all its bodies (Anny's reduced topology).
    """

    def __init__(self, network: StructureNet, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()
        self._folded: StructureNet | None = None  # made of the network when it is asked
        self._body = AnnyBody("reduced", device)
        self.faces = self._body.faces

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, device: str | torch.device = "cpu"
    ) -> StructureEstimator:
        """The estimator with the package's weights, or with a file of tools/pretrain_estimator.py.

        Raises:
            OSError: there is no such file, or it holds something else; the message names it.
        """
        path, network = path or WEIGHTS, StructureNet()
        try:
            state = load_file(path)
            network.load_state_dict({name: value.float() for name, value in state.items()})
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise OSError(
                f"{path} holds no weights of this estimator ({reason}): train some with"
                " tools/pretrain_estimator.py, or install the package anew."
            ) from error
        return cls(network, device)

    def adapt(self, crops: Sequence[Crop]) -> None:
        """Fit the network to the user's cameras by self-training, without labels (:mod:`.adapt`).

        Args:
            crops: some hundreds, of all cameras, as mixed as what is to be estimated.

        Raises:
            OSError, ValueError: as a call does.
        """
        adapt(self.network, load_crops(crops))
        self._folded = None

    @torch.no_grad()
    def __call__(self, crops: Sequence[Crop], batch_size: int = 64) -> Estimate:
        """Estimates for crops of any sizes, on the CPU.

        Raises:
            OSError: a file can not be read; the message names it.
            ValueError: an array is no picture.
        """
        starts = range(0, max(len(crops), 1), batch_size)
        parts = [self._bodies(self.predict(crops[i : i + batch_size])) for i in starts]
        yaw, vertices, *others = (torch.cat(field).cpu() for field in zip(*parts, strict=True))
        return Estimate(yaw, vertices, self.faces.cpu(), *others)

    @torch.no_grad()
    def predict(self, crops: Sequence[Crop]) -> Prediction:
        """What the network says of one batch, averaged over the crops and their mirror images."""
        if self._folded is None:
            self._folded = folded(self.network)
        return both_ways(self._folded, load_crops(crops).to(self.device).float())

    def _bodies(self, prediction: Prediction) -> tuple[Tensor, ...]:
        """The fields of an Estimate but ``faces``."""
        yaw, confidence = circle.read(prediction.yaw)
        doubtful = confidence < DOUBT
        pose = rotations(prediction.best_pose())
        pose = torch.where(doubtful[:, None, None, None], torch.eye(3, device=pose.device), pose)
        phenotype = torch.where(doubtful[:, None], 0.5, prediction.phenotype)
        body = self._body(pose, phenotype)
        turned = turn(torch.cat((body.vertices, body.keypoints), 1), yaw)
        vertices, keypoints = turned.split((body.vertices.shape[1], body.keypoints.shape[1]), 1)
        top, bottom, centre = prediction.framing.unbind(1)
        bottom = torch.maximum(bottom, top + SMALLEST)
        framing = torch.stack((top, bottom, centre.clamp(0, 1)), 1)
        return yaw, vertices, confidence, framing, keypoints, doubtful
