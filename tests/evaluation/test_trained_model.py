"""A trained model from its checkpoint: nothing else is read."""

from __future__ import annotations

import pytest
import torch
from engine import runs
from fastreid.modeling import build_model

from gcl.config import ConfigError
from gcl.evaluation.trained_model import load_generator

NAMES = ("ViewGenerator", "AttentionViewGenerator")


@pytest.mark.parametrize("name", NAMES)
def test_all_that_draws_comes_from_the_checkpoint(toy, tmp_path, name):
    """What the generator once started from need not be there any more."""
    torch.manual_seed(0)
    model = build_model(runs.config(tmp_path, toy, GCL__GENERATOR__NAME=name))
    path = str(tmp_path / "model.pth")
    torch.save({"model": model.state_dict()}, path)
    cfg = runs.config(
        tmp_path, toy, GCL__GENERATOR__NAME=name, GCL__GENERATOR__WEIGHTS="/no/such"
    )
    loaded = load_generator(cfg, path)
    assert not loaded.training and cfg.GCL.GENERATOR.WEIGHTS == "/no/such"
    for key, value in loaded.state_dict().items():
        if not key.startswith("discriminator."):  # it draws nothing
            assert torch.equal(value, model.state_dict()[key]), key


def test_a_checkpoint_of_the_other_generator_is_refused(toy, tmp_path):
    path = str(tmp_path / "model.pth")
    model = build_model(runs.config(tmp_path, toy, GCL__GENERATOR__NAME=NAMES[0]))
    torch.save({"model": model.state_dict()}, path)
    cfg = runs.config(tmp_path, toy, GCL__GENERATOR__NAME=NAMES[1])
    with pytest.raises(ConfigError, match="model.pth does not fit the configuration .*generator"):
        load_generator(cfg, path)
