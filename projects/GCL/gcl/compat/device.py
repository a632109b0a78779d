"""One answer to "CPU or CUDA?" for the loaders, the launcher, AMP, DDP and the evaluation."""

import contextlib
import importlib
import os
from typing import Any

import torch

from .patching import View, replace

#: An environment variable reaches the processes that `launch` spawns, and the data workers.
_VARIABLE = "GCL_DEVICE"


def set_device(name: str) -> None:
    """Choose the device of this run and of every process that it starts.

    Args:
        name: `MODEL.DEVICE`: "cpu" or "cuda". Which GPU is up to the launcher (one a process) and
            to CUDA_VISIBLE_DEVICES.

    Raises:
        ValueError: another device, a GPU by number, or CUDA where there is none.
    """
    kind, _, index = str(name).partition(":")
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"MODEL.DEVICE is {name!r}: the toolbox runs on 'cpu' or 'cuda'")
    if kind == "cuda" and index not in ("", "0"):
        raise ValueError(
            f"MODEL.DEVICE is {name!r}: "
            f"write 'cuda' and choose the GPU by CUDA_VISIBLE_DEVICES={index}"
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"MODEL.DEVICE is {name!r}, and this torch ({torch.__version__}) sees no CUDA device: "
            f"run with MODEL.DEVICE cpu"
        )
    os.environ[_VARIABLE] = kind


def device_type() -> str:
    """The device chosen by `set_device`; before that, "cuda" where there is one, else "cpu"."""
    return os.environ.get(_VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 by itself: CPUs, and GPUs from the A100 on."""
    return device.type == "cpu" or torch.cuda.get_device_capability(device)[0] >= 8


def chosen_device() -> None:
    """Let the trainer, the evaluation and the log ask `device_type()` and not whether CUDA exists.

    Why: they ask torch.cuda.is_available(), and open a CUDA context in a run with MODEL.DEVICE cpu.
    Symptom: hundreds of MB taken on GPU 0 by every process; an error when that GPU is full or in
        exclusive mode.
    Versions: all, on a machine with a GPU.
    Until: fastreid looks at the model's device.
    """

    def on_chosen_device(original: Any) -> View:
        def is_available() -> bool:
            return device_type() == "cuda"

        def stream(stream: Any) -> contextlib.AbstractContextManager:
            # torch.cuda.stream(None) does nothing, but asks for the current GPU first.
            return torch.cuda.stream(stream) if stream else contextlib.nullcontext()

        return View(original, cuda=View(original.cuda, is_available=is_available, stream=stream))

    for name in ("engine.train_loop", "evaluation.evaluator", "utils.events"):
        replace(importlib.import_module(f"fastreid.{name}"), "torch", on_chosen_device)
