"""u_ck = normalise(mean of the rows of class c in camera k), and
u <- normalise(alpha u + (1 - alpha) f) after a step."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gcl.modeling.camera_proxies import CameraProxies
from gcl.modeling.memory import MemoryBank

LABELS = [0, 0, 1, -1, 0, 1, 1, 2]
CAMERAS = [0, 1, 1, 0, 0, 1, 3, 0]


def filled(device: str) -> tuple[MemoryBank, CameraProxies]:
    bank = MemoryBank(4, 0.2).to(device)
    bank.allocate(len(LABELS), CAMERAS)
    bank.fill(torch.randn(len(LABELS), 4, generator=torch.Generator().manual_seed(0)).to(device))
    bank.labels.copy_(torch.tensor(LABELS))
    proxies = CameraProxies(4, 0.25).to(device)
    proxies.build(bank)
    return bank, proxies


def test_a_proxy_is_the_mean_of_a_class_in_a_camera(device):
    bank, proxies = filled(device)
    pairs = list(zip(proxies.classes.tolist(), proxies.cameras.tolist(), strict=True))
    assert sorted(pairs) == sorted({(y, c) for y, c in zip(LABELS, CAMERAS, strict=True) if y >= 0})
    for feature, pair in zip(proxies.features, pairs, strict=True):
        rows = [i for i, own in enumerate(zip(LABELS, CAMERAS, strict=True)) if own == pair]
        torch.testing.assert_close(feature, F.normalize(bank.features[rows].sum(0), dim=0))
    for i, (y, camera) in enumerate(zip(LABELS, CAMERAS, strict=True)):
        row = proxies.rows[i].item()
        assert row == -1 if y == -1 else pairs[row] == (y, camera)


def test_an_update_moves_the_proxies_of_the_images_alone(device):
    _, proxies = filled(device)
    before = proxies.features.clone()
    f = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).to(device)
    rows = proxies.rows[torch.tensor([2, 3, 5], device=device)]  # 3 is an outlier; 2 and 5 are one
    assert rows[0] == rows[2] and rows[1] == -1
    proxies.update(f, rows)
    wanted = before.clone()
    wanted[rows[0]] = F.normalize(0.25 * before[rows[0]] + 0.75 * F.normalize(f[2], dim=0), dim=0)
    torch.testing.assert_close(proxies.features, wanted)


def test_new_labels_make_new_proxies():
    bank, proxies = filled("cpu")
    bank.labels.copy_(torch.tensor([5, 5, 5, 5, -1, -1, -1, -1]))
    proxies.build(bank)
    assert proxies.classes.tolist() == [5, 5] and proxies.cameras.tolist() == [0, 1]
    assert not proxies.state_dict()


@pytest.mark.parametrize("half", [True, False])
def test_a_bank_in_half_precision_has_them_in_float32(half):
    bank = MemoryBank(4, 0.2, half=half)
    bank.allocate(2, [0, 1])
    bank.fill(torch.randn(2, 4))
    bank.labels.zero_()
    proxies = CameraProxies(4, 0.2)
    proxies.build(bank)
    assert proxies.features.dtype == torch.float32
