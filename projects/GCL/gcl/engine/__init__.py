"""Training: GCL's phases on the toolbox's trainer."""

from .trainer import GCLTrainer

__all__ = ["GCLTrainer"]
