"""A trained E_id for a command."""

from __future__ import annotations

from torch import nn

from gcl.engine import trainer_of
from gcl.engine.checkpoint import AtomicCheckpointer
from gcl.engine.feature_pass import complete_statistics


def load_encoder(cfg) -> nn.Module:
    """The model of a configuration with the weights of MODEL.WEIGHTS and, with GCL.CAMERA_NORM, the
    cameras' statistics: those of the weights, or else of the training images.

    Raises:
        ConfigError: weights or training images can not be used.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.GCL.GENERATOR.WEIGHTS = ""  # all weights come from the checkpoint
    cfg.freeze()
    model = trainer_of(cfg).build_model(cfg)
    AtomicCheckpointer(model).load(cfg.MODEL.WEIGHTS, checkpointables=[])
    complete_statistics(model, cfg)
    return model
