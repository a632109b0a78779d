"""An encoder that knows people before it has seen any photograph: as tools/pretrain_encoder.py left
it."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import torch
from fastreid.config import CfgNode, get_cfg
from fastreid.modeling import build_model
from torch import Tensor, nn

from gcl.config import ConfigError

PACKAGED = Path(__file__).parent / "weights" / "encoder_lite0.safetensors"
"""What MODEL.WEIGHTS "packaged" means."""


def architecture(cfg: CfgNode) -> dict:
    """What of a configuration an encoder is built by, as plain values: for the file of weights."""
    backbone = {k: v for k, v in cfg.MODEL.BACKBONE.items() if not k.startswith("PRETRAIN")}
    head = ("NAME", "NORM", "WITH_BNNECK", "EMBEDDING_DIM", "NECK_FEAT", "POOL_LAYER")
    return {
        "BACKBONE": backbone,
        "HEADS": {k: cfg.MODEL.HEADS[k] for k in head},
        "PIXEL_MEAN": list(cfg.MODEL.PIXEL_MEAN),
        "PIXEL_STD": list(cfg.MODEL.PIXEL_STD),
        "SIZE": list(cfg.INPUT.SIZE_TRAIN),
    }


def weights_file(value: str) -> str:
    """The file that a value of MODEL.WEIGHTS means: "packaged" is :data:`PACKAGED`.

    Raises:
        ConfigError: this package has none.
    """
    if value != "packaged":
        return value
    if not PACKAGED.is_file():
        raise ConfigError(
            f"MODEL.WEIGHTS packaged: there is no {PACKAGED}; make one by 'python"
            " tools/pretrain_encoder.py --config-file projects/GCL/configs/pretrain_encoder.yml'"
            " and give its file."
        )
    return str(PACKAGED)


def read_weights(path: str) -> tuple[dict[str, Tensor], dict]:
    """The weights in a .safetensors file, and what it says that they were made with.

    Raises:
        ConfigError: the file can not be read.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return state, json.loads((file.metadata() or {}).get("made_with", "{}"))
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"the weights {path} can not be read: {reason}") from error


class PackagedEncoder(nn.Module):
    """(B, 3, H, W) crops of 0-255, of any size and type -> (B, D) features in float32, to be
    compared by the cosine.

    Args:
        model: a toolbox ``Baseline``.
        size: (H, W) to which it resizes crops.
    """

    def __init__(self, model: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.size = model, size
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, crops: Tensor) -> Tensor:
        crops = crops.to(self.model.device, torch.float32)
        if crops.shape[-2:] != self.size:
            crops = nn.functional.interpolate(crops, self.size, mode="bilinear", antialias=True)
        return self.model({"images": crops})


def packaged_encoder(path: str = "packaged", device: str | torch.device = "cpu") -> PackagedEncoder:
    """The encoder in a file of tools/pretrain_encoder.py, by default the one in this package.

    Raises:
        ConfigError: there is none, it can not be read, or it is of something else.
    """
    model, cfg = packaged_baseline(path, device)
    return PackagedEncoder(model, tuple(cfg.INPUT.SIZE_TEST))


def packaged_baseline(
    path: str = "packaged", device: str | torch.device = "cpu"
) -> tuple[nn.Module, CfgNode]:
    """The toolbox ``Baseline`` of :func:`packaged_encoder`, and its configuration.

    Raises:
        ConfigError: as :func:`packaged_encoder`.
    """
    path = weights_file(path)
    state, made_with = read_weights(path)
    if "architecture" not in made_with:
        raise ConfigError(
            f"{path} is no encoder's: give a file that tools/pretrain_encoder.py has written."
        )
    made = made_with["architecture"]
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "Baseline"
    cfg.MODEL.DEVICE = str(device)
    for part in ("BACKBONE", "HEADS"):
        cfg.MODEL[part].update(made[part])
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = made["PIXEL_MEAN"], made["PIXEL_STD"]
    cfg.INPUT.SIZE_TRAIN = cfg.INPUT.SIZE_TEST = made["SIZE"]
    model = build_model(cfg)
    missing, strange = model.load_state_dict(state, strict=False)
    if strange or [name for name in missing if name != "heads.weight"]:
        raise ConfigError(f"{path} is not whole: fetch or make it anew.")
    return model, cfg
