"""Weights to ship."""

from __future__ import annotations

import json
import os
from collections.abc import Collection

from safetensors.torch import save
from torch import nn

from gcl.atomic_files import atomic


def export_weights(
    module: nn.Module, path: str | os.PathLike, *, leave_out: Collection[str] = (), **made_with
) -> None:
    """Write a module's weights, all or nothing: parameters in half precision, and buffers as they
    are, as sums and counts may be more than a half can tell.

    Args:
        leave_out: names of weights that are not written.
        made_with: what they were made with, kept in the file.
    """
    parameters = {name for name, _ in module.named_parameters()}
    state = {
        name: (value.half() if name in parameters else value).contiguous()
        for name, value in module.state_dict().items()
        if name not in leave_out
    }
    with atomic(path) as file:
        # one entry: the format does not keep several in order
        file.write(save(state, {"made_with": json.dumps(made_with)}))
