"""Under autocast every loss, and every gradient of it, is bit for bit that of float32."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gcl import losses


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def bank() -> tuple[Tensor, Tensor, Tensor]:
    """Rows, labels (every image its own class: no draw is random), indices of a batch."""
    return nn.functional.normalize(draw(40, 64, seed=9), dim=1), torch.arange(40), torch.arange(6)


def contrast(f: Tensor, f_new: Tensor) -> Tensor:
    rows, labels, indices = (x.to(f.device) for x in bank())
    return losses.contrast_loss(f, rows, indices, labels, temperature=0.04, num_negatives=99)


def view_invariant(f: Tensor, f_new: Tensor) -> Tensor:
    rows, labels, indices = (x.to(f.device) for x in bank())
    options = {"temperature": 0.04, "num_negatives": 99}
    return torch.stack(
        [
            term
            for negatives in ("new", "own")
            for term in losses.view_invariant_loss(
                f, f_new, rows, indices, labels, negatives=negatives, **options
            )
        ]
    ).sum()


def own_view(f: Tensor, f_new: Tensor) -> Tensor:
    rows, labels, indices = (x.to(f.device) for x in bank())
    return losses.own_view_loss(f_new, rows, indices, labels, temperature=0.04).sum()


def centroid(f: Tensor, f_new: Tensor) -> Tensor:
    rows, _, targets = (x.to(f.device) for x in bank())
    return losses.centroid_loss(f, rows, targets, 0.04)


def inter_camera(f: Tensor, f_new: Tensor) -> Tensor:
    rows, classes, y = (x.to(f.device) for x in bank())
    cameras, seen_by = torch.ones_like(classes), torch.zeros_like(y)
    return losses.inter_camera_loss(
        f, rows, classes, cameras, y, seen_by, temperature=0.04, num_negatives=9
    )


def penalty(f: Tensor, f_new: Tensor) -> Tensor:
    weight = draw(64, 5, seed=3).to(f.device).requires_grad_()
    return losses.r1_penalty(lambda x: [(x @ weight).square()], f) + 0 * f.sum()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "contrast_loss": contrast,
    "view_invariant_loss": view_invariant,
    "own_view_loss": own_view,
    "reconstruction_loss": losses.reconstruction_loss,
    "feature_consistency_loss": lambda f, g: losses.feature_consistency_loss(f, g, 2 * g),
    "discriminator_loss": lambda f, g: losses.discriminator_loss([f], [g], "log"),
    "generator_loss": lambda f, g: losses.generator_loss([f, g]),
    "centroid_loss": centroid,
    "inter_camera_loss": inter_camera,
    "perceptual_distance": lambda f, g: losses.perceptual_distance(
        [f[..., None, None]], [g[..., None, None]]
    ).sum(),
    "r1_penalty": penalty,
}


def test_no_loss_is_forgotten():
    assert set(LOSSES) == set(losses.__all__) - {"full_precision"}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_no_bit(name, dtype, device):
    def value_and_gradients(enabled: bool) -> list[Tensor]:
        f, g = (draw(6, 64, seed=s).to(device).requires_grad_() for s in (1, 2))
        with torch.autocast(device, dtype=dtype, enabled=enabled):
            loss = LOSSES[name](f, g)
        assert loss.dtype == torch.float32
        return [loss.detach(), *torch.autograd.grad(loss, (f, g), allow_unused=True)]

    plain, mixed = value_and_gradients(False), value_and_gradients(True)
    for a, b in zip(plain, mixed, strict=True):
        assert a is b is None or torch.equal(a, b)


def test_similarities_under_autocast_would_be_wrong_otherwise():
    """What the context is for: the same product within and outside."""
    rows = bank()[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = (rows @ rows.T).float()
        with losses.full_precision(rows):
            exact = rows @ rows.T
    assert torch.equal(exact, rows @ rows.T)
    assert (rounded - exact).abs().max() / 0.04 > 0.01
