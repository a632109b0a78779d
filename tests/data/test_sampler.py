"""Both samplers for any labels: finite, of exact length, covering, alike on all ranks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gcl.data.sampler import PseudoLabelSampler, ShuffleSampler

labels_lists = st.lists(st.integers(-1, 6), min_size=1, max_size=40).filter(lambda x: max(x) >= 0)
uneven_labels = st.builds(
    lambda big, small, outliers: [0] * big + list(range(1, small + 1)) + [-1] * outliers,
    st.integers(1, 60),
    st.integers(0, 20),
    st.integers(0, 20),
)
any_labels = labels_lists | uneven_labels
sizes = st.tuples(st.integers(1, 3), st.integers(1, 6))  # world size, images of a rank's batch
many = settings(max_examples=60, deadline=None, derandomize=True)


def draw(labels, batch_size, k, num_batches, seed=0, **where) -> list[int]:
    return list(PseudoLabelSampler(labels, batch_size, k, num_batches, seed=seed, **where))


@many
@given(any_labels, sizes, st.integers(1, 5), st.integers(1, 12), st.integers(0, 99))
def test_length_and_labelled_images_only(labels, size, k, num_batches, seed):
    batch_size = size[0] * size[1]
    sampler = PseudoLabelSampler(labels, batch_size, k, num_batches, seed=seed)
    order = list(sampler)
    assert len(order) == len(sampler) == batch_size * num_batches
    assert all(labels[i] >= 0 for i in order)
    assert list(sampler) == order  # a second pass is the same


@many
@given(any_labels, st.integers(1, 6), st.integers(1, 5), st.integers(1, 30), st.integers(0, 99))
def test_every_labelled_image_comes_when_there_is_room(labels, batch_size, k, num_batches, seed):
    order = draw(labels, batch_size, k, num_batches, seed)
    labelled = {i for i, y in enumerate(labels) if y >= 0}
    if batch_size * num_batches >= len(labelled):
        assert set(order) == labelled
    else:  # none twice while others wait
        assert len(set(order)) == len(order)


@many
@given(any_labels, st.integers(1, 5), st.integers(0, 99))
def test_groups_of_k_are_of_one_class(labels, k, seed):
    """With room for all fill-ups: sum over classes of k ceil(members / k)."""
    sizes = Counter(y for y in labels if y >= 0)
    groups = sum(-(-n // k) for n in sizes.values())
    order = np.array(draw(labels, k, k, groups, seed)).reshape(groups, k)
    assert set(order.flatten()) == {i for i, y in enumerate(labels) if y >= 0}
    for group in order.tolist():
        (label,) = {labels[i] for i in group}
        # different images, as far as the class has them
        assert len(set(group)) == min(k, sizes[label])
    assert Counter(labels[group[0]] for group in order.tolist()) == {
        y: -(-n // k) for y, n in sizes.items()
    }


@many
@given(any_labels, sizes, st.integers(1, 5), st.integers(1, 8), st.integers(0, 99))
def test_shares_of_the_ranks_make_up_each_batch(labels, size, k, num_batches, seed):
    world, per_rank = size
    whole = np.array(draw(labels, world * per_rank, k, num_batches, seed))
    shares = [
        draw(labels, world * per_rank, k, num_batches, seed, rank=r, world_size=world)
        for r in range(world)
    ]
    assert [len(s) for s in shares] == [per_rank * num_batches] * world
    together = np.concatenate([np.reshape(s, (num_batches, per_rank)) for s in shares], axis=1)
    np.testing.assert_array_equal(together, whole.reshape(num_batches, world * per_rank))


@many
@given(any_labels, st.integers(1, 6), st.integers(1, 5), st.integers(1, 8), st.integers(0, 99))
def test_the_seed_decides_and_nothing_else(labels, batch_size, k, num_batches, seed):
    first = draw(labels, batch_size, k, num_batches, seed)
    torch.manual_seed(seed + 1)
    assert draw(np.array(labels), batch_size, k, num_batches, seed) == first


def test_other_seeds_give_other_orders():
    labels = [0, 1, 2, 3] * 10
    assert len({tuple(draw(labels, 8, 2, 5, seed)) for seed in range(20)}) == 20


def test_an_epoch_with_more_room_starts_over_with_new_groups():
    labels = [0] * 4 + [1] * 4
    order = np.array(draw(labels, 8, 2, 20)).reshape(20, 8)
    for one_round in order:
        assert sorted(one_round.tolist()) == list(range(8))
    assert len({tuple(r) for r in order.tolist()}) > 10


def test_fill_ups_give_way_to_images():
    """5 classes of 3 in groups of 2 want 20 places; in 15 every image comes exactly once."""
    labels = [y for y in range(5) for _ in range(3)]
    assert sorted(draw(labels, 5, 2, 3)) == list(range(15))
    counts = Counter(draw(labels, 6, 2, 3))  # 18 places: three fill-ups
    assert set(counts) == set(range(15))
    assert sorted(counts.values()) == [1] * 12 + [2] * 3


def test_large_and_gappy_label_numbers():
    labels = [10**9, 3, 10**9, 3, -1]
    order = np.array(draw(labels, 4, 2, 1)).reshape(2, 2)
    assert {frozenset(g) for g in order.tolist()} == {frozenset({0, 2}), frozenset({1, 3})}


@pytest.mark.parametrize("labels", [[], [-1], [-1, -1, -1]])
def test_no_labelled_image_is_an_error_that_names_the_keys(labels):
    with pytest.raises(ValueError, match="no labelled image.*GCL.LABELS"):
        draw(labels, 2, 2, 1)


# ---- plain shuffling
@many
@given(
    st.sets(st.integers(0, 99), min_size=1, max_size=30),
    sizes,
    st.integers(1, 10),
    st.integers(0, 99),
)
def test_shuffling_repeats_nothing_before_all_came(indices, size, num_batches, seed):
    world, per_rank = size
    indices, room = sorted(indices), world * per_rank * num_batches
    order = list(ShuffleSampler(indices, world * per_rank, num_batches, seed=seed))
    assert len(order) == room
    for start in range(0, room, len(indices)):
        part = order[start : start + len(indices)]
        assert len(set(part)) == len(part)
        assert set(part) <= set(indices)
    shares = [
        ShuffleSampler(indices, world * per_rank, num_batches, seed=seed, rank=r, world_size=world)
        for r in range(world)
    ]
    assert {len(s) for s in shares} == {room // world}
    together = np.concatenate(
        [np.reshape(list(s), (num_batches, per_rank)) for s in shares], axis=1
    )
    assert together.flatten().tolist() == order


def test_shuffling_shuffles_by_its_seed():
    orders = {tuple(ShuffleSampler(range(20), 5, 4, seed=s)) for s in range(20)}
    assert len(orders) == 20
    assert tuple(ShuffleSampler(range(20), 5, 4, seed=3)) in orders


def test_shuffling_nothing_is_an_error():
    with pytest.raises(ValueError, match="no image"):
        ShuffleSampler([], 2, 1, seed=0)
