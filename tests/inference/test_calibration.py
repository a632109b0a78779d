"""From a cosine to a probability, by the file that a run leaves."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from gcl.config import ConfigError
from gcl.inference.calibration import Calibration, read_calibration


def test_the_probability_is_the_logistic_function_of_the_cosine():
    calibration = Calibration("tracks", threshold=0.4, slope=12.0)
    for cosine in (-1.0, 0.1, 0.4, 0.7, 1.0):
        expected = 1 / (1 + math.exp(-12.0 * (cosine - 0.4)))
        assert calibration.probability(cosine) == pytest.approx(expected, rel=1e-12)
    assert calibration.probability(np.full((2, 3), 0.4)).tolist() == [[0.5] * 3] * 2
    assert Calibration("", 0.0, 1e9).probability(-1.0) == 0  # without an overflow


def test_the_file_of_a_run_is_read(tmp_path):
    (tmp_path / "result").mkdir()
    values = {"source": "clusters", "threshold": 0.5, "slope": 10, "recall": 0.9}
    (tmp_path / "result" / "calibration.json").write_text(json.dumps(values))
    assert read_calibration(str(tmp_path)) == Calibration("clusters", 0.5, 10.0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "calibration.json is not there"),
        ("{", "can not be read"),
        ("[1]", "threshold is None"),
        ('{"threshold": NaN, "slope": 1}', "threshold is nan"),
        ('{"threshold": "0.5", "slope": 1}', "threshold is '0.5'"),
        ('{"threshold": true, "slope": 1}', "threshold is True"),
        ('{"threshold": 0.5, "slope": -2}', "slope is -2 and has to be a number above 0"),
        ('{"threshold": 0.5}', "slope is None"),
    ],
)
def test_what_is_no_calibration_gets_a_sentence(tmp_path, text, sentence):
    (tmp_path / "result").mkdir()
    if text is not None:
        (tmp_path / "result" / "calibration.json").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_calibration(str(tmp_path))


def test_an_encoder_of_no_run_has_none():
    with pytest.raises(ConfigError, match="of no run has no calibration"):
        read_calibration("")
