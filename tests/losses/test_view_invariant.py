"""Against loops over the batch.

h(a, p, b) = -log(exp(<a,p>/t) / (exp(<a,p>/t) + sum_k exp(<b,n_k>/t)))

Three ways to look at a loss with random draws:

- an oracle in float64 that enumerates what could have been drawn,
- inputs for which every draw gives the same value,
- a code (:func:`decode`) from whose loss values the draws can be read.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gcl.losses import contrast_loss, own_view_loss, view_invariant_loss

T = 0.1


def h(a: Tensor, positive: Tensor, b: Tensor, negatives: list[Tensor], t: float) -> Tensor:
    """The formula above, as it stands, one image at a time."""
    numerator = torch.exp(a @ positive / t)
    return -torch.log(numerator / (numerator + sum(torch.exp(b @ n / t) for n in negatives)))


def unit64(x: Tensor) -> Tensor:
    x = x.double()
    return x / x.norm(dim=1, keepdim=True)


def inputs(labels: list[int], indices: list[int], dim: int = 8, seed: int = 0, device: str = "cpu"):
    """(f, f_new, bank, indices, labels); embeddings are not normalised, bank rows are."""
    g = torch.Generator().manual_seed(seed)
    bank = F.normalize(torch.randn(len(labels), dim, generator=g), dim=1)
    f, f_new = (3 * torch.randn(len(indices), dim, generator=g) for _ in range(2))
    return (
        f.to(device),
        f_new.to(device),
        bank.to(device),
        torch.tensor(indices, device=device),
        torch.tensor(labels, device=device),
    )


def per_image(f, f_new, bank, indices, labels, negatives: str, t: float) -> list[dict[str, list]]:
    """For every labelled image: the value of each term for each row that could be drawn."""
    f, f_new, bank = unit64(f), unit64(f_new), bank.double()
    out = []
    for a, a_new, i in zip(f, f_new, indices.tolist(), strict=True):
        if labels[i] == -1:
            continue
        n_k = [row for row, y in zip(bank, labels, strict=True) if y != labels[i]]
        members = [row for row, y in zip(bank, labels, strict=True) if y == labels[i]]
        third = a_new if negatives == "new" else a
        out.append(
            {
                "own": [h(a_new, bank[i], a_new, n_k, t)],
                "new": [h(a_new, m, a_new, n_k, t) for m in members],
                "ori": [h(a, m, third, n_k, t) for m in members],
                "contrast": [h(a, m, a, n_k, t) for m in members],
            }
        )
    return out


def possible_means(images: list[dict[str, list]], term: str) -> Tensor:
    draws = itertools.product(*(image[term] for image in images))
    return torch.stack([torch.stack(draw).mean() for draw in draws])


def is_one_of(value: Tensor, candidates: Tensor) -> bool:
    return bool(torch.isclose(value.double().cpu(), candidates, rtol=1e-5, atol=1e-6).any())


@pytest.mark.parametrize("negatives", ["new", "own"])
@pytest.mark.parametrize("seed", range(5))
def test_every_term_is_the_mean_over_the_batch_for_some_draw(negatives, seed, device):
    labels = [0, 0, 0, 1, 1, 2, -1, -1]
    args = inputs(labels, [1, 3, 5, 6], seed=seed, device=device)  # 6 is an outlier
    own, new, ori = view_invariant_loss(*args, temperature=T, num_negatives=8, negatives=negatives)
    images = per_image(*(a.cpu() for a in args), negatives, T)
    assert len(images) == 3
    torch.testing.assert_close(
        own.double().cpu(), possible_means(images, "own")[0], rtol=1e-5, atol=1e-6
    )
    assert is_one_of(new, possible_means(images, "new"))
    assert is_one_of(ori, possible_means(images, "ori"))
    f, _, bank, indices, y = args
    single = contrast_loss(f, bank, indices, y, temperature=T, num_negatives=8)
    assert is_one_of(single, possible_means(images, "contrast"))


def test_the_third_term_takes_its_negatives_from_the_chosen_view():
    args = inputs([0, 1, 2, 3], [0, 1])  # classes of one: nothing is random
    values = {
        n: view_invariant_loss(*args, temperature=T, num_negatives=4, negatives=n)
        for n in ("new", "own")
    }
    torch.testing.assert_close(values["new"][:2], values["own"][:2], rtol=0, atol=0)
    assert not torch.isclose(values["new"][2], values["own"][2])


@pytest.mark.parametrize("num_negatives", [8, 5])
def test_with_cameras_negatives_are_of_the_own_one(num_negatives, device):
    # sum_k over rows of other classes that the image's camera has seen, row by row
    labels, cameras = [0, 0, 1, 1, 2, 2, -1, -1], torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])
    f, f_new, bank, indices, y = inputs(labels, [0, 3], device=device)
    bank = bank[[0, 0, 2, 2, 4, 4, 6, 6]]  # any positive is the same
    options = {"temperature": T, "num_negatives": num_negatives, "cameras": cameras.to(device)}
    if num_negatives < len(labels):  # K rows of all cameras, drawn before cameras are told apart
        options["generator"] = torch.Generator(device).manual_seed(0)
    own, new, ori = view_invariant_loss(f, f_new, bank, indices, y, negatives="own", **options)
    unit, unit_new, rows = unit64(f.cpu()), unit64(f_new.cpu()), bank.cpu().double()
    pool = {0: [2, 4, 6], 3: [1, 5, 7]}
    found = []
    for term, queries in ((own, unit_new), (new, unit_new), (ori, unit)):
        few = [
            [
                h(a, rows[i], a, [rows[k] for k in subset], T)
                for size in (1, 2, 3)
                for subset in itertools.combinations(pool[i], size)
            ]
            for a, i in zip(queries, (0, 3), strict=True)
        ]
        whole = torch.stack([values[-1] for values in few]).mean()
        means = torch.stack([(a + b) / 2 for a, b in itertools.product(*few)])
        found.append(is_one_of(term, whole[None] if num_negatives == 8 else means))
    assert all(found)


def test_an_image_alone_in_its_camera_has_no_negatives_and_no_gradient(device):
    f, f_new, bank, indices, y = inputs([0, 1, 2], [0], device=device)
    cameras = torch.tensor([0, 1, 1], device=device)
    f.requires_grad_()
    loss = contrast_loss(f, bank, indices, y, temperature=T, num_negatives=3, cameras=cameras)
    loss.backward()
    assert loss.item() == 0.0
    assert f.grad.abs().max() == 0.0


def test_a_class_of_one_has_itself_as_positive(device):
    args = inputs([5, 1, 2, -1], [0, 2], device=device)
    own, new, ori = view_invariant_loss(*args, temperature=T, num_negatives=4, negatives="own")
    images = per_image(*(a.cpu() for a in args), "own", T)
    torch.testing.assert_close(own, new, rtol=0, atol=0)
    assert is_one_of(own, possible_means(images, "own"))
    assert is_one_of(ori, possible_means(images, "ori"))


@pytest.mark.parametrize("negatives", ["new", "own"])
def test_gradients_are_those_of_the_formula(negatives, device):
    # rows of a class are equal, so that every draw is the same: two classes of two, one of one
    f, f_new, bank, indices, labels = inputs([0, 0, 1, 1, 2, -1], [0, 2, 4], device=device)
    bank = bank[[0, 0, 2, 2, 4, 5]]
    leaves = [f.requires_grad_(), f_new.requires_grad_()]
    losses = view_invariant_loss(
        f, f_new, bank, indices, labels, temperature=T, num_negatives=6, negatives=negatives
    )
    slow = [x.detach().cpu().double().requires_grad_() for x in leaves]
    images = per_image(*slow, bank.cpu(), indices.cpu(), labels.cpu(), negatives, T)
    for loss, term in zip(losses, ("own", "new", "ori"), strict=True):
        oracle = torch.stack([image[term][0] for image in images]).mean()
        wanted = torch.autograd.grad(oracle, slow, retain_graph=True, allow_unused=True)
        got = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
        for name, a, b in zip(("f", "f_new"), got, wanted, strict=True):
            assert (a is None) == (b is None), f"{term}: {name} in one graph only"
            if a is not None:
                torch.testing.assert_close(a.double().cpu(), b, rtol=1e-4, atol=1e-6)


def test_gradient_of_the_contrast_by_finite_differences():
    f, _, bank, indices, labels = inputs([0, 1, 2, 3], [0, 1])

    def loss(x: Tensor) -> Tensor:
        return contrast_loss(x, bank, indices, labels, temperature=1.0, num_negatives=4)

    x = f.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x), x)
    step = 1e-2
    for b, d in itertools.product(range(2), range(f.shape[1])):
        shift = torch.zeros_like(f)
        shift[b, d] = step
        slope = (loss(f + shift) - loss(f - shift)) / (2 * step)
        assert gradient[b, d].item() == pytest.approx(slope.item(), abs=2e-4)


# ---- a code: exp(<f, M_k>/t) = 2^k: a sum over negatives is a binary number that names them
def code(n: int) -> tuple[Tensor, Tensor, float]:
    """f, bank and t with exp(<f/|f|, M_k>/t) = 2^k for k = 0 ... n - 1."""
    f = math.log(2) * torch.arange(n, dtype=torch.float32)
    return f[None], torch.eye(n), 1 / f.norm().item()


def decode(loss: float, positive: int) -> set[int]:
    """Rows over which the sum ran: sum_k 2^k = 2^p (e^loss - 1)."""
    total = round(2**positive * math.expm1(loss))
    return {k for k in range(total.bit_length()) if total >> k & 1}


LABELS = torch.tensor([1, 0, 2, 0, -1, 1, 0, 3, 2, -1])  # the image is row 3, of class 0
OTHERS = {0, 2, 4, 5, 7, 8, 9}


@pytest.mark.parametrize("k", [1, 3, 6, 7, 8, 10, 8192])
def test_exactly_k_negatives_of_other_classes_or_all_there_are(k):
    f, bank, t = code(10)
    for seed in range(20):
        own, *_ = view_invariant_loss(
            f,
            f,
            bank,
            torch.tensor([3]),
            LABELS,
            temperature=t,
            num_negatives=k,
            generator=torch.Generator().manual_seed(seed),
        )
        drawn = decode(own.item(), 3)
        assert drawn <= OTHERS
        assert len(drawn) == min(k, len(OTHERS))


def chi_square(counts: list[int]) -> float:
    expected = sum(counts) / len(counts)
    return sum((c - expected) ** 2 / expected for c in counts)


def test_negatives_are_drawn_uniformly():
    f, bank, t = code(10)
    draws = 350
    counts = dict.fromkeys(OTHERS, 0)
    for seed in range(draws):
        own, *_ = view_invariant_loss(
            f,
            f,
            bank,
            torch.tensor([3]),
            LABELS,
            temperature=t,
            num_negatives=2,
            generator=torch.Generator().manual_seed(seed),
        )
        for row in decode(own.item(), 3):
            counts[row] += 1
    assert sum(counts.values()) == 2 * draws
    assert chi_square(list(counts.values())) < 22.5  # 6 degrees of freedom: p = 0.001


@pytest.mark.parametrize("k", [7, 10])  # all others of fewer rows than the bank has, and of it all
def test_the_two_positives_are_independent_uniform_draws_of_the_class(k):
    f, bank, t = code(10)
    total = sum(2**k for k in OTHERS)
    members = (1, 3, 6)
    counts = dict.fromkeys(itertools.product(members, members), 0)
    for seed in range(450):
        _, new, ori = view_invariant_loss(
            f,
            f,
            bank,
            torch.tensor([3]),
            LABELS,
            temperature=t,
            num_negatives=k,
            generator=torch.Generator().manual_seed(seed),
        )
        # L = -log(2^p / (2^p + total))
        counts[tuple(round(math.log2(total / math.expm1(x.item()))) for x in (new, ori))] += 1
    assert chi_square(list(counts.values())) < 26.2  # 8 degrees of freedom: p = 0.001


@pytest.mark.parametrize("k", [7, 10])
def test_the_positive_of_the_contrast_is_a_uniform_draw_of_the_class(k):
    f, bank, t = code(10)
    total = sum(2**k for k in OTHERS)
    counts = dict.fromkeys((1, 3, 6), 0)
    for seed in range(300):
        loss = contrast_loss(
            f,
            bank,
            torch.tensor([3]),
            LABELS,
            temperature=t,
            num_negatives=k,
            generator=torch.Generator().manual_seed(seed),
        )
        counts[round(math.log2(total / math.expm1(loss.item())))] += 1
    assert chi_square(list(counts.values())) < 13.9  # 2 degrees of freedom: p = 0.001


# ---- a bank of far more rows than are looked at: 2,000, of which 556 are in the draw of K = 300
def large(classes: int, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(f, bank, indices, labels) of so many classes of equal size, and every tenth row an
    outlier."""
    labels = torch.arange(2000) % classes
    labels[::10] = -1
    g = torch.Generator().manual_seed(0)
    bank = F.normalize(torch.randn(2000, 8, generator=g), dim=1)
    indices = torch.tensor([1, 2, 3, 1001])
    parts = torch.randn(4, 8, generator=g), bank, indices, labels
    return tuple(part.to(device) for part in parts)


def test_of_many_rows_each_image_has_exactly_k_negatives_of_other_classes(device):
    """A row's gradient says whether it was in the sum."""
    f, bank, indices, labels = large(100, device)
    bank.requires_grad_()
    for i in range(4):
        loss, *_ = view_invariant_loss(
            f[i : i + 1], f[i : i + 1], bank, indices[i : i + 1], labels,
            temperature=T, num_negatives=300,
        )  # fmt: skip
        (slope,) = torch.autograd.grad(loss, bank)
        used = slope.any(1)
        assert used[indices[i]]  # M_i
        used[indices[i]] = False
        assert int(used.sum()) == 300
        assert (labels[used] != labels[indices[i]]).all()


def test_of_many_rows_all_of_other_classes_are_drawn_alike(device):
    f, bank, indices, labels = large(100, device)
    bank.requires_grad_()
    counts = torch.zeros(2000, device=device)
    for seed in range(200):
        g = torch.Generator(device).manual_seed(seed)
        loss, *_ = view_invariant_loss(
            f[:1], f[:1], bank, indices[:1], labels, temperature=T, num_negatives=300, generator=g
        )
        counts += torch.autograd.grad(loss, bank)[0].any(1)
    counts = counts[labels != labels[indices[0]]].double()
    assert len(counts) == 2000 - 20
    # drawn without repetition each count varies by less than a Poisson's: 1,979 degrees of freedom
    assert chi_square(counts.tolist()) < 1979 + 3.1 * math.sqrt(2 * 1979)


def test_of_many_rows_positives_are_drawn_uniformly(device):
    f, bank, indices, labels = large(100, device)
    members = [i for i, y in enumerate(labels.tolist()) if y == labels[1].item()]
    counts = dict.fromkeys(members, 0)
    bank.requires_grad_()
    for seed in range(200):
        g = torch.Generator(device).manual_seed(seed)
        loss = contrast_loss(
            f[:1], bank, indices[:1], labels, temperature=T, num_negatives=1, generator=g
        )
        drawn = torch.autograd.grad(loss, bank)[0].any(1).nonzero()[:, 0].tolist()
        (positive,) = set(drawn) & set(members)
        counts[positive] += 1
    assert chi_square(list(counts.values())) < 43.8  # 19 degrees of freedom: p = 0.001


def test_images_of_a_class_of_most_rows_have_the_negatives_that_there_are(device):
    """Half of all rows are of the class, and of the 756 rows looked at some 378 are not."""
    f, bank, indices, labels = large(2, device)
    bank = bank[:1].expand_as(bank)  # the loss is log(1 + negatives)
    loss = contrast_loss(
        f[:1], bank, indices[:1], labels, temperature=T, num_negatives=500,
        generator=torch.Generator(device).manual_seed(0),
    )  # fmt: skip
    assert 300 < math.expm1(loss.item()) < 450


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that anything made."""

    size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self.size = max(self.size, tensor.numel())
        return made


def test_nothing_grows_with_images_times_rows():
    """B = 64, N = 40,000, D = 8: what is made holds at most the bank's rows that are looked at,
    (B, M), or one number a row. Nor is a bank in half precision turned into float32."""
    labels = torch.arange(40_000) % 4000
    bank = F.normalize(torch.randn(40_000, 8), dim=1).half()
    f, f_new = (torch.randn(64, 8, requires_grad=True) for _ in range(2))
    indices = torch.arange(64)
    options = {"temperature": T, "num_negatives": 200}
    with Largest() as seen:
        sum(view_invariant_loss(f, f_new, bank, indices, labels, **options)).backward()
        contrast_loss(f, bank, indices, labels, **options).backward()
    assert seen.size == 40_000


# ---- closed forms
@pytest.mark.parametrize("k", [1, 2, 5, 100])
def test_equal_bank_rows_give_log_of_one_plus_k(k, device):
    """All scores alike: -log(1 / (1 + min(K, negatives)))."""
    labels = [0, 0, 1, 2, -1, -1]
    f, _, bank, indices, y = inputs(labels, [0, 1], device=device)
    bank = bank[:1].expand_as(bank)
    wanted = math.log(1 + min(k, 4))
    for loss in view_invariant_loss(f, f, bank, indices, y, temperature=0.04, num_negatives=k):
        assert loss.item() == pytest.approx(wanted, rel=1e-5)
    loss = contrast_loss(f, bank, indices, y, temperature=0.04, num_negatives=k)
    assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_scores_of_plus_and_minus_one_at_the_papers_temperature():
    """<f, M_i> = 1, <f, n> = -1: log(1 + e^{-2/t}); the other way round: log(1 + e^{2/t}) = 2/t."""
    bank = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    y, t = torch.tensor([0, 1]), 0.04
    good = contrast_loss(bank[:1], bank, torch.tensor([0]), y, temperature=t, num_negatives=1)
    bad = contrast_loss(-bank[:1], bank, torch.tensor([0]), y, temperature=t, num_negatives=1)
    assert good.item() == pytest.approx(math.log1p(math.exp(-2 / t)), rel=1e-4)
    assert bad.item() == pytest.approx(2 / t, rel=1e-6)
    frozen = contrast_loss(-bank[:1], bank, torch.tensor([0]), y, temperature=1e-4, num_negatives=1)
    assert frozen.item() == pytest.approx(2e4, rel=1e-6)  # far beyond exp's range


def test_embeddings_are_normalised_inside():
    f, f_new, *rest = inputs([0, 1, 2, -1], [0, 1, 2])
    a = view_invariant_loss(f, f_new, *rest, temperature=T, num_negatives=4)
    b = view_invariant_loss(100 * f, 0.01 * f_new, *rest, temperature=T, num_negatives=4)
    torch.testing.assert_close(a, b)


# ---- edges
def test_a_batch_of_outliers_gives_zeros_with_a_graph(device):
    f, f_new, bank, indices, labels = inputs([-1, -1, 0], [0, 1], device=device)
    f.requires_grad_()
    f_new.requires_grad_()
    terms = view_invariant_loss(f, f_new, bank, indices, labels, temperature=T, num_negatives=2)
    single = contrast_loss(f, bank, indices, labels, temperature=T, num_negatives=2)
    for loss in (*terms, single):
        assert loss.item() == 0
        loss.backward(retain_graph=True)
    assert not f.grad.any()
    assert not f_new.grad.any()


def test_one_single_class_has_no_negatives_and_loss_zero(device):
    f, f_new, bank, indices, labels = inputs([0, 0, 0], [0, 2], device=device)
    f.requires_grad_()
    f_new.requires_grad_()
    for k in (1, 3, 8192):
        terms = view_invariant_loss(f, f_new, bank, indices, labels, temperature=T, num_negatives=k)
        single = contrast_loss(f, bank, indices, labels, temperature=T, num_negatives=k)
        assert [x.item() for x in (*terms, single)] == [0, 0, 0, 0]
        (sum(terms) + single).backward()
        assert not f.grad.any()  # neither NaN nor anything else
        assert not f_new.grad.any()


def test_a_batch_of_one_image_and_a_bank_of_one_row():
    f, f_new, bank, indices, labels = inputs([0], [0])
    assert (
        sum(
            view_invariant_loss(f, f_new, bank, indices, labels, temperature=T, num_negatives=1)
        ).item()
        == 0
    )


def test_outliers_of_the_batch_do_not_count():
    f, f_new, bank, indices, labels = inputs([0, 1, 2, -1], [0, 3, 1])
    f.requires_grad_()
    with_outlier = view_invariant_loss(
        f, f_new, bank, indices, labels, temperature=T, num_negatives=4
    )
    keep = torch.tensor([0, 2])
    without = view_invariant_loss(
        f[keep], f_new[keep], bank, indices[keep], labels, temperature=T, num_negatives=4
    )
    torch.testing.assert_close(with_outlier, without)
    sum(with_outlier).backward()
    assert not f.grad[1].any()
    assert f.grad[0].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_embeddings_are_computed_in_float32(dtype, device):
    f, f_new, bank, indices, labels = inputs([0, 1, 2, -1], [0, 1, 2], device=device)
    f, f_new = f.to(dtype).requires_grad_(), f_new.to(dtype).requires_grad_()
    options = {"temperature": 0.04, "num_negatives": 4}
    half = view_invariant_loss(f, f_new, bank, indices, labels, **options)
    full = view_invariant_loss(f.float(), f_new.float(), bank, indices, labels, **options)
    for a, b in zip(half, full, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    sum(half).backward()
    for x in (f, f_new):
        assert x.grad.dtype == dtype
        assert x.grad.isfinite().all()
        assert x.grad.any()


@pytest.mark.parametrize("k", [4, 2])
def test_a_bank_in_half_precision_is_the_rows_that_it_holds(k, device):
    f, f_new, bank, indices, labels = inputs([0, 1, 2, 0, -1], [0, 1, 2], device=device)
    values = []
    for rows in (bank.half(), bank.half().float()):
        options = {"temperature": T, "num_negatives": k}
        g = torch.Generator(device).manual_seed(0)
        terms = view_invariant_loss(f, f_new, rows, indices, labels, generator=g, **options)
        single = contrast_loss(f, rows, indices, labels, generator=g, **options)
        own = own_view_loss(f_new, rows, indices, labels, temperature=T)
        values.append(torch.stack([*terms, single, *own]))
    assert values[0].dtype == torch.float32
    assert torch.equal(*values)


def test_draws_come_from_the_generator_and_from_nothing_else(device):
    args = inputs([0] * 10 + [1] * 10 + [2] * 10, [0, 10, 20], device=device)

    def losses(seed: int) -> Tensor:
        g = torch.Generator(device=device).manual_seed(seed)
        f, _, bank, indices, labels = args
        single = contrast_loss(
            f, bank, indices, labels, temperature=T, num_negatives=5, generator=g
        )
        return torch.stack(
            [*view_invariant_loss(*args, temperature=T, num_negatives=5, generator=g), single]
        )

    before = torch.get_rng_state()
    first, again, other = losses(1), losses(1), losses(2)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize("num_negatives", [9, 6])
def test_views_of_tracks_against_the_loop(num_negatives, device):
    """Own row and a row of the class; negatives are rows of other classes and other tracks,
    whatever label the track's other rows have. The original's are rows of other classes."""
    labels, tracks = [0, 0, 1, 2, 1, -1, 3, 3, -1], [5, 5, 5, 6, -1, 6, 7, 8, -2]
    f, f_new, *rest = args = inputs(labels, [0, 3, 6, 5], device=device)
    bank = rest[0]
    options = {"temperature": T, "num_negatives": num_negatives, "negatives": "own"}
    known = torch.tensor(tracks, device=device)
    own, new, ori = view_invariant_loss(*args, **options, tracks=known)
    if num_negatives == 9:
        images = per_image(*(a.cpu() for a in args), "own", T)
        assert is_one_of(ori, possible_means(images, "ori"))
    rows, found = bank.cpu().double(), []
    for a, i in zip(unit64(f_new.cpu())[:3], (0, 3, 6), strict=True):  # 5 is an outlier
        pool = [k for k in range(9) if labels[k] != labels[i] and tracks[k] != tracks[i]]
        least = len(pool) if num_negatives == 9 else 1
        found.append(
            {
                j: [
                    h(a, rows[j], a, [rows[k] for k in subset], T)
                    for size in range(least, len(pool) + 1)
                    for subset in itertools.combinations(pool, size)
                ]
                for j in range(9)
                if labels[j] == labels[i]
            }
        )
    if num_negatives == 9:
        expected = sum(each[i][0] for each, i in zip(found, (0, 3, 6), strict=True)) / 3
        torch.testing.assert_close(own.double().cpu(), expected, rtol=1e-5, atol=1e-6)
        draws = itertools.product(*([values[0] for values in each.values()] for each in found))
        assert is_one_of(new, torch.stack([sum(draw) / 3 for draw in draws]))
    else:  # no more negatives than there are, and at least one
        for term in (own, new):
            least = sum(min(min(v) for v in each.values()) for each in found) / 3
            most = sum(max(max(v) for v in each.values()) for each in found) / 3
            assert least <= term.double().cpu() <= most


@pytest.mark.parametrize("negatives", ["new", "own"])
def test_tracks_of_one_change_nothing(negatives, device):
    args = inputs([0, 0, 1, 1, 2], [0, 2], device=device)

    def losses(tracks: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        g = torch.Generator(device=device).manual_seed(0)
        options = {"temperature": T, "num_negatives": 3, "negatives": negatives, "generator": g}
        return view_invariant_loss(*args, **options, tracks=tracks)

    assert losses(torch.arange(5, device=device)) == losses(None)


def test_unknown_negatives_are_refused():
    with pytest.raises(ValueError, match="'new' or 'own'.*'both'"):
        view_invariant_loss(*inputs([0, 1], [0]), temperature=T, num_negatives=1, negatives="both")


# ---- L_vi for every image
def test_own_view_loss_against_the_loop(device):
    labels = [0, 0, 1, -1, -1, 2]
    _, f_new, bank, indices, y = inputs(labels, [0, 2, 3, 5], device=device)
    losses = own_view_loss(f_new, bank, indices, y, temperature=T)
    rows, a_new = bank.cpu().double(), unit64(f_new.cpu())
    for a, i, loss in zip(a_new, indices.tolist(), losses, strict=True):
        # an outlier is a class of its own: all other rows are its negatives, outliers too
        n_k = [rows[j] for j in range(6) if j != i and (labels[i] == -1 or labels[j] != labels[i])]
        assert loss.item() == pytest.approx(h(a, rows[i], a, n_k, T).item(), rel=1e-4, abs=1e-6)


def test_own_view_loss_is_log_of_one_plus_negatives_at_chance():
    _, f_new, bank, indices, labels = inputs([0, 0, 1, -1, -1], [0, 2, 3])
    losses = own_view_loss(f_new, bank[:1].expand_as(bank), indices, labels, temperature=T)
    torch.testing.assert_close(losses, torch.tensor([4.0, 5.0, 5.0]).log())
