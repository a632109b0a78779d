"""Cut the crops of people out of recordings, where a tracker has found them.

python tools/cut_crops.py gate.mp4 hall.mp4 --out my_crops --dry-run
python tools/cut_crops.py gate.mp4 hall.mp4 --out my_crops
python tools/train_net.py --config-file projects/GCL/configs/folder.yml GCL.DATA.FOLDER my_crops

A recording is a video or a folder of frames; its tracker's results, in MOTChallenge's format
(frame, id, x, y, w, h, confidence, ...), are beside it as gate.txt. A detector's, with the id -1,
do as well. my_crops has <camera>/<track>/<frame>.jpg and crops.csv. What is there already is left
as it is, so a killed call goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence

from gcl.config import ConfigError
from gcl.data.box_choice import Choice
from gcl.data.crop_cutting import Plan, Recording, cut, prepare_folder
from gcl.data.crop_list import count_of
from gcl.data.frame_sources import INSIDE

from .command_line import sentence
from .prepare_structure import printable


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "recordings", nargs="+", metavar="RECORDING", help="a video, or a folder of frames"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="of the crops")
    parser.add_argument(
        "--results",
        nargs="+",
        metavar="FILE",
        help="of the tracker, one a recording (default: its name with .txt)",
    )
    parser.add_argument(
        "--cameras",
        nargs="+",
        metavar="NAME",
        help="one a recording (default: its name); recordings of one camera have the same",
    )
    default = Choice()
    parser.add_argument(
        "--every",
        type=int,
        default=default.every,
        metavar="N",
        help="frames between two crops of a track, at least (default: %(default)s)",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        default=default.confidence,
        metavar="C",
        help="of a box, at least; boxes without one pass (default: %(default)s)",
    )
    parser.add_argument(
        "--height",
        type=float,
        default=default.height,
        metavar="PIXELS",
        help="of a box, at least (default: %(default)s)",
    )
    parser.add_argument(
        "--aspect",
        type=float,
        nargs=2,
        default=default.aspect,
        metavar=("LEAST", "MOST"),
        help="height / width of a box (default: %(default)s)",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=default.margin,
        metavar="PIXELS",
        help="between a box and the picture's border, at least: a box that reaches it is cut off;"
        " below 0, it may reach so far beyond (default: %(default)s)",
    )
    parser.add_argument(
        "--hidden",
        type=float,
        default=default.hidden,
        metavar="SHARE",
        help="of a box that boxes of nearer people (which end lower) may cover"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what is understood and left out, and stop"
    )
    return parser.parse_args()


def recordings_of(
    paths: Sequence[str], results: Sequence[str] | None, cameras: Sequence[str] | None
) -> list[Recording]:
    """The recordings of a command line.

    Raises:
        ConfigError: numbers of names differ, two recordings have one name, or there are no results.
    """
    # a sequence of MOTChallenge has its name on the folder above its frames
    named = [
        os.path.dirname(path) if os.path.basename(path) == INSIDE else path
        for path in map(os.path.abspath, paths)
    ]
    stems = [path if os.path.isdir(path) else os.path.splitext(path)[0] for path in named]
    for option, names in (("--results", results), ("--cameras", cameras)):
        if names is not None and len(names) != len(paths):
            raise ConfigError(
                f"{option} has {len(names)} names for {count_of(len(paths), 'recording')}: give one"
                " each, in the same order."
            )
    if results is None:
        results = [f"{stem}.txt" for stem in stems]
        for path, file in zip(paths, results, strict=True):
            if not os.path.isfile(file):
                raise ConfigError(
                    f"{path}: its tracker's results, {file}, are not there: name them by --results."
                )
    if cameras is None:
        cameras = [os.path.basename(stem) for stem in stems]
        if twice := [name for name, count in Counter(cameras).items() if count > 1]:
            raise ConfigError(
                f"Several recordings have the name {twice[0]}: say by --cameras which are of one"
                " camera, with a name for each recording."
            )
    for name in cameras:
        if not name or name.startswith(".") or "/" in name or os.sep in name:
            raise ConfigError(f"--cameras: {name!r} can not be the name of a folder.")
    counts, seen = Counter(cameras), Counter()
    recordings = []
    for path, file, camera in zip(paths, results, cameras, strict=True):
        seen[camera] += 1
        number = seen[camera] if counts[camera] > 1 else 0
        recordings.append(Recording(path, file, camera, number))
    return recordings


def run(args: argparse.Namespace) -> None:
    choice = Choice(
        args.every, args.confidence, args.height, tuple(args.aspect), args.margin, args.hidden
    )
    recordings = recordings_of(args.recordings, args.results, args.cameras)
    plans = []
    for recording in recordings:
        plans.append(Plan(recording, choice))
        print(printable(plans[-1].summary()))
    if not any(plan.crops for plan in plans):
        raise ConfigError("No box becomes a crop: see above why, and change the options.")
    if args.dry_run:
        return
    prepare_folder(args.out, plans, choice)
    crops, lost = cut(plans, args.out)
    for reason, count in Counter(reason for _, reason in lost).most_common():
        first = next(name for name, why in lost if why == reason)
        print(printable(f"not cut: {count_of(count, 'crop')}, the first {first}: {reason}"))
    if not crops:
        raise ConfigError(f"{args.out} has no crops: none could be cut.")
    print(printable(f"{args.out}: {count_of(len(crops), 'crop')}, listed in crops.csv"))


def main() -> None:
    try:
        run(parse_args())
    except (ConfigError, OSError) as error:
        sys.exit(sentence(error))


if __name__ == "__main__":
    main()
