"""The encoder of a finished run, of one of its checkpoints or of this package, without what trained
it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from fastreid.config import CfgNode, get_cfg
from fastreid.modeling.meta_arch.baseline import Baseline
from torch import Tensor, nn

from gcl.config import OWN_CROPS, ConfigError, add_gcl_config, merge_file
from gcl.data.crop_list import CROPS, read_list
from gcl.modeling import RunningNorm
from gcl.modeling.encoder_check import build_encoder, build_identity_head
from gcl.modeling.encoder_weights import packaged_baseline, weights_file

CONFIG = "config.yaml"
FINAL = "model_final.pth"
LAST = "last_checkpoint"


@dataclass(frozen=True)
class TrainedEncoder:
    """Attributes:
    model: a toolbox ``Baseline`` in evaluation mode, with the head that it was trained with.
    cfg: what it was trained by.
    path: file of the weights.
    folder: of the run; "": the weights came with a package, or are of no run.
    cameras: number of each camera of which the head has statistics, by its name; the names of
        data sets of the toolbox are its numbers.
    """

    model: Baseline
    cfg: CfgNode
    path: str
    folder: str
    cameras: dict[str, int]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of what the backbone sees."""
        return tuple(self.cfg.INPUT.SIZE_TEST)

    @property
    def camera_norm(self) -> RunningNorm | None:
        """The cameras' statistics, of a run with GCL.CAMERA_NORM."""
        return getattr(self.model.heads, "camera_norm", None)


def open_encoder(source: str | os.PathLike, device: str | torch.device = "cpu") -> TrainedEncoder:
    """The encoder that ``source`` means.

    Args:
        source: OUTPUT_DIR of a run: its model_final.pth or, before there is one, its last
            checkpoint; a checkpoint with the run's config.yaml beside it; a file of
            tools/pretrain_encoder.py; or "packaged", the one in this package.

    Raises:
        ConfigError: there is nothing of that kind, or it can not be read.
    """
    source = os.fspath(source)
    if source == "packaged" or source.endswith(".safetensors"):
        path = weights_file(source)
        if not os.path.isfile(path):
            raise ConfigError(f"{path} is not a file.")
        model, cfg = packaged_baseline(path, device)
        return TrainedEncoder(model.eval().requires_grad_(False), cfg, path, "", {})
    path = _checkpoint_in(source) if os.path.isdir(source) else source
    if not os.path.isfile(path):
        raise ConfigError(
            f"{source} is neither OUTPUT_DIR of a run, nor a checkpoint, nor 'packaged'."
        )
    folder = os.path.dirname(path)
    cfg = _configuration(os.path.join(folder, CONFIG), path)
    model = _model(cfg)
    _load(model, path)
    model.to(device).eval().requires_grad_(False)
    return TrainedEncoder(model, cfg, path, folder or ".", _cameras(model, cfg, folder))


def _checkpoint_in(folder: str) -> str:
    # not the final one first: of a run that was there before, it is in the way until this one ends
    try:
        with open(os.path.join(folder, LAST), encoding="utf-8") as file:
            name = file.read().strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    for path in (os.path.join(folder, name or FINAL), os.path.join(folder, FINAL)):
        if os.path.isfile(path):
            return path
    raise ConfigError(
        f"{folder} has no {FINAL}, and no checkpoint that {LAST} names: give OUTPUT_DIR of a run"
        " that has ended an epoch, or a checkpoint."
    )


def _configuration(path: str, checkpoint: str) -> CfgNode:
    if not os.path.isfile(path):
        raise ConfigError(
            f"{checkpoint} has no {CONFIG} beside it, which says what it is of: copy that of the"
            " run there."
        )
    cfg = get_cfg()
    add_gcl_config(cfg)
    try:
        merge_file(cfg, path)
    except Exception as error:  # of a damaged file it can be nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{path} is no configuration ({reason}).") from error
    if cfg.MODEL.META_ARCHITECTURE not in ("GCL", "Baseline"):
        raise ConfigError(
            f"{path}: MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}, and only the"
            " encoders of GCL and Baseline can be used here."
        )
    cfg.MODEL.BACKBONE.PRETRAIN = False  # everything comes from the checkpoint
    cfg.MODEL.HEADS.NUM_CLASSES = 1
    return cfg


def _model(cfg: CfgNode) -> Baseline:
    """The backbone and the head alone: no generator, discriminator or memory."""
    if cfg.MODEL.META_ARCHITECTURE == "GCL":
        heads = build_identity_head(cfg)
    else:
        heads = Baseline.from_config(cfg)["heads"]
    return Baseline(
        backbone=build_encoder(cfg),
        heads=heads,
        pixel_mean=cfg.MODEL.PIXEL_MEAN,
        pixel_std=cfg.MODEL.PIXEL_STD,
    )


def _load(model: nn.Module, path: str) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model"]
        state = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    except Exception as error:  # a damaged file can raise nearly anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{path} is no checkpoint that can be read ({reason}).") from error
    wanted = {k: v for k, v in model.state_dict().items() if k != "heads.weight"}  # classes
    other = [k for k, v in wanted.items() if k not in state or state[k].shape != v.shape]
    if other:
        raise ConfigError(
            f"{path} is not of the run of the {CONFIG} beside it ({len(other)} weights do not fit,"
            f" the first {other[0]}): give both of one run."
        )
    if broken := [k for k in wanted if not state[k].isfinite().all()]:
        raise ConfigError(
            f"{path} holds weights that are no numbers, the first {broken[0]}: its run has"
            " diverged, give an earlier checkpoint."
        )
    model.load_state_dict({k: state[k] for k in wanted}, strict=False)


def _cameras(model: Baseline, cfg: CfgNode, folder: str) -> dict[str, int]:
    norm = getattr(model.heads, "camera_norm", None)
    if norm is None:
        return {}
    seen = torch.nonzero(norm.count[1:, 0] > 0).flatten().tolist()
    if OWN_CROPS not in cfg.DATASETS.NAMES:
        return {str(number): number for number in seen}
    if not os.path.isfile(os.path.join(folder, CROPS)):
        return {}  # nobody knows which camera had which number
    names = read_list(cfg.GCL.DATA.FOLDER, folder).cameras
    return {name: number for number, name in enumerate(names) if number in seen}
