"""fastreid 1.4.0 on a modern stack: Python 3.10-3.13, torch >= 2.4, numpy 2, CPU and CUDA alike.

Importing this package imports fastreid and adapts it in memory; no file of it is copied or
changed, and importing twice, or reloading, is harmless. Everything that differs from the toolbox as
published is in the two lists below, one small function each. Its docstring says

    Why       what breaks without it
    Symptom   what a user sees then
    Versions  where it is needed ("all" = a mistake of fastreid's own, not of a version)
    Until     when it can be deleted

The public names are `launch`, `lost_process`, `set_device`, `device_type`, `DataLoaderX`,
`evaluate_rank`, `NotFetchedError` and, to compare against, `stock("fastreid.module.name")`: the
toolbox's own object behind an adapted name.

`GCL_COMPAT_SKIP=name,name` leaves adaptations out. It is for the tests, which show that each one is
needed, and for whoever wants to see whether a newer torch or fastreid still needs it.
"""

import contextlib
import importlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager

from .data import (
    DataLoaderX,
    affine_arguments,
    collator_types,
    image_to_tensor,
    one_reader,
    plain_data_loader,
)
from .device import chosen_device, device_type, set_device
from .distributed import LaunchError, gloo_launch, launch, lost_process, wrap_model
from .evaluation import evaluate_rank, no_compiler, numpy_rank, rerank_on_cpu
from .imports import check_version, collections_mapping, torch_six, torchvision_ops
from .market_layout import market_layout
from .modeling import NotFetchedError, normalise_once, regnet_files, told_where_weights_go
from .patching import stock
from .training import (
    best_metric,
    bfloat16_amp,
    evaluation_off,
    finished_run,
    losses_in_order,
    plain_optimizer,
    safe_load,
)

__all__ = [
    "DataLoaderX",
    "LaunchError",
    "NotFetchedError",
    "device_type",
    "evaluate_rank",
    "launch",
    "lost_process",
    "set_device",
    "stock",
]

#: Needed while fastreid is imported; what they lend to other modules is taken back right after.
WHILE_IMPORTING: tuple[Callable[[], AbstractContextManager[None]], ...] = (
    torchvision_ops,
    torch_six,
    collections_mapping,
)

#: Replace something in an imported fastreid.
ADAPTATIONS: tuple[Callable[[], None], ...] = (
    plain_optimizer,
    plain_data_loader,
    collator_types,
    one_reader,
    market_layout,
    affine_arguments,
    image_to_tensor,
    normalise_once,
    regnet_files,
    told_where_weights_go,
    chosen_device,
    gloo_launch,
    wrap_model,
    losses_in_order,
    bfloat16_amp,
    safe_load,
    best_metric,
    evaluation_off,
    finished_run,
    no_compiler,
    numpy_rank,
    rerank_on_cpu,
)


def _apply() -> None:
    skipped = os.environ.get("GCL_COMPAT_SKIP", "").split(",")
    check_version()
    with contextlib.ExitStack() as stack:
        for shim in WHILE_IMPORTING:
            if shim.__name__ not in skipped:
                stack.enter_context(shim())
        for module in ("data", "evaluation", "modeling", "solver", "engine"):
            importlib.import_module(f"fastreid.{module}")
    for adapt in ADAPTATIONS:
        if adapt.__name__ not in skipped:
            adapt()


_apply()
