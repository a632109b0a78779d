"""A view generator that starts competent: E_str and G as tools/pretrain_generator.py left them, and
D where it was trained with them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import safetensors
from safetensors.torch import load_file
from torch import nn

from gcl.config import ConfigError, generator_size

PACKAGED = Path(__file__).parent / "weights" / "view_generator.safetensors"
"""What GCL.GENERATOR.WEIGHTS "packaged" means; see the model card beside it."""

logger = logging.getLogger(__name__)


def load_generator_weights(generator: nn.Module, discriminator: nn.Module, cfg) -> None:
    """Load GCL.GENERATOR.WEIGHTS; nothing to do when it is "".

    Raises:
        ConfigError: the file can not be read, or is of another configuration.
    """
    path = cfg.GCL.GENERATOR.WEIGHTS
    if not path:
        return
    path = str(PACKAGED) if path == "packaged" else path
    try:
        state = load_file(path)
        with safetensors.safe_open(path, "pt") as file:
            size = json.loads(file.metadata()["made_with"])["size"]
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"GCL.GENERATOR.WEIGHTS {path} can not be read ({reason}): give 'packaged', a file that"
            " tools/pretrain_generator.py has written, or '' to start from scratch."
        ) from error
    modules = nn.ModuleDict({"generator": generator})
    if any(name.startswith("discriminator.") for name in state):
        modules["discriminator"] = discriminator
    wanted = modules.state_dict()
    other = [k for k in wanted | state if k not in wanted or k not in state]
    other += [k for k in wanted if k in state and wanted[k].shape != state[k].shape]
    if other:
        raise ConfigError(
            f"GCL.GENERATOR.WEIGHTS {path} does not fit GCL.GENERATOR and GCL.DISCRIMINATOR"
            f" ({len(other)} weights, the first {other[0]}): give the values that it was"
            " pre-trained with, or '' to start from scratch."
        )
    modules.load_state_dict(state)
    if list(generator_size(cfg)) != size:
        logger.warning(
            "GCL.GENERATOR.WEIGHTS %s was trained at views of %d x %d, not %d x %d.",
            path,
            *size,
            *generator_size(cfg),
        )


def freeze_layers(generator: nn.Module, prefixes: Sequence[str]) -> None:
    """Parameters whose names begin with one of ``prefixes`` do not learn.

    Raises:
        ConfigError: none begins with one of them, or none is left to learn.
    """
    for prefix in prefixes:
        found = [p for name, p in generator.named_parameters() if name.startswith(prefix)]
        if not found:
            modules = ", ".join(name for name, _ in generator.named_children())
            raise ConfigError(
                f"GCL.GENERATOR.FREEZE_LAYERS names {prefix!r}, which {type(generator).__name__}"
                f" does not have: it has {modules}."
            )
        for parameter in found:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in generator.parameters()):
        raise ConfigError(
            f"GCL.GENERATOR.FREEZE_LAYERS {tuple(prefixes)} leaves the generator nothing to learn:"
            " take generator out of GCL.PHASES and set GCL.JOINT.LEARNS encoder instead."
        )
