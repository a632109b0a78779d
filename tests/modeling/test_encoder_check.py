"""Every backbone of the toolbox's registry trains in every phase, or is refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fastreid.config import CfgNode
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from fastreid.modeling.meta_arch import build_model
from torch import Tensor, nn

from gcl import ConfigError
from gcl.modeling import GCL

NUM_IMAGES = 8
SIZE = (64, 32)

# NAME (without build_ and _backbone), DEPTH, channels of the last map, other keys of MODEL.BACKBONE
TRAINED = [
    ("resnet", "18x", 512, ("WITH_SE", True, "NORM", "GN")),
    ("resnet", "50x", 2048, ("WITH_NL", True, "WITH_IBN", True)),
    ("osnet", "x0_25", 128, ()),
    ("osnet", "x0_25", 128, ("WITH_IBN", True, "NORM", "syncBN")),
    ("osnet", "x0_25", 128, ("NORM", "GhostBN")),
    ("osnet", "x0_25", 128, ("NORM", "FrozenBN")),
    ("resnest", "50x", 2048, ()),
    ("resnext", "50x", 2048, ("WITH_IBN", True)),
    ("regnet", "200x", 368, ()),
    ("regnet", "200y", 368, ()),
    ("effnet", "b0", 1280, ()),
    ("shufflenetv2", "0.5x", 1024, ()),
    ("mobilenetv2", "0.1x", 1280, ()),
    ("mobilenetv3", "Small", 1024, ()),
    ("repvgg", "A0", 1280, ()),
    ("vit", "small", 768, ("STRIDE_SIZE", [16, 16])),
    ("efficientnet_lite0", "", 1280, ()),
]


@pytest.fixture
def encoder_cfg(tiny_cfg) -> Callable[..., CfgNode]:
    """``encoder_cfg(name, depth, channels, backbone_pairs, KEY, value, ...)``."""

    def build(name: str, depth: str, channels: int, more: tuple = (), *pairs: object) -> CfgNode:
        keys = {"NAME": f"build_{name}_backbone", "DEPTH": depth, "FEAT_DIM": channels}
        keys |= dict(zip(more[::2], more[1::2], strict=True))
        flat = [x for key, value in keys.items() for x in (f"MODEL.BACKBONE.{key}", value)]
        scales = ("GCL.DISCRIMINATOR.NUM_SCALES", 2, "GCL.GENERATOR.NUM_PARTS", 2)
        return tiny_cfg(*flat, *scales, *pairs)

    return build


def make_batch(size: tuple[int, int] = SIZE) -> dict[str, Tensor]:
    return {
        "images": torch.rand(4, 3, *size) * 255,
        "camids": torch.tensor([0, 1, 0, 1]),
        "indices": torch.tensor([0, 2, 5, 6]),
        "structure_ori": torch.rand(4, 1, *size),
        "structure_new": torch.rand(4, 1, *size),
    }


def steps(model: GCL, phase: str, learns: str) -> set[str]:
    """An optimizer step of a phase; the parts in which any weight or statistic moved."""
    model.learns = learns
    model.train()
    model.set_phase(phase)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.zero_grad()
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)  # any rate moves a weight
    losses = model(make_batch())
    assert all(loss.isfinite() for loss in losses.values()), losses
    sum(losses.values()).backward()
    optimizer.step()
    model.update_memory()
    return {n.split(".")[0] for n, v in model.state_dict().items() if not torch.equal(v, before[n])}


def test_no_backbone_of_the_registry_is_missed():
    """Those that tests register do not count."""
    registered = {
        name
        for name, build in BACKBONE_REGISTRY._obj_map.items()
        if build.__module__.startswith(("fastreid.", "gcl."))
    }
    assert registered == {f"build_{name}_backbone" for name, *_ in TRAINED}


@pytest.mark.parametrize("case", TRAINED, ids=lambda case: "-".join(map(str, case[:2] + case[3])))
def test_every_backbone_trains_in_every_phase(encoder_cfg, case):
    """A transformer's class token is no map of stripes: its generator looks at the crop itself."""
    pairs = ("GCL.CAMERA_NORM", True)
    if case[0] == "vit":
        pairs += ("GCL.GENERATOR.NAME", "AttentionViewGenerator")
    torch.manual_seed(0)
    model = build_model(encoder_cfg(*case, *pairs))
    assert all(module.training for module in model.modules())
    model.bank.allocate(NUM_IMAGES)
    model.bank.fill(torch.randn(NUM_IMAGES, case[2]))
    model.bank.labels.copy_(torch.arange(NUM_IMAGES) // 2)
    encoder, views = {"backbone", "heads"}, {"generator", "discriminator"}
    assert steps(model, "contrast", "everything") == encoder
    assert steps(model, "generator", "everything") == views
    assert steps(model, "joint", "everything") == encoder | views
    assert steps(model, "joint", "encoder") == encoder
    model.eval()
    with torch.no_grad():
        features = model(make_batch())
    assert features.shape == (4, case[2]) and features.isfinite().all()


# ---------------------------------------------------------------------- refused
RESNET = ("resnet", "18x", 512)
VIT = ("vit", "small", 768)
CONTRAST = ("GCL.PHASES", ("contrast",))


@pytest.mark.parametrize(
    ("case", "pairs", "words"),
    [
        (("swin", "", 768), (), ["MODEL.BACKBONE.NAME is 'build_swin_backbone'", "osnet", "vit"]),
        (("resnet", "51x", 512), (), ["DEPTH '51x'", "build_resnet_backbone"]),
        (("shufflenetv2", "9x", 1024), (), ["DEPTH '9x'", "build_shufflenetv2_backbone"]),
        (("mobilenetv3", "9x", 1024), (), ["DEPTH '9x'", "Unsupported"]),
        ((*RESNET, ("NORM", "IN")), (), ["NORM 'IN'"]),
        (("osnet", "x0_25", 128, ("NORM", "GN")), (), ["NORM 'GN'", "divisible"]),
        (("resnet", "18x", 2048), (), ["MODEL.BACKBONE.FEAT_DIM is 2048", "set it to 512"]),
        (
            (*RESNET, ("PRETRAIN", True, "PRETRAIN_PATH", "/no/file")),
            (),
            ["PRETRAIN_PATH '/no/file'", "No such file", "PRETRAIN False"],
        ),
        (RESNET, ("MODEL.HEADS.POOL_LAYER", "Flatten"), ["POOL_LAYER Flatten", "GlobalAvgPool"]),
        (RESNET, ("MODEL.HEADS.POOL_LAYER", "Sum"), ["POOL_LAYER 'Sum'"]),
        (RESNET, ("MODEL.HEADS.NORM", "FrozenBN"), ["MODEL.HEADS.NAME", "NORM 'FrozenBN'"]),
        (RESNET, ("MODEL.HEADS.NAME", "EmbeddingHead"), ["is EmbeddingHead", "IdentityHead"]),
        (
            VIT,
            (),
            ["phase contrast", "ViewGenerator", "AttentionViewGenerator or NUM_PARTS 1", "= 2"],
        ),
        (
            VIT,
            (*CONTRAST, "INPUT.SIZE_TEST", (128, 64)),
            ["INPUT.SIZE_TEST 128 x 64", "build_vit_backbone"],
        ),
        (VIT, (*CONTRAST, "GCL.FREEZE_BN", True), ["GCL.FREEZE_BN", "build_vit_backbone"]),
        (
            (*RESNET, ("NORM", "GN")),
            (*CONTRAST, "GCL.FREEZE_BN", True),
            ["GCL.FREEZE_BN", "NORM GN"],
        ),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_can_not_train_is_refused_before_any_work(encoder_cfg, case, pairs, words):
    more = case[3:] or ((),)
    with pytest.raises(ConfigError) as caught:
        build_model(encoder_cfg(*case[:3], *more, *pairs))
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("pairs", [CONTRAST, ("GCL.GENERATOR.NUM_PARTS", 1)])
def test_a_class_token_can_do_what_needs_no_stripes(encoder_cfg, pairs):
    build_model(encoder_cfg(*VIT, (), *pairs))


class Pyramid(nn.Conv2d):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [super().forward(x)]


def build_pyramid_backbone(cfg: CfgNode) -> nn.Module:
    return Pyramid(3, 8, 4, 4)


def build_vector_backbone(cfg: CfgNode) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("build", "found"),
    [(build_pyramid_backbone, "list"), (build_vector_backbone, r"a tensor of shape \(1, 8\)")],
)
def test_an_own_backbone_without_a_map_is_refused(encoder_cfg, monkeypatch, build, found):
    monkeypatch.setitem(BACKBONE_REGISTRY._obj_map, build.__name__, build)
    name = build.__name__.removeprefix("build_").removesuffix("_backbone")
    with pytest.raises(ConfigError, match=f"{name}.* puts out {found}, no feature map.* no phase"):
        build_model(encoder_cfg(name, "", 8))


def test_synchronised_batch_norm_of_several_processes_needs_gpus(encoder_cfg, monkeypatch):
    monkeypatch.setattr("gcl.modeling.encoder_check.comm.get_world_size", lambda: 2)
    for pairs in (("MODEL.BACKBONE.NORM", "syncBN"), ("MODEL.HEADS.NORM", "syncBN")):
        with pytest.raises(ConfigError, match="syncBN, which 2 processes .*: set BN"):
            build_model(encoder_cfg(*RESNET, (), *pairs))


def test_fewer_rows_than_stripes_is_a_warning(encoder_cfg, caplog):
    case = ("shufflenetv2", "0.5x", 1024, ())  # stride 32: two rows of 64 pixels
    build_model(encoder_cfg(*case))
    assert not caplog.records
    build_model(encoder_cfg(*case, "GCL.GENERATOR.NUM_PARTS", 3))
    assert "makes 2 rows" in caplog.text and "NUM_PARTS 3" in caplog.text
