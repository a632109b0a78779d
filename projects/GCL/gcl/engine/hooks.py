"""What happens around the toolbox's training steps. Each hook says where in the list it must
stand."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping

import numpy as np
import torch
from fastreid.engine.hooks import EvalHook, PeriodicCheckpointer, PeriodicWriter
from fastreid.engine.train_loop import HookBase
from fastreid.utils import comm
from fastreid.utils.env import seed_all_rng
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import pair_confusion_matrix
from torchvision.utils import save_image

from gcl.atomic_files import atomic, remove_leftovers
from gcl.data.build import phase_batch_size, seed_of
from gcl.data.sampler import PseudoLabelSampler, ShuffleSampler
from gcl.data.source_set import WithSource
from gcl.pseudo_labels import PseudoLabeler, label_sites

from .divergence import check_start, diverged
from .feature_pass import extract_features, fit_source, fit_view_statistics
from .gradient_sharing import share_gradients
from .partition_figures import partition_figures
from .readiness import measure_readiness
from .training_sheets import triplet_sheet, turntable_sheet

logger = logging.getLogger(__name__)


NUM_VIEWS = 4096
"""At most so many views are drawn to measure their statistics: the norm follows 256 a camera."""


class NoClusterError(RuntimeError):
    """Clustering never found a usable labelling."""


class PhaseHook(HookBase):
    """Puts each epoch into its phase: random seeds, optimizer, learning rates, model.

    First of all hooks: the others of an epoch's start need the phase. Every epoch starts from seeds
    that follow from the run's seed and the epoch's number alone, so that a resumed run goes on as
    if it had never stopped.
    """

    def before_epoch(self) -> None:
        trainer = self.trainer
        # The toolbox moves the storage on in the first step only: what hooks log before that would
        # count as the epoch before, which has been written, and be lost.
        trainer.storage.iter = trainer.iter
        place = trainer.plan.place(trainer.epoch)
        seed_all_rng(seed_of(trainer.state.seed, trainer.epoch, comm.get_rank()))
        model = trainer.gcl
        model.set_phase(place.phase)
        share_gradients(trainer)
        if place.first:
            trainer.optimizer.begin(place.phase)
            logger.info("Phase %s begins with epoch %d", place.phase, trainer.epoch)
        trainer.schedule.apply(trainer.epoch)
        if place.first:  # an evaluation pass fills the bank with what the phase starts from
            loader = trainer.train_set.feature_loader()
            # without a name they are gone before anything else needs memory
            model.bank.fill(
                check_start(trainer, extract_features(model, loader, new_neck=trainer.epoch == 0))
            )
            if place.phase == "joint" and model.heads.generated_norm is not None:
                self._fit_view_statistics()
            if trainer.source_set is not None and place.phase != "generator":
                source = trainer.source_set.first_loader(seed_of(trainer.state.seed, trainer.epoch))
                fit_source(model, source, trainer.source_set.people)
                source.shutdown()

    def _fit_view_statistics(self) -> None:
        trainer = self.trainer
        size = phase_batch_size(trainer.cfg, "joint")
        rows = spread(trainer.train_set.usable, NUM_VIEWS)
        sampler = ShuffleSampler(
            rows,
            size,
            -(-len(rows) // size),
            seed=seed_of(trainer.state.seed, trainer.epoch),
            rank=comm.get_rank(),
            world_size=comm.get_world_size(),
        )
        loader = trainer.train_set.train_loader("joint", sampler)
        fit_view_statistics(trainer.gcl, loader)
        loader.shutdown()


class PseudoLabelHook(HookBase):
    """Clusters the bank into pseudo labels before each epoch of a phase with contrast.

    After :class:`PhaseHook`, before :class:`LoaderHook`. A clustering that can not be trained on
    (no cluster, or one only) is reported and the labels of the epoch before stay.

    Args:
        cfg: GCL.LABELS.
        identities: (N,) ground truth, for the log only; None: none exists.
        known: of tracks and sites, as :func:`label_sites` takes it; {}: nothing.
        cameras: (N,), for the log only; None: nobody knows any.

    Raises:
        NoClusterError: (from ``before_epoch``) there never were usable labels.
    """

    def __init__(
        self,
        cfg,
        identities: np.ndarray | None = None,
        known: Mapping[str, np.ndarray] | None = None,
        cameras: np.ndarray | None = None,
    ) -> None:
        self.node = node = cfg.GCL.LABELS
        self.shares: list[float] = []  # of outliers, epoch by epoch
        self.fresh = node.FEATURES == "fresh"
        self.k1 = node.K1
        self.labeler = labeler_of(node)
        self.identities, self.known, self.cameras = identities, known or {}, cameras

    def before_epoch(self) -> None:
        trainer = self.trainer
        place = trainer.plan.place(trainer.epoch)
        if place.phase == "generator":
            return
        model = trainer.gcl
        if self.fresh and not place.first:  # PhaseHook has just filled it otherwise
            loader = trainer.train_set.feature_loader()
            model.bank.fill(check_start(trainer, extract_features(model, loader)))
        sites = self.known.get("sites", np.zeros(len(model.bank.labels)))
        fewest = np.unique(sites, return_counts=True)[1].min()
        if fewest < self.k1:
            logger.warning(
                "Only %d training images%s, fewer than GCL.LABELS.K1 %d: lower K1 (and K2).",
                fewest,
                " at a site (GCL.LABELS.SITES)" if "sites" in self.known else "",
                self.k1,
            )
        result = label_sites(self.labeler, model.bank.features, **self.known)
        labels = torch.from_numpy(result.labels).to(model.device)
        before = model.bank.labels.clone().cpu().numpy()
        problem = None
        if result.num_clusters == 0:
            problem = (
                f"Clustering found no cluster (eps {result.eps:.3f}): raise GCL.LABELS.EPS or RHO,"
                " lower MIN_SAMPLES, or start from better features (MODEL.WEIGHTS)"
            )
        elif result.num_clusters == 1:
            problem = (
                f"Clustering put everything into one cluster (eps {result.eps:.3f}): lower"
                " GCL.LABELS.EPS or RHO"
            )
        if problem is None:
            model.bank.labels.copy_(labels)
        elif (model.bank.labels >= 0).any():
            logger.warning("%s. Training goes on with the labels of the epoch before.", problem)
        else:
            raise NoClusterError(f"{problem}.")
        if model.proxies is not None:
            model.proxies.build(model.bank)
        self._report(result, before)

    def _report(self, result, before: np.ndarray) -> None:
        scalars = {
            "clusters": result.num_clusters,
            "outliers": result.num_outliers,
            "eps": result.eps,
            "seconds": sum(result.seconds.values()),
        }
        scalars |= partition_figures(result.labels, before, self.cameras)
        if self.identities is not None:
            scalars |= cluster_quality(self.identities, result.labels)
        scalars = {f"labels/{name}": float(value) for name, value in scalars.items()}
        self.trainer.storage.put_scalars(smoothing_hint=False, **scalars)
        logger.info("Pseudo labels: %s", ", ".join(f"{k[7:]} {v:.4g}" for k, v in scalars.items()))
        self._warn(result)

    def _warn(self, result) -> None:
        """Say that most images do not train, or that neighbourhoods are full of one crop."""
        count, node = len(result.labels), self.node
        before = ", ".join(f"{share:.0%}" for share in self.shares[-3:])
        self.shares.append(result.num_outliers / count)
        if result.num_clusters < 2:
            return  # that has a sentence of its own
        if self.shares[-1] > 0.5:
            remedy = f"raise GCL.LABELS.EPS ({node.EPS:g})"
            if self.labeler.eps is None:
                remedy = (
                    f"raise GCL.LABELS.RHO ({node.RHO:g}), or set GCL.LABELS.EPS (0.5, say), as"
                    " frames of a video that are nearly the same make the eps of RHO tiny"
                )
            logger.warning(
                "%d of %d training images are outliers and do not train (%d clusters, eps %.3g;"
                " the epochs before had %s): %s; or lower GCL.LABELS.K1 (%d) towards the number of"
                " images of a person.",
                result.num_outliers,
                count,
                result.num_clusters,
                result.eps,
                before or "none",
                remedy,
                node.K1,
            )
        if result.num_crowded > count / 2:
            logger.warning(
                "%d of %d training images have GCL.LABELS.K1 (%d) neighbours that E_id can not tell"
                " from them, as frames of a video of somebody who stands still: a cluster is one"
                " such crop. Keep fewer frames, or raise K1 above their number.",
                result.num_crowded,
                count,
                node.K1,
            )


def labeler_of(node) -> PseudoLabeler:
    """What makes the pseudo labels of GCL.LABELS."""
    return PseudoLabeler(
        k1=node.K1,
        k2=node.K2,
        min_samples=node.MIN_SAMPLES,
        eps=node.EPS if node.EPS > 0 else None,
        rho=node.RHO,
        knn="auto" if node.KNN == "exact" else node.KNN,
        visit=node.VISIT,
    )


def cluster_quality(identities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Pairwise precision and recall and adjusted Rand index of pseudo labels, outliers as
    singletons.

    Args:
        identities, labels: (N,) ground truth and pseudo labels, -1 = outlier.
    """
    labels = labels.copy()
    outliers = np.flatnonzero(labels < 0)
    labels[outliers] = labels.max(initial=-1) + 1 + np.arange(len(outliers))
    (_, false), (missed, true) = pair_confusion_matrix(identities, labels).astype(float)
    return {
        "precision": true / max(true + false, 1.0),
        "recall": true / max(true + missed, 1.0),
        "rand_index": adjusted_rand_score(identities, labels),
    }


class LoaderHook(HookBase):
    """Gives every epoch its loader: P x K over pseudo labels, or plain shuffling for the generator.

    After :class:`PseudoLabelHook`. The toolbox starts its first loader before anything is known, so
    that one is empty and replaced here.
    """

    def before_epoch(self) -> None:
        trainer = self.trainer
        cfg, train_set = trainer.cfg, trainer.train_set
        phase = trainer.plan.place(trainer.epoch).phase
        common = {
            "batch_size": phase_batch_size(cfg, phase),
            "num_batches": trainer.iters_per_epoch,
            "seed": seed_of(trainer.state.seed, trainer.epoch),
            "rank": comm.get_rank(),
            "world_size": comm.get_world_size(),
        }
        if phase == "generator":
            sampler = ShuffleSampler(train_set.usable, **common)
        else:
            labels = trainer.gcl.bank.labels.cpu().numpy()
            if phase == "joint":  # images without structure keep their row but are not drawn
                masked = np.full_like(labels, -1)
                masked[train_set.usable] = labels[train_set.usable]
                labels = masked
                if (labels < 0).all():
                    raise NoClusterError(
                        f"None of the {len(train_set.usable)} training images with a structure is"
                        " in a cluster: make structures of more images"
                        " (tools/prepare_structure.py), or raise GCL.LABELS.EPS."
                    )
            sampler = PseudoLabelSampler(
                labels, num_instances=cfg.DATALOADER.NUM_INSTANCE, **common
            )
        loader = train_set.train_loader(phase, sampler)
        if trainer.source_set is not None and phase != "generator":
            source = trainer.source_set.train_loader(common["num_batches"], common["seed"])
            loader = WithSource(loader, source)
        trainer.use_loader(loader)


class MemoryHook(HookBase):
    """Updates the bank after the optimizer's step, anywhere in the list."""

    def after_step(self) -> None:
        self.trainer.gcl.update_memory()


class ReadinessHook(HookBase):
    """Measures after each epoch with a generator how much identity its views carry, for the log.

    Before the writers. The main process measures; the others hear what it found, so that all end
    where a run has diverged.

    Args:
        temperature: t of the view-invariant loss.
        num_images: how many training images are drawn.
    """

    def __init__(self, temperature: float, num_images: int = 256) -> None:
        self.temperature, self.num_images = temperature, num_images

    def after_epoch(self) -> None:
        trainer = self.trainer
        if trainer.plan.place(trainer.epoch).phase == "contrast":
            return
        measured = None
        if comm.is_main_process():
            measured = measure_readiness(
                trainer.gcl,
                trainer.train_set.dataset("generator"),
                spread(trainer.train_set.usable, self.num_images),
                self.temperature,
            )
        measured = comm.all_gather(measured)[0]
        if not math.isfinite(measured.loss):
            raise diverged(trainer, f"the loss of generated views is {measured.loss}")
        scalars = {f"readiness/{k}": v for k, v in measured._asdict().items()}
        trainer.storage.put_scalars(smoothing_hint=False, **scalars)
        logger.info("Readiness: %s", ", ".join(f"{k[10:]} {v:.3f}" for k, v in scalars.items()))


class SheetHook(HookBase):
    """Draws sheets of generated views after each epoch with a generator, into OUTPUT_DIR/views.

    Main process only; before the writers, which hand the sheets to TensorBoard.
    """

    def after_epoch(self) -> None:
        trainer = self.trainer
        if trainer.plan.place(trainer.epoch).phase == "contrast":
            return
        dataset = trainer.train_set.dataset("generator")
        usable = trainer.train_set.usable
        folder = os.path.join(trainer.cfg.OUTPUT_DIR, "views")
        os.makedirs(folder, exist_ok=True)
        remove_leftovers(folder)
        for name, sheet in (
            ("views", triplet_sheet(trainer.gcl, dataset, spread(usable, 16))),
            ("turntable", turntable_sheet(trainer.gcl, dataset, spread(usable, 4))),
        ):
            with atomic(os.path.join(folder, f"{name}_{trainer.epoch:04d}.png")) as file:
                save_image(sheet, file, format="png")
            trainer.storage.put_image(name, sheet)


class PhaseCheckpointer(PeriodicCheckpointer):
    """The toolbox's checkpoints, also at the end of each phase; model_best is the best of the
    epochs that have one. :class:`PhaseEvalHook` writes an epoch's before its evaluation.

    Main process only; after :class:`PhaseEvalHook`.

    Args:
        figure: what is logged of an epoch and chooses model_best, the higher the better; "": the
            metric of the first of DATASETS.TESTS, without any of which there is no model_best.
    """

    def __init__(
        self, checkpointer, period: int, max_epoch: int | None = None, figure: str = ""
    ) -> None:
        super().__init__(checkpointer, period, max_epoch)
        self.figure = figure

    def before_train(self) -> None:
        super().before_train()
        self.metric_name = self.figure or self.metric_name

    def state_dict(self) -> dict[str, float | str]:
        return {"best_metric": self.best_metric, "figure": self.figure}

    def load_state_dict(self, state: dict[str, float | str]) -> None:
        if state.get("figure", "") == self.figure:  # the best of another figure says nothing
            self.best_metric = state["best_metric"]

    def step(self, epoch: int, metric: float) -> None:
        """
        Args:
            metric: of the last evaluation; -1 where there was none.
        """
        if not self._due(epoch):
            return
        if metric > self.best_metric:
            self.best_metric = metric
            # after a kill here the evaluation is made up, and this file is written again
            self.checkpointer.save("model_best", last=False, epoch=epoch, metric=metric)
        self.checkpointer.save(self._name(epoch), epoch=epoch, metric=metric)

    def save_untested(self, epoch: int) -> None:
        """Write the checkpoint of an epoch that is to be evaluated; :meth:`step` replaces it."""
        if self._due(epoch):
            self.checkpointer.save(self._name(epoch), epoch=epoch)

    def _due(self, epoch: int) -> bool:
        return (epoch + 1) % self.period == 0 or self.trainer.plan.place(epoch).last

    def _name(self, epoch: int) -> str:
        return "model_final" if epoch == self.max_epoch - 1 else f"model_{epoch:04d}"


class PhaseEvalHook(EvalHook):
    """The toolbox's evaluation, also at the end of each phase; TEST.EVAL_PERIOD 0: only there.
    E_id does not change in the generator phase, so in between it is not evaluated then.

    With GCL.CAMERA_NORM the cameras' statistics are brought up to date first: those of the epoch's
    start belong to another encoder. So are the neck's, where GCL.START_SHARE has just changed the
    weights. Then the epoch's checkpoint is written, where one is due: an evaluation can end in
    whatever way, and what was trained is there.
    """

    def after_epoch(self) -> None:
        trainer = self.trainer
        place = trainer.plan.place(trainer.epoch)
        learns = place.phase != "generator"
        due = self._period > 0 and (trainer.epoch + 1) % self._period == 0
        if not (place.last or (due and learns)):
            return
        if trainer.state.evaluated:  # else the checkpoint is that of here
            node = trainer.cfg.GCL
            mixed = node.START_SHARE > 0 and trainer.epoch == trainer.plan.num_epochs - 1
            if mixed or (node.CAMERA_NORM and learns):
                loader = trainer.train_set.feature_loader()
                extract_features(trainer.gcl, loader, new_neck=mixed)
            trainer.state.evaluated = False
            for hook in trainer._hooks:
                if isinstance(hook, PhaseCheckpointer):
                    hook.save_untested(trainer.epoch)
        self._do_eval()
        trainer.state.evaluated = True

    def after_train(self) -> None:
        del self._func  # the last epoch ends a phase, so it has been evaluated


class EpochWriter(PeriodicWriter):
    """The toolbox's writers, but nothing is written of an epoch's last step before its end.

    A writer takes what an iteration has logged only once. The toolbox writes every 200 steps and
    after the last of all, so that the evaluation of an epoch that ends there would never be seen.
    """

    def after_step(self) -> None:
        if (self.trainer.iter + 1) % self.trainer.iters_per_epoch:
            super().after_step()


def spread(indices: list[int], count: int) -> list[int]:
    """``count`` of the indices, evenly spread over the list; all when there are fewer."""
    if len(indices) <= count:
        return list(indices)
    return [indices[i] for i in np.linspace(0, len(indices) - 1, count).astype(int)]
