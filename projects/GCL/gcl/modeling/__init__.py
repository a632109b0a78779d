"""The networks of GCL; importing registers them in the toolbox."""

from .attention_generator import AttentionViewGenerator
from .backbones import EfficientNetLite0, build_efficientnet_lite0_backbone
from .discriminator import MultiScaleDiscriminator
from .encoder_weights import packaged_encoder
from .generator import StructureEncoder, ViewGenerator
from .heads import IdentityHead
from .layers import RunningNorm
from .memory import MemoryBank
from .meta_arch import GCL
from .source_term import SourceTerm

__all__ = [
    "AttentionViewGenerator",
    "EfficientNetLite0",
    "GCL",
    "IdentityHead",
    "MemoryBank",
    "MultiScaleDiscriminator",
    "RunningNorm",
    "SourceTerm",
    "StructureEncoder",
    "ViewGenerator",
    "build_efficientnet_lite0_backbone",
    "packaged_encoder",
]
