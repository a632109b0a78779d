"""The networks of GCL; importing registers them in the toolbox."""

from .backbones import EfficientNetLite0, build_efficientnet_lite0_backbone
from .discriminator import MultiScaleDiscriminator
from .generator import StructureEncoder, ViewGenerator
from .heads import CameraNorm, IdentityHead
from .memory import MemoryBank
from .meta_arch import GCL

__all__ = [
    "CameraNorm",
    "EfficientNetLite0",
    "GCL",
    "IdentityHead",
    "MemoryBank",
    "MultiScaleDiscriminator",
    "StructureEncoder",
    "ViewGenerator",
    "build_efficientnet_lite0_backbone",
]
