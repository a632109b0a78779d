"""What a finished run says of its own crops, as files: OUTPUT_DIR/result.

Shapes: N crops, D embedding size.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fastreid.utils import comm

from gcl.atomic_files import atomic_folder, remove_leftovers
from gcl.config import OWN_CROPS
from gcl.data.build import TrainingSet
from gcl.data.crop_list import Crop, CropList, read_list
from gcl.data.own_crops import path_below
from gcl.engine.feature_pass import extract_features
from gcl.engine.hooks import labeler_of
from gcl.engine.track_verification import known_pairs
from gcl.pseudo_labels import (
    Tracks,
    Verification,
    check_tracks,
    label_sites,
    unit_rows,
    verify,
)

from .cluster_review import ClusterReview, review
from .pair_calibration import PairCalibration, Pairs, calibrate, cluster_pairs, cosines

logger = logging.getLogger(__name__)

FOLDER = "result"
"""In OUTPUT_DIR."""


@dataclass(frozen=True)
class RunResult:
    """What :func:`measure_run` found out.

    Attributes:
        crops: of the run, N of them; of other data sets than own crops the name is the path.
        paths: their files.
        listed: the folder they are from; None: another data set.
        features: (N, D) float32 of unit length.
        labels: (N,) clusters of these features, -1 = in none.
        clusters: a look through them.
        pairs: by which ``calibration`` was fitted (None where none can be).
        verification: of the pairs of tracks; None: there are none.
    """

    crops: Sequence[Crop]
    paths: Sequence[str]
    listed: CropList | None
    features: np.ndarray
    labels: np.ndarray
    clusters: ClusterReview
    pairs: Pairs
    calibration: PairCalibration | None
    verification: Verification | None


def measure_run(cfg, model, train_set: TrainingSet | None = None) -> RunResult:
    """Embed and cluster all training crops. Every process calls it and gets the same.

    Args:
        cfg: of the run.
        model: GCL's, with the run's weights. Its camera statistics are measured anew, if it has
            any.
        train_set: None: that of ``cfg``.

    Raises:
        ConfigError, OSError: the training crops are not there any more, or can not be read.
    """
    train_set = train_set or TrainingSet(cfg)
    rows = unit_rows(extract_features(model, train_set.feature_loader()))
    labels = label_sites(labeler_of(cfg.GCL.LABELS), rows, **train_set.for_labels()).labels
    features = rows.cpu().numpy()
    known = known_pairs(train_set)
    pairs, verification = cluster_pairs(labels), None
    if known is not None:
        pairs = Pairs(known.same, known.different, "tracks")
        verification = verify(cosines(features, pairs.same), cosines(features, pairs.different))
    tracks: Tracks | None = None
    if seen := train_set.seen_in_tracks():
        tracks = check_tracks(
            len(labels), *(seen.get(key) for key in ("tracks", "times", "cameras"))
        )
    crops, listed = crops_of(cfg, train_set)
    return RunResult(
        crops,
        [path for path, _ in train_set.items],
        listed,
        features,
        labels,
        review(features, labels, train_set.known_cameras(), tracks, train_set.sites),
        pairs,
        calibrate(features, pairs),
        verification,
    )


def crops_of(cfg, train_set: TrainingSet) -> tuple[list[Crop], CropList | None]:
    """What is known of each training image, and the folder where all are own crops."""
    if tuple(cfg.DATASETS.NAMES) != (OWN_CROPS,):
        return [Crop(path, str(camera)) for path, camera in train_set.items], None
    folder = cfg.GCL.DATA.FOLDER
    listed = read_list(folder, cfg.OUTPUT_DIR)
    known = {path_below(folder, crop.name): crop for crop in listed.crops}
    return [known[path] for path, _ in train_set.items], listed


def write_result(result: RunResult, page: str, output: str) -> str:
    """Write ``output``/result, all of it or nothing; what was there before is replaced.

    Args:
        page: report.html.

    Returns:
        The folder.

    Raises:
        OSError: it can not be written.
    """
    folder = os.path.join(output, FOLDER)
    remove_leftovers(output)
    with atomic_folder(folder) as part:

        def place(name: str) -> str:
            return os.path.join(part, name)

        known = [(*crop[:3], "" if crop.time is None else repr(crop.time)) for crop in result.crops]
        _table(place("crops.csv"), ("path", "camera", "track", "time"), known)
        np.save(place("embeddings.npy"), result.features.astype(np.float16))
        rows = (
            (*crop, label, "" if label < 0 else f"{alike:.4f}")
            for crop, label, alike in zip(
                known, result.labels.tolist(), result.clusters.similarity.tolist(), strict=True
            )
        )
        columns = ("path", "camera", "track", "time", "cluster", "similarity")
        _table(place("clusters.csv"), columns, rows)
        if result.calibration is not None:
            with open(place("calibration.json"), "w", encoding="utf-8") as file:
                json.dump(result.calibration._asdict(), file, indent=1)
        with open(place("report.html"), "w", encoding="utf-8") as file:
            file.write(page)
    return folder


def _table(path: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with open(path, "wb") as file:
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(rows)
        text.flush()


def leave_result(cfg, model) -> str:
    """Measure a finished run and leave its result; every process of the job calls it.

    Returns:
        Path of the report.

    Raises:
        ConfigError, OSError: as :func:`measure_run` and :func:`write_result`.
    """
    from .report_page import report_page  # noqa: PLC0415  jinja2 and matplotlib, at a run's end

    with torch.random.fork_rng(devices=[]):
        result = measure_run(cfg, model)
    path = os.path.join(cfg.OUTPUT_DIR, FOLDER, "report.html")
    if comm.is_main_process():
        write_result(result, report_page(cfg, result), cfg.OUTPUT_DIR)
        logger.info("What came of it: %s", path)
    return path
