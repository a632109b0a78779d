"""From the files of mesh-recovery tools to :class:`~gcl.structure.geometry.Geometry`.

:func:`open_adapter` gives a function from a crop's path to its mesh, for any of :data:`ADAPTERS`.
"""

from .crop_names import CROP_NAMES
from .files_of_crops import NobodyError
from .payload import PayloadError, read_payload
from .tool_folder import ADAPTERS, Adapter, open_adapter

__all__ = [
    "ADAPTERS",
    "CROP_NAMES",
    "Adapter",
    "NobodyError",
    "PayloadError",
    "open_adapter",
    "read_payload",
]
