"""A training step of every phase asks nothing of what its tensors hold: no number is read by the
host, and no size depends on one. A GPU then never waits for the host."""

from __future__ import annotations

import pytest
import torch
from fastreid.config import CfgNode
from modeling.test_meta_arch import ATTENTION, INTER, STAYS, make_batch, make_model
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gcl.modeling import GCL

READS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""Of operations that hand a number to the host (item), or whose result's size is one (nonzero)."""


class AskingNothing(TorchDispatchMode):
    """Fails where an operation needs to know what is in a tensor."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function._schema.name in ("aten::index", "aten::index_put_", "aten::index_put"):
            kinds = [part.dtype for part in tree_leaves(args[1]) if isinstance(part, Tensor)]
            asks = torch.bool in kinds or torch.uint8 in kinds  # by a mask, not by rows
        else:
            asks = any(tag in function.tags for tag in READS)
        if asks:
            raise AssertionError(f"{function} asks what is in a tensor")
        return function(*args, **kwargs or {})


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x[x > 0],
        lambda x: x.__setitem__(x > 0, 1.0),
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x.nonzero(),
        lambda x: x.unique(),
        lambda x: x.masked_select(x > 0),
        lambda x: x.repeat_interleave(x.long()),
    ],
)
def test_questions_are_noticed(ask):
    with pytest.raises(AssertionError, match="asks what is in a tensor"), AskingNothing():
        ask(torch.ones(3))


def test_arithmetic_is_no_question():
    with AskingNothing():
        x = torch.arange(3.0)
        x[torch.tensor([0, 2])] = 1.0
        x.index_add_(0, torch.tensor([1, 1]), torch.where(x[:2] > 0, x[:2], 0.0))


SMALL_BANK = ("MODEL.LOSSES.VIEW.NUM_NEGATIVES", 8192)
DRAWN = ("MODEL.LOSSES.VIEW.NUM_NEGATIVES", 3)
EVERYTHING = ("GCL.JOINT.SWAP_BACKGROUNDS", True, "GCL.JOINT.UNTURNED", 0.5)
CASES = {
    "contrast": ("contrast", ()),
    "generator": ("generator", ()),
    "generator by attention": ("generator", ATTENTION),
    "joint": ("joint", EVERYTHING),
    "joint by attention": ("joint", (*ATTENTION, *EVERYTHING, "GCL.GENERATOR.SIZE", [32, 32])),
    "joint, apart": ("joint", ("GCL.JOINT.LEARNS", "apart", *EVERYTHING)),
    "joint, the encoder alone": ("joint", (*ATTENTION, *STAYS, *EVERYTHING)),
    "joint, with a source": ("joint", (*EVERYTHING, "GCL.SOURCE.NAMES", ("Market1501",))),
    "contrast between cameras": ("contrast", INTER),
    "tracks as views": ("contrast", ()),
    "joint, tracks as views": ("joint", ("GCL.JOINT.LEARNS", "encoder", "GCL.JOINT.UNTURNED", 0.5)),
    "negatives of the own camera": ("contrast", ("MODEL.LOSSES.VIEW.NEGATIVE_CAMERAS", "own")),
}


def model_and_batch(tiny_cfg, case: str, *pairs: object) -> tuple[CfgNode, GCL, dict]:
    """A configuration, its model in the phase of the case, and a batch with an outlier in it."""
    phase, own = CASES[case]
    norms = ("GCL.CAMERA_NORM", True, "GCL.GENERATOR.CODE_NORM", True)
    cfg = tiny_cfg(*norms, *pairs, *own)
    size = tuple(cfg.GCL.GENERATOR.SIZE) if cfg.GCL.GENERATOR.SIZE[0] else (64, 32)
    if size == (32, 32):
        cfg.GCL.DISCRIMINATOR.NUM_SCALES = 2
    model, batch = make_model(cfg, phase), make_batch(view_size=size)
    model.bank.labels[0] = -1
    if model.source is not None:
        model.source.centroids = torch.eye(3, 16, device=model.device)
        source = make_batch(9) | {"targets": torch.tensor([0, 2, 2, 0])}
        batch |= {f"source_{key}": source[key] for key in ("images", "targets", "camids")}
    if "tracks as views" in case:
        batch["images_mate"] = make_batch(5)["images"]
    if model.proxies is not None:
        model.proxies.build(model.bank)
    return cfg, model, batch


@pytest.mark.parametrize("negatives", [SMALL_BANK, DRAWN], ids=["all", "drawn"])
@pytest.mark.parametrize("case", CASES)
def test_a_step_asks_nothing(tiny_cfg, case, negatives):
    _, model, batch = model_and_batch(tiny_cfg, case, *negatives)
    with AskingNothing():
        losses = model(batch)
        sum(losses.values()).backward()
        model.update_memory()
    assert all(loss.isfinite() for loss in losses.values())
