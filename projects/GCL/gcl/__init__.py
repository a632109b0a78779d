"""Joint generative and contrastive learning (GCL, CVPR 2021) for fast-reid.

Importing lets threads share the machine (:mod:`gcl.threads`), adapts fastreid 1.4.0 to a current
stack (:mod:`gcl.compat`) and registers the models and the drawn data sets.
:class:`gcl.inference.ReID` is imported when it is first asked for.
"""

from . import threads  # noqa: I001  first: it says how the threads of torch wait
from . import compat  # before fastreid, which does not import without it
from . import data, modeling, synthetic
from .config import ConfigError, add_gcl_config, check_gcl_config

__all__ = [
    "ConfigError",
    "ReID",
    "add_gcl_config",
    "check_gcl_config",
    "compat",
    "data",
    "modeling",
    "synthetic",
    "threads",
]


def __getattr__(name: str) -> object:
    if name == "ReID":  # commands that train have no use for it
        from .inference import ReID

        return ReID
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
