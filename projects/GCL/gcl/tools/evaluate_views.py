"""Judge generated views by photographs of the same person from the side that they show.

FASTREID_DATASETS=<folder with Market-1501-v15.09.15> python tools/evaluate_views.py \\
    --config-file projects/GCL/configs/pku.yml --out logs/pku/judged \\
    MODEL.WEIGHTS logs/pku/model_final.pth GCL.STRUCTURE.DIR <renders>

The crops are those of DATASETS.NAMES and DATASETS.TESTS, whose names say the orientation (by
default as the PKU development data's do), or SyntheticPedestrians. Each is turned to every other
orientation in which its camera saw its person. Identities, cameras and orientations are read for
this comparison only. The figures are printed and written to OUT/views.json, with those of every
turn; pictures to OUT/sheet_<data set>_<split>.png.
"""

from __future__ import annotations

import argparse
import os

from gcl import ConfigError, check_gcl_config, compat
from gcl.atomic_files import atomic, write_json
from gcl.evaluation.configured_pairs import open_sets
from gcl.evaluation.trained_model import load_generator
from gcl.evaluation.view_encoders import STAGES, ImageNetEncoder, ModelEncoder
from gcl.evaluation.view_report import figures, report
from gcl.evaluation.view_sheet import sample, view_sheet
from gcl.evaluation.views import Judge, drawing, measure
from gcl.modeling.imagenet import ImageNet
from gcl.structure.geometry import GeometryError

from .command_line import find_config, read_config, run_command
from .open_estimator import load_estimator
from .orientation_arguments import add_orientation_arguments
from .user_modules import add_import_argument


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help="of the training")
    parser.add_argument("--out", default="logs/view_evaluation", help="folder of what is written")
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="NAME=CHECKPOINT",
        help="another one of the same configuration; may be given several times",
    )
    parser.add_argument(
        "--encoder",
        default="model",
        choices=("model", "imagenet"),
        help="whose features people are searched by, in all rows: E_id of MODEL.WEIGHTS (default),"
        " or EfficientNet-Lite0 with ImageNet weights",
    )
    parser.add_argument(
        "--estimator",
        metavar="FILE",
        help="weights of the one that reads the yaw (default: those in the package)",
    )
    add_orientation_arguments(parser)
    add_import_argument(parser)
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs")
    return parser.parse_args()


def checkpoints(weights: str, others: list[str]) -> dict[str, str]:
    """Name -> path of MODEL.WEIGHTS, by its folder and file, and of the ``others``."""
    if not weights:
        raise ConfigError("MODEL.WEIGHTS is empty: give the checkpoint to judge.")
    folder, file = os.path.split(os.path.abspath(weights))
    paths = {f"{os.path.basename(folder)}/{os.path.splitext(file)[0]}": weights}
    for other in others:
        name, _, path = other.partition("=")
        if not path or name in paths:
            raise ConfigError(f"--compare {other}: write NAME=CHECKPOINT, each name once.")
        paths[name] = path
    return paths


def run(args: argparse.Namespace) -> None:
    cfg = read_config(find_config(args.config_file), args.opts)
    check_gcl_config(cfg, training=False)
    cfg.freeze()
    compat.set_device(cfg.MODEL.DEVICE)
    paths = checkpoints(cfg.MODEL.WEIGHTS, args.compare)
    models = {name: load_generator(cfg, path) for name, path in paths.items()}
    model = next(iter(models.values()))
    draw = {name: drawing(m, cfg.INPUT.SIZE_TRAIN) for name, m in models.items()}
    sets = open_sets(cfg, args.orientation_pattern, args.orientations)
    imagenet = ImageNet(STAGES, model.device)
    encoder = ModelEncoder(model) if args.encoder == "model" else ImageNetEncoder(imagenet)
    judge = Judge(encoder, imagenet, load_estimator(args.estimator, "--estimator"), model.device)
    found = {"config": args.config_file, "checkpoints": paths, "encoder": args.encoder, "sets": {}}
    os.makedirs(args.out, exist_ok=True)
    for name, (pairs, dataset) in sets.items():
        measured, pictures = measure(draw, judge, pairs, dataset, sample(pairs))
        found["sets"][name] = figures(pairs, measured)
        print(f"\n{name}: {report(found['sets'][name])}")
        picture = os.path.join(args.out, f"sheet_{name.replace(' ', '_')}.png")
        with atomic(picture) as file:
            view_sheet(pairs, pictures, list(draw)).save(file, "PNG")
        print(f"look at {picture}")
    write_json(os.path.join(args.out, "views.json"), found, indent=1)


def main() -> None:
    run_command(run, parse_args(), (ConfigError, GeometryError, ImportError, OSError))


if __name__ == "__main__":
    main()
