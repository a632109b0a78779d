"""The toolbox's own trainer, for its own architectures: what GCL is compared with."""

from __future__ import annotations

from fastreid.data import build_reid_train_loader
from fastreid.data.common import CommDataset
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultTrainer, hooks
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng

from gcl.config import LOSSES, ConfigError
from gcl.data.build import by_path, load_dataset, seed_of
from gcl.data.same_lists import problem_of_all

from .checkpoint import use_atomic_checkpointer
from .hooks import EpochWriter
from .initial_weights import without_imagenet
from .testing import TestedTrainer, check_tests

IDENTITY_SAMPLERS = ("NaiveIdentitySampler", "BalancedIdentitySampler")
"""Draw DATALOADER.NUM_INSTANCE images of a person."""

SAMPLERS = (
    "TrainingSampler",
    *IDENTITY_SAMPLERS,
    "SetReWeightSampler",
    "ImbalancedDatasetSampler",
)
"""The toolbox's."""


class BaselineTrainer(TestedTrainer, DefaultTrainer):
    """Trains any META_ARCHITECTURE of the toolbox (configs/ at the top of the repository).

    What differs from the toolbox: SEED counts; each data set is sorted by path, and the same in all
    processes; tests read crops as GCL's do, and a run does not die of them; checkpoints are whole
    or not there, and may start from other tools' weights (MODEL.WEIGHTS); metrics.json holds the
    last evaluation.

    Raises:
        ConfigError: a value that can not work, or data that does not fit.
    """

    def __init__(self, cfg) -> None:
        check_baseline(cfg)
        check_tests(cfg)
        if cfg.SEED >= 0:
            seed_all_rng(seed_of(cfg.SEED, 0, comm.get_rank()))
        super().__init__(cfg)
        use_atomic_checkpointer(self)

    @classmethod
    def build_model(cls, cfg):
        return super().build_model(without_imagenet(cfg))

    @classmethod
    def build_train_loader(cls, cfg):
        sets = training_sets(cfg)
        if comm.is_main_process():
            for data in sets:
                data.show_train()
        train = CommDataset(training_items(sets), build_transforms(cfg, is_train=True))
        return build_reid_train_loader(cfg, train_set=train)

    def build_hooks(self) -> list:
        def ours(hook):
            if isinstance(hook, hooks.EvalHook):
                return LastEpochEvalHook(hook._period, hook._func)
            if isinstance(hook, hooks.PeriodicWriter):
                return EpochWriter(hook._writers, hook._period)
            return hook

        return [ours(hook) for hook in super().build_hooks()]


class LastEpochEvalHook(hooks.EvalHook):
    """The toolbox's evaluation, but the last one at the end of the last epoch: what comes after
    training is in no checkpoint and no metrics. TEST.EVAL_PERIOD 0: none."""

    def after_epoch(self) -> None:
        done = self.trainer.epoch + 1
        last = done == self.trainer.max_epoch
        if self._period > 0 and (last or done % self._period == 0):
            self._do_eval()

    def after_train(self) -> None:
        del self._func  # it refers to the trainer


def training_sets(cfg) -> list:
    """The data sets of DATASETS.NAMES.

    Raises:
        ConfigError: as :func:`~gcl.data.build.load_dataset`.
    """
    combine = cfg.DATASETS.COMBINEALL
    return [load_dataset(name, combineall=combine) for name in cfg.DATASETS.NAMES]


def training_items(sets: list) -> list[tuple]:
    """(path, person, camera, ...) of the training images, data set by data set, each sorted by
    path: the toolbox lists folders in the file system's order."""
    return [item for data in sets for item in by_path(data.train)]


def check_baseline(cfg) -> None:
    """Stop on values with which the toolbox ends in a traceback, or never.

    Raises:
        ConfigError: one sentence that names the key and says what to set.
    """
    architecture = cfg.MODEL.META_ARCHITECTURE
    ours = [name for name in cfg.MODEL.LOSSES.NAME if name in LOSSES]
    if ours or cfg.MODEL.HEADS.NAME == "IdentityHead":
        key = f"MODEL.LOSSES.NAME {ours[0]}" if ours else "MODEL.HEADS.NAME IdentityHead"
        raise ConfigError(
            f"{key} is of META_ARCHITECTURE GCL and does not train {architecture}: begin with"
            " configs/Base-bagtricks.yml."
        )
    sampler, batch = cfg.DATALOADER.SAMPLER_TRAIN, cfg.SOLVER.IMS_PER_BATCH
    if sampler not in SAMPLERS:
        raise ConfigError(
            f"DATALOADER.SAMPLER_TRAIN is {sampler!r}: choose from {', '.join(SAMPLERS)}."
        )
    size, instances = comm.get_world_size(), cfg.DATALOADER.NUM_INSTANCE
    if batch % size:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH is {batch}: the number of processes, {size}, must divide it."
        )
    images = training_items(training_sets(cfg))
    if problem := problem_of_all("", f"DATASETS.NAMES {tuple(cfg.DATASETS.NAMES)}", images):
        raise ConfigError(problem)
    if len(images) < batch:
        raise ConfigError(
            f"DATASETS.NAMES {tuple(cfg.DATASETS.NAMES)} has {len(images)} training images, fewer"
            f" than SOLVER.IMS_PER_BATCH {batch}: add images or lower it."
        )
    if sampler in IDENTITY_SAMPLERS:
        if batch // size % instances:
            raise ConfigError(
                f"DATALOADER.NUM_INSTANCE is {instances}: it must divide the {batch // size} images"
                " of a batch on each process (SOLVER.IMS_PER_BATCH)."
            )
        people = len({person for _, person, _ in images})
        if people * instances < batch:
            raise ConfigError(
                f"SOLVER.IMS_PER_BATCH is {batch}, but {people} people with DATALOADER.NUM_INSTANCE"
                f" {instances} images each make {people * instances}: lower it to that."
            )
    epochs = -(-cfg.SOLVER.WARMUP_ITERS // (len(images) // batch))
    if cfg.SOLVER.SCHED == "CosineAnnealingLR" and epochs >= cfg.SOLVER.MAX_EPOCH:
        raise ConfigError(
            f"SOLVER.WARMUP_ITERS {cfg.SOLVER.WARMUP_ITERS} are {epochs} epochs, and"
            f" SOLVER.MAX_EPOCH is {cfg.SOLVER.MAX_EPOCH}: nothing is left for CosineAnnealingLR;"
            " lower the one or raise the other."
        )
