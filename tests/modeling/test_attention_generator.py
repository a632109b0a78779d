"""A generator that looks at the crop: attention against loops, and picture spaces that do not
matter."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gcl.modeling import AttentionViewGenerator
from gcl.modeling.attention_generator import HEADS, KEY_DIM, CrossAttention

IMAGENET = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])


def generator(width: int = 2, num_blocks: int = 1, mean=(127.5,) * 3, std=(127.5,) * 3):
    torch.manual_seed(0)
    return AttentionViewGenerator(
        width=width, num_blocks=num_blocks, pixel_mean=list(mean), pixel_std=list(std)
    )


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def view(g: AttentionViewGenerator, x: Tensor, s_ori: Tensor, s: Tensor) -> Tensor:
    """x' = G(E_str(s), appearance(x, s_ori))"""
    return g.decode(g.encode(s), g.appearance(x, s_ori, g.encode(s_ori)))


def crop_and_structures(size=(32, 16), batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    s = torch.rand(2, batch, 1, *size, generator=torch.Generator().manual_seed(2))
    return draw(batch, 3, *size), *s


# ---- attention
def with_place(x: Tensor) -> Tensor:
    """Row r and column c in [-1, 1], then sin 3 pi r, cos 3 pi r, sin pi c, cos pi c; by loops."""
    batch, _, height, width = x.shape
    place = torch.zeros(batch, 6, height, width)
    for i in range(height):
        for j in range(width):
            r, c = -1 + 2 * i / (height - 1), -1 + 2 * j / (width - 1)
            a, b = 3 * math.pi * r, math.pi * c
            waves = (math.sin(a), math.cos(a), math.sin(b), math.cos(b))
            place[:, :, i, j] = torch.tensor((r, c, *waves))
    return torch.cat((x, place), 1)


def at(layer: nn.Conv2d, vector: Tensor) -> Tensor:
    """A 1 x 1 convolution at one place."""
    return layer.weight[:, :, 0, 0] @ vector + layer.bias


@torch.no_grad()
@pytest.mark.parametrize("width", [8, HEADS * KEY_DIM, 96], ids="looks of {} channels".format)
@pytest.mark.parametrize(("view_size", "crop_size"), [((3, 2), (3, 2)), ((4, 3), (2, 5))])
def test_attention_is_the_formula_place_by_place(width, view_size, crop_size):
    """softmax(q k / sqrt(d)) v in each head; the heads side by side, and a last convolution."""
    torch.manual_seed(0)
    attention = CrossAttention(width, 5)
    for layer in attention.children():  # so that it matters where they look
        layer.weight.mul_(3)
    shapes = ((width, *view_size), (5, *crop_size), (width, *crop_size))
    target, keys, looks = (draw(2, *shape, seed=i) for i, shape in enumerate(shapes))
    found = attention(target, keys, looks)
    assert found.shape == target.shape
    placed, placed_keys, d = with_place(target), with_place(keys), width // HEADS
    places = [(i, j) for i in range(crop_size[0]) for j in range(crop_size[1])]
    sharpest = 0.0
    for b in range(2):
        for i in range(view_size[0]):
            for j in range(view_size[1]):
                q, gathered = at(attention.query, placed[b, :, i, j]), []
                for head in range(HEADS):
                    part = slice(head * KEY_DIM, (head + 1) * KEY_DIM)
                    scores = []
                    for y, x in places:
                        k = at(attention.key, placed_keys[b, :, y, x])
                        scores.append(float(q[part] @ k[part]) / math.sqrt(KEY_DIM))
                    total = sum(math.exp(score) for score in scores)
                    out = torch.zeros(d)
                    for score, (y, x) in zip(scores, places, strict=True):
                        v = at(attention.value, looks[b, :, y, x])[head * d : (head + 1) * d]
                        out += math.exp(score) / total * v
                        sharpest = max(sharpest, math.exp(score) / total)
                    gathered.append(out)
                wanted = at(attention.out, torch.cat(gathered))
                torch.testing.assert_close(found[b, :, i, j], wanted, rtol=1e-4, atol=1e-4)
    assert sharpest > 0.5  # it was no mere mean


@torch.no_grad()
def test_attention_can_look_up_what_lies_where_it_is():
    """Queries and keys of the place alone, strong ones: a view gets the crop's own places back."""
    attention = CrossAttention(8, 2)
    for layer in attention.children():
        layer.weight.zero_()
        layer.bias.zero_()
    for head in range(HEADS):
        for i in range(6):
            attention.query.weight[head * KEY_DIM + i, 8 + i] = 40
            attention.key.weight[head * KEY_DIM + i, 2 + i] = 40
    for layer in (attention.value, attention.out):
        layer.weight[:, :, 0, 0] = torch.eye(8)
    looks = draw(1, 8, 6, 3)
    # -1 and 1 are one place to the waves, not to row and column
    found = attention(torch.zeros(1, 8, 6, 3), torch.zeros(1, 2, 6, 3), looks)
    torch.testing.assert_close(found, looks, rtol=1e-3, atol=1e-3)


# ---- the network
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("size", [(8, 8), (32, 16), (64, 32), (20, 12)])
def test_views_have_the_size_of_the_structure(width, size):
    g = generator(width)
    x, s_ori, s = crop_and_structures(size)
    e = g.encode(s_ori)
    assert e.shape == (2, 4 * width, size[0] // 4, size[1] // 4)
    seen = g.appearance(x, s_ori, e)
    half, quarter = ((size[0] // n, size[1] // n) for n in (2, 4))
    assert seen.half.shape == (2, 4 * width, *half)
    assert seen.half_keys.shape == (2, 8 * width, *half)
    assert seen.quarter.shape == (2, 4 * width, *quarter)
    assert seen.quarter_keys.shape == (2, 8 * width, *quarter)
    drawn = g.decode(g.encode(s), seen)
    assert drawn.shape == (2, 3, *size) and drawn.isfinite().all()
    assert view(g, x[:0], s_ori[:0], s[:0]).shape == (0, 3, *size)


def test_gradient_reaches_every_parameter_the_crop_and_both_structures():
    g = generator()
    inputs = [part.requires_grad_() for part in crop_and_structures()]
    view(g, *inputs).square().sum().backward()
    assert [name for name, p in g.named_parameters() if p.grad is None or not p.grad.any()] == []
    for part in inputs:
        assert part.grad.flatten(1).any(dim=1).all()


@torch.no_grad()
def test_every_input_changes_the_view_of_its_own_person_only():
    g = generator()
    inputs = crop_and_structures()
    first = view(g, *inputs)
    for number in range(3):
        changed = [part.clone() for part in inputs]
        changed[number][1] = 1 - changed[number][1]
        other = view(g, *changed)
        torch.testing.assert_close(other[0], first[0], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(other[1], first[1], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_it_needs_no_code_and_training_draws_as_evaluation_does():
    g = generator()
    x, s_ori, s = crop_and_structures()
    assert g.uses_code is False
    first = view(g.train(), x, s_ori, s)
    assert torch.equal(view(g.eval(), x, s_ori, s), first)
    seen = g.appearance(x, s_ori, g.encode(s_ori), draw(2, 4, 6))
    assert torch.equal(g.decode(g.encode(s), seen), first)


@torch.no_grad()
def test_the_same_weights_draw_the_same_picture_for_every_encoder():
    """Of 0-255, up to rounding; the image space is no part of the weights."""
    plain, other = generator(), generator(mean=IMAGENET[0], std=IMAGENET[1])
    assert list(plain.state_dict()) == [name for name, _ in plain.named_parameters()]
    torch.manual_seed(3)
    for parameter in plain.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    other.load_state_dict(plain.state_dict())
    _, s_ori, s = crop_and_structures()
    picture = torch.randint(0, 256, (2, 3, 32, 16)).float()
    drawn = []
    for g, (mean, std) in ((plain, ([127.5] * 3, [127.5] * 3)), (other, IMAGENET)):
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
        drawn.append(view(g, (picture - mean) / std, s_ori, s) * std + mean)
    assert drawn[0].std() > 1
    torch.testing.assert_close(*drawn, rtol=0, atol=0.01)


@torch.no_grad()
def test_an_untrained_view_is_about_grey():
    """Without norms the sums of many blocks would be far out of range."""
    g = generator(width=16, num_blocks=4)
    x = torch.rand(2, 3, 64, 32) * 2 - 1
    drawn = view(g, x, *crop_and_structures((64, 32))[1:])
    assert drawn.std() < 1


def test_it_can_learn_to_move_what_the_crop_shows():
    """Each crop has two new colours, and the structures say, by two greys, which half goes up. What
    is drawn of crops that it has not seen must have theirs."""
    g = generator(width=4)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(g.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, 200, pct_start=0.2)

    def batch(count: int) -> list[Tensor]:
        colours = torch.rand(count, 3, 2, 1) * 2 - 1
        greys = torch.tensor([0.2, 0.9]).view(1, 1, 2, 1).expand(count, 1, 2, 1)
        swap = (torch.rand(count) < 0.5)[:, None, None, None]
        true, s = (torch.where(swap, v.flip(2), v) for v in (colours, greys))
        halves = (colours, greys, s, true)
        return [v.repeat_interleave(8, 2).expand(-1, -1, -1, 8) for v in halves]

    for _ in range(200):
        x, s_ori, s, true = batch(16)
        optimizer.zero_grad()
        (view(g, x, s_ori, s) - true).abs().mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        x, s_ori, s, true = batch(128)
        apart = (view(g, x, s_ori, s) - true).abs().mean()
        assert apart < 0.5 * (x - true).abs().mean()


def test_every_size_comes_from_the_configuration(tiny_cfg):
    g = AttentionViewGenerator(
        tiny_cfg("GCL.GENERATOR.WIDTH", 3, "GCL.GENERATOR.NUM_BLOCKS", 2,
                 "MODEL.PIXEL_MEAN", IMAGENET[0], "MODEL.PIXEL_STD", IMAGENET[1])
    )  # fmt: skip
    same = generator(3, 2, *IMAGENET)
    assert {k: v.shape for k, v in g.state_dict().items()} == {
        k: v.shape for k, v in same.state_dict().items()
    }
    assert torch.equal(g.scale, same.scale) and torch.equal(g.shift, same.shift)
