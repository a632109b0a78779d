"""A trained model with its view generator."""

from __future__ import annotations

import torch
from fastreid.modeling import build_model

from gcl.config import ConfigError


def load_generator(cfg, path: str):
    """The GCL model of a checkpoint, in evaluation mode.

    Args:
        cfg: what it was trained by.
        path: a checkpoint of a run with the phase generator or joint.

    Raises:
        ConfigError: the file is no such checkpoint, or of another configuration.
    """
    if not {"generator", "joint"} & set(cfg.GCL.PHASES):
        raise ConfigError(
            f"GCL.PHASES {tuple(cfg.GCL.PHASES)} has neither generator nor joint: give the"
            " configuration of a run with a view generator."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model"]
        state = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    except Exception as error:  # a damaged file can raise nearly anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{path} is no checkpoint that can be read ({reason}).") from error
    if not any(name.startswith("generator.") for name in state):
        raise ConfigError(
            f"{path} holds no view generator: give a checkpoint of a run with the phase generator"
            " or joint."
        )
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False  # everything comes from the checkpoint
    cfg.GCL.GENERATOR.WEIGHTS = ""
    cfg.freeze()
    model = build_model(cfg).eval()
    # the discriminator draws nothing
    wanted = {k: v for k, v in model.state_dict().items() if not k.startswith("discriminator.")}
    other = [k for k, v in wanted.items() if k not in state or state[k].shape != v.shape]
    if other:
        raise ConfigError(
            f"{path} does not fit the configuration ({len(other)} weights, the first {other[0]}):"
            " give the --config-file and the KEY VALUE pairs that it was trained with."
        )
    model.load_state_dict({k: state[k] for k in wanted}, strict=False)
    return model
