"""Several processes: gloo on CPU, NCCL on CUDA, started by the launcher or by torchrun."""

import importlib
import os
import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from .device import device_type
from .patching import replace

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


class LaunchError(ValueError):
    """Processes that can not be started as asked for; the message says what to give."""


def launch(
    main_func: Callable[..., Any],
    num_gpus_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str | None = None,
    args: tuple = (),
) -> Any:
    """Run `main_func(*args)` in every process of the job; same arguments as the toolbox's launch.

    Under torchrun the processes exist already: this one joins them, and the counts given here are
    not looked at.

    Args:
        main_func: an importable function (it is pickled where processes are started).
        num_gpus_per_machine: processes a machine: one a GPU, or that many on the CPU.
        dist_url: where the processes meet, "tcp://host:port"; None or "auto" takes a free port.

    Returns:
        What `main_func` returns where it runs in this process (one process, torchrun), else None.

    Raises:
        LaunchError: more processes than GPUs, or several machines without a dist_url.
    """
    if all(name in os.environ for name in _TORCHRUN):
        rank, world_size, local_rank, local_size = (int(os.environ[name]) for name in _TORCHRUN)
        return _run(main_func, args, rank, world_size, local_rank, local_size, "env://")

    world_size = num_machines * num_gpus_per_machine
    if world_size == 1:
        return main_func(*args)
    _check_gpus(num_gpus_per_machine)
    if dist_url in (None, "auto"):
        if num_machines > 1:
            raise LaunchError("several machines need --dist-url tcp://HOST:PORT of the first")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            dist_url = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    mp.spawn(
        _spawned,  # unpickled by name in the child, which so imports gcl.compat first of all
        nprocs=num_gpus_per_machine,
        args=(main_func, args, machine_rank, world_size, num_gpus_per_machine, dist_url),
    )
    return None


def _check_gpus(local_size: int) -> None:
    if device_type() == "cuda" and local_size > torch.cuda.device_count():
        raise LaunchError(
            f"{local_size} processes for {torch.cuda.device_count()} GPUs on this machine: give "
            f"--num-gpus {torch.cuda.device_count()}, or MODEL.DEVICE cpu"
        )


def _spawned(
    local_rank: int,
    main_func: Callable[..., Any],
    args: tuple,
    machine_rank: int,
    world_size: int,
    local_size: int,
    dist_url: str,
) -> None:
    if device_type() == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        # every process would take every core; torchrun sets the variable itself
        torch.set_num_threads(max(1, torch.get_num_threads() // local_size))
    rank = machine_rank * local_size + local_rank
    _run(main_func, args, rank, world_size, local_rank, local_size, dist_url)


def _run(
    main_func: Callable[..., Any],
    args: tuple,
    rank: int,
    world_size: int,
    local_rank: int,
    local_size: int,
    url: str,
) -> Any:
    """Join the group of all processes, run, leave it."""
    comm = importlib.import_module("fastreid.utils.comm")
    cuda = device_type() == "cuda"
    if cuda:
        _check_gpus(local_size)
        torch.cuda.set_device(local_rank)
    dist.init_process_group(
        "nccl" if cuda else "gloo", init_method=url, world_size=world_size, rank=rank
    )
    comm.synchronize()
    for first in range(0, world_size, local_size):  # every process has to make every group
        group = dist.new_group(list(range(first, first + local_size)))
        if first <= rank < first + local_size:
            comm._LOCAL_PROCESS_GROUP = group
    failed = True
    try:
        result = main_func(*args)
        failed = False
        return result
    finally:
        # After an error the other processes may be inside a collective call, and NCCL would wait
        # for them here; this process then ends with the error, and its launcher ends the others.
        if not (failed and cuda):
            dist.destroy_process_group()
            comm._LOCAL_PROCESS_GROUP = None
            comm._get_global_gloo_group.cache_clear()


def lost_process(error: RuntimeError) -> bool:
    """Whether an error says that another process of the job can not be reached any more: it has
    ended, or was killed, and this one noticed in a collective call."""
    if isinstance(error, (dist.DistNetworkError, dist.DistBackendError)):
        return True
    # gloo's errors have no class of their own; they begin with the file of it that found out
    return dist.is_initialized() and "gloo/transport" in str(error)


def gloo_launch() -> None:
    """Replace the toolbox's launch and the worker behind it.

    Why: the toolbox knows NCCL only, does not know torchrun, and never leaves the process group.
    Symptom: `AssertionError: cuda is not available. Please check your installation.` on CPU; under
        torchrun every process reports `World size: 1` and trains everything; a warning
        `destroy_process_group() was not called` at the end.
    Versions: all (torchrun: torch >= 1.9; the warning: torch >= 2.4).
    Until: fastreid's launch takes a backend. Take the name after gcl.compat is imported.
    """
    engine = importlib.import_module("fastreid.engine")  # its `launch` is the function,
    module = importlib.import_module("fastreid.engine.launch")  # which hides this module
    for owner in (engine, module):
        replace(owner, "launch", lambda _: launch)


def wrap_model() -> None:
    """Wrap the model for DDP as its device asks for.

    Why: the trainer always passes device_ids, which DDP refuses for a model on the CPU, and never
        find_unused_parameters, without which DDP fails on a model that does not use all its
        parameters in every step. A model that needs that has `find_unused_parameters = True`.
    Symptom: `ValueError: DistributedDataParallel device_ids and output_device arguments only work
        with single-device/multiple-device GPU modules`; `RuntimeError: Expected to have finished
        reduction in the prior iteration`.
    Versions: all.
    Until: fastreid does so.
    """

    def by_device(original: type) -> Callable[..., Any]:
        def distributed_data_parallel(
            model: torch.nn.Module, device_ids: list[int] | None = None, **kwargs: Any
        ) -> Any:
            if next(model.parameters()).device.type == "cpu":
                device_ids = None
            unused = getattr(model, "find_unused_parameters", False)
            kwargs.setdefault("find_unused_parameters", unused)
            return original(model, device_ids=device_ids, **kwargs)

        return distributed_data_parallel

    defaults = importlib.import_module("fastreid.engine.defaults")
    replace(defaults, "DistributedDataParallel", by_device)
