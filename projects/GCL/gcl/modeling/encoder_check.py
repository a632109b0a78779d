"""Any backbone of the toolbox is E_id, or is refused before any work with a sentence that says why.

Shapes: B batch, C channels of the backbone's last map, h x w its positions.
"""

from __future__ import annotations

import logging

import torch
from fastreid.modeling.backbones import BACKBONE_REGISTRY, build_backbone
from fastreid.modeling.heads import build_heads
from fastreid.utils import comm
from torch import Tensor, nn

from gcl.compat import NotFetchedError
from gcl.config import ConfigError

from .heads import IdentityHead

logger = logging.getLogger(__name__)


def build_encoder(cfg) -> nn.Module:
    """The backbone of MODEL.BACKBONE.

    Raises:
        ConfigError: there is none of that name, or it can not be built as the other keys say.
        NotFetchedError: its ImageNet weights are not here and can not be fetched.
    """
    node = cfg.MODEL.BACKBONE
    try:
        BACKBONE_REGISTRY.get(node.NAME)
    except KeyError as error:
        raise ConfigError(
            f"MODEL.BACKBONE.NAME is {node.NAME!r}, which is not in BACKBONE_REGISTRY: choose from"
            f" {', '.join(BACKBONE_REGISTRY._obj_map)}, or register your own."
        ) from error
    try:
        return build_backbone(cfg)
    except NotFetchedError:
        raise
    except (KeyError, ValueError, RuntimeError, ImportError, OSError) as error:
        reason = f"{type(error).__name__} {error}".strip().splitlines()[0]
        what, remedy = f"DEPTH {node.DEPTH!r}, NORM {node.NORM!r}", "give a DEPTH and NORM it has"
        if node.PRETRAIN:
            what += f", PRETRAIN True and PRETRAIN_PATH {node.PRETRAIN_PATH!r}"
            remedy += ", and a file of its weights as PRETRAIN_PATH, or set PRETRAIN False"
        raise ConfigError(
            f"MODEL.BACKBONE.NAME {node.NAME} can not be built with {what} ({reason}): {remedy}."
        ) from error


def build_identity_head(cfg) -> nn.Module:
    """The head of MODEL.HEADS.

    Raises:
        ConfigError: it can not be built as the keys say, or is none that GCL can train.
    """
    node = cfg.MODEL.HEADS
    try:
        heads = build_heads(cfg)
    except (KeyError, ValueError, AttributeError, AssertionError) as error:
        raise ConfigError(
            f"MODEL.HEADS.NAME {node.NAME} can not be built with NORM {node.NORM!r}, POOL_LAYER"
            f" {node.POOL_LAYER!r} and CLS_LAYER {node.CLS_LAYER!r} ({type(error).__name__}"
            f" {error}): give what it knows, as IdentityHead, BN, GlobalAvgPool and Linear."
        ) from error
    if not isinstance(heads, IdentityHead):
        raise ConfigError(
            f"MODEL.HEADS.NAME is {node.NAME}, which GCL can not train: set it to IdentityHead, or"
            " to a head of your own that is one."
        )
    return heads


@torch.no_grad()
def check_encoder(cfg, backbone: nn.Module, heads: nn.Module, num_parts: int) -> None:
    """Show E_id one blank crop of each size, in evaluation mode: nothing random is asked for and no
    statistic moves.

    Args:
        num_parts: stripes of the part code that G knows a crop by; 0: it knows none.

    Raises:
        ConfigError: GCL can not train with this backbone, or not what it is asked to.
    """
    name = cfg.MODEL.BACKBONE.NAME
    _check_norms(cfg, backbone)
    modes = [(module, module.training) for module in backbone.modules()]
    backbone.eval()
    for key, size in (("TEST", cfg.INPUT.SIZE_TEST), ("TRAIN", cfg.INPUT.SIZE_TRAIN)):
        blank = torch.zeros(1, 3, *size, device=next(backbone.parameters()).device)
        try:
            feature_map = backbone(blank)
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(
                f"MODEL.BACKBONE.NAME {name} can not take crops of INPUT.SIZE_{key}"
                f" {size[0]} x {size[1]} ({reason}): set another size."
            ) from error
        _check_map(cfg, feature_map, heads)
    for module, mode in modes:
        module.training = mode
    rows = feature_map.shape[2]
    if rows == 1 < num_parts:
        raise ConfigError(
            f"MODEL.BACKBONE.NAME {name} knows a crop of INPUT.SIZE_TRAIN by one vector, and"
            f" {cfg.GCL.GENERATOR.NAME} by GCL.GENERATOR.NUM_PARTS = {num_parts} stripes of a"
            " feature map: it can do the phase contrast, and generator and joint with"
            " GCL.GENERATOR.NAME AttentionViewGenerator or NUM_PARTS 1."
        )
    if rows < num_parts:
        logger.warning(
            "MODEL.BACKBONE.NAME %s makes %d rows of a crop of INPUT.SIZE_TRAIN, of which"
            " GCL.GENERATOR.NUM_PARTS %d stripes are cut: some are the same. Lower NUM_PARTS, or"
            " give larger crops.",
            name,
            rows,
            num_parts,
        )


def _check_norms(cfg, backbone: nn.Module) -> None:
    norms = [m for m in backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if cfg.GCL.FREEZE_BN and not norms:
        raise ConfigError(
            f"GCL.FREEZE_BN is True, but MODEL.BACKBONE.NAME {cfg.MODEL.BACKBONE.NAME} with NORM"
            f" {cfg.MODEL.BACKBONE.NORM} has no batch norm that learns statistics: leave it out."
        )
    names = (cfg.MODEL.BACKBONE.NORM, cfg.MODEL.HEADS.NORM)
    # torch's synchronised batch norm shares its statistics by CUDA alone
    if "syncBN" in names and comm.get_world_size() > 1 and not _on_gpu(cfg):
        raise ConfigError(
            f"MODEL.BACKBONE.NORM or MODEL.HEADS.NORM is syncBN, which {comm.get_world_size()}"
            " processes can share on GPUs only: set BN."
        )


def _on_gpu(cfg) -> bool:
    return str(cfg.MODEL.DEVICE).startswith("cuda")


def _check_map(cfg, feature_map: object, heads: nn.Module) -> None:
    """E_id's last map is (B, C, h, w), and the head makes FEAT_DIM = C features of it."""
    name, wanted = cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.FEAT_DIM
    if not isinstance(feature_map, Tensor) or feature_map.ndim != 4:
        found = type(feature_map).__name__
        if isinstance(feature_map, Tensor):
            found = f"a tensor of shape {tuple(feature_map.shape)}"
        raise ConfigError(
            f"MODEL.BACKBONE.NAME {name} puts out {found}, no feature map (B, C, h, w): it can do"
            " no phase of GCL, choose another."
        )
    channels = feature_map.shape[1]
    if channels != wanted:
        raise ConfigError(
            f"MODEL.BACKBONE.FEAT_DIM is {wanted}, but {name} of DEPTH"
            f" {cfg.MODEL.BACKBONE.DEPTH!r} puts out {channels} channels: set it to {channels}."
        )
    pooled = heads.pool(feature_map).shape[1]
    if pooled != channels:
        raise ConfigError(
            f"MODEL.HEADS.POOL_LAYER {cfg.MODEL.HEADS.POOL_LAYER} makes {pooled} features of"
            f" {channels} channels: choose one that makes one of each, as GlobalAvgPool does."
        )
