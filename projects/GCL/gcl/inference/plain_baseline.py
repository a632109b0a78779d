"""A trained encoder as a checkpoint of the toolbox's own ``Baseline``, which needs nothing of ours.

Where the head standardises by camera, a ``Baseline`` can not: it does not know cameras. Of one row
of statistics, mean m and deviation s, the standardisation (x - m) / s is an affine map of each
channel, and goes into what follows it: the head's batch norm or, before that, its embedding layer.
Shapes: C pooled channels, D embedding.
"""

from __future__ import annotations

import io
import os

import torch
from fastreid.config import CfgNode, get_cfg
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.heads.embedding_head import EmbeddingHead
from fastreid.modeling.meta_arch.baseline import Baseline
from torch import Tensor, nn

from gcl.atomic_files import atomic
from gcl.config import ConfigError
from gcl.modeling import IdentityHead
from gcl.structure import efficientnet

from .trained_encoder import CONFIG, FINAL, TrainedEncoder

BATCH_NORM = nn.modules.batchnorm._BatchNorm

REGISTRATION = '''

from fastreid.modeling.backbones import BACKBONE_REGISTRY  # noqa: E402


@BACKBONE_REGISTRY.register()
def build_efficientnet_lite0_backbone(cfg) -> EfficientNetLite0:
    """FEAT_DIM 1280; PIXEL_MEAN = PIXEL_STD = [127.5, 127.5, 127.5]."""
    return EfficientNetLite0(cfg.MODEL.BACKBONE.LAST_STRIDE)
'''
BACKBONE_FILE = "efficientnet_lite0.py"


def plain_baseline(encoder: TrainedEncoder, camera: int = -1) -> tuple[Baseline, CfgNode]:
    """The toolbox's model with the features of ``encoder``, and the configuration that builds it,
    of keys of the toolbox alone.

    Args:
        camera: number of the camera by whose statistics it standardises; -1: those of all training
            images. Nothing, where the encoder has none.

    Raises:
        ConfigError: the head is one that the toolbox does not have.
    """
    source = encoder.model.heads
    ours = type(source) in (IdentityHead, EmbeddingHead)
    if not ours or not all(isinstance(m, nn.Conv2d | BATCH_NORM) for m in source.bottleneck):
        node = encoder.cfg.MODEL.HEADS
        raise ConfigError(
            f"{encoder.path}: a head of MODEL.HEADS.NAME {node.NAME} and NORM {node.NORM} can be"
            " used here, but not written for other tools."
        )
    cfg, folds = _toolbox_cfg(encoder.cfg), encoder.camera_norm is not None
    if folds and not cfg.MODEL.HEADS.WITH_BNNECK:  # the shift needs a place
        cfg.MODEL.HEADS.WITH_BNNECK, cfg.MODEL.HEADS.NORM = True, "BN"
    heads = EmbeddingHead(cfg)
    if folds:
        mean, deviation = encoder.camera_norm.mean_and_deviation()
        _fold(source.bottleneck, heads.bottleneck, mean[camera + 1], deviation[camera + 1])
    else:
        heads.bottleneck.load_state_dict(source.bottleneck.state_dict())
    heads.pool_layer.load_state_dict(source.pool_layer.state_dict())
    nn.init.zeros_(heads.weight)  # classes are not features' business
    model = Baseline(
        backbone=encoder.model.backbone,
        heads=heads,
        pixel_mean=cfg.MODEL.PIXEL_MEAN,
        pixel_std=cfg.MODEL.PIXEL_STD,
    )
    return model.to(encoder.model.device).eval().requires_grad_(False), cfg


def _toolbox_cfg(cfg: CfgNode) -> CfgNode:
    plain = get_cfg()
    plain.MODEL.META_ARCHITECTURE = "Baseline"
    for part in ("BACKBONE", "HEADS"):
        known = plain.MODEL[part]
        known.update({k: v for k, v in cfg.MODEL[part].items() if k in known})
    plain.MODEL.BACKBONE.PRETRAIN, plain.MODEL.BACKBONE.PRETRAIN_PATH = False, ""
    plain.MODEL.HEADS.NAME, plain.MODEL.HEADS.NUM_CLASSES = "EmbeddingHead", 1
    plain.MODEL.PIXEL_MEAN, plain.MODEL.PIXEL_STD = cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD
    plain.INPUT.SIZE_TRAIN = list(cfg.INPUT.SIZE_TRAIN)
    plain.INPUT.SIZE_TEST = list(cfg.INPUT.SIZE_TEST)
    plain.INPUT.CROP.update(cfg.INPUT.CROP)
    return plain


@torch.no_grad()
def _fold(source: nn.Sequential, target: nn.Sequential, mean: Tensor, deviation: Tensor) -> None:
    """Make target(x) = source((x - mean) / deviation); in float64, rounded once.

    An embedding layer W (no bias) becomes W / deviation, and leaves W mean / deviation over. A
    batch norm's running mean r of what was shifted by t and scaled by s becomes r s + t, and its
    weight w becomes w / s.
    """
    mean, deviation = mean.double(), deviation.double()
    for convolution in (m for m in source if isinstance(m, nn.Conv2d)):
        weight = convolution.weight.double() / deviation[None, :, None, None]
        target[0].weight.copy_(weight)
        mean = (weight[:, :, 0, 0] * mean).sum(1)
        deviation = torch.ones_like(mean)
    norm = target[-1]
    own = next((m for m in source if isinstance(m, BATCH_NORM)), None)
    if own is None:  # one that changes nothing
        own = nn.BatchNorm2d(len(mean), device=mean.device)
        own.running_var.fill_(1 - norm.eps)
    norm.running_mean.copy_(own.running_mean.double() * deviation + mean)
    norm.running_var.copy_(own.running_var)
    norm.weight.copy_(own.weight.double() / deviation)
    norm.bias.copy_(own.bias)


def _decisive(cfg: CfgNode) -> CfgNode:
    """The keys that features depend on."""
    model = ("META_ARCHITECTURE", "BACKBONE", "HEADS", "PIXEL_MEAN", "PIXEL_STD")
    sizes = ("SIZE_TRAIN", "SIZE_TEST", "CROP")
    return CfgNode(
        {
            "MODEL": {key: cfg.MODEL[key] for key in model},
            "INPUT": {key: cfg.INPUT[key] for key in sizes},
        }
    )


def write_baseline(model: Baseline, cfg: CfgNode, folder: str) -> list[str]:
    """Write model_final.pth, config.yaml and, where the toolbox does not know the backbone of this
    package, a Python file that registers it there.

    Returns:
        The files' paths.

    Raises:
        OSError: one can not be written.
    """
    os.makedirs(folder, exist_ok=True)
    state = {k: v.cpu().contiguous() for k, v in model.state_dict().items()}
    content = io.BytesIO()
    torch.save({"model": state}, content)
    files = {FINAL: content.getvalue(), CONFIG: _decisive(cfg).dump().encode()}
    if cfg.MODEL.BACKBONE.NAME == "build_efficientnet_lite0_backbone":
        with open(efficientnet.__file__, encoding="utf-8") as file:
            files[BACKBONE_FILE] = (file.read() + REGISTRATION).encode()
    paths = []
    for name, data in files.items():
        paths.append(os.path.join(folder, name))
        with atomic(paths[-1]) as file:
            file.write(data)
    return paths


def foreign_backbone(cfg: CfgNode) -> str:
    """Module of a backbone that is neither the toolbox's nor this package's; "": it is."""
    module = BACKBONE_REGISTRY.get(cfg.MODEL.BACKBONE.NAME).__module__
    return "" if module.startswith(("fastreid.", "gcl.")) else module
