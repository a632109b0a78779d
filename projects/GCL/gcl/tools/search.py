"""Search a folder of crops for the people of some crops.

python tools/search.py logs/mine my_crops --query a.jpg b.jpg
python tools/search.py packaged my_crops --query a.jpg --rerank --out found.png

Prints a table, and writes it as CSV beside the picture --out. Features of the gallery are kept, in
the run's folder or beside --out, and made anew where crops, cameras or weights are others. A query
that is in the gallery does not find itself. --rerank orders by the neighbours that a query and a
crop share (k-reciprocal re-ranking); the similarity in the table stays the cosine.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from tabulate import tabulate

from gcl import ConfigError
from gcl.atomic_files import atomic
from gcl.data.crop_list import CropList, count_of
from gcl.data.own_crops import folder_pattern
from gcl.evaluation.rank_sheet import RankList, picture_format, rank, rank_sheet
from gcl.evaluation.reciprocal_rank import reciprocal_rank
from gcl.inference import ReID
from gcl.inference.folder_features import folder_features, kept_file
from gcl.inference.reid import paths_of

from .command_line import run_command
from .model_arguments import add_model_arguments
from .prepare_structure import printable

FEATURES = "features"
"""Folder of kept features in OUTPUT_DIR."""
COLUMNS = ("query", "rank", "crop", "camera", "track", "similarity", "probability")


class Match(NamedTuple):
    """A row of the table; similarity: the cosine; probability: None where the run has no
    calibration."""

    query: str
    rank: int
    crop: str
    camera: str
    track: str
    similarity: float
    probability: float | None


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser)
    parser.add_argument("gallery", metavar="GALLERY", help="folder of crops to search in")
    parser.add_argument("--query", required=True, nargs="+", metavar="FILE", help="whom to find")
    parser.add_argument("--out", default="search.png", metavar="FILE", help="the picture")
    parser.add_argument("--depth", type=int, default=10, metavar="N", help="found of each")
    parser.add_argument("--rerank", action="store_true", help="k-reciprocal re-ranking")
    return parser.parse_args()


def query_cameras(model: ReID, queries: Sequence[str], gallery: CropList, names: str) -> list[str]:
    """Cameras of queries: those of the gallery's crops that they are, or else by their names."""
    known = dict(zip(map(os.path.realpath, paths_of(gallery)), gallery.crops, strict=True))
    names = names or model.encoder.cfg.get("GCL", {}).get("DATA", {}).get("PATTERN", "")
    pattern = folder_pattern(names) if names else None
    cameras = []
    for query in queries:
        path = os.path.realpath(query)
        match = pattern.match(os.path.splitext(path)[0]) if pattern else None
        by_name = match[1].get("camera", "") if match else ""
        cameras.append(known[path].camera if path in known else by_name)
    return cameras


def matches(
    model: ReID,
    queries: Sequence[str],
    wanted: np.ndarray,
    gallery: CropList,
    features: np.ndarray,
    depth: int,
    rerank: bool,
) -> list[list[tuple[int, Match]]]:
    """Of each query the rows of the gallery that it finds, and what the table says of them.

    Args:
        wanted: (Q, D) features of the queries.
        features: (G, D) of the gallery.
    """
    where = [os.path.realpath(path) for path in paths_of(gallery)]
    left_out = torch.tensor([[os.path.realpath(q) == path for path in where] for q in queries])
    order = (reciprocal_rank if rerank else rank)(
        torch.from_numpy(wanted), torch.from_numpy(features), depth, left_out
    )
    try:
        calibration = model.calibration
    except ConfigError as error:
        calibration = None
        print(f"No probabilities: {error}")
    found = []
    for query, row, of_query in zip(queries, wanted, order, strict=True):
        cosines = features[np.array(of_query, np.int64)] @ row
        rows = []
        for place, (index, cosine) in enumerate(zip(of_query, cosines.tolist(), strict=True), 1):
            crop = gallery.crops[index]
            probable = None if calibration is None else float(calibration.probability(cosine))
            known = (crop.name, crop.camera, crop.track)
            rows.append((index, Match(query, place, *known, cosine, probable)))
        found.append(rows)
    return found


def as_cells(rows: Sequence[Match]) -> list[list[str]]:
    """Under :data:`COLUMNS`."""
    return [
        [row.query, str(row.rank), row.crop, row.camera, row.track]
        + ["" if number is None else f"{number:.4f}" for number in row[5:]]
        for row in rows
    ]


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """A table without the columns of which nothing is known; each query once."""
    known = [i for i in range(len(COLUMNS)) if any(row[i] for row in cells)]
    shown = [["" if i == 0 and row[1] != "1" else row[i] for i in known] for row in cells]
    return tabulate(shown, [COLUMNS[i] for i in known], disable_numparse=True)


def write_table(path: str, cells: Sequence[Sequence[str]]) -> None:
    """As CSV, all or nothing."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([COLUMNS, *cells])
    with atomic(path) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def run(args: argparse.Namespace) -> None:
    kind, table = picture_format(args.out), f"{os.path.splitext(args.out)[0]}.csv"
    if args.depth < 1:
        raise ConfigError(f"--depth {args.depth} is none: give at least 1.")
    for query in args.query:
        if not os.path.isfile(query):
            raise ConfigError(f"--query {query} is not a file.")
    model = ReID.load(args.model)
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)  # before the work
    listed = model.list_crops(args.gallery, args.pattern)
    cameras = query_cameras(model, args.query, listed, args.pattern)
    wanted = model.embed(args.query, cameras)
    run_folder = model.encoder.folder
    beside = not run_folder or not os.access(run_folder, os.W_OK)
    folder = os.path.dirname(args.out) if beside else run_folder
    kept = kept_file(os.path.join(folder, FEATURES), args.gallery)
    gallery, features = folder_features(model, listed, kept, bar=True)
    if len(listed.crops) > len(gallery.crops):
        bad = next(skip for skip in gallery.skipped if skip not in listed.skipped)
        count = len(listed.crops) - len(gallery.crops)
        what = count_of(count, "crop")
        print(printable(f"left out: {what}, the first {bad.name}: {bad.reason}"))
    found = matches(model, args.query, wanted, gallery, features, args.depth, args.rerank)
    cells = as_cells([match for of_query in found for _, match in of_query])
    print(printable(as_text(cells)))
    paths = paths_of(gallery)
    sheet = rank_sheet(
        [
            RankList(query, [paths[index] for index, _ in of_query])
            for query, of_query in zip(args.query, found, strict=True)
        ]
    )
    write_table(table, cells)
    with atomic(args.out) as file:
        sheet.save(file, kind)
    print(f"look at {args.out}; the table is {table}")


def main() -> None:
    run_command(run, parse_args())


if __name__ == "__main__":
    main()
