"""The toolbox's trainer, led through the phases of GCL."""

from __future__ import annotations

import logging
import re
import time
from contextlib import nullcontext

import torch
from fastreid.engine import DefaultTrainer, hooks
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng
from fastreid.utils.events import EventStorage

from gcl.compat.device import has_bfloat16
from gcl.config import ConfigError, check_batches
from gcl.data.build import TrainingSet, seed_of
from gcl.data.same_lists import digest_of
from gcl.data.source_set import SourceSet
from gcl.modeling import GCL

from .checkpoint import BankState, SourceState, TrainingState, use_atomic_checkpointer
from .divergence import DivergenceHook, diverged
from .graphed_step import GraphedStep
from .hooks import (
    EpochWriter,
    LoaderHook,
    MemoryHook,
    PhaseCheckpointer,
    PhaseEvalHook,
    PhaseHook,
    PseudoLabelHook,
    ReadinessHook,
    SheetHook,
)
from .initial_weights import without_imagenet
from .late_losses import LateLosses
from .optimizer import PhaseOptimizer
from .phases import PhasePlan, PhaseSchedule
from .start_share import StartShareHook
from .statistics import StatisticsHook
from .testing import TestedTrainer, check_tests
from .track_verification import TrackVerificationHook

logger = logging.getLogger(__name__)


def mixed_precision(cfg) -> bool:
    """SOLVER.AMP.ENABLED; where it is None, whether the run is on a GPU that has bfloat16."""
    if cfg.SOLVER.AMP.ENABLED is not None:
        return cfg.SOLVER.AMP.ENABLED
    return cfg.MODEL.DEVICE != "cpu" and has_bfloat16(torch.device(cfg.MODEL.DEVICE))


def graphed_step(model: GCL, cfg) -> GraphedStep:
    """A model's step by CUDA graphs.

    Raises:
        ConfigError: several processes, or float16, whose loss scaling no graph can hold.
    """
    if comm.get_world_size() > 1:
        raise ConfigError(
            f"GCL.CUDA_GRAPHS is on in one of {comm.get_world_size()} processes, which share"
            " gradients that no graph can hold: set it to False."
        )
    if not cfg.SOLVER.AMP.ENABLED:
        return GraphedStep(model, nullcontext())
    if not has_bfloat16(model.device):
        raise ConfigError(
            "GCL.CUDA_GRAPHS is on, but this GPU has no bfloat16: set SOLVER.AMP.ENABLED False."
        )
    return GraphedStep(model, torch.autocast("cuda", dtype=torch.bfloat16))


class _NoBatches:
    """Stands where the toolbox wants its first loader; :class:`LoaderHook` replaces it."""

    def __init__(self, dataset) -> None:
        self.dataset = dataset

    def __iter__(self):
        return iter(())

    def shutdown(self) -> None:
        pass


class GCLTrainer(TestedTrainer, DefaultTrainer):
    """Trains the phases of GCL.PHASES in one run, with the toolbox's loop, hooks and writers.

    Args:
        cfg: a checked configuration (:func:`gcl.config.check_gcl_config`).

    Attributes:
        train_set: the training images (:class:`~gcl.data.build.TrainingSet`).
        source_set: labelled ones beside them (:class:`~gcl.data.source_set.SourceSet`), or None.
        plan: which epoch belongs to which phase.
        state: the seed, kept in checkpoints.
        graphed: the step by CUDA graphs (GCL.CUDA_GRAPHS), or None.
        schedule: learning rates by phase.

    Raises:
        ConfigError, MissingStructureError: the data does not fit the configuration.
    """

    # The toolbox assigns a number of its own; this property keeps ours.
    iters_per_epoch = property(lambda self: self._iters_per_epoch, lambda self, value: None)

    def __init__(self, cfg) -> None:
        check_batches(cfg, comm.get_world_size())
        self.train_set = TrainingSet(cfg)
        self.source_set = None
        if cfg.GCL.SOURCE.NAMES:
            self.source_set = SourceSet(cfg, [path for path, _ in self.train_set.items])
        check_tests(cfg)
        self.plan = PhasePlan(cfg)
        self._iters_per_epoch = cfg.GCL.ITERS_PER_EPOCH or -(
            -len(self.train_set) // cfg.SOLVER.IMS_PER_BATCH
        )
        cfg = cfg.clone()
        cfg.defrost()
        cfg.SOLVER.MAX_EPOCH = self.plan.num_epochs
        cfg.SOLVER.AMP.ENABLED = mixed_precision(cfg)
        cfg.freeze()
        seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
        logger.info("Seed of this run: %d", seed)
        self.state = TrainingState(
            seed,
            cfg.SEED >= 0,
            digest_of(self.train_set.items),
            digest_of(self.source_set.items) if self.source_set else "",
        )
        seed_all_rng(seed_of(seed, self.plan.num_epochs))  # the model's initial weights
        super().__init__(cfg)
        cameras = [camera for _, camera in self.train_set.items]
        tracks = self.train_set.tracks if self.train_set.track_views else None
        self.gcl.bank.allocate(len(cameras), cameras, tracks)
        self.graphed = graphed_step(self.gcl, cfg) if cfg.GCL.CUDA_GRAPHS else None
        self._losses = self._trainer._write_metrics = LateLosses(self._trainer._write_metrics)
        parts = {"bank": BankState(self.gcl.bank), "training_state": self.state}
        if self.source_set is not None:
            parts["source"] = SourceState(self.gcl.source)
        if self._start_share is not None:
            parts["start"] = self._start_share
        use_atomic_checkpointer(self, **parts)

    @property
    def gcl(self) -> GCL:
        """The model without a distributed wrapper."""
        return getattr(self.model, "module", self.model)

    def use_loader(self, loader) -> None:
        """Train on ``loader`` from the next step on; the workers of the old one end."""
        self._trainer.data_loader.shutdown()
        self._trainer.data_loader = loader
        self._trainer._data_loader_iter = iter(loader)

    def run_step(self) -> None:
        try:
            if self.graphed is None:
                super().run_step()
            else:
                self._run_graphed_step()
            if (self.iter + 1) % self.iters_per_epoch == 0:
                self._losses.flush()
        except FloatingPointError as error:  # the toolbox's; its last line has the losses
            losses = re.sub(r"np\.float64\((.*?)\)", r"\1", str(error).strip().splitlines()[-1])
            raise diverged(self, losses) from error

    def _run_graphed_step(self) -> None:
        """As the toolbox's trainers do it."""
        start = time.perf_counter()
        batch = next(self._trainer._data_loader_iter)
        data_time = time.perf_counter() - start
        losses = self.graphed(batch)
        self._trainer.iter = self.iter
        self._trainer._write_metrics(losses, data_time)
        self.optimizer.step()

    @classmethod
    def build_model(cls, cfg):
        return super().build_model(without_imagenet(cfg))

    def build_train_loader(self, cfg) -> _NoBatches:
        return _NoBatches(self.train_set.dataset("contrast"))

    def build_optimizer(self, cfg, model) -> tuple[PhaseOptimizer, None]:
        return PhaseOptimizer(cfg, model, cfg.GCL.PHASES[0]), None

    def build_lr_scheduler(self, cfg, optimizer, iters_per_epoch) -> dict:
        self.schedule = PhaseSchedule(cfg, optimizer, self.plan)
        return {"lr_sched": self.schedule}

    def build_hooks(self) -> list:
        def evaluate() -> dict:
            self._last_eval_results = self.test(self.cfg, self.model)
            return self._last_eval_results

        known = self.train_set
        judge = TrackVerificationHook(known)
        # a labelled part is there to judge the run, and not to choose in it
        figure = judge.FIGURE if judge.possible else ""

        def ours(hook):
            if isinstance(hook, hooks.EvalHook):
                return PhaseEvalHook(self.cfg.TEST.EVAL_PERIOD, evaluate)
            if isinstance(hook, hooks.PeriodicCheckpointer):
                return PhaseCheckpointer(hook.checkpointer, hook.period, figure=figure)
            if isinstance(hook, hooks.PeriodicWriter):
                return EpochWriter(hook._writers, hook._period)
            return hook

        toolbox = [ours(hook) for hook in super().build_hooks()]
        last = next(i for i, hook in enumerate(toolbox) if isinstance(hook, PhaseEvalHook))
        toolbox.insert(last + 1, judge)
        labels = PseudoLabelHook(
            self.cfg, known.identities, known.for_labels(), known.known_cameras()
        )
        start = [PhaseHook(), labels, LoaderHook()]
        readiness = ReadinessHook(self.cfg.MODEL.LOSSES.VIEW.TEMPERATURE)
        end = [MemoryHook(), StatisticsHook(), DivergenceHook(), readiness]
        if comm.is_main_process():
            end.append(SheetHook())
        self._start_share = None
        if self.cfg.GCL.START_SHARE > 0:
            self._start_share = StartShareHook(self.cfg.GCL.START_SHARE, self.gcl)
            end.append(self._start_share)
        return start + toolbox[:last] + end + toolbox[last:]

    def train(self) -> dict | None:
        if not self.state.evaluated:
            self._make_up_evaluation()
        return super().train()

    def _make_up_evaluation(self) -> None:
        """What comes at the end of an epoch after its training, of which a kill in the middle of an
        evaluation has left nothing."""
        self.epoch = self.start_epoch - 1
        self.iter = self.start_epoch * self.iters_per_epoch - 1
        logger.info("Epoch %d was trained, but not evaluated: that comes first", self.epoch)
        with EventStorage(self.iter) as self.storage:
            self.storage.epoch = self.epoch
            kinds = [type(hook) for hook in self._hooks]
            for hook in self._hooks[kinds.index(PhaseEvalHook) :]:
                hook.before_train()
                hook.after_epoch()
