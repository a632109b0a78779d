"""A GPU's losses are written one step late, a CPU's at once."""

from __future__ import annotations

import pytest
import torch

from gcl.engine.late_losses import LateLosses


@pytest.fixture
def written():
    return []


@pytest.fixture
def late(written):
    def write(losses, seconds):
        values = {name: loss.item() for name, loss in losses.items()}
        written.append((values, seconds))
        if not all(map(torch.isfinite, losses.values())):
            raise FloatingPointError(values)

    return LateLosses(write)


def losses(device, *values):
    names = ("a", "b")
    return {n: torch.tensor(v, device=device) for n, v in zip(names, values, strict=True)}


def test_on_a_cpu_they_are_written_at_once(late, written):
    late(losses("cpu", 1.0, 2.0), 0.5)
    assert written == [({"a": 1.0, "b": 2.0}, 0.5)]
    late.flush()
    assert len(written) == 1
    with pytest.raises(FloatingPointError):
        late(losses("cpu", 1.0, float("nan")), 0.5)


@pytest.mark.gpu
def test_on_a_gpu_nobody_waits_for_them(late, written, monkeypatch):
    """Told by what is asked of CUDA, not by a clock: a host that is slow is no host that waits."""
    waits = []

    class Event(torch.cuda.Event):
        def synchronize(self):
            waits.append(len(written))
            super().synchronize()

    monkeypatch.setattr(torch.cuda, "Event", Event)
    first = losses("cuda", 1.0, 2.0)  # from the host's numbers: a copy that waits for the GPU
    second = losses("cuda", 3.0, 4.0)
    torch.cuda.synchronize()
    torch.cuda._sleep(500_000_000)  # cycles: a number that is read too early is not there yet
    first = {name: value + 1 for name, value in first.items()}
    torch.cuda.set_sync_debug_mode("error")
    try:
        late(first, 0.5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert waits == [] and written == []
    late(second, 0.25)
    assert waits == [0] and written == [({"a": 2.0, "b": 3.0}, 0.5)]
    late.flush()
    late.flush()
    assert waits == [0, 1] and written[1:] == [({"a": 3.0, "b": 4.0}, 0.25)]


@pytest.mark.gpu
def test_on_a_gpu_the_end_of_an_epoch_finds_what_is_not_finite(late, written):
    late(losses("cuda", 1.0, float("inf")), 0.5)
    with pytest.raises(FloatingPointError):
        late.flush()
    late.flush()
    assert len(written) == 1
