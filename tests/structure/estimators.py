"""An estimator that sees the view in the crop's colour: red / 255 * 360 degrees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from structure.figures import figure

from gcl.structure.estimate import Estimate
from gcl.structure.render import turn
from gcl.tools import open_estimator as load_estimator

CONFIDENT = 0.3


class FakeEstimator:
    """Green / 255 is the confidence. The person fills the lower half of the crop.

    Attributes:
        log: what was asked of all of them: ("load", weights), ("adapt", N) and ("estimate", N).
    """

    log: list[tuple] = []
    faces = figure().faces

    @classmethod
    def from_pretrained(cls, path=None, device="cpu"):
        if path is not None and not path.endswith(".safetensors"):
            raise ValueError(f"{path} is no file of weights.")
        cls.log.append(("load", path))
        return cls()

    def adapt(self, images) -> None:
        for image in images:
            _colour(image)
        self.log.append(("adapt", len(images)))

    def __call__(self, images, batch_size=64) -> Estimate:
        self.log.append(("estimate", len(images)))
        colour = torch.tensor([_colour(image) for image in images], dtype=torch.float32) / 255
        yaw, confidence = colour[:, 0] * 360, colour[:, 1]
        return Estimate(
            yaw=yaw,
            vertices=turn(figure().vertices[None], yaw),
            faces=self.faces,
            confidence=confidence,
            framing=torch.tensor([0.5, 1.0, 0.5]).expand(len(yaw), 3),
            keypoints=turn(figure().vertices[None, :17], yaw),
            doubtful=confidence < CONFIDENT,
        )


@pytest.fixture
def estimator(monkeypatch) -> type[FakeEstimator]:
    """The fake in the place of the estimator that tools load."""
    monkeypatch.setattr(load_estimator, "StructureEstimator", FakeEstimator)
    monkeypatch.setattr(FakeEstimator, "log", [])
    return FakeEstimator


@pytest.fixture
def colour_crop(tmp_path) -> Callable[..., str]:
    """``colour_crop(name, red, green)``: a photograph of 24 x 64 pixels; returns its path."""

    def make(name: str, red: int = 0, green: int = 255) -> str:
        (tmp_path / "crops").mkdir(exist_ok=True)
        Image.new("RGB", (24, 64), (red, green, 0)).save(tmp_path / "crops" / name)
        return str(tmp_path / "crops" / name)

    return make


def _colour(image) -> list[int]:
    if not isinstance(image, np.ndarray):
        with Image.open(image) as file:
            image = np.asarray(file.convert("RGB"))
    assert image.dtype == np.uint8 and image.ndim == 3
    return image[0, 0].tolist()
