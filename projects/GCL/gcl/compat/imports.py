"""What fastreid needs in order to be imported at all."""

import collections
import collections.abc
import contextlib
import importlib
import importlib.metadata
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator

import torch

TESTED = "1.4.0"

#: Dropping a torch.library.Library takes its operators away again.
_TORCHVISION_LIBRARY: list[torch.library.Library] = []


def check_version() -> None:
    """Say in one sentence when fastreid is missing; warn when it is not the tested version.

    Raises:
        ImportError: fastreid is not installed.
    """
    if importlib.util.find_spec("fastreid") is None:
        # pip can not resolve fastreid's own pins (torch 1.13.1), so it is in nobody's requirements.
        raise ImportError(
            f"gcl needs the toolbox fastreid, which pip can not resolve beside a current torch: "
            f"run `pip install --no-deps fastreid=={TESTED}`"
        )
    try:
        version = importlib.metadata.version("fastreid")
    except importlib.metadata.PackageNotFoundError:
        version = "of unknown version"
    if version != TESTED:
        warnings.warn(
            f"gcl was tested with fastreid {TESTED} and this is fastreid {version}: what it adapts "
            f"may differ (`pip install --no-deps fastreid=={TESTED}` brings the tested one)",
            stacklevel=2,
        )


@contextlib.contextmanager
def torchvision_ops() -> Iterator[None]:
    """Declare two operators of torchvision where its compiled part can not be loaded.

    Why: PyPI's torchvision is built for CUDA. Beside a CPU torch its library does not load, and
        its Python part then describes operators that nobody has declared. Only transforms are used.
    Symptom: `RuntimeError: operator torchvision::nms does not exist` on `import torchvision`.
    Versions: torchvision >= 0.19 beside a torch of another build (CPU, or another CUDA).
    Until: torchvision can be imported without its library. Does nothing where the import works.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(
                f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        _TORCHVISION_LIBRARY.append(library)
        importlib.import_module("torchvision")
    yield


@contextlib.contextmanager
def torch_six() -> Iterator[None]:
    """Lend fastreid the module torch._six for the length of its import.

    Why: fastreid.data.build takes `string_classes` from it.
    Symptom: `ModuleNotFoundError: No module named 'torch._six'`.
    Versions: torch >= 2.0.
    Until: the fix in fastreid's repository (pull request 692) reaches PyPI.
    """
    if importlib.util.find_spec("torch._six") is not None:
        yield
        return
    module = types.ModuleType("torch._six")
    module.string_classes = (str, bytes)  # type: ignore[attr-defined]
    sys.modules["torch._six"] = module
    try:
        yield
    finally:  # other libraries test for it to learn how old torch is
        del sys.modules["torch._six"]


@contextlib.contextmanager
def collections_mapping() -> Iterator[None]:
    """Lend fastreid the old name collections.Mapping for the length of its import.

    Why: fastreid.data.build and fastreid.evaluation.testing import it from there.
    Symptom: `ImportError: cannot import name 'Mapping' from 'collections'`.
    Versions: Python >= 3.10.
    Until: fastreid's pull request 713 or 747 is released.
    """
    if hasattr(collections, "Mapping"):
        yield
        return
    collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del collections.Mapping  # type: ignore[attr-defined]
