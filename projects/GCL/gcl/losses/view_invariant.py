"""View contrast against a memory bank (GCL, CVPR 2021, section 3.2).

No size depends on what is in a tensor: a GPU runs a step without asking the host. Nothing is larger
than (B, 5/4 K + D), however many rows the bank has.

Shapes: B batch, N bank rows, D embedding, K negatives, M rows that are looked at.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision

ALL = slice(None)
"""Of the bank's rows."""
SPARE = 256
"""At least so many rows are drawn beside K, for those of an image's own class among them."""


def contrast_loss(
    f: Tensor,
    bank: Tensor,
    indices: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    num_negatives: int,
    cameras: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Original view against another image of its class, with its own negatives.

    .. math:: -\log \frac{\exp(\langle f, M_{j'}\rangle/t)}
              {\exp(\langle f, M_{j'}\rangle/t) + \sum_k \exp(\langle f, n_k\rangle/t)}

    Args:
        f: (B, D) embeddings, normalised here.
        bank: (N, D) L2-normalised memory rows, constants; of any precision.
        indices: (B,) bank row of each image.
        labels: (N,) pseudo label of each bank row, -1 = outlier (not trained on, yet a negative).
        temperature: t.
        num_negatives: K, the same rows for the whole batch but for those of an image's own class;
            all rows of other classes when there are fewer.
        cameras: (N,) camera of each bank row: of the K, only those of an image's own camera are its
            negatives; None: all of them.
        generator: random source of the draws, on the device of ``bank``.

    Returns:
        scalar, mean over the labelled images of the batch; 0 with a graph when there are none.
    """
    f, y = _unit(f), labels[indices]
    (positive,) = _draw_positives(y, labels, 1, num_negatives, generator)
    n_k = _draw_negatives(indices, labels, num_negatives, cameras, generator)
    log_sum = _log_sum(f, bank, *n_k, temperature)
    return _mean_of_labelled(_nce(f, bank[positive], log_sum, temperature), y)


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
    cameras: Tensor | None = None,
    tracks: Tensor | None = None,
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
        bank: (N, D) L2-normalised memory rows, constants; of any precision.
        indices: (B,) bank row of each image.
        labels: (N,) pseudo label of each bank row, -1 = outlier (not trained on, yet a negative).
        temperature: t.
        num_negatives: K, the same rows for the whole batch but for those of an image's own class;
            all rows of other classes when there are fewer.
        negatives: "new" (released code) or "own", see above.
        cameras: as in :func:`contrast_loss`.
        tracks: (N,) track of each bank row; rows in none have numbers of their own. Rows of an
            image's own track are no negatives of f', whatever their labels: for views that are
            other photographs of it. None: all rows of other classes are.
        generator: random source of the draws, on the device of ``bank``.

    Returns:
        three scalars, each a mean over the labelled images of the batch; zeros with a graph when
        there are none.

    Raises:
        ValueError: ``negatives`` is neither "new" nor "own".
    """
    if negatives not in ("new", "own"):
        raise ValueError(f"negatives must be 'new' or 'own', not {negatives!r}")
    f, f_new, y = _unit(f), _unit(f_new), labels[indices]
    rows, mask = _draw_negatives(indices, labels, num_negatives, cameras, generator)
    others = mask if tracks is None else mask & (tracks[rows] != tracks[indices][:, None])
    log_sum_new = _log_sum(f_new, bank, rows, others, temperature)
    log_sum_ori = log_sum_new
    if negatives == "own":
        log_sum_ori = _log_sum(f, bank, rows, mask, temperature)
    j, j2 = _draw_positives(y, labels, 2, num_negatives, generator)
    return (
        _mean_of_labelled(_nce(f_new, bank[indices], log_sum_new, temperature), y),
        _mean_of_labelled(_nce(f_new, bank[j], log_sum_new, temperature), y),
        _mean_of_labelled(_nce(f, bank[j2], log_sum_ori, temperature), y),
    )


def own_view_loss(
    f_new: Tensor, bank: Tensor, indices: Tensor, labels: Tensor, *, temperature: float
) -> Tensor:
    """L_vi of every image against all rows of other classes, (B,), for outliers too.

    An outlier is a class of its own here. Teaches the generator identity while E_id is frozen, and
    measures how much identity generated views carry: log(1 + negatives) is chance.
    """
    f_new, y = _unit(f_new), labels[indices]
    rows = torch.arange(len(labels), device=labels.device)
    others = torch.where((y == -1)[:, None], rows != indices[:, None], labels != y[:, None])
    log_sum = _log_sum(f_new, bank, ALL, others, temperature)
    return _nce(f_new, bank[indices], log_sum, temperature)


def _unit(f: Tensor) -> Tensor:
    """Normalise in float32: half precision can not hold exp(1 / 0.04)."""
    return F.normalize(f.float(), dim=1)


def _mean_of_labelled(losses: Tensor, y: Tensor) -> Tensor:
    """Mean of losses (B,) over the images whose label y (B,) is not -1; 0 when there are none."""
    labelled = y != -1
    return torch.where(labelled, losses, 0.0).sum() / labelled.sum().clamp(min=1)


def _nce(f: Tensor, positive: Tensor, log_sum: Tensor, t: float) -> Tensor:
    """-log(e^p / (e^p + e^log_sum)) = softplus(log_sum - p), (B,)."""
    return F.softplus(log_sum - (f * positive.float()).sum(1) / t)


def _log_sum(f: Tensor, bank: Tensor, rows: Tensor | slice, mask: Tensor, t: float) -> Tensor:
    """log sum_k exp(<f, n_k> / t) over those of ``rows`` (M,) that ``mask`` (B, M) marks; -inf if
    none."""
    with full_precision(f):
        return (f @ bank[rows].float().T / t).masked_fill(~mask, float("-inf")).logsumexp(1)


def _draw_positives(
    y: Tensor, labels: Tensor, draws: int, num_negatives: int, generator: torch.Generator | None
) -> list[Tensor]:
    """Rows of each image's class, (B,) a draw, each drawn uniformly and for itself."""
    if num_negatives >= len(labels):
        # the row with the largest of random keys: (B, N) is no more than (B, K) then
        others = labels != y[:, None]
        sizes = {"device": labels.device, "generator": generator}
        keys = (torch.rand(others.shape, **sizes) for _ in range(draws))
        return [key.masked_fill(others, -1.0).argmax(1) for key in keys]
    in_order, rows = labels.sort(stable=True)
    first, end = (torch.searchsorted(in_order, y, right=right) for right in (False, True))
    shape = (draws, len(y))
    # in float64: rounded to float32, a number just below 1 times a large class is the next class
    share = torch.rand(shape, dtype=torch.float64, device=labels.device, generator=generator)
    return list(rows[first + (share * (end - first)).long()])


def _draw_negatives(
    indices: Tensor,
    labels: Tensor,
    num_negatives: int,
    cameras: Tensor | None,
    generator: torch.Generator | None,
) -> tuple[Tensor | slice, Tensor]:
    """Rows (M,), and the mask (B, M) of those among them that are each image's negatives.

    One random order of all rows serves the batch: the first K of other classes in it are drawn
    uniformly without repetition. They lie among its first M = 5/4 K (at least K + SPARE) unless a
    fifth of all rows are of one class, whose images then get as many as there are. Of these, other
    cameras' are left out where ``cameras`` (N,) is given.
    """
    if num_negatives >= len(labels):
        rows, mask = ALL, labels != labels[indices][:, None]
    else:
        order = torch.randperm(len(labels), device=labels.device, generator=generator)
        rows = order[: num_negatives + max(num_negatives // 4, SPARE)]
        others = labels[rows] != labels[indices][:, None]
        mask = others & (others.cumsum(1) <= num_negatives)
    if cameras is not None:
        mask = mask & (cameras[rows] == cameras[indices][:, None])
    return rows, mask
