"""The structure estimator for a command."""

from __future__ import annotations

import os

import torch

from gcl.compat.device import device_type
from gcl.config import ConfigError
from gcl.structure.estimate import StructureEstimator


def load_estimator(weights: str | None, option: str = "--weights") -> StructureEstimator:
    """The estimator on this process's device: its own GPU under ``torchrun``.

    Args:
        weights: a file; None: those inside the package.
        option: of the command line that gives it.

    Raises:
        ConfigError: they can not be used.
    """
    device = device_type()
    if device == "cuda":
        device = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
    try:
        return StructureEstimator.from_pretrained(weights, device=device)
    except (ImportError, OSError, ValueError) as error:
        # without the option it is the package, the body or the cache that is at fault
        raise ConfigError(f"{option}: {error}" if weights else str(error)) from error
