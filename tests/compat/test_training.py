import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fastreid import solver
from fastreid.config import CfgNode, get_cfg
from fastreid.data import build
from fastreid.engine import DefaultTrainer, defaults, hooks, train_loop
from fastreid.solver import build as solver_build
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.events import EventStorage
from torch import nn

from gcl.compat import stock
from gcl.compat.patching import View


class Model(nn.Module):
    """Regression to zero; remembers in what precision it ran."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4, device=device)
        self.dtypes: list[torch.dtype] = []

    def forward(self, batch: dict) -> dict:
        output = self.layer(batch["images"])
        self.dtypes.append(output.dtype)
        return {"loss": output.float().square().mean()}


class Vectors(torch.utils.data.Dataset):
    num_classes = 2

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        return {"images": torch.eye(4)[index % 4], "targets": int(index % 2)}


def config(**solver_keys: object) -> CfgNode:
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.SOLVER.MAX_EPOCH = 2
    cfg.SOLVER.WARMUP_ITERS = 0
    cfg.SOLVER.OPT = "SGD"
    cfg.SOLVER.BASE_LR = 0.5
    for key, value in solver_keys.items():
        cfg.SOLVER[key] = value
    return cfg


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    losses = []
    for _ in range(5):
        loss = model({"images": torch.eye(4)})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# ----------------------------------------------------------------------------- plain_optimizer


@pytest.mark.parametrize(
    "builder",
    [
        lambda cfg, model: solver.build_optimizer(cfg, model),
        lambda cfg, model: solver_build.build_optimizer(cfg, model),
        lambda cfg, model: solver_build.build_optimizer(cfg, model, contiguous=True),
        lambda cfg, model: defaults.build_optimizer(cfg, model),
        lambda cfg, model: DefaultTrainer.build_optimizer(cfg, model),
    ],
    ids=["solver", "solver.build", "contiguous=True", "engine.defaults", "DefaultTrainer"],
)
def test_plain_optimizer(builder: Callable) -> None:
    model = Model()
    before = model.layer.weight.clone()
    losses = train(model, builder(config(), model)[0])
    assert losses[-1] < losses[0]
    assert not torch.equal(model.layer.weight, before)


def test_the_toolbox_optimizer_does_not_train() -> None:
    model = Model()
    before = model.layer.weight.clone()
    optimizer, _ = stock("fastreid.solver.build.build_optimizer")(config(), model)
    losses = train(model, optimizer)
    assert losses == [losses[0]] * 5
    assert torch.equal(model.layer.weight, before)


# ----------------------------------------------------------------------------- losses_in_order


class Streams:
    """Stands in for torch.cuda: what is computed on a stream is there for that stream alone."""

    def __init__(self) -> None:
        self.current, self.copies = "default", 0

    def Stream(self) -> str:  # noqa: N802  the name of torch.cuda's
        return "new"

    @contextmanager
    def stream(self, stream: str | None) -> Iterator[None]:
        before, self.current = self.current, stream or self.current
        yield
        self.current = before


class LossOnGpu:
    """A loss (or several, stacked) that the default stream computes; another one reads what lies
    there."""

    device = torch.device("cuda")

    def __init__(self, streams: Streams, value: float | list[float]) -> None:
        self.streams, self.value = streams, value

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None) -> "LossOnGpu":
        assert function is torch.stack
        return cls(args[0][0].streams, [loss.value for loss in args[0]])

    def detach(self) -> "LossOnGpu":
        return self

    def float(self) -> "LossOnGpu":
        return self

    def cpu(self) -> torch.Tensor:
        self.streams.copies += 1
        stale = self.streams.current != "default"
        value = torch.tensor(self.value)
        return torch.full_like(value, -1.0) if stale else value


@pytest.mark.parametrize(
    ("write", "logged", "copies"),
    [
        (train_loop.SimpleTrainer._write_metrics, {"a": 1.5, "b": 2.0, "total_loss": 3.5}, 1),
        ("stock", {"a": -1.0, "b": -1.0, "total_loss": -2.0}, 2),
    ],
    ids=["adapted", "stock"],
)
def test_losses_are_read_where_they_are_computed(monkeypatch, write, logged, copies) -> None:
    if write == "stock":
        write = stock("fastreid.engine.train_loop.SimpleTrainer._write_metrics")
    streams = Streams()
    monkeypatch.setattr(train_loop, "torch", View(torch, cuda=streams))
    losses = {"a": LossOnGpu(streams, 1.5), "b": LossOnGpu(streams, 2.0)}
    with EventStorage() as storage:
        write(SimpleNamespace(iter=0), losses, 0.25)
        seen = {name: storage.latest()[name][0] for name in logged}
        assert storage.latest()["data_time"][0] == 0.25
    assert seen == logged
    assert streams.copies == copies  # the host waits for each


@pytest.mark.gpu
def test_losses_of_a_gpu_that_is_busy() -> None:
    """The number is not there yet when the host asks for it."""
    loss = torch.full((), 7.0, device="cuda")
    torch.cuda.synchronize()
    torch.cuda._sleep(1_000_000_000)  # cycles: about half a second
    loss.add_(1)
    with EventStorage() as storage:
        train_loop.SimpleTrainer._write_metrics(SimpleNamespace(iter=0), {"loss": loss}, 0.0)
        assert storage.latest()["total_loss"][0] == 8


# -------------------------------------------------------------------------------- bfloat16_amp


def amp_trainer(model: nn.Module) -> train_loop.AMPTrainer:
    batches = [{"images": torch.eye(4, device=model.layer.weight.device)}] * 5
    optimizer = torch.optim.SGD([*model.parameters()], lr=0.5)
    trainer = train_loop.AMPTrainer(model, batches, optimizer, None)
    trainer.iter = 0
    return trainer


def test_bfloat16_amp(device: str) -> None:
    model = Model(device)
    trainer = amp_trainer(model)
    losses = []
    with EventStorage() as storage:
        for _ in range(5):
            trainer.run_step()
            losses.append(storage.latest()["total_loss"][0])
    assert losses[-1] < losses[0]
    assert model.dtypes == [torch.bfloat16] * 5
    assert model.layer.weight.dtype == model.layer.weight.grad.dtype == torch.float32
    assert trainer.model is model
    assert trainer.grad_scaler.get_scale() == 1  # what the LRScheduler hook compares


def test_the_model_comes_back_after_an_error() -> None:
    model = Model()
    trainer = amp_trainer(model)
    model.eval()
    with pytest.raises(AssertionError, match="eval mode"):
        trainer.run_step()
    assert trainer.model is model


def test_no_scaler_is_made_for_cuda_when_one_is_given() -> None:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    trainer = train_loop.AMPTrainer(Model(), [], None, None, scaler)
    assert trainer.grad_scaler is scaler


@pytest.mark.skipif(torch.cuda.is_available(), reason="shows what a machine without CUDA sees")
def test_the_toolbox_amp_needs_cuda() -> None:
    name = "fastreid.engine.train_loop.AMPTrainer.run_step"
    with pytest.raises(AssertionError, match="CUDA is required"):
        stock(name)(amp_trainer(Model()))
    # any model that is not on the CPU gets the toolbox's step
    elsewhere = SimpleNamespace(model=Model(device="meta").train())
    with pytest.raises(AssertionError, match="CUDA is required"):
        train_loop.AMPTrainer.run_step(elsewhere)


# ----------------------------------------------------------------------------------- safe_load


class Intruder:
    """Unpickling it runs code: it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)

    def __reduce__(self) -> tuple:
        return open, (self.file, "w")


def test_safe_load(tmp_path: Path) -> None:
    foreign, trace = tmp_path / "foreign.pth", tmp_path / "trace"
    torch.save({"model": Model().state_dict(), "extra": Intruder(trace)}, foreign)
    with pytest.raises(UnpicklingError) as caught:
        Checkpointer(Model()).load(str(foreign))
    message = str(caught.value)
    assert message.startswith(str(foreign))
    assert "\n" not in message
    assert not trace.exists()
    # the remedy that it names
    command = message.split("once: ")[1]
    exec("import torch\n" + command)
    Checkpointer(Model()).load(str(foreign))


def numbers() -> list[np.generic]:
    kinds = (np.bool_, np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8)
    return [kind(1) for kind in kinds]


@pytest.mark.parametrize("value", numbers(), ids=lambda value: value.dtype.name)
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_numpy_numbers_are_plain_values(tmp_path: Path, value: np.generic, module: bytes) -> None:
    """torchreid and SpCL keep their best result as one; numpy 1 and numpy 2 name it differently."""
    path = tmp_path / "foreign.pth"
    allowed = set(torch.serialization.get_safe_globals())
    # the old format is no archive with checksums, so that the name can be changed in it
    saved = {"model": Model().state_dict(), "best_mAP": value}
    torch.save(saved, path, _use_new_zipfile_serialization=False)
    written = re.sub(rb"numpy\._?core\.multiarray", module, path.read_bytes())
    assert module in written
    path.write_bytes(written)
    loaded = Checkpointer(Model()).load(str(path))
    assert loaded["best_mAP"] == value and loaded["best_mAP"].dtype == value.dtype
    assert set(torch.serialization.get_safe_globals()) == allowed


@pytest.mark.parametrize("value", [np.array([1, "a"], dtype=object), np.zeros(2)])
def test_other_things_of_numpy_are_not(tmp_path: Path, value: np.ndarray) -> None:
    torch.save({"model": Model().state_dict(), "extra": value}, tmp_path / "foreign.pth")
    with pytest.raises(UnpicklingError, match="holds more than tensors"):
        Checkpointer(Model()).load(str(tmp_path / "foreign.pth"))


def test_a_file_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.pth").write_text("nothing")
    with pytest.raises(UnpicklingError, match="notes.pth is no file that torch.save wrote"):
        Checkpointer(Model()).load(str(tmp_path / "notes.pth"))


def test_our_own_checkpoints_load(tmp_path: Path) -> None:
    model = Model()
    optimizer, _ = solver.build_optimizer(config(OPT="Adam"), model)
    train(model, optimizer)
    schedule = solver.build_lr_scheduler(config(SCHED="MultiStepLR"), optimizer, 5)
    saved = Checkpointer(model, str(tmp_path), optimizer=optimizer, **schedule)
    saved.save("model_0000", epoch=0, metric=0.5)
    other = Model()
    other.layer.weight.data.zero_()
    again = Checkpointer(other, str(tmp_path), optimizer=optimizer, **schedule)
    assert again.resume_or_load("")["epoch"] == 0
    assert torch.equal(other.layer.weight, model.layer.weight)


# --------------------------------------------------------------------------------- best_metric


def test_best_metric(tmp_path: Path) -> None:
    def hook() -> hooks.PeriodicCheckpointer:
        made = hooks.PeriodicCheckpointer(Checkpointer(Model(), str(tmp_path)), 1)
        made.max_epoch = 5
        return made

    first = hook()
    first.step(0, metric=0.7)
    first.step(1, metric=0.6)
    resumed = hook()
    assert resumed.best_metric == -1
    resumed.checkpointer.resume_or_load("")
    assert resumed.best_metric == 0.7
    best = (tmp_path / "model_best.pth").read_bytes()
    resumed.step(2, metric=0.65)
    assert (tmp_path / "model_best.pth").read_bytes() == best


# ---------------------------------------------------------------- evaluation_off, finished_run


class Trainer(DefaultTrainer):
    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> build.DataLoaderX:
        sampler = build.samplers.TrainingSampler(8, seed=0)
        return build.build_reid_train_loader(Vectors(), sampler=sampler, total_batch_size=4)

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        return Model()

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module) -> dict:
        return {"metric": 0.5}


def trainer(out: Path, period: int) -> Trainer:
    cfg = config()
    cfg.OUTPUT_DIR = str(out)
    cfg.TEST.EVAL_PERIOD = period
    logging.getLogger("fastreid").setLevel(logging.INFO)  # or the trainer sets up a logger
    return Trainer(cfg)


def test_evaluation_off(tmp_path: Path) -> None:
    run = trainer(tmp_path, period=0)
    assert run.train() == {}
    assert (tmp_path / "model_final.pth").exists()
    hook = hooks.EvalHook(0, lambda: {})
    hook.trainer = run
    with pytest.raises(ZeroDivisionError):
        stock("fastreid.engine.hooks.EvalHook.after_train")(hook)


def test_finished_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = trainer(tmp_path, period=1)
    assert run.train() == {"metric": 0.5}
    weight = run.model.layer.weight.clone()

    again = trainer(tmp_path, period=1)
    again.resume_or_load(resume=True)
    assert again.start_epoch == again.max_epoch == 2
    with caplog.at_level(logging.INFO, logger="gcl"):
        assert again.train() == {}
    assert "SOLVER.MAX_EPOCH" in caplog.text
    assert torch.equal(again.model.layer.weight, weight)
    with pytest.raises(AttributeError):
        stock("fastreid.engine.defaults.DefaultTrainer.train")(again)
