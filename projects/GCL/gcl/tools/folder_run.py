"""What the training command does for a folder of crops (DATASETS.NAMES OwnCrops) before it trains.

It lists the folder, opens every crop once, says what it understood and writes that down in
OUTPUT_DIR (crops.csv, skipped.csv): from then on these are the crops of the run, in every process
and after a resume. Then it estimates their structures, where GCL.STRUCTURE.DIR is auto.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence

import yaml
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from gcl.config import AUTO, OWN_CROPS, ConfigError
from gcl.data.camera_sites import sites_of
from gcl.data.crop_list import (
    CROPS,
    SKIPPED,
    CropList,
    Numbers,
    Skipped,
    count_of,
    read_list,
    write_list,
)
from gcl.data.folder import name_of
from gcl.data.own_crops import list_folder, no_crops_in, path_below
from gcl.data.track_mates import are_views
from gcl.engine.data_defaults import data_defaults
from gcl.inference.trained_encoder import FINAL, LAST
from gcl.photographs import PhotographError, read_photograph
from gcl.structure.crop_keys import crop_keys, mesh_name, renders_name
from gcl.structure.prepare import share
from gcl.structure.render_files import RENDERS
from gcl.structure.store import GEOMETRY

from . import prepare_structure
from .command_line import find_config, read_config

FOLDER_CONFIG = "projects/GCL/configs/folder.yml"
STRUCTURES = "structures"
"""Folder in OUTPUT_DIR."""


def reads_folder(cfg) -> bool:
    """Whether a run trains on, or by its camera statistics rests on, a folder of crops."""
    return OWN_CROPS in cfg.DATASETS.NAMES


def prepares() -> bool:
    """Whether this process prepares for its machine. Under torchrun the others wait for it where
    all of them meet."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0


def follow_folder(cfg, given: set[str], numbers: Numbers | None = None) -> dict[str, object]:
    """Set what follows from the folder in ``cfg``: the data's defaults, the tests of a labelled
    part, the structures that are made here.

    Args:
        given: keys that keep their values (:func:`own_keys`).
        numbers: of the crops; None: of those that the run has written down.

    Returns:
        The data's default of each key, whether it was given or not.

    Raises:
        ConfigError: there are too few crops, or none are written down.
    """
    if not cfg.GCL.DATA.FOLDER:  # for which the check of all keys has a sentence
        return {}
    output = cfg.OUTPUT_DIR
    if numbers is None:
        numbers = read_list(cfg.GCL.DATA.FOLDER, output).numbers
    defaults = _defaults(cfg, numbers)
    for key, value in defaults.items():
        if key not in given:
            cfg.merge_from_list([key, value])
    if cfg.GCL.DATA.QUERY and cfg.GCL.DATA.GALLERY and OWN_CROPS not in cfg.DATASETS.TESTS:
        cfg.DATASETS.TESTS = (*cfg.DATASETS.TESTS, OWN_CROPS)
    made = os.path.join(output, STRUCTURES)
    if cfg.GCL.STRUCTURE.DIR == AUTO and os.path.isdir(os.path.join(made, "train")):
        cfg.GCL.STRUCTURE.DIR = made
    return defaults


def own_keys(path: str, pairs: Sequence[str]) -> set[str]:
    """Keys that a user has given: by KEY VALUE pairs, or by files that are not, and are not below,
    folder.yml, whose own values make place for what follows from the data."""

    def leaves(tree: dict, start: str) -> set[str]:
        return {
            key
            for name, value in tree.items()
            for key in (
                leaves(value, f"{start}{name}.") if isinstance(value, dict) else {start + name}
            )
        }

    keys, ours = set(pairs[::2]), find_config(FOLDER_CONFIG)
    while path and not os.path.samefile(path, ours):
        with open(path, encoding="utf-8") as file:
            tree = yaml.safe_load(file) or {}
        base = os.path.expanduser(tree.pop("_BASE_", ""))
        keys |= leaves(tree, "")
        path = os.path.join(os.path.dirname(path), base) if base else ""
    return keys


def understand(args, load: Callable) -> CropList:
    """Find out what the folder's crops are, print it, and write it down, but for --dry-run.

    Args:
        args: of the command line.
        load: (args, numbers) -> configuration, checked.

    Raises:
        ConfigError: a value or the folder can not work, the crops of the run to resume are gone, or
            OUTPUT_DIR has a model of others.
    """
    cfg = read_config(args.config_file, args.opts)
    output, folder, data = cfg.OUTPUT_DIR, cfg.GCL.DATA.FOLDER, cfg.GCL.DATA
    if not folder:
        load(args, Numbers(0, 0, 0))  # says so
    written = os.path.isfile(os.path.join(output, CROPS))
    if args.eval_only and written:
        crops = read_list(folder, output)
    else:
        crops = list_folder(folder, data.PATTERN, data.TABLE, no_crops_in(cfg))
        if written and resumes(args, output):
            since = os.path.getmtime(os.path.join(output, CROPS))
            crops = resumed(crops, read_list(folder, output), output, since)
        else:
            # every value is checked before the first crop is opened
            load(args, crops.numbers)
            sites_of(cfg.GCL.LABELS.SITES, [crop.camera for crop in crops.crops])
            if not args.dry_run:
                make_output(output)
            crops = without_unreadable(crops, cfg.INPUT.SIZE_TRAIN)
    cfg = load(args, crops.numbers)
    listed = "" if args.dry_run else os.path.join(output, SKIPPED)
    print(prepare_structure.printable(crops.summary(listed)))
    print(chosen(cfg, own_keys(args.config_file, args.opts), crops.numbers))
    if not args.dry_run:
        if written:
            keep_others(crops, output)
        write_list(crops, output)
    return crops


def keep_others(crops: CropList, output: str) -> None:
    """See to it that the model of a run on other crops is not lost, nor gone on from or used with
    these crops' cameras, whose numbers are others.

    Raises:
        ConfigError: ``output`` has a checkpoint of other crops.
    """
    try:
        same = read_list(crops.folder, output).crops == crops.crops
    except ConfigError:
        same = False
    # the last one's name alone is gone where a run that began in its place was killed
    has_model = any(os.path.isfile(os.path.join(output, name)) for name in (LAST, FINAL))
    if not same and has_model:
        raise ConfigError(
            f"OUTPUT_DIR {output} has the model of a run on other crops: give another folder, or"
            " remove that one."
        )


def make_output(output: str) -> None:
    """Make OUTPUT_DIR, and find out that it can not be written to before hours of work.

    Raises:
        ConfigError: it can not.
    """
    try:
        os.makedirs(output, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise ConfigError(
            f"OUTPUT_DIR {output} can not be written to ({error.strerror}): give another folder."
        ) from error


def resumes(args, output: str) -> bool:
    """Whether there is a checkpoint to go on from."""
    return args.resume and os.path.isfile(os.path.join(output, LAST))


def resumed(now: CropList, before: CropList, output: str, since: float = math.inf) -> CropList:
    """The crops of the run that goes on; says what has come, and what was written anew, since.

    Args:
        now: what the folder holds.
        before: what the run wrote down when it began.
        since: when it was last started, in seconds since 1970.

    Raises:
        ConfigError: crops of the run are gone, or have other cameras, tracks or times.
    """
    found = {crop.name: crop for crop in now.crops}
    gone = [crop.name for crop in before.crops if crop.name not in found]
    if gone:
        raise ConfigError(
            f"--resume: {len(gone)} of the {len(before.crops)} crops of the run in {output} are"
            f" gone from {now.folder}, the first {gone[0]}: put them back, or start anew without"
            " --resume."
        )
    others = [crop.name for crop in before.crops if crop != found[crop.name]]
    if others:
        raise ConfigError(
            f"--resume: {count_of(len(others), 'crop')} of the run in {output}, the first"
            f" {others[0]}, with another camera, track or time now: give the GCL.DATA.PATTERN and"
            " the table of before, or start anew without --resume."
        )
    known = {crop.name for crop in before.crops} | {name for name, _ in before.skipped}
    new, notes = sorted(found.keys() - known), []
    if new:
        notes.append(
            f"--resume: since the run began {count_of(len(new), 'crop')} came, the first {new[0]};"
            " it goes on without. To train on what came, start anew without --resume."
        )
    changed = [crop.name for crop in before.crops if written_after(now.folder, crop.name, since)]
    if changed:
        notes.append(
            f"--resume: since the run was last started {count_of(len(changed), 'crop')} of it, the"
            f" first {changed[0]}, was written again. Where these are other pictures, their"
            " structures are of the ones before: start anew without --resume."
        )
    if not notes:
        return before
    return CropList(before.folder, before.crops, before.skipped, (*now.notes, *notes))


def written_after(folder: str, name: str, moment: float) -> bool:
    return moment < math.inf and os.path.getmtime(path_below(folder, name)) > moment


class Reading(Dataset):
    """Item i is why the i-th file can not be read as a crop; "": it can."""

    def __init__(self, paths: Sequence[str], size: Sequence[int]) -> None:
        self.paths, self.size = list(paths), tuple(size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> str:
        try:
            read_photograph(self.paths[index], self.size)
        except PhotographError as error:
            return str(error)
        return ""


def without_unreadable(crops: CropList, size: Sequence[int]) -> CropList:
    """The list without the files that are no crops of a person, each opened once; with a bar.

    Args:
        size: (H, W) to which crops will be resized.
    """
    paths = [path_below(crops.folder, crop.name) for crop in crops.crops]
    workers = prepare_structure.default_workers() if len(paths) > 1000 else 0
    loader = DataLoader(Reading(paths, size), batch_size=None, num_workers=workers)
    reasons = list(tqdm(loader, "reading", unit="crop"))
    good = [crop for crop, reason in zip(crops.crops, reasons, strict=True) if not reason]
    bad = [
        # without the path, which the list has
        Skipped(crop.name, reason.replace(path, "file"))
        for crop, path, reason in zip(crops.crops, paths, reasons, strict=True)
        if reason
    ]
    skipped = tuple(sorted((*crops.skipped, *bad)))
    return CropList(crops.folder, tuple(good), skipped, crops.notes)


def _defaults(cfg, numbers: Numbers) -> dict[str, object]:
    if are_views(cfg, numbers.tracks > 0):  # labels know of none then
        numbers = numbers._replace(tracks=0)
    return data_defaults(*numbers, joint="joint" in cfg.GCL.PHASES)


def chosen(cfg, given: set[str], numbers: Numbers) -> str:
    """What follows from the data, in lines; and which of it the user has given."""
    lines = ["follows from these numbers (KEY VALUE pairs go before it):"]
    for key in _defaults(cfg, numbers):
        node = cfg
        for part in key.split("."):
            node = node[part]
        lines.append(f"  {key} {node}{' (given)' if key in given else ''}")
    return "\n".join(lines)


def estimate(args, cfg, crops: CropList) -> None:
    """Make the structures that the run lacks, in OUTPUT_DIR/structures; a killed run goes on where
    it was.

    Raises:
        ConfigError: several processes of torchrun would have to wait for this one.
        OSError: a file can not be written.
    """
    auto = cfg.GCL.STRUCTURE.DIR in (AUTO, os.path.join(cfg.OUTPUT_DIR, STRUCTURES))
    if not auto or not {"generator", "joint"} & set(cfg.GCL.PHASES):
        return
    out = os.path.join(cfg.OUTPUT_DIR, STRUCTURES)
    if args.eval_only or (resumes(args, cfg.OUTPUT_DIR) and os.path.isdir(out)):
        return  # training has begun on what there is
    if share()[1] > 1:
        if os.path.isdir(out):
            return
        raise ConfigError(
            "GCL.STRUCTURE.DIR auto works before --num-gpus starts its processes, not under"
            f" torchrun: first run torchrun tools/prepare_structure.py {crops.folder} --out {out}"
            f" --height {cfg.INPUT.SIZE_TRAIN[0]}."
        )
    options = ["--write", cfg.GCL.STRUCTURE.SOURCE, "--height", str(cfg.INPUT.SIZE_TRAIN[0])]
    line = prepare_structure.parse_args(["--out", out, *options, "--", crops.folder])
    paths = [path_below(crops.folder, crop.name) for crop in crops.crops]
    keys = crop_keys(name_of(crops.folder), crops.folder, paths)
    remove_older(os.path.join(out, "train"), keys)
    prepare_structure.make(line, "train", keys)


def remove_older(split: str, keys: Mapping[str, str]) -> None:
    """Remove the structures of crops that were written since: another picture can have the name of
    one that was there before.

    Args:
        split: folder of the structures.
        keys: of the crops, by path.
    """
    removed = 0
    for path, key in keys.items():
        mesh = os.path.join(split, GEOMETRY, mesh_name(key))
        if os.path.isfile(mesh) and os.path.getmtime(path) > os.path.getmtime(mesh):
            for old in (os.path.join(split, RENDERS, renders_name(key)), mesh):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(old)
            removed += 1
    if removed:
        print(f"{count_of(removed, 'crop')} written again since a structure was estimated: anew")
