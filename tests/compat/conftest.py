"""Every test here runs as on a machine whose user chose MODEL.DEVICE cpu, and leaves no trace."""

import pytest

import gcl.compat  # noqa: F401  before any test module imports fastreid


@pytest.fixture(autouse=True)
def device_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCL_DEVICE", "cpu")  # undone afterwards, set_device within a test too


@pytest.fixture
def cuda_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU on which any use of it is an error."""

    def touched(*args: object, **kwargs: object) -> None:
        raise AssertionError("a run with MODEL.DEVICE cpu touched the GPU")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for name in ("Stream", "stream", "current_stream", "set_device", "synchronize", "_lazy_init"):
        monkeypatch.setattr(f"torch.cuda.{name}", touched)
