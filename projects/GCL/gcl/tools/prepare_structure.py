"""Make or check the structure images of a data set.

python tools/prepare_structure.py Market1501 --out datasets/meshes
torchrun --nproc-per-node 8 tools/prepare_structure.py MSMT17 --out datasets/meshes
python tools/prepare_structure.py Market1501 --source hmr2 --input out/ --out datasets/meshes

DATA is a data set that the toolbox knows, under FASTREID_DATASETS, or a folder of crops and all the
folders in it. The source
is our own estimator, or a mesh-recovery tool's files, or geometry (our .npz). The estimator writes
its meshes to OUT/<split>/geometry, and the names of those it is not sure of to
OUT/<split>/low_confidence.txt. All files are named after the data set (or folder) and the crop's
path in it, so that OUT can hold several data sets (two folders of one name need an OUT each). What
is there already and whole is left as it is, so a killed run goes on where it was. Crops without a
structure are listed with the reason in OUT/<split>/failed.txt, and the exit status is 1. To check
what is there: --source renders, or --source geometry --write geometry.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Callable, Iterable

import torch.distributed as dist

from gcl import ConfigError, compat
from gcl.cores import usable_cores
from gcl.data.build import load_dataset
from gcl.data.folder import dataset_keys, folder_keys
from gcl.photographs import SUFFIXES
from gcl.structure.adapters import ADAPTERS, CROP_NAMES, open_adapter
from gcl.structure.adapters.meshes import AXES
from gcl.structure.crop_keys import CropKeys, files_below, mesh_name
from gcl.structure.geometry import GeometryError
from gcl.structure.outcomes import FAILED, Summary, list_failed
from gcl.structure.prepare import (
    Preparation,
    Verification,
    open_written,
    prepare,
    share,
    sheet,
    verify,
)
from gcl.structure.prepare_estimate import DOUBTFUL, estimate_meshes, list_doubtful
from gcl.structure.store import GEOMETRY, SOURCES, MissingStructureError
from gcl.structure.verify import files_of, report

from .command_line import LOST, sentence
from .open_estimator import load_estimator
from .user_modules import add_import_argument, import_modules

ESTIMATE = "estimate"
SPLITS = ("train", "test")


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", metavar="DATA", help="data set of the toolbox, or folder of crops")
    parser.add_argument(
        "--source",
        default=ESTIMATE,
        choices=(ESTIMATE, *SOURCES, *ADAPTERS),
        help="(default: estimate)",
    )
    parser.add_argument("--out", required=True, help="GCL.STRUCTURE.DIR: holds train/ and test/")
    parser.add_argument(
        "--input",
        help="the source's files, one or more a crop, named after it, in folders as the crops are"
        " where names repeat, or one a video; its subfolders train/ and test/ are used when they"
        " are there (default for geometry: where training reads it)",
    )
    parser.add_argument(
        "--split", nargs="+", default=["train"], choices=SPLITS, help="training reads train only"
    )
    parser.add_argument(
        "--write", nargs="+", default=["renders"], choices=SOURCES, help="(default: renders)"
    )
    parser.add_argument(
        "--height", type=at_least(1), default=256, help="of renders (default: 256 pixels)"
    )
    parser.add_argument(
        "--workers", type=at_least(0), default=default_workers(), help="processes; 0: this one"
    )
    parser.add_argument(
        "--axes",
        choices=AXES,
        help="of mesh files (--source mesh): opencv is x right, y down, z forward, opengl x right,"
        " y up, z back (default: opencv where a mesh lies wholly at z > 0, else opengl)",
    )
    parser.add_argument(
        "--crop-names",
        help=f"how crops of videos are named, for --source wham and phalp (default: {CROP_NAMES});"
        " with several videos {video}/{person}_{frame}",
    )
    parser.add_argument(
        "--smpl-model", help="SMPL model file, for --source smpl and phalp and for the faces"
    )
    parser.add_argument("--weights", help="of the estimator (default: those in the package)")
    parser.add_argument(
        "--adapt",
        action="store_true",
        help="let the estimator adapt to the crops first, by self-training without labels (see"
        " docs/structures.md)",
    )
    add_import_argument(parser)
    return parser.parse_args(arguments)


def at_least(low: int) -> Callable[[str], int]:
    """A parser of whole numbers from ``low`` on."""

    def number(text: str) -> int:
        if int(text) < low:
            raise argparse.ArgumentTypeError(f"{text} is below {low}")
        return int(text)

    return number


def default_workers() -> int:
    """Cores that each process of the job can have."""
    return max(usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)), 1)


def list_crops(data: str, splits: list[str], out: str) -> dict[str, CropKeys]:
    """The crops of each split, in an order that is the same everywhere.

    Args:
        out: where structures are; nothing in there is a crop.

    Raises:
        ConfigError: there are none.
    """
    if os.path.isdir(data):
        if os.path.realpath(data) == os.path.realpath(out):
            raise ConfigError(f"--out {out} is the folder of the crops: write to another one.")
        crops = {"train": folder_keys(data, without=out)}
        if splits != ["train"]:
            raise ConfigError(f"{data} is a folder of crops, which are all 'train': drop --split.")
    else:
        dataset = load_dataset(data)
        items = {"train": dataset.train, "test": dataset.query + dataset.gallery}
        crops = {split: dataset_keys(data, dataset, items[split]) for split in splits}
    for split, keys in crops.items():
        if not keys:
            raise ConfigError(f"{data} has no images ({', '.join(SUFFIXES)}) for {split}.")
    return crops


def printable(text: str) -> str:
    """Names of files can be any bytes, of which not every terminal can show all."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def what_to_check(args: argparse.Namespace) -> str | None:
    """ "renders" or "geometry" when that is there and nothing is to be made."""
    if args.source == "renders" and args.write != ["renders"]:
        raise ConfigError("--source renders checks them: no mesh can be made from renders.")
    here = args.source == "renders" or (args.source == "geometry" and args.input is None)
    return args.source if here and args.write == [args.source] else None


def load_body(path: str | None):
    """The licensed SMPL body of a file; None without one."""
    if path is None:
        return None
    from gcl.structure.smpl_body import SMPLBody

    try:
        return SMPLBody(path)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"--smpl-model: {error}") from error


def estimate(args: argparse.Namespace, split: str, crops: CropKeys) -> Summary:
    """Write meshes of a split by the estimator, then their renders if they are wanted."""
    folder = os.path.join(args.out, split)
    estimated = estimate_meshes(
        crops, folder, lambda: load_estimator(args.weights), args.adapt, args.workers
    )
    if share()[0] == 0:
        if made := estimated.counts["made"]:
            print(f"{split}: {made} crops estimated, {made / estimated.seconds:.1f} crops/s")
        few = list_doubtful(crops, folder)
        print(f"{split}: {few} crops of low confidence, in {os.path.join(folder, DOUBTFUL)}")
    if "renders" not in args.write:
        return estimated
    geometry = os.path.join(folder, GEOMETRY)
    there = files_below(geometry, ".npz")
    crops = {path: key for path, key in crops.items() if mesh_name(key) in there}
    source = open_adapter("geometry", geometry, crops)
    summary = prepare(Preparation(crops, source, folder, ["renders"], args.height), args.workers)
    summary.counts["failed"] += estimated.counts["failed"]
    summary.lost += [outcome for outcome in estimated.lost if outcome.state == "failed"]
    return summary


def open_source(args: argparse.Namespace, split: str, crops: CropKeys):
    """The function from a crop to its mesh."""
    folder = args.input
    if folder is None and args.source == "geometry":
        folder = os.path.join(args.out, split, GEOMETRY)
    if folder is None:
        raise ConfigError(f"--source {args.source} needs --input, the folder of its files.")
    if os.path.isdir(os.path.join(folder, split)):
        folder = os.path.join(folder, split)
    names = CROP_NAMES if args.crop_names is None else args.crop_names
    body = load_body(args.smpl_model)
    return open_adapter(args.source, folder, crops, body, args.axes, names)


def run(args: argparse.Namespace) -> bool:
    """Whether every crop has its structure."""
    main_process = share()[0] == 0
    good, check = True, what_to_check(args)
    if args.source == ESTIMATE and args.input is not None:
        raise ConfigError("--input holds a tool's files: name the tool by --source.")
    if args.axes is not None and args.source != "mesh":
        raise ConfigError(
            f"--axes is of mesh files: --source {args.source} has axes of its own; drop --axes."
        )
    clips = args.source in ADAPTERS and ADAPTERS[args.source].clips
    if args.crop_names is not None and not clips:
        raise ConfigError(f"--crop-names is for clips, not for --source {args.source}: drop it.")
    if main_process and args.source in ADAPTERS:
        print(f"{args.source}: {ADAPTERS[args.source].licence}")
    for split, crops in list_crops(args.data, args.split, args.out).items():
        if not check:
            good &= make(args, split, crops)
            continue
        store = open_written(args.out, split, args.write, crops, args.height)
        problems = verify(Verification(store), args.workers)
        good &= not problems
        if main_process:
            print(printable(f"{split}: {report(problems, files_of(store))}"))
            broken = {p.crop for p in problems if p.kind in ("crop", "broken")}
            look(args, split, crops, [crop for crop in crops if crop not in broken])
    return good


def make(args: argparse.Namespace, split: str, crops: CropKeys) -> bool:
    """Make what the crops of a split lack and print what happened; whether each of them has its
    structure then."""
    folder = os.path.join(args.out, split)
    if args.source == ESTIMATE:
        summary = estimate(args, split, crops)
    else:
        source = open_source(args, split, crops)
        dataset = Preparation(crops, source, folder, args.write, args.height)
        summary = prepare(dataset, args.workers)
    if share()[0] == 0:
        text = summary.table(split)
        if list_failed(crops, folder, summary.lost):
            text += f"\nall of them are in {os.path.join(folder, FAILED)}"
        print(printable(text))
        look(args, split, crops, crops)
    return summary.complete


def look(args: argparse.Namespace, split: str, crops: CropKeys, whole: Iterable[str]) -> None:
    """Write a sheet of crops that are ``whole``, with their structures."""
    picture = os.path.join(args.out, f"sheet_{split}.png")
    store = open_written(args.out, split, args.write, crops, args.height)
    if sheet(store, whole, picture):
        print(f"look at {picture}")


def main() -> None:
    args = parse_args()
    try:
        import_modules(args.modules)
        if share()[1] > 1:
            # a share may take days longer than another
            dist.init_process_group("gloo", timeout=datetime.timedelta(days=30))
        good = run(args)
        if dist.is_initialized():
            dist.destroy_process_group()
    except (ConfigError, GeometryError, MissingStructureError, OSError) as error:
        sys.exit(sentence(error))
    except RuntimeError as error:
        if not compat.lost_process(error):
            raise
        sys.exit(LOST)
    # the first process alone fails: torchrun ends the others with any that does, and it has yet to
    # print what the others have done
    sys.exit(0 if good or share()[0] > 0 else 1)


if __name__ == "__main__":
    main()
