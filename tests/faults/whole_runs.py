"""Small runs of everything that takes long: killed, and asked to go on, by the same call.

Each is called as ``run(out, data)`` in a process of its own and writes into ``out``; the same call
again goes on. ``data``: a toy data set, with meshes.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from engine import runs
from faults.tiny_runs import TINY
from PIL import Image
from pretraining import test_encoder, test_view_generator

from gcl.pretraining.encoder import EncoderTrainer, get_encoder_cfg
from gcl.pretraining.structure_estimator import EstimatorTrainer, get_estimator_cfg
from gcl.pretraining.view_generator import GeneratorTrainer, get_pretraining_cfg
from gcl.synthetic import examples, people, turns
from gcl.synthetic.plan import Settings
from gcl.synthetic.set_files import write_set
from gcl.tools import prepare_structure

NAMES = ("training", "estimation", "conversion", "drawing", "people", "encoder", "generator",
         "estimator")  # fmt: skip

# what they say depends on the kills, or on the folder
_LOGS = ("printed", "errors", "seconds", "metrics.json", "log.txt", "config.yaml")


def run(out: str, name: str, data: str) -> None:
    """One of NAMES. At its end, seconds of the processor that it took are in ``out``/seconds."""
    import conftest  # noqa: F401  here, where it is the first: registers the tests' backbone

    torch.set_num_threads(1)
    with runs.place(data):
        globals()[f"_{name}"](out, data)
    Path(out, "seconds").write_text(f"{time.process_time()}")


def _training(out: str, data: str) -> None:
    runs.train(out, data, resume=True, **TINY | {"DATASETS__TESTS": ("Market1501",)})


def _estimation(out: str, data: str) -> None:
    _prepare(out, data, "--write", "renders", "geometry")


def _conversion(out: str, data: str) -> None:
    _prepare(out, data, "--source", "mesh", "--input", os.path.join(data, "of a tool"))


def _prepare(out: str, data: str, *more: str) -> None:
    crops = os.path.join(data, "few crops")
    arguments = [crops, "--out", os.path.join(out, "meshes"), "--workers", "0", "--height", "64"]
    sys.argv = ["prepare_structure.py", *arguments, *more]
    try:
        prepare_structure.main()
    except SystemExit as end:
        assert end.code == 0, end.code


def _drawing(out: str, data: str) -> None:
    settings = Settings(2, 1, 2, 3, 32, 16)
    write_set(out, settings, progress=False)


def _people(out: str, data: str) -> None:
    people.SHARD = 1
    people.write_people(out, 3, (32, 24), 0)


def _encoder(out: str, data: str) -> None:
    people.SHARD = 2
    cfg = get_encoder_cfg()
    cfg.merge_from_file(str(runs.REPOSITORY / "projects/GCL/configs/pretrain_encoder.yml"))
    cfg.merge_from_list(_pairs(test_encoder.OPTIONS | {"PRETRAIN.DATA": f"{out}/drawn"}))
    _pretrain(EncoderTrainer, cfg, out)


def _generator(out: str, data: str) -> None:
    turns.SHARD = 2
    cfg = get_pretraining_cfg()
    cfg.merge_from_list(_pairs(test_view_generator.OPTIONS | {"PRETRAIN.DATA": f"{out}/drawn"}))
    cfg.merge_from_list(["GCL.GENERATOR.NAME", "AttentionViewGenerator"])
    _pretrain(GeneratorTrainer, cfg, out)


def _estimator(out: str, data: str) -> None:
    examples.SHARD = 2
    cfg = get_estimator_cfg()
    cfg.merge_from_list(["EXAMPLES", 2, "BATCH", 2, "DEVICE", "cpu", "DATA", f"{out}/drawn"])
    cfg.merge_from_list(["WORKERS", 1, "STEPS", 6, "CHECKPOINT_PERIOD", 3])
    _pretrain(EstimatorTrainer, cfg, out)


def _pairs(options: dict[str, object]) -> list[object]:
    return [part for pair in options.items() for part in pair]


def _pretrain(trainer: type, cfg, out: str) -> None:
    cfg.OUTPUT_DIR = out
    training = trainer(cfg)
    training.resume()
    training.train()


def seconds(out: Path) -> float:
    """Of the processor, that the last process of a run took."""
    return float(Path(out, "seconds").read_text())


def results(out: str) -> dict[str, object]:
    """What a run has made: by path, the content of a checkpoint, or the bytes of another file.

    Raises whatever the reader of a file says that is not whole.
    """
    found: dict[str, object] = {}
    for path in sorted(Path(out).rglob("*")):
        name = path.relative_to(out).as_posix()
        unfinished = path.name.startswith(".") or path.suffix == ".tmp"
        if path.is_dir() or unfinished or path.name in _LOGS or "events.out" in path.name:
            continue
        if path.suffix == ".pth":
            found[name] = runs.load(path)
            continue
        if path.suffix in (".jpg", ".png"):
            Image.open(path).load()
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                dict(arrays)
        found[name] = path.read_bytes()
    return found
