"""Training: GCL's phases, or a baseline, on the toolbox's trainer."""

from .baseline_trainer import BaselineTrainer
from .trainer import GCLTrainer

__all__ = ["BaselineTrainer", "GCLTrainer", "trainer_of"]


def trainer_of(cfg) -> type[GCLTrainer] | type[BaselineTrainer]:
    """The trainer of MODEL.META_ARCHITECTURE."""
    return GCLTrainer if cfg.MODEL.META_ARCHITECTURE == "GCL" else BaselineTrainer
