"""Architectures and backbones of the toolbox."""

import importlib
import os
from collections.abc import Callable
from typing import Any

import torch

from .patching import View, replace


def normalise_once() -> None:
    """Normalise a copy of the images.

    Why: preprocess_image subtracts the mean in place, in the caller's batch.
    Symptom: a flip test (TEST.FLIP.ENABLED) normalises the flipped images a second time: its
        features are wrong (cosine to the right ones 0.98 on an untrained ResNet-18); whoever shows
        the batch after a forward pass sees images in -2..3.
    Versions: all.
    Until: fastreid's preprocess_image is out of place.
    """

    def of_a_copy(original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def preprocess_image(self: Any, batched_inputs: Any) -> torch.Tensor:
            images = batched_inputs
            if isinstance(batched_inputs, dict):
                images = batched_inputs["images"]
            return original(self, images.clone() if torch.is_tensor(images) else images)

        return preprocess_image

    meta_arch = importlib.import_module("fastreid.modeling.meta_arch")
    for architecture in (meta_arch.baseline.Baseline, meta_arch.mgn.MGN):  # the others inherit it
        replace(architecture, "preprocess_image", of_a_copy)


def regnet_files() -> None:
    """Find the yaml files of RegNet and EfficientNet beside fastreid, where they are.

    Why: their paths begin at the root of fastreid's repository.
    Symptom: `FileNotFoundError: fastreid/modeling/backbones/regnet/...yaml` from any other folder.
    Versions: all, with build_regnet_backbone and build_effnet_backbone.
    Until: fastreid makes the paths from __file__.
    """
    root = os.path.dirname(os.path.dirname(importlib.import_module("fastreid").__file__))

    def beside_fastreid(config: Any) -> View:
        return View(
            config, merge_from_file=lambda file: config.merge_from_file(os.path.join(root, file))
        )

    for name in ("regnet", "effnet"):
        module = importlib.import_module(f"fastreid.modeling.backbones.regnet.{name}")
        replace(module, f"{name}_cfg", beside_fastreid)


class NotFetchedError(OSError):
    """ImageNet weights are not on this machine and can not be fetched; says where to put them."""


def told_where_weights_go() -> None:
    """Say which file of ImageNet weights to put where, when it can not be fetched.

    Why: the toolbox lets the failure of the connection through.
    Symptom: `ConnectionError: HTTPSConnectionPool(host='download.pytorch.org', ...` and no remedy.
    Versions: all, with MODEL.BACKBONE.PRETRAIN and the backbones below.
    Until: fastreid says it.
    """
    for name in ("resnet", "resnext", "osnet", "regnet.effnet", "regnet.regnet"):
        module = importlib.import_module(f"fastreid.modeling.backbones.{name}")

        def told(original: Callable[..., Any], module: Any = module) -> Callable[..., Any]:
            def init_pretrained_weights(*arguments: Any) -> Any:
                url = module.model_urls[arguments[-1]]  # osnet's takes a model first
                try:
                    return original(*arguments)
                except Exception as error:
                    place = _cached(module, url, arguments[-1])
                    if os.path.isfile(place):  # it is another failure
                        raise
                    raise NotFetchedError(
                        f"ImageNet weights can not be fetched ({type(error).__name__}): put the"
                        f" file {url} as {place}, or anywhere with MODEL.BACKBONE.PRETRAIN_PATH;"
                        " MODEL.WEIGHTS <file> needs none."
                    ) from error

            return init_pretrained_weights

        replace(module, "init_pretrained_weights", told)


def _cached(module: Any, url: str, key: str) -> str:
    """Where the toolbox keeps a file that it fetches."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch")))
    name = f"{key}_imagenet.pth" if module.__name__.endswith("osnet") else url.split("/")[-1]
    return os.path.join(home, "checkpoints", name)
