"""Tiny runs over all phases, in this process, in a killable one, or in two that talk by gloo.

Processes come from a server that has imported everything already, so that they start at once.
"""

from __future__ import annotations

import contextlib
import glob
import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

import gcl
from gcl import compat
from gcl.engine import GCLTrainer
from gcl.engine import hooks as engine_hooks

# isort: split
# gcl adapts fastreid before anything imports it
from fastreid.config import CfgNode, get_cfg
from fastreid.data import build as toolbox_data
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.engine import defaults
from fastreid.engine.train_loop import HookBase

REPOSITORY = Path(__file__).parents[2]
CONFIG = REPOSITORY / "projects/GCL/configs/Base-GCL.yml"

# 6 epochs of 3 steps: contrast 0-1, generator 2-3, joint 4-5
OPTIONS: dict[str, object] = {
    "MODEL.DEVICE": "cpu",
    "MODEL.BACKBONE.NAME": "build_osnet_backbone",  # the toolbox's smallest: checkpoints of 5 MB
    "MODEL.BACKBONE.DEPTH": "x0_25",
    "MODEL.BACKBONE.FEAT_DIM": 128,
    "MODEL.BACKBONE.PRETRAIN": False,
    "INPUT.SIZE_TRAIN": [32, 16],
    "INPUT.SIZE_TEST": [32, 16],
    "DATALOADER.NUM_WORKERS": 0,
    "DATALOADER.NUM_INSTANCE": 2,
    "SEED": 7,
    "GCL.ITERS_PER_EPOCH": 3,  # the toolbox can not print a run of fewer (it divides by zero)
    "GCL.CAMERA_NORM": True,
    "GCL.CONTRAST.EPOCHS": 2,
    "GCL.CONTRAST.IMS_PER_BATCH": 8,
    "GCL.GENERATOR.IMS_PER_BATCH": 4,
    "GCL.CONTRAST.STEPS": [1],
    "GCL.GENERATOR.EPOCHS": 2,
    "GCL.GENERATOR.WIDTH": 4,
    "GCL.GENERATOR.NUM_BLOCKS": 1,
    "GCL.GENERATOR.MLP_DIM": 8,
    "GCL.DISCRIMINATOR.WIDTH": 4,
    "GCL.DISCRIMINATOR.NUM_SCALES": 2,
    "GCL.DISCRIMINATOR.NUM_BLOCKS": 1,
    "GCL.JOINT.EPOCHS": 2,
    "GCL.LABELS.K1": 6,
    "GCL.LABELS.K2": 2,
    "GCL.LABELS.MIN_SAMPLES": 2,
    "GCL.LABELS.EPS": 0.6,
    "SOLVER.IMS_PER_BATCH": 4,
    "SOLVER.BASE_LR": 1e-4,  # at the usual rate a random OSNet blows up within three steps
    "SOLVER.CLIP_GRADIENTS.ENABLED": True,  # and with batches of two at any
    "SOLVER.STEPS": [1],
    "SOLVER.CHECKPOINT_PERIOD": 1,
    "TEST.EVAL_PERIOD": 0,
    "TEST.IMS_PER_BATCH": 16,
}


def options(out: Path | str, data: Path | str, **changes: object) -> list[str]:
    """KEY VALUE pairs of a run; ``changes`` use __ for the dot."""
    pairs = {**OPTIONS, "OUTPUT_DIR": str(out), "GCL.STRUCTURE.DIR": str(Path(data) / "meshes")}
    pairs |= {key.replace("__", "."): value for key, value in changes.items()}
    return [str(part) for pair in pairs.items() for part in pair]


def config(out: Path | str, data: Path | str, **changes: object) -> CfgNode:
    cfg = get_cfg()
    gcl.add_gcl_config(cfg)
    cfg.merge_from_file(str(CONFIG))
    cfg.merge_from_list(options(out, data, **changes))
    gcl.check_gcl_config(cfg)
    cfg.freeze()
    return cfg


@DATASET_REGISTRY.register()
class PermutedMarket(DATASET_REGISTRY.get("Market1501")):
    """The same images with the identities of the training set dealt out anew."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        people = [item[1] for item in self.train]
        order = np.random.default_rng(0).permutation(len(people))
        items = zip(self.train, order, strict=True)
        self._train = [(path, people[i], camera) for (path, _, camera), i in items]


@contextlib.contextmanager
def place(data: Path | str, device: str = "cpu"):
    """A process as a user's with OMP_NUM_THREADS=1, FASTREID_DATASETS=data and MODEL.DEVICE."""
    root, threads = gcl.data.build._root, torch.get_num_threads()
    before = os.environ.get("GCL_DEVICE")
    gcl.data.build._root = toolbox_data._root = str(data)
    torch.set_num_threads(1)
    compat.set_device(device)
    try:
        yield
    finally:
        gcl.data.build._root = toolbox_data._root = root
        torch.set_num_threads(threads)
        os.environ.pop("GCL_DEVICE")
        if before is not None:
            os.environ["GCL_DEVICE"] = before


def train(out: Path | str, data: Path | str, resume: bool = False, **changes: object) -> GCLTrainer:
    """A whole run in this process; its files in ``out``."""
    os.makedirs(out, exist_ok=True)
    with place(data, str(changes.get("MODEL__DEVICE", "cpu"))):
        trainer = GCLTrainer(config(out, data, **changes))
        trainer.resume_or_load(resume=resume)
        trainer.train()
    return trainer


def train_until(trainer, step: int) -> None:
    """Train in this process until a kill as the step with this number begins."""
    run_step = trainer.run_step

    def killed() -> None:
        if trainer.iter == step:
            raise KeyboardInterrupt
        run_step()

    trainer.run_step = killed
    with pytest.raises(KeyboardInterrupt):
        trainer.train()


def load(path: Path | str) -> dict:
    return torch.load(path, map_location="cpu", weights_only=True)


def differences(a: object, b: object, where: str = "") -> list[str]:
    """Places in which two checkpoints differ in any bit, but for what evaluations measured."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = (a.keys() | b.keys()) - {"metric"}
        return [
            line
            for key in sorted(keys, key=str)
            for line in differences(a.get(key), b.get(key), f"{where}/{key}")
        ]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return [line for i, (x, y) in pairs for line in differences(x, y, f"{where}/{i}")]
    if torch.is_tensor(a) and torch.is_tensor(b):
        equal = a.dtype == b.dtype and a.shape == b.shape
        return [] if equal and a.numpy().tobytes() == b.numpy().tobytes() else [where]
    return [] if type(a) is type(b) and a == b else [where]


def assert_same(a: object, b: object) -> None:
    found = differences(a, b)
    if found:
        raise AssertionError(f"{len(found)} places differ: {', '.join(found[:8])} ...")


# ---------------------------------------------------------------------- other processes
def _server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gcl.engine", "sklearn.metrics"])
    return context


def _quietly(function, out: str, *args: object, **kwargs: object) -> None:
    """In the child: what is printed goes to the files ``out``/printed and ``out``/errors."""
    os.makedirs(out, exist_ok=True)
    for name, stream in (("printed", 1), ("errors", 2)):
        with open(os.path.join(out, name), "a") as file:
            os.dup2(file.fileno(), stream)
    function(out, *args, **kwargs)


def start(
    out: Path | str, data: Path | str, resume: bool = False, **changes: object
) -> BaseProcess:
    """:func:`train` in a process of its own."""
    return launch(train, out, str(data), resume, **changes)


def launch(function, out: Path | str, *args: object, **kwargs: object) -> BaseProcess:
    """``function(out, *args, **kwargs)`` in a process of its own."""
    process = _server().Process(target=_quietly, args=(function, str(out), *args), kwargs=kwargs)
    process.start()
    return process


def finish(process: BaseProcess, out: Path | str) -> None:
    """Wait; an error over there is an error here."""
    process.join(1800)
    if process.exitcode != 0:
        process.kill()
        texts = [Path(out, name).read_text()[-3000:] for name in ("printed", "errors")]
        raise AssertionError(f"ended with {process.exitcode}:\n" + "\n".join(texts))


def train_and_die(out: str, data: str, save: int, **changes: object) -> None:
    """:func:`train` until SIGKILL comes in the middle of checkpoint number ``save``, from 0."""
    count, whole = 0, torch.save

    def half(state: object, path: str) -> None:
        nonlocal count
        whole(state, path)
        if count == save:
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    torch.save = half
    train(out, data, **changes)


def command(out: str, data: str, argv: list[str]) -> None:
    """``tools/train_net.py`` with these arguments, as its own process would run it."""
    sys.argv = ["train_net.py", *argv]
    with place(data):
        runpy.run_path(str(REPOSITORY / "tools/train_net.py"), run_name="__main__")


def kill_after(process: BaseProcess, seconds: float) -> bool:
    """SIGKILL when a process has had so many seconds of the processor, which other work on the
    machine does not change; False: it was through before."""
    clock = (~process.pid << 3) | 2  # as clock_getcpuclockid(3) makes it
    while process.is_alive():
        try:
            late = time.clock_gettime(clock) >= seconds
        except OSError:  # it is gone
            break
        if late:
            process.kill()
            break
        time.sleep(0.001)
    process.join()
    return process.exitcode == -signal.SIGKILL


def checkpoints(out: Path | str) -> set[str]:
    return {os.path.basename(path) for path in glob.glob(os.path.join(str(out), "model_*.pth"))}


# ---------------------------------------------------------------------- two ranks
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def train_two(out: Path | str, data: Path | str, **changes: object) -> list[dict]:
    """A run on two gloo processes; the state of each rank after every epoch's end."""
    os.makedirs(out, exist_ok=True)
    port = free_port()
    folders = [Path(out, f"rank{rank}") for rank in range(2)]
    processes = [
        launch(_rank, folder, rank, port, str(out), str(data), **changes)
        for rank, folder in enumerate(folders)
    ]
    for process, folder in zip(processes, folders, strict=True):
        finish(process, folder)
    return [load(folder / "state.pth") for folder in folders]


def command_two(out: Path | str, data: Path | str, argv: list[str]) -> None:
    """:func:`command` on two gloo processes, as torchrun starts it."""
    port = free_port()
    folders = [Path(out, f"rank{rank}") for rank in range(2)]
    processes = [
        launch(_command_rank, folder, rank, port, str(data), argv)
        for rank, folder in enumerate(folders)
    ]
    for process, folder in zip(processes, folders, strict=True):
        finish(process, folder)


def _command_rank(out: str, rank: int, port: int, data: str, argv: list[str]) -> None:
    _as_torchrun(rank, port)
    command(out, data, ["--num-gpus", "2", *argv])


def _as_torchrun(rank: int, port: int) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))


def _rank(out: str, rank: int, port: int, run: str, data: str, **changes: object) -> None:
    _as_torchrun(rank, port)
    with place(data):
        compat.launch(_train_rank, 2, args=(out, run, data, changes))


def _train_rank(out: str, run: str, data: str, changes: dict) -> None:
    seen: dict = {"epochs": [], "steps": [], "shared": [], "learning": [], "readiness": 0}
    wrap, measure = defaults.DistributedDataParallel, engine_hooks.measure_readiness

    def recording(*args: object, **kwargs: object):
        model = wrap(*args, **kwargs)
        model.register_comm_hook(None, share)
        return model

    def share(state: None, bucket):
        seen["shared"][-1] += bucket.buffer().numel()
        return allreduce_hook(dist.group.WORLD, bucket)

    def counted(*args: object):
        seen["readiness"] += 1
        return measure(*args)

    def sent(tensor: torch.Tensor, *args: object, **kwargs: object):
        assert tensor.is_contiguous()  # gloo does not ask for it, NCCL does
        return broadcast(tensor, *args, **kwargs)

    broadcast, dist.broadcast = dist.broadcast, sent
    defaults.DistributedDataParallel, engine_hooks.measure_readiness = recording, counted
    trainer = GCLTrainer(config(run, data, **changes))

    class Recorder(HookBase):
        def before_step(self) -> None:
            seen["shared"].append(0)

        def after_step(self) -> None:
            parameters = trainer.gcl.parameters()
            seen["learning"].append(sum(p.numel() for p in parameters if p.grad is not None))
            bank, source = trainer.gcl.bank, trainer.gcl.source
            step = {"features": bank.features.clone(), "labels": bank.labels.clone()}
            if trainer.gcl.proxies is not None:
                step["proxies"] = trainer.gcl.proxies.features.clone()
            if source is not None:
                step["centroids"] = source.centroids.clone()
            seen["steps"].append(step)

        def after_epoch(self) -> None:
            seen["epochs"].append(
                {
                    "weights": {k: v.clone() for k, v in trainer.gcl.state_dict().items()},
                    "seed": trainer.state.seed,
                }
            )

    trainer.register_hooks([Recorder()])
    trainer.train()
    torch.save(seen, os.path.join(out, "state.pth"))


def metrics(out: Path | str) -> list[dict]:
    """What metrics.json says, a dict a line."""
    return [json.loads(line) for line in Path(out, "metrics.json").read_text().splitlines()]
