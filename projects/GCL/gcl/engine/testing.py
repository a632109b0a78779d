"""Tests of a trained model on DATASETS.TESTS, of which a run never dies."""

from __future__ import annotations

import logging
from collections import OrderedDict

from fastreid.evaluation import inference_on_dataset, print_csv_format
from fastreid.evaluation.evaluator import DatasetEvaluator
from fastreid.utils import comm

from gcl.config import ConfigError
from gcl.data.build import build_test_loader, check_name, load_test_set, test_items
from gcl.data.own_crops import own_arguments
from gcl.data.same_lists import problem_of_all

from .foreign_cameras import test_cameras

logger = logging.getLogger(__name__)


class TestedTrainer:
    """Mixed into a toolbox trainer: its tests, but a set that can not be evaluated is a warning and
    has no result, whatever is wrong with it, and the others have theirs.

    Crops are read as in training.
    """

    __test__ = False  # pytest collects what is called Test...

    @classmethod
    def build_test_loader(cls, cfg, dataset_name: str):
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def test(cls, cfg, model) -> dict:
        """Results by name, or of the one set alone, as the toolbox returns them; {} for a set
        without a result. On the main process; {} on the others."""
        return as_toolbox(test_all(cls, cfg, model)[0])


def test_all(trainer, cfg, model) -> tuple[OrderedDict, dict[str, str]]:
    """Evaluate on each of DATASETS.TESTS.

    Args:
        trainer: a class with the toolbox's ``build_evaluator``.

    Returns:
        The results of each set, {} where there is none; and of these sets the reasons, in a
        sentence each, on all ranks.
    """
    results, problems = OrderedDict(), {}
    for name in cfg.DATASETS.TESTS:
        logger.info("Evaluating on %s", name)
        results[name], problem = _test_one(trainer, cfg, model, name)
        if problem:
            problems[name] = problem
            logger.warning("No result of %s: %s", name, problem)
        elif comm.is_main_process():
            results[name]["dataset"] = name  # print_csv_format takes it out again
            print_csv_format(results[name])
    return results, problems


test_all.__test__ = False


def as_toolbox(results: dict) -> dict:
    """Results by name, or of the one set alone."""
    return next(iter(results.values())) if len(results) == 1 else results


def _test_one(trainer, cfg, model, name: str) -> tuple[dict, str]:
    """Results of one set, and why there are none. All ranks go through the same collectives: one
    that could not read a crop would leave the others waiting."""
    problem, items, training = "", (), model.training
    try:
        loader, evaluator = trainer.build_evaluator(cfg, name)
        items = loader.dataset.img_items
    except Exception as error:  # noqa: BLE001  whatever it is, training is worth more
        problem = _reason(error)
    if problem := problem_of_all(problem, f"DATASETS.TESTS {name}", items):
        return {}, problem
    try:
        model.eval()
        with test_cameras(cfg, model, name, loader):
            inference_on_dataset(model, loader, _Collect(evaluator), cfg.TEST.FLIP.ENABLED)
    except Exception as error:  # noqa: BLE001
        problem = _reason(error)
    finally:
        model.train(training)  # the toolbox leaves it in evaluation mode when something goes wrong
    problem = next(filter(None, comm.all_gather(problem)), "")
    results: dict = {}
    if not problem:
        try:
            results = evaluator.evaluate() or {}
        except Exception as error:  # noqa: BLE001
            problem = _reason(error)
        problem = next(filter(None, comm.all_gather(problem)), "")
    return ({} if problem else results), problem


class _Collect(DatasetEvaluator):
    """Another evaluator's collecting without its evaluation."""

    def __init__(self, evaluator: DatasetEvaluator) -> None:
        self.reset, self.process = evaluator.reset, evaluator.process


def _reason(error: Exception) -> str:
    """A sentence; what is no user's to put right keeps its traceback, in the log."""
    if not isinstance(error, (ConfigError, OSError)):
        logger.warning("The evaluation failed", exc_info=error)
    lines = str(error).strip().splitlines()  # of an error in a data worker the last one counts
    return lines[-1] if lines else type(error).__name__


def check_tests(cfg) -> None:
    """Say before training which of DATASETS.TESTS can not give a result.

    Raises:
        ConfigError: the toolbox knows no data set of that name.
    """
    for name in cfg.DATASETS.TESTS:
        check_name(name, "DATASETS.TESTS")
        problem, items = "", ()
        try:
            items = test_items(load_test_set(name, **own_arguments(name, cfg)))
        except ConfigError as error:
            problem = str(error)
        if problem := problem_of_all(problem, f"DATASETS.TESTS {name}", items):
            logger.warning("%s There will be no results of it.", problem)
    if not cfg.DATASETS.TESTS:
        logger.warning("DATASETS.TESTS is empty: there will be no results.")
