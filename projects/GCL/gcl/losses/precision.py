"""Losses and similarities stay out of autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(like: Tensor) -> AbstractContextManager:
    """A context in which nothing is cast to half precision on the device of ``like``.

    Autocast multiplies matrices in half precision whatever their own is: similarities of float32
    features come out with 8 (bfloat16) or 11 (float16) bits, and the loss divides them by a small
    temperature and takes their exponential.
    """
    device = like.device.type
    if not torch.amp.is_autocast_available(device):  # "meta", say
        return nullcontext()
    return torch.autocast(device, enabled=False)
