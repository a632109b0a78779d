"""View contrast against a memory bank (GCL, CVPR 2021, section 3.2).

Shapes: B batch, N bank rows, D embedding, K negatives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision


def contrast_loss(
    f: Tensor,
    bank: Tensor,
    indices: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    num_negatives: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Original view against another image of its class, with its own negatives.

    .. math:: -\log \frac{\exp(\langle f, M_{j'}\rangle/t)}
              {\exp(\langle f, M_{j'}\rangle/t) + \sum_k \exp(\langle f, n_k\rangle/t)}

    Args:
        f: (B, D) embeddings, normalised here.
        bank: (N, D) L2-normalised memory rows, constants.
        indices: (B,) bank row of each image.
        labels: (N,) pseudo label of each bank row, -1 = outlier (not trained on, yet a negative).
        temperature: t.
        num_negatives: K; all rows of other classes when there are fewer.
        generator: random source of the draws, on the device of ``bank``.

    Returns:
        scalar, mean over the labelled images of the batch; 0 with a graph when there are none.
    """
    y, kept = _labelled(indices, labels)
    if not kept.any():
        return f.float().sum() * 0.0
    f, y = _unit(f[kept]), y[kept]
    bank = bank.float()
    positive = bank[_draw_positives(y, labels, generator)]
    negatives = _draw_negatives(y, labels, num_negatives, generator)
    return _nce(f, positive, _log_sum(f, bank, negatives, temperature), temperature).mean()


def view_invariant_loss(
    f: Tensor,
    f_new: Tensor,
    bank: Tensor,
    indices: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    num_negatives: int,
    negatives: str = "new",
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""The three terms of the view-invariant loss.

    With :math:`h(a, p, b) = -\log\big(e^{\langle a,p\rangle/t} /
    (e^{\langle a,p\rangle/t} + \sum_k e^{\langle b,n_k\rangle/t})\big)`,

    - own view :math:`L_{vi} = h(f', M_i, f')`,
    - class from the new view :math:`L_{vi}' = h(f', M_j, f')`,
    - class from the original view :math:`L_{vi}'' = h(f, M_{j'}, f')`, or with ``f`` for the
      negatives when ``negatives="own"``,

    where :math:`M_j, M_{j'}` are independent draws among the rows of the image's class and
    :math:`n_k` are K rows of other classes.

    Args:
        f: (B, D) embeddings of the original views, normalised here.
        f_new: (B, D) embeddings of the generated views, normalised here.
        bank: (N, D) L2-normalised memory rows, constants.
        indices: (B,) bank row of each image.
        labels: (N,) pseudo label of each bank row, -1 = outlier (not trained on, yet a negative).
        temperature: t.
        num_negatives: K; all rows of other classes when there are fewer.
        negatives: "new" (released code) or "own", see above.
        generator: random source of the draws, on the device of ``bank``.

    Returns:
        three scalars, each a mean over the labelled images of the batch; zeros with a graph when
        there are none.

    Raises:
        ValueError: ``negatives`` is neither "new" nor "own".
    """
    if negatives not in ("new", "own"):
        raise ValueError(f"negatives must be 'new' or 'own', not {negatives!r}")
    y, kept = _labelled(indices, labels)
    if not kept.any():
        zero = (f.float().sum() + f_new.float().sum()) * 0.0
        return zero, zero.clone(), zero.clone()
    f, f_new, y, rows = _unit(f[kept]), _unit(f_new[kept]), y[kept], indices[kept]
    bank = bank.float()
    n_k = _draw_negatives(y, labels, num_negatives, generator)
    log_sum_new = _log_sum(f_new, bank, n_k, temperature)
    log_sum_ori = log_sum_new if negatives == "new" else _log_sum(f, bank, n_k, temperature)
    m_j = bank[_draw_positives(y, labels, generator)]
    m_j2 = bank[_draw_positives(y, labels, generator)]
    return (
        _nce(f_new, bank[rows], log_sum_new, temperature).mean(),
        _nce(f_new, m_j, log_sum_new, temperature).mean(),
        _nce(f, m_j2, log_sum_ori, temperature).mean(),
    )


def own_view_loss(
    f_new: Tensor, bank: Tensor, indices: Tensor, labels: Tensor, *, temperature: float
) -> Tensor:
    """L_vi of every image against all rows of other classes, (B,), for outliers too.

    An outlier is a class of its own here. Teaches the generator identity while E_id is frozen, and
    measures how much identity generated views carry: log(1 + negatives) is chance.
    """
    f_new, bank = _unit(f_new), bank.float()
    y = labels[indices]
    others = torch.where(
        (y == -1)[:, None], _rows(labels) != indices[:, None], labels != y[:, None]
    )
    return _nce(f_new, bank[indices], _log_sum(f_new, bank, others, temperature), temperature)


def _unit(f: Tensor) -> Tensor:
    """Normalise in float32: half precision can not hold exp(1 / 0.04)."""
    return F.normalize(f.float(), dim=1)


def _rows(labels: Tensor) -> Tensor:
    return torch.arange(len(labels), device=labels.device)[None]


def _labelled(indices: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    y = labels[indices]
    return y, y != -1


def _nce(f: Tensor, positive: Tensor, log_sum: Tensor, t: float) -> Tensor:
    """-log(e^p / (e^p + e^log_sum)) = softplus(log_sum - p), (B,)."""
    return F.softplus(log_sum - (f * positive).sum(1) / t)


def _log_sum(f: Tensor, bank: Tensor, mask: Tensor, t: float) -> Tensor:
    """log sum_k exp(<f, n_k> / t) over the rows that ``mask`` (B, N) marks; -inf where it marks
    none."""
    with full_precision(f):
        return (f @ bank.T / t).masked_fill(~mask, float("-inf")).logsumexp(1)


def _draw_positives(y: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
    """One row of each image's class, uniformly: the row with the largest of random keys, (B,)."""
    keys = torch.rand(len(y), len(labels), device=labels.device, generator=generator)
    return keys.masked_fill(labels != y[:, None], -1.0).argmax(1)


def _draw_negatives(
    y: Tensor, labels: Tensor, num_negatives: int, generator: torch.Generator | None
) -> Tensor:
    """(B, N) mask of ``num_negatives`` rows of other classes, drawn uniformly without
    repetition."""
    others = labels != y[:, None]
    if num_negatives >= len(labels):
        return others
    keys = torch.rand(others.shape, device=labels.device, generator=generator)
    drawn = keys.masked_fill(~others, -1.0).topk(num_negatives, dim=1).indices
    return torch.zeros_like(others).scatter_(1, drawn, True) & others
