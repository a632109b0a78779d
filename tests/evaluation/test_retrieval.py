"""Ranks of views against a search in plain Python, and of a blind guess against all orders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gcl.evaluation.retrieval import blind_precision, blind_rank1, gallery_sizes, ranks
from gcl.evaluation.view_pairs import Item, photographs


@pytest.fixture
def pairs():
    """5 people in 2 cameras from 4 sides; some photographs are not there, some there are twice."""
    rng = np.random.default_rng(0)
    items = [
        Item(f"{person}{camera}{yaw}{copy}", person, camera, float(yaw))
        for person, camera, yaw in itertools.product(range(5), range(2), (0, 90, 180, 270))
        for copy in range(rng.choice(3, p=(0.2, 0.6, 0.2)))
    ]
    return photographs(items)


def slow_rank(t, queries, targets, pairs) -> int:
    truth, match = pairs.truth[t], pairs.match[t]
    best, seen = queries[t] @ targets[match], {pairs.person[truth]}
    rank = 1
    for target in range(len(targets)):
        same = pairs.camera[target] == pairs.camera[truth]
        same = same and pairs.orientation[target] == pairs.orientation[truth]
        if same and pairs.person[target] not in seen:
            seen.add(pairs.person[target])
            rank += int(queries[t] @ targets[target] >= best)
    return rank


def test_ranks_are_those_of_a_plain_search(pairs):
    torch.manual_seed(0)
    queries = F.normalize(torch.randn(len(pairs.crop), 6), dim=1)
    targets = F.normalize(torch.randn(len(pairs.person), 6), dim=1)
    found = ranks(queries, targets, pairs)
    assert found.tolist() == [slow_rank(t, queries, targets, pairs) for t in range(len(queries))]
    assert found.max() > 2


def test_the_truth_itself_is_found_and_a_constant_finds_nobody(pairs):
    torch.manual_seed(0)
    targets = F.normalize(torch.randn(len(pairs.person), 6), dim=1)
    assert ranks(targets[pairs.match], targets, pairs).tolist() == [1] * len(pairs.crop)
    same = torch.ones_like(targets) / 6**0.5
    assert torch.equal(ranks(same[pairs.match], same, pairs).double(), gallery_sizes(pairs))


def test_without_a_match_there_is_no_rank(pairs):
    targets = F.normalize(torch.randn(len(pairs.person), 6), dim=1)
    queries = targets[pairs.match]
    pairs.match[3] = -1
    found = ranks(queries, targets, pairs)
    assert found.isnan().nonzero().flatten().tolist() == [3]
    assert gallery_sizes(pairs).isnan().nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize("people", [1, 2, 5])
def test_a_blind_guess_is_the_mean_over_all_orders(people):
    places = [order.index(0) + 1 for order in itertools.permutations(range(people))]
    sizes = torch.tensor([people, float("nan")])
    assert blind_rank1(sizes)[0].item() == pytest.approx(np.mean([p == 1 for p in places]))
    found = blind_precision(sizes)
    assert found[0].item() == pytest.approx(np.mean([1 / p for p in places]))
    assert found[1].isnan() and blind_precision(torch.full((2,), float("nan"))).isnan().all()
