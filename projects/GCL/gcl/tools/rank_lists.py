"""Draw rank lists: some queries of a test set and whom a model finds first for each.

python tools/rank_lists.py --config-file projects/GCL/configs/pku.yml MODEL.WEIGHTS packaged
python tools/rank_lists.py --config-file projects/GCL/configs/pku.yml \\
    MODEL.WEIGHTS logs/pku/model_final.pth --out after.png

By the toolbox's protocol: images of the query's person in the query's camera are left out. Green
frames are the same person, red ones another. The queries are always the same.
"""

from __future__ import annotations

import argparse
import os
import random

import torch
from fastreid.evaluation.evaluator import inference_context

from gcl import ConfigError, check_gcl_config, compat
from gcl.atomic_files import atomic
from gcl.data.build import build_test_loader
from gcl.engine.foreign_cameras import test_cameras
from gcl.engine.initial_weights import check_evaluated_weights
from gcl.evaluation.rank_sheet import RankList, picture_format, rank, rank_sheet

from .command_line import find_config, read_config, run_command
from .open_encoder import load_encoder
from .user_modules import add_import_argument


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="of the training")
    parser.add_argument("--out", default="rank_lists.png", metavar="FILE", help="the picture")
    parser.add_argument("--queries", type=int, default=16, metavar="N", help="how many, by chance")
    parser.add_argument("--depth", type=int, default=10, metavar="N", help="found of each")
    add_import_argument(parser)
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs")
    return parser.parse_args()


@torch.no_grad()
def rank_lists(cfg, queries: int, depth: int) -> list[RankList]:
    """Rank lists of some queries of the first of DATASETS.TESTS.

    Raises:
        ConfigError: weights or data can not be used.
    """
    model, name = load_encoder(cfg), cfg.DATASETS.TESTS[0]
    loader, count = build_test_loader(cfg, name)
    seen: dict[str, list] = {key: [] for key in ("features", "targets", "camids", "img_paths")}
    with inference_context(model), test_cameras(cfg, model, name, loader):
        for batch in loader:
            seen["features"].append(model(batch).cpu())
            for key in ("targets", "camids", "img_paths"):
                seen[key].extend(batch[key])
    features, paths = torch.cat(seen["features"]), seen["img_paths"]
    person, camera = (torch.tensor([int(v) for v in seen[k]]) for k in ("targets", "camids"))
    chosen = torch.tensor(sorted(random.Random(0).sample(range(count), min(queries, count))))
    same = person[chosen, None] == person[None, count:]
    left_out = same & (camera[chosen, None] == camera[None, count:])
    found = rank(features[chosen], features[count:], depth, left_out)
    return [
        RankList(paths[q], [paths[count + g] for g in row], [bool(same[i, g]) for g in row])
        for i, (q, row) in enumerate(zip(chosen.tolist(), found, strict=True))
    ]


def run(args: argparse.Namespace) -> None:
    cfg = read_config(find_config(args.config_file), args.opts)
    check_gcl_config(cfg, training=False)
    if not cfg.DATASETS.TESTS:
        raise ConfigError("DATASETS.TESTS is empty: name the data set to search in.")
    if min(args.queries, args.depth) < 1:
        raise ConfigError("--queries and --depth must be at least 1.")
    kind = picture_format(args.out)
    check_evaluated_weights(cfg)
    cfg.freeze()
    compat.set_device(cfg.MODEL.DEVICE)
    os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)  # before the work
    lists = rank_lists(cfg, args.queries, args.depth)
    sheet = rank_sheet(lists)
    with atomic(args.out) as file:
        sheet.save(file, kind)
    first = sum(row.same[0] for row in lists if row.found)
    print(f"{first} of {len(lists)} queries find their person first; look at {args.out}")


def main() -> None:
    run_command(run, parse_args(), (ConfigError, OSError, ValueError))


if __name__ == "__main__":
    main()
