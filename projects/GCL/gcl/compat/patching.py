"""How an adaptation replaces one name of the toolbox."""

import sys
from collections.abc import Callable
from typing import Any


def _originals() -> dict[str, Any]:
    # Kept on fastreid itself, so that a reload of ours finds the toolbox's objects and not our own.
    return vars(sys.modules["fastreid"]).setdefault("_gcl_originals", {})


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Bind `make(original)` to `name` in a module or class; the original is the toolbox's, always.

    Args:
        owner: an imported fastreid module, or a class of one.
        name: what to rebind there.
        make: gets the toolbox's own object and returns what takes its place.
    """
    path = owner.__name__
    if isinstance(owner, type):
        path = f"{owner.__module__}.{owner.__qualname__}"
    original = _originals().setdefault(f"{path}.{name}", getattr(owner, name))
    setattr(owner, name, make(original))


def stock(path: str) -> Any:
    """The toolbox's own object behind an adapted name.

    Args:
        path: module, class if any, and name: "fastreid.evaluation.rank.evaluate_py".

    Raises:
        KeyError: nothing of that name is adapted (`GCL_COMPAT_SKIP` counts as not adapted).
    """
    return _originals()[path]


class View:
    """A module (or any object) with a few attributes exchanged, for one module that looks it up."""

    def __init__(self, target: Any, **exchanged: Any) -> None:
        self._target = target
        vars(self).update(exchanged)

    def __getattr__(self, name: str) -> Any:  # only called for what is not exchanged
        return getattr(vars(self)["_target"], name)
