#!/usr/bin/env python
"""Seconds of one training iteration in each phase, and where they go.

    python benchmarks/training_step.py --config-file projects/GCL/configs/pku.yml

Synthetic batches of the configuration's sizes; no data set is needed. The last column is the ratio
to the same iteration with plain (NCHW) memory layout.
"""

from __future__ import annotations

import argparse
import copy
import time

import gcl  # noqa: F401  before torch: it says how its threads wait

# isort: split
import torch
from tabulate import tabulate
from torch.profiler import ProfilerActivity, profile

from gcl import add_gcl_config, compat, modeling  # noqa: F401  registers the models
from gcl.config import generator_size
from gcl.data.build import phase_batch_size
from gcl.engine.optimizer import PhaseOptimizer

# isort: split
from fastreid.config import get_cfg
from fastreid.modeling import build_model

N = 1000  # rows of the bank


def model_of(config_file: str, opts: tuple | list = (), rows: int = N):
    """The configuration, and its model with random weights and a bank of random rows."""
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.merge_from_file(config_file)
    cfg.merge_from_list([*opts, "MODEL.BACKBONE.PRETRAIN", False])
    model = build_model(cfg)
    model.bank.allocate(rows)
    model.bank.fill(torch.randn_like(model.bank.features))
    model.bank.labels.copy_(torch.arange(rows) % (rows // 20))
    if model.proxies is not None:
        model.proxies.build(model.bank)
    return cfg, model


def make_batch(cfg, phase: str) -> dict[str, torch.Tensor]:
    size, images = phase_batch_size(cfg, phase), cfg.INPUT.SIZE_TRAIN
    batch = {
        "images": torch.rand(size, 3, *images) * 255,
        "camids": torch.arange(size) % 2,
        "indices": torch.arange(size),
    }
    if phase != "contrast":
        for key in ("structure_ori", "structure_new"):
            batch[key] = torch.rand(size, 1, *generator_size(cfg))
    if phase == "joint" and cfg.GCL.JOINT.AUGMENT:
        batch["images_aug"] = batch["images"].clone()
    return batch


def step_of(cfg, model, phase: str):
    """A function that does one iteration, as the toolbox's SimpleTrainer does it."""
    model.train()
    model.set_phase("contrast")  # with all of E_id trainable, as when a run begins
    optimizer = PhaseOptimizer(cfg, model, phase)
    model.set_phase(phase)
    batch = make_batch(cfg, phase)

    def step() -> None:
        losses = sum(model(dict(batch)).values())
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()
        model.update_memory()
        if model.device.type == "cuda":
            torch.cuda.synchronize()

    return step


def in_plain_layout(model):
    """A copy of the model that computes in NCHW."""
    model = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    preprocess = model.preprocess_image
    model.preprocess_image = lambda *args: preprocess(*args).contiguous()
    return model


def seconds(step, repeats: int) -> float:
    """Median wall seconds."""
    step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs")
    args = parser.parse_args()
    cfg, model = model_of(args.config_file, args.opts)
    activities = [ProfilerActivity.CPU]
    if model.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)

    rows, profiles = [], []
    for phase in cfg.GCL.PHASES:
        step = step_of(cfg, model, phase)
        fast = seconds(step, args.repeats)
        with profile(activities=activities) as recorded:
            step()
        profiles.append((phase, recorded.key_averages()))
        plain = seconds(step_of(cfg, in_plain_layout(model), phase), args.repeats)
        rows.append((phase, phase_batch_size(cfg, phase), f"{fast:.3f}", f"{plain / fast:.2f}"))
    print(f"{model.device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(tabulate(rows, headers=("phase", "batch", "s / iteration", "NCHW / channels_last")))
    key = "self_cpu_time_total" if model.device.type == "cpu" else "self_device_time_total"
    for phase, averages in profiles:
        total = sum(getattr(event, key) for event in averages)
        top = sorted(averages, key=lambda event: -getattr(event, key))[:6]
        shares = [(event.key, f"{getattr(event, key) / total:.0%}", event.count) for event in top]
        print(f"\n{phase}\n" + tabulate(shares, headers=("operation", "share", "calls")))


if __name__ == "__main__":
    main()
