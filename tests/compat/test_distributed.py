import json
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from fastreid import engine
from fastreid.engine import defaults
from fastreid.utils import comm
from torch import distributed as dist
from torch import nn

from gcl.compat import LaunchError, launch, stock

NO_CUDA = not torch.cuda.is_available()
RANKS = str(Path(__file__).with_name("ranks.py"))


def torchrun_environment(rank: int, world_size: int) -> dict[str, str]:
    numbers = {"RANK": rank, "LOCAL_RANK": rank}
    numbers |= {"WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": world_size}
    return {name: str(number) for name, number in numbers.items()}


def address() -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the only process of a torchrun job."""
    for name, value in {**torchrun_environment(0, 1), **address()}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("by", ["launch", "torchrun"])
def test_gloo_launch_two_processes(by: str, tmp_path: Path) -> None:
    environments = [{}]
    if by == "torchrun":
        common = address()
        environments = [{**torchrun_environment(rank, 2), **common} for rank in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, RANKS, str(tmp_path)],
            env={**os.environ, "GCL_DEVICE": "cpu", "OMP_NUM_THREADS": "1", **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment in environments
    ]
    try:
        for process in processes:
            errors = process.communicate(timeout=900)[1]  # only against a hang
            assert process.returncode == 0, errors
            assert "destroy_process_group" not in errors
    finally:
        for process in processes:
            process.kill()

    facts = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    for rank, fact in enumerate(facts):
        assert fact["rank"] == fact["local_rank"] == rank
        assert fact["local_size"] == fact["world_size"] == 2
        assert fact["gathered"] == [0, 1]
        assert (fact["backend"], fact["device"]) == ("gloo", "cpu")
    assert facts[0]["weights"] == facts[1]["weights"]
    if by == "launch":
        assert facts[0]["default_start"] == "spawn"  # what the loader's workers would use
        assert facts[0]["workers"]["batches"] == [[0, 1], [2, 3]]
        if sys.platform == "linux":
            assert facts[0]["workers"]["start"] == "forkserver"
    # a process runs the work itself only under torchrun
    assert (tmp_path / ("returneddone" if by == "torchrun" else "returnedNone")).exists()


def test_gloo_launch() -> None:
    assert engine.launch is sys.modules["fastreid.engine.launch"].launch is launch
    assert launch(lambda a, b: (a + b, dist.is_initialized()), 1, args=(1, 2)) == (3, False)


@pytest.mark.skipif(not NO_CUDA, reason="shows what a machine without CUDA sees")
def test_the_toolbox_worker_needs_cuda() -> None:
    worker = sys.modules["fastreid.engine.launch"]._distributed_worker
    with pytest.raises(AssertionError, match="cuda is not available"):
        worker(0, print, 2, 2, 0, "tcp://127.0.0.1:1", ())


@pytest.mark.usefixtures("torchrun")
def test_torchrun_is_joined_and_left() -> None:
    def main() -> tuple:
        return dist.is_initialized(), dist.get_backend(), comm.get_local_rank()

    assert launch(main, 5) == (True, "gloo", 0)  # torchrun's number of processes, not ours
    assert not dist.is_initialized()
    assert comm._LOCAL_PROCESS_GROUP is None
    assert launch(main, 1) == (True, "gloo", 0)  # and once more

    seen = []
    stock("fastreid.engine.launch.launch")(lambda: seen.append(dist.is_initialized()), 1)
    assert seen == [False]  # the toolbox does not look at torchrun


@pytest.mark.usefixtures("torchrun")
def test_an_error_leaves_the_group_too() -> None:
    def main() -> None:
        raise RuntimeError("in the training")

    with pytest.raises(RuntimeError, match="in the training"):
        launch(main, 1)
    assert not dist.is_initialized()


@pytest.mark.usefixtures("torchrun")
@pytest.mark.parametrize("fails", [False, True])
def test_on_cuda_a_process_takes_its_gpu_and_nccl(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    calls: list[tuple] = []

    def record(name: str) -> object:
        return lambda *args, **kwargs: calls.append((name, *args))

    monkeypatch.setenv("GCL_DEVICE", "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.set_device", record("gpu"))
    monkeypatch.setattr(comm, "_LOCAL_PROCESS_GROUP", None)
    for name in ("init_process_group", "new_group", "destroy_process_group"):
        monkeypatch.setattr(dist, name, record(name))
    if fails:
        with pytest.raises(ZeroDivisionError):
            launch(lambda: 1 / 0, 1)
    else:
        launch(lambda: None, 1)
    expected = [("gpu", 0), ("init_process_group", "nccl"), ("new_group", [0])]
    if not fails:  # NCCL would wait for the others
        expected.append(("destroy_process_group",))
    assert calls == expected


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCL_DEVICE", "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(LaunchError, match="2 processes for 1 GPUs .* --num-gpus 1"):
        launch(print, 2)


def test_several_machines_need_an_address() -> None:
    with pytest.raises(LaunchError, match="--dist-url"):
        launch(print, 1, num_machines=2, dist_url="auto")


@pytest.mark.usefixtures("torchrun")
def test_wrap_model() -> None:
    class Unused(nn.Module):
        find_unused_parameters = True

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

    def main() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # DDP's own, about broadcast_buffers
            arguments = {"device_ids": [0], "broadcast_buffers": False}
            plain = defaults.DistributedDataParallel(nn.Linear(2, 1), **arguments)
            assert not plain.find_unused_parameters
            assert not plain.broadcast_buffers
            assert defaults.DistributedDataParallel(Unused(), **arguments).find_unused_parameters
            original = stock("fastreid.engine.defaults.DistributedDataParallel")
            with pytest.raises(ValueError, match="device_ids"):
                original(nn.Linear(2, 1), **arguments)

    launch(main, 1)


def test_wrap_model_keeps_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from gcl.compat import distributed

    class Defaults:
        @staticmethod
        def wrapped(model: nn.Module, **kwargs: object) -> dict:
            return kwargs

    # the factory around a stand-in for DDP, with a model that is not on the CPU
    made = {}
    monkeypatch.setattr(distributed, "replace", lambda owner, name, make: made.update({name: make}))
    distributed.wrap_model()
    factory = made["DistributedDataParallel"](Defaults.wrapped)
    model = nn.Linear(2, 1, device="meta")
    assert factory(model, device_ids=[3]) == {
        "device_ids": [3],
        "find_unused_parameters": False,
    }
