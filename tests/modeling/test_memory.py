"""M_i <- normalise(alpha M_i + (1 - alpha) f_i)."""

from __future__ import annotations

import pytest
import torch
from engine import runs
from modeling import bank_ranks
from torch import Tensor

from gcl.modeling import MemoryBank


def filled(n: int, dim: int, alpha: float, device: str, seed: int = 0) -> MemoryBank:
    bank = MemoryBank(dim, alpha, n).to(device)
    bank.fill(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)))
    return bank


def slow_update(rows: Tensor, features: Tensor, indices: list[int], alpha: float) -> Tensor:
    """One image after the other; of an image that comes several times, the last counts."""
    old, new = rows.double(), rows.double()
    for f, i in zip(features.double(), indices, strict=True):
        f = f / f.norm()
        mixed = alpha * old[i] + (1 - alpha) * f
        new = new.clone()
        new[i] = mixed / mixed.norm()
    return new


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("indices", [[3], [0, 4, 2], [1, 1, 5, 1, 0, 5]])
def test_update_against_a_loop(alpha, indices, device):
    bank = filled(6, 8, alpha, device)
    features = 5 * torch.randn(len(indices), 8, generator=torch.Generator().manual_seed(1))
    before = bank.features.clone()
    wanted = slow_update(before.cpu(), features, indices, alpha)
    bank.update(features.to(device), torch.tensor(indices))
    torch.testing.assert_close(bank.features.double().cpu(), wanted, rtol=1e-5, atol=1e-6)
    untouched = [i for i in range(6) if i not in indices]
    assert torch.equal(bank.features[untouched], before[untouched])


def test_alpha_is_the_weight_of_the_old_row():
    """Old row (1, 0), new feature (0, 1), alpha = 0.2: normalise(0.2, 0.8) = (1, 4) / sqrt(17)."""
    bank = MemoryBank(2, 0.2, 1)
    bank.fill(torch.tensor([[7.0, 0.0]]))
    bank.update(torch.tensor([[0.0, 3.0]]), torch.tensor([0]))
    torch.testing.assert_close(bank.features, torch.tensor([[1.0, 4.0]]) / 17**0.5)


def test_the_last_of_several_counts_whatever_the_order_of_rows():
    bank = MemoryBank(2, 0.0, 3)  # alpha 0: the row is the feature
    bank.fill(torch.eye(3)[:, :2] + 0.1)
    features = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.6, 0.8], [0.0, 1.0]])
    bank.update(features, torch.tensor([2, 0, 2, 0]))
    torch.testing.assert_close(bank.features[[0, 2]], features[[3, 2]])


def test_a_new_bank_is_empty_and_labels_nothing():
    bank = MemoryBank(3, 0.2, 5)
    assert bank.features.shape == (5, 3)
    assert not bank.features.any()
    assert bank.labels.dtype == torch.int64
    assert bank.labels.tolist() == [-1] * 5


def test_allocate_replaces_the_rows(device):
    """Of the size asked for, where the bank is, empty again."""
    bank = filled(3, 8, 0.2, device)
    bank.labels.zero_()
    bank.allocate(5)
    assert bank.features.shape == (5, 8) and not bank.features.any()
    assert bank.labels.tolist() == [-1] * 5 and bank.labels.dtype == torch.int64
    assert bank.features.device.type == bank.labels.device.type == torch.device(device).type
    assert bank.state_dict() == {}


def test_rows_in_no_track_are_in_none_together():
    bank = MemoryBank(2, 0.2, 3)
    assert len({*bank.tracks.tolist()}) == 3 and (bank.tracks < 0).all()
    bank.allocate(5, tracks=[3, -1, 3, -1, 0])
    first, second = bank.tracks[[1, 3]].tolist()
    assert bank.tracks[[0, 2, 4]].tolist() == [3, 3, 0]
    assert first != second and max(first, second) < 0


def test_fill_normalises_rows(device):
    features = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    bank = MemoryBank(3, 0.2, 4).to(device)
    bank.fill(10 * features)
    for row, f in zip(bank.features.cpu(), features, strict=True):
        torch.testing.assert_close(row, f / f.norm())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rows_stay_float32_units_without_a_graph(dtype, device):
    bank = filled(4, 8, 0.2, device)
    features = torch.randn(2, 8, device=device, dtype=dtype, requires_grad=True)
    bank.update(features * 2, torch.tensor([0, 3], device=device))
    assert bank.features.dtype == torch.float32
    assert not bank.features.requires_grad
    torch.testing.assert_close(bank.features.norm(dim=1), torch.ones(4, device=device))


def test_the_bank_is_not_part_of_the_weights():
    """Its size is the training set's: a checkpoint of the weights must load on other data."""
    assert MemoryBank(3, 0.2, 5).state_dict() == {}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_feature_that_is_not_finite_never_enters(bad, device):
    bank, before = (filled(4, 3, 0.2, device) for _ in range(2))
    features = torch.ones(3, 3)
    features[1, 2] = bad
    bank.update(features.to(device), torch.tensor([0, 2, 3]))
    assert torch.equal(bank.features[[1, 2]], before.features[[1, 2]])
    assert not torch.equal(bank.features[[0, 3]], before.features[[0, 3]])
    assert bank.features.isfinite().all()
    bank.fill(torch.cat([features, torch.ones(1, 3)]).to(device))
    assert torch.equal(bank.features[1], before.features[1])
    torch.testing.assert_close(bank.features[[0, 2, 3]].cpu(), torch.full((3, 3), 3**-0.5))


def test_a_batch_without_any_finite_feature_changes_nothing():
    bank, before = (filled(4, 3, 0.2, "cpu") for _ in range(2))
    bank.update(torch.full((2, 3), float("nan")), torch.tensor([0, 2]))
    assert torch.equal(bank.features, before.features)


def test_of_an_image_that_comes_several_times_the_last_finite_one_counts():
    bank = filled(2, 3, 0.0, "cpu")
    features = torch.tensor([[1.0, 0, 0], [0, 1, 0], [float("nan"), 0, 0]])
    bank.update(features, torch.tensor([1, 1, 1]))
    torch.testing.assert_close(bank.features[1], torch.tensor([0.0, 1, 0]))


@pytest.mark.parametrize("world", [2, 4])
def test_processes_have_one_bank_and_it_is_that_of_one_process(world, tmp_path):
    """Bit for bit; a batch is shared out, and the last of an image may be in another's part."""
    folders = [tmp_path / str(rank) for rank in range(world)]
    processes = [
        runs.launch(bank_ranks.work, folder, rank, world, str(tmp_path / "store"))
        for rank, folder in enumerate(folders)
    ]
    for process, folder in zip(processes, folders, strict=True):
        runs.finish(process, folder)
    alone = bank_ranks.updated().features
    assert all(torch.equal(runs.load(folder / "bank.pth"), alone) for folder in folders)


# ---- rows in half precision
def test_half_rows_follow_the_loop_to_their_precision(device):
    """11 bits: a number of a unit vector is 5e-4 of its size off at most, and a step adds as much;
    of ten steps that weigh 0.8, 0.8^2, ..., no more than 5 count."""
    banks = [MemoryBank(8, 0.8, 6, half=half).to(device) for half in (False, True)]
    for bank in banks:
        bank.fill(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)).to(device))
    g = torch.Generator().manual_seed(1)
    for _ in range(10):
        features, indices = torch.randn(4, 8, generator=g), torch.randint(6, (4,), generator=g)
        for bank in banks:
            bank.update(features.to(device), indices)
    assert banks[1].features.dtype == torch.float16
    torch.testing.assert_close(banks[1].features.float(), banks[0].features, rtol=0, atol=5e-3)
    assert not torch.equal(banks[1].features.float(), banks[0].features)


def test_half_rows_that_nothing_is_written_into_keep_their_bits():
    bank = MemoryBank(3, 0.2, 4, half=True)
    bank.fill(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    before = bank.features.clone()
    bank.update(torch.tensor([[float("nan")] * 3, [1.0, 0, 0]]), torch.tensor([1, 2]))
    assert torch.equal(bank.features[[0, 1, 3]], before[[0, 1, 3]])
    assert not torch.equal(bank.features[2], before[2])
    bank.fill(torch.full((4, 3), float("inf")))
    assert torch.equal(bank.features[[0, 1, 3]], before[[0, 1, 3]])
    bank.allocate(7)
    assert bank.features.dtype == torch.float16


def test_filling_in_parts_is_filling(monkeypatch):
    features = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    features[5, 1] = float("nan")
    banks = [filled(7, 3, 0.2, "cpu", seed=2) for _ in range(2)]
    banks[0].fill(features)
    monkeypatch.setattr("gcl.modeling.memory.PART", 3)
    banks[1].fill(features)
    assert torch.equal(banks[0].features, banks[1].features)
