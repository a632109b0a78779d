"""What a user sets is honoured or refused; what nobody set passes."""

import pytest

from gcl import ConfigError
from gcl.engine.toolbox_keys import check_toolbox_keys


def test_the_toolbox_s_defaults_pass(tiny_cfg):
    check_toolbox_keys(tiny_cfg())
    check_toolbox_keys(tiny_cfg("MODEL.HEADS.NECK_FEAT", "before"))  # a default, and not given


def test_values_that_are_what_gcl_does_pass(tiny_cfg):
    """config.yaml of a run has the epochs of all its phases."""
    pairs = ("GCL.PHASES", ("contrast", "joint"), "GCL.CONTRAST.EPOCHS", 3, "GCL.JOINT.EPOCHS", 4)
    cfg = tiny_cfg(*pairs, "SOLVER.MAX_EPOCH", 7, "MODEL.HEADS.NECK_FEAT", "after")
    check_toolbox_keys(cfg, {"SOLVER.MAX_EPOCH", "MODEL.HEADS.NECK_FEAT"})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("SOLVER.MAX_EPOCH", 1, ["is 1", "80 epochs", "GCL.CONTRAST.EPOCHS, GCL.GENERATOR.EPOCHS"]),
        ("SOLVER.FREEZE_ITERS", 1000, ["GCL.FREEZE_BN"]),
        ("MODEL.FREEZE_LAYERS", ["backbone"], ["GCL.FREEZE_BN"]),
        ("DATALOADER.SAMPLER_TRAIN", "NaiveIdentitySampler", ["NaiveIdentitySampler", "leave it"]),
        ("MODEL.HEADS.NECK_FEAT", "before", ["'before'", "set it to after"]),
        ("MODEL.HEADS.NECK_FEAT", "behind", ["'behind'", "set it to after"]),
    ],
)
def test_a_value_without_effect_is_named(tiny_cfg, key, value, words):
    cfg = tiny_cfg(key, value)
    with pytest.raises(ConfigError) as caught:
        check_toolbox_keys(cfg, {key})
    message = str(caught.value)
    assert key in message and message.endswith(".") and "\n" not in message
    assert all(word in message for word in words), message
    cfg.MODEL.META_ARCHITECTURE = "Baseline"
    check_toolbox_keys(cfg, {key})
