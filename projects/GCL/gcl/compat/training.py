"""Optimizer, mixed precision, checkpoints and the ends of a run."""

import codecs
import contextlib
import functools
import importlib
import logging
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from .device import has_bfloat16
from .patching import replace

logger = logging.getLogger(__name__)


def plain_optimizer() -> None:
    """Give the optimizer the parameters themselves, not the toolbox's flat copies of them.

    Why: fastreid keeps all gradients in one flat buffer that every `p.grad` is a view of. Since
        `zero_grad` drops gradients instead of zeroing them, it drops the flat one: no step moves a
        weight, and the views add up gradients for ever.
    Symptom: none! The losses of batch norm statistics move, the weights do not. With AMP
        `AssertionError: No inf checks were recorded for this optimizer.`
    Versions: torch >= 2.0.
    Until: fastreid calls `zero_grad(set_to_none=False)`. Nothing is lost: torch's optimizers run
        over many parameters at once by themselves. An optimizer state saved by stock fastreid can
        not be resumed; its weights can be loaded.
    """

    def not_contiguous(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def build_optimizer(cfg: Any, model: torch.nn.Module, contiguous: bool = False) -> Any:
            return original(cfg, model, contiguous=False)  # True can not train, whoever asks for it

        return build_optimizer

    for name in ("solver.build", "solver", "engine.defaults"):
        replace(importlib.import_module(f"fastreid.{name}"), "build_optimizer", not_contiguous)


def losses_in_order() -> None:
    """Read losses on the stream that computes them.

    Why: the toolbox copies them to the host on a new CUDA stream, which waits for nothing: the copy
        may come before the number is there.
    Symptom: none, or logged losses that never were; a run that stops because of one that was not
        finite, or goes on although it was not.
    Versions: all, on CUDA.
    Until: fastreid lets that stream wait for the current one.
    """
    train_loop = importlib.import_module("fastreid.engine.train_loop")

    def copied_first(original: Callable[..., None]) -> Callable[..., None]:
        def _write_metrics(
            self: Any, loss_dict: dict[str, torch.Tensor], data_time: float
        ) -> None:
            # one copy of all: each waits for the GPU
            values = torch.stack([loss.detach().float() for loss in loss_dict.values()]).cpu()
            original(self, dict(zip(loss_dict, values, strict=True)), data_time)

        return _write_metrics

    replace(train_loop.SimpleTrainer, "_write_metrics", copied_first)


class _BFloat16Forward:
    """A model whose forward pass runs in bfloat16 where autocast thinks that is safe."""

    def __init__(self, model: torch.nn.Module, device: str) -> None:
        self._model, self._device = model, device

    def __call__(self, batch: Any) -> dict[str, torch.Tensor]:
        with torch.autocast(self._device, dtype=torch.bfloat16):
            return self._model(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_model"], name)


def bfloat16_amp() -> None:
    """Let SOLVER.AMP.ENABLED mean bfloat16, which needs no loss scaling, on CPU and CUDA.

    Why: AMPTrainer refuses to run without CUDA, and its gradient scaler is made for CUDA. There it
        computes in float16, whose range asks for a scaler, which asks the GPU in every step whether
        something overflowed, so that the GPU waits for the host.
    Symptom: on CPU `AssertionError: [AMPTrainer] CUDA is required for AMP training!`
    Versions: all. A model on a GPU without bfloat16 (before the A100) gets the toolbox's step.
    Until: fastreid uses torch.amp with a device and a type.

    On processors with AMX, torch 2.13 (oneDNN) returns uninitialised memory from some bfloat16
    convolutions of stride 2 over maps at most 3 wide (NaN losses now and then);
    ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 in the environment avoids it.
    """
    train_loop = importlib.import_module("fastreid.engine.train_loop")

    def device_of(model: torch.nn.Module) -> torch.device:
        return next(model.parameters()).device

    def half_of(device: torch.device) -> bool:
        """Whether the toolbox's own step, in float16, is to run."""
        return device.type not in ("cpu", "cuda") or not has_bfloat16(device)

    def scaler_for(original: Callable[..., None]) -> Callable[..., None]:
        def __init__(
            self: Any,
            model: torch.nn.Module,
            data_loader: Any,
            optimizer: torch.optim.Optimizer,
            param_wrapper: Any,
            grad_scaler: Any = None,
        ) -> None:
            if grad_scaler is None:
                device = device_of(model)
                grad_scaler = torch.amp.GradScaler(device.type, enabled=half_of(device))
            original(self, model, data_loader, optimizer, param_wrapper, grad_scaler)

        return __init__

    def step_for(original: Callable[[Any], None]) -> Callable[[Any], None]:
        def run_step(self: Any) -> None:
            device = device_of(self.model)
            if half_of(device):
                return original(self)
            model, self.model = self.model, _BFloat16Forward(self.model, device.type)
            try:
                train_loop.SimpleTrainer.run_step(self)
            finally:
                self.model = model
            return None

        return run_step

    replace(train_loop.AMPTrainer, "__init__", scaler_for)
    replace(train_loop.AMPTrainer, "run_step", step_for)


def _named(function: Callable[..., Any], module: str, name: str) -> Callable[..., Any]:
    """The function under the name that pickles call it by."""

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, alias.__name__, alias.__qualname__ = module, name, name
    return alias


def _numpy_scalar_globals() -> list[Any]:
    """What a pickle of a numpy number or bool calls, by numpy 1's name and by numpy 2's."""
    scalar = np.float64(0).__reduce__()[0]
    numbers = "?" + np.typecodes["AllInteger"] + np.typecodes["Float"]
    return [
        _named(scalar, "numpy.core.multiarray", "scalar"),
        _named(scalar, "numpy._core.multiarray", "scalar"),
        _named(codecs.encode, "_codecs", "encode"),
        np.dtype,
        *{type(np.dtype(code)) for code in numbers},
    ]


@contextlib.contextmanager
def _numpy_scalars() -> Iterator[None]:
    before = list(torch.serialization.get_safe_globals())
    torch.serialization.add_safe_globals(_numpy_scalar_globals())
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def safe_load() -> None:
    """Load checkpoints as tensors and plain values only, and say what to do with others.

    Why: a pickle runs code when it is loaded. torch >= 2.6 refuses such files by default, with a
        page of text that offers to switch the check off; older ones load them. numpy numbers are
        plain values (re-ID tools keep the best mAP as one), but torch refuses these, too.
    Symptom: `_pickle.UnpicklingError: Weights only load failed ...`; before 2.6 a FutureWarning.
    Versions: all torch.
    Until: torch 2.6 is the oldest supported one, its text is enough, and it takes numpy numbers.
    """

    def tensors_only(original: Callable[..., Any]) -> Callable[..., Any]:
        def _load_file(self: Any, f: str) -> Any:
            try:
                with _numpy_scalars():
                    return torch.load(f, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                if "Unsupported operand" in str(error):  # no such byte begins an instruction
                    raise pickle.UnpicklingError(f"{f} is no file that torch.save wrote") from error
                raise pickle.UnpicklingError(
                    f"{f} holds more than tensors and plain values, and loading that can run code; "
                    f"if you trust where it comes from, rewrite its weights once: "
                    f"d = torch.load({str(f)!r}, map_location='cpu', weights_only=False); "
                    f"torch.save({{k: v for k, v in d.items() if k in ('model', 'state_dict')}}, "
                    f"{str(f)!r})"
                ) from error

        return _load_file

    checkpoint = importlib.import_module("fastreid.utils.checkpoint")
    replace(checkpoint.Checkpointer, "_load_file", tensors_only)


def best_metric() -> None:
    """Keep the best result so far in the checkpoint.

    Why: PeriodicCheckpointer keeps it in memory only.
    Symptom: after a resume the first evaluation overwrites model_best.pth, better or worse.
    Versions: all.
    Until: fastreid saves it.
    """
    hooks = importlib.import_module("fastreid.engine.hooks")

    def registered(original: Callable[..., None]) -> Callable[..., None]:
        def __init__(self: Any, checkpointer: Any, *args: Any, **kwargs: Any) -> None:
            original(self, checkpointer, *args, **kwargs)
            checkpointer.checkpointables["best_metric"] = self

        return __init__

    def state_dict(self: Any) -> dict[str, float]:
        return {"best_metric": self.best_metric}

    def load_state_dict(self: Any, state: dict[str, float]) -> None:
        self.best_metric = state["best_metric"]

    replace(hooks.PeriodicCheckpointer, "__init__", registered)
    hooks.PeriodicCheckpointer.state_dict = state_dict
    hooks.PeriodicCheckpointer.load_state_dict = load_state_dict


def evaluation_off() -> None:
    """Let TEST.EVAL_PERIOD 0 mean "no evaluation while training", and DATASETS.TESTS () "none".

    Why: the hook divides by the period after training; the checkpointer looks for the metric of the
        first test set.
    Symptom: `ZeroDivisionError: integer modulo by zero` after the last epoch, and then, from
        DefaultTrainer.train, `AssertionError: No evaluation results obtained during training!`;
        `IndexError: tuple index out of range` before the first epoch.
    Versions: all.
    Until: fastreid tests for it.
    """
    hooks = importlib.import_module("fastreid.engine.hooks")
    defaults = importlib.import_module("fastreid.engine.defaults")

    def unless_off(original: Callable[[Any], None]) -> Callable[[Any], None]:
        def after_train(self: Any) -> None:
            if self._period > 0:
                original(self)

        return after_train

    def without_results(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def __init__(self: Any, cfg: Any) -> None:
            original(self, cfg)
            if cfg.TEST.EVAL_PERIOD <= 0:
                self._last_eval_results = {}

        return __init__

    def without_tests(original: Callable[[Any], None]) -> Callable[[Any], None]:
        def before_train(self: Any) -> None:
            if self.trainer.cfg.DATASETS.TESTS:
                original(self)
            else:
                self.max_epoch, self.metric_name = self.trainer.max_epoch, "metric"

        return before_train

    replace(hooks.EvalHook, "after_train", unless_off)
    replace(hooks.PeriodicCheckpointer, "before_train", without_tests)
    replace(defaults.DefaultTrainer, "__init__", without_results)


def finished_run() -> None:
    """Return at once when a resumed run has no epoch left.

    Why: the hooks after training look for the last epoch, and there was none.
    Symptom: `AttributeError: 'DefaultTrainer' object has no attribute 'epoch'` from --resume.
    Versions: all.
    Until: fastreid tests for it.
    """
    defaults = importlib.import_module("fastreid.engine.defaults")

    def unless_finished(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def train(self: Any) -> Any:
            if self.start_epoch < self.max_epoch:
                return original(self)
            logger.info(
                "All %d epochs (SOLVER.MAX_EPOCH) are done: nothing left to train", self.max_epoch
            )
            return {}

        return train

    replace(defaults.DefaultTrainer, "train", unless_finished)
