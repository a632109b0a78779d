"""How probable it is that two crops show one person, from the cosine of their features."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from gcl.config import ConfigError

FILE = os.path.join("result", "calibration.json")
"""Below OUTPUT_DIR."""


@dataclass(frozen=True)
class Calibration:
    """P(same person) = 1 / (1 + exp(-slope (cosine - threshold))).

    Attributes:
        source: what it was fitted to, "tracks" or "clusters".
        threshold: the cosine at which both are as probable.
        slope: above 0.
    """

    source: str
    threshold: float
    slope: float

    def probability(self, cosine: np.ndarray | float) -> np.ndarray:
        """Of cosines of any shape; float64."""
        return expit(self.slope * (np.asarray(cosine, np.float64) - self.threshold))


def read_calibration(folder: str) -> Calibration:
    """What a run has written about its features.

    Args:
        folder: OUTPUT_DIR; "": the encoder is of no run.

    Raises:
        ConfigError: there is no such file, or it can not be used.
    """
    if not folder:
        raise ConfigError(
            "An encoder that is of no run has no calibration: compare cosines of its features, or"
            " give a run on your own crops."
        )
    path = os.path.join(folder, FILE)
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is not there, without which a cosine is no probability: tools/report.py makes"
            " it of a finished run, if tracks or clusters tell people apart."
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} can not be read ({error}): write it anew.") from error
    values = values if isinstance(values, dict) else {}
    for key in ("threshold", "slope"):
        value = values.get(key)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or (key == "slope" and value <= 0):
            above = " above 0" * (key == "slope")
            raise ConfigError(f"{path}: {key} is {value!r} and has to be a number{above}.")
    source, threshold, slope = values.get("source", ""), values["threshold"], values["slope"]
    return Calibration(str(source), float(threshold), float(slope))
