"""Adversarial losses of the view generator and the R1 penalty.

Logits are a list, one map a scale of the discriminator; each scale counts alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision

FORMS = ("lsgan", "log")


def discriminator_loss(
    real: Sequence[Tensor], fake: Sequence[Tensor], form: str = "lsgan"
) -> Tensor:
    r"""What D minimises, summed over scales.

    "lsgan" (Mao et al., ICCV 2017): :math:`E[(D(x) - 1)^2] + E[D(x')^2]`;
    "log": :math:`-E[\log \sigma(D(x))] - E[\log(1 - \sigma(D(x')))]`, as a stable BCE with logits.

    Args:
        real, fake: logit maps of real and (detached) generated images, any shapes.
        form: one of :data:`FORMS`.

    Raises:
        ValueError: unknown form.
    """
    return sum(
        _distance(r, 1.0, form) + _distance(f, 0.0, form) for r, f in zip(real, fake, strict=True)
    )


def generator_loss(fake: Sequence[Tensor], form: str = "lsgan") -> Tensor:
    r"""What E_str and G minimise, summed over scales.

    "lsgan": :math:`2 E[(D(x') - 1)^2]` (the factor is the released code's);
    "log": :math:`-E[\log \sigma(D(x'))]`.

    Raises:
        ValueError: unknown form.
    """
    weight = 2.0 if form == "lsgan" else 1.0
    return weight * sum(_distance(f, 1.0, form) for f in fake)


def r1_penalty(discriminator: Callable[[Tensor], Sequence[Tensor]], real: Tensor) -> Tensor:
    r"""Squared gradient norm of D on real images, summed over scales (Mescheder et al., ICML 2018).

    :math:`R_1 = \sum_s E_x \|\nabla_x \sum D_s(x)\|^2`, where the inner sum runs over the logit
    map. Always in float32: squared gradients leave the range of float16.

    Args:
        discriminator: maps (B, 3, H, W) to a list of logit maps.
        real: (B, 3, H, W).
    """
    with full_precision(real):
        real = real.detach().float().requires_grad_(True)
        penalty = real.new_zeros(())
        for logits in discriminator(real):
            (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
            penalty = penalty + gradient.square().flatten(1).sum(1).mean()
    return penalty


def _distance(logits: Tensor, target: float, form: str) -> Tensor:
    if form == "lsgan":
        return (logits.float() - target).square().mean()
    if form == "log":
        return F.binary_cross_entropy_with_logits(
            logits.float(), torch.full_like(logits, target).float()
        )
    raise ValueError(f"adversarial form must be one of {FORMS}, not {form!r}")
