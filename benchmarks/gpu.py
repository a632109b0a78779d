#!/usr/bin/env python
"""What a machine with a GPU does, in a few minutes: tables as they come, in order of worth.

    python benchmarks/gpu.py --minutes 8

Steps of every phase of ablations/market_paper.yml, market.yml, pku.yml and cuhk03.yml in several
forms, beside the plain form of the same step (plain_step.py); where their time goes; pseudo labels
by stage; renders; the estimator; loading. Nothing but the package is needed: crops and structures
are noise. What there is no time for is left out, with a line. Without a GPU the same runs at small
sizes: those numbers mean nothing, but that it works.

Forms of a step: "fp32", "bf16" (SOLVER.AMP.ENABLED), "bf16 graph" (and GCL.CUDA_GRAPHS), "bf16
compiled" (torch.compile of E_id and G, and the graph). GB is what torch holds of the GPU at most,
the bank included; x is the ratio of the plain form's time to it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from plain_step import PlainStep, in_plain_layout
from tabulate import tabulate
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from training_step import make_batch

from gcl import add_gcl_config, compat, modeling  # noqa: F401  registers the models
from gcl.cores import usable_cores
from gcl.data.build import phase_batch_size
from gcl.data.view_dataset import ViewDataset
from gcl.engine.graphed_step import GraphedStep
from gcl.engine.late_losses import LateLosses
from gcl.engine.optimizer import PhaseOptimizer
from gcl.pseudo_labels import PseudoLabeler
from gcl.structure.body import AnnyBody, sample_phenotype
from gcl.structure.estimate import StructureEstimator
from gcl.structure.estimate.network import StructureNet, both_ways
from gcl.structure.poses import sample_pose
from gcl.structure.render import render_structure
from gcl.structure.render_files import FOLDERS, RENDERS, write_renders
from gcl.structure.store import open_store

# isort: split
from fastreid.config import get_cfg
from fastreid.data.build import fast_batch_collator
from fastreid.modeling import build_model

CONFIGS = Path(__file__).parents[1] / "projects" / "GCL" / "configs"
PAPER = "ablations/market_paper.yml"
ROWS = {PAPER: 12936, "market.yml": 12936, "cuhk03.yml": 4821, "pku.yml": 640}
GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
FORMS = ("plain", "fp32", "bf16", "bf16 graph") if GPU else ("plain", "fp32", "bf16")
REPEATS = 30 if GPU else 1


class Clock:
    """The minutes that are left."""

    def __init__(self, minutes: float) -> None:
        self.end = time.perf_counter() + 60 * minutes

    def left(self) -> float:
        return self.end - time.perf_counter()


def show(title: str, rows: list, headers: tuple[str, ...]) -> None:
    print(f"\n{title}\n" + tabulate(rows, headers=headers, floatfmt=".4g"), flush=True)


# ---------------------------------------------------------------------- steps
def config(name: str, phase: str, images: int | None = None):
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.merge_from_file(str(CONFIGS / name))
    cfg.merge_from_list(["MODEL.BACKBONE.PRETRAIN", False, "MODEL.DEVICE", DEVICE])
    node = cfg.SOLVER if phase == "joint" else cfg.GCL[phase.upper()]
    if images is not None:
        node.IMS_PER_BATCH = images
    if not GPU:  # whether it works
        node.IMS_PER_BATCH = 4
        cfg.INPUT.SIZE_TRAIN = [64, 32]
        if name in (PAPER, "market.yml"):
            cfg.merge_from_list(["MODEL.BACKBONE.DEPTH", "18x", "MODEL.BACKBONE.FEAT_DIM", 512])
    return cfg


def build(cfg, name: str, phase: str):
    """A model in a phase, its bank filled with noise and labelled in classes of 17."""
    torch.manual_seed(0)
    model = build_model(cfg)
    rows = ROWS[name]
    model.bank.allocate(rows)
    model.bank.fill(torch.randn_like(model.bank.features))
    model.bank.labels.copy_(torch.arange(rows) % (rows // 17))
    if model.proxies is not None:
        model.proxies.build(model.bank)
    for norm in (model.heads.camera_norm, model.heads.generated_norm):
        if norm is not None:
            norm.fit(torch.rand(256, cfg.MODEL.BACKBONE.FEAT_DIM, device=DEVICE))
    model.train()
    model.set_phase(phase)
    return model


def step_of(cfg, model, phase: str, form: str) -> Callable[[], object]:
    """A function that does one iteration, as the trainer does it."""
    batch = make_batch(cfg, phase)
    if form == "plain":
        plain = PlainStep(cfg, model, phase)
        return lambda: plain(batch)
    model.set_phase("contrast")  # with all of E_id trainable, as when a run begins
    optimizer = PhaseOptimizer(cfg, model, phase)
    model.set_phase(phase)
    batch = {k: v.to(DEVICE) for k, v in batch.items()}  # the loader copies the next one meanwhile
    write = LateLosses(lambda losses, seconds: None)
    half = "bf16" in form
    autocast = torch.autocast(DEVICE, torch.bfloat16) if half else contextlib.nullcontext()
    if "NCHW" in form:
        in_plain_layout(model)
    if "compiled" in form:
        compile_networks(model)
    graphed = GraphedStep(model, autocast) if "graph" in form or "compiled" in form else None

    def step() -> None:
        if graphed is not None:
            losses = graphed(batch)
        else:
            with autocast:
                losses = model(dict(batch))
            optimizer.zero_grad()
            sum(losses.values()).backward()
        write(losses, 0.0)
        optimizer.step()
        model.update_memory()

    return step


def compile_networks(model) -> None:
    """E_id and the parts of G; D is differentiated twice, which torch.compile can not."""
    model.backbone.compile()
    for part in model.generator.children():
        for module in part if isinstance(part, nn.ModuleList) else [part]:
            module.compile()


def seconds(step: Callable[[], object], repeats: int = REPEATS, warm: int = 6) -> float:
    """Mean seconds of a step in a row of them."""
    for _ in range(warm if GPU else 1):
        step()
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    wait()
    return (time.perf_counter() - start) / repeats


def wait() -> None:
    if GPU:
        torch.cuda.synchronize()


@contextlib.contextmanager
def fresh_memory() -> Iterator[Callable[[], float]]:
    """Gives a function of the most GB held since."""
    gc.collect()
    if GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield lambda: torch.cuda.max_memory_reserved() / 1e9 if GPU else float("nan")


def steps(clock: Clock, name: str, phase: str, images: int | None = None, forms=FORMS) -> None:
    rows, plain = [], None
    for form in forms:
        if clock.left() < 5:
            break
        try:
            with fresh_memory() as held:
                cfg = config(name, phase, images)
                model = build(cfg, name, phase)
                began = time.perf_counter()
                taken = seconds(step_of(cfg, model, phase, form), REPEATS if form != "plain" else 3)
                memory, warm = held(), time.perf_counter() - began
        except Exception as error:  # noqa: BLE001  the other forms are worth having
            print(f"{name} {phase}, {form}: {error}"[:600], flush=True)
            traceback.print_exc(limit=-3)
            continue
        finally:
            model = None
        size = phase_batch_size(cfg, phase)
        plain = taken if form == "plain" else plain
        ratio = plain / taken if plain else None
        rows.append((form, size, 1000 * taken, size / taken, memory, ratio, warm))
    headers = ("form", "batch", "ms / step", "images / s", "GB", "x", "s in all")
    show(f"{name}, phase {phase}, {ROWS[name]} rows", rows, headers)


def anatomy(clock: Clock, name: str, phase: str, images: int | None = None) -> None:
    """Where a step's time goes: kernels, how long the GPU is busy, how often the host waits."""
    rows, tables = [], []
    for form in FORMS:
        cfg = config(name, phase, images)
        step = step_of(cfg, build(cfg, name, phase), phase, form)
        taken = seconds(step, 5 if form != "plain" else 2)
        waits = count_waits(step)
        with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * GPU) as seen:
            step()
            wait()
        kernels = [e for e in seen.events() if e.device_type == torch.autograd.DeviceType.CUDA]
        busy = sum(e.self_device_time_total for e in kernels) / 1e6
        rows.append((form, len(kernels), waits, 1000 * taken, 1000 * busy))
        if form in ("fp32", "bf16"):
            key = "self_device_time_total" if GPU else "self_cpu_time_total"
            parts = [e for e in seen.key_averages() if getattr(e, key) > 0]
            parts = [e for e in parts if not GPU or e.device_type == torch.autograd.DeviceType.CUDA]
            total = sum(getattr(e, key) for e in parts)
            top = sorted(parts, key=lambda e: -getattr(e, key))[:12]
            tables.append(
                (form, [(e.key[:90], 100 * getattr(e, key) / total, e.count) for e in top])
            )
    headers = ("form", "kernels", "waits of the host", "ms / step", "ms GPU busy")
    show(f"{name}, phase {phase}: one step", rows, headers)
    for form, top in tables:
        show(f"{name}, phase {phase}, {form}: kernels", top, ("kernel", "% of GPU", "calls"))


def count_waits(step: Callable[[], object]) -> int:
    """How often the host waits for the GPU in a step."""
    if not GPU:
        return 0
    wait()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    # the mode's own notice, that it is a prototype, is no wait
    return sum("called a synchronizing" in str(w.message) for w in caught)


# ---------------------------------------------------------------------- labels
def people(rows: int, dim: int) -> Tensor:
    """Features (rows, dim) of unit length: identities of 17, noise of uneven strength."""
    g = torch.Generator(DEVICE).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, device=DEVICE)

    centres, basis = normal(max(rows // 17, 1), 200), normal(200, dim)
    own = torch.randint(len(centres), (rows,), generator=g, device=DEVICE)
    strength = 0.6 + 0.5 * torch.rand(rows, 1, generator=g, device=DEVICE)
    return nn.functional.normalize((centres[own] + strength * normal(rows, 200)) @ basis)


def labels(clock: Clock) -> None:
    sizes = ((12936, 2048), (32621, 2048)) if GPU else ((2000, 64), (3000, 64))
    labeler, rows = PseudoLabeler(eps=0.6), []
    labeler(people(2000, 64))  # libraries are loaded, code is compiled
    for count, dim in sizes:
        if clock.left() < 5:
            break
        features = people(count, dim)
        wait()
        result = labeler(features)
        stages = result.seconds
        taken = (*stages.values(), sum(stages.values()))
        rows.append((f"{count} x {dim}", *taken, result.num_clusters))
    if rows:
        show("Pseudo labels, seconds", rows, ("N x D", *stages, "all", "clusters"))


# ---------------------------------------------------------------------- structures
def meshes(count: int) -> tuple[Tensor, Tensor, str]:
    """Vertices (count, V, 3) and faces of walking people, or of as many triangles without them."""
    try:
        body, g = AnnyBody("reduced", DEVICE), torch.Generator().manual_seed(0)
        people = body(sample_pose(count, g), sample_phenotype(count, g))
        return people.vertices, body.faces, "Anny, reduced"
    except (ImportError, OSError) as error:
        print(f"No Anny here ({str(error).splitlines()[0]}): an ellipsoid instead.")
    n = 35
    angle, height = torch.meshgrid(
        torch.arange(n) * 2 * torch.pi / n, torch.linspace(0.02, 3.12, n + 1), indexing="ij"
    )
    ring = height.sin()
    x, z = 0.3 * ring * angle.cos(), 0.2 * ring * angle.sin()
    points = torch.stack((x, -0.9 * height.cos(), z), 2)
    a, h = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    first, second = (a * (n + 1) + h).flatten(), ((a + 1) % n * (n + 1) + h).flatten()
    faces = torch.cat(
        (
            torch.stack((first, first + 1, second), 1),
            torch.stack((first + 1, second + 1, second), 1),
        )
    )
    vertices = points.reshape(1, -1, 3).repeat(count, 1, 1)
    return vertices.to(DEVICE), faces.to(DEVICE), f"ellipsoid, {len(faces)} triangles"


def renders(clock: Clock) -> None:
    rows = []
    for count in (16, 64, 256) if GPU else (4,):
        vertices, faces, kind = meshes(count)
        for size in ((128, 64), (256, 128)):
            if clock.left() < 3:
                break
            yaw = torch.arange(count, device=DEVICE) * 45.0
            taken = seconds(lambda: render_structure(vertices, faces, yaw, size=size), 5, 2)  # noqa: B023
            rows.append((kind, f"{size[0]} x {size[1]}", count, count / taken))
    if GPU:  # as many as at once
        vertices = vertices[:1]
        yaw = torch.arange(8, device=DEVICE) * 45.0
        taken = seconds(lambda: render_structure(vertices, faces, yaw), 20, 2)
        rows.append((kind, "256 x 128", "8 of one mesh", 8 / taken))
    show("Renders", rows, ("mesh", "size", "at once", "views / s"))


def estimator(clock: Clock) -> None:
    count = 1024 if GPU else 16
    crops = np.random.default_rng(0).integers(0, 256, (count, 128, 64, 3), np.uint8)
    rows = []
    with torch.no_grad():
        network = StructureNet().to(DEVICE, memory_format=torch.channels_last).eval()
        images = torch.from_numpy(crops[:256]).permute(0, 3, 1, 2).to(DEVICE).float()
        for name, half in (("network, fp32", False), ("network, bf16", True)):
            with torch.autocast(DEVICE, torch.bfloat16, enabled=half):
                rows.append((name, len(images) / seconds(lambda: both_ways(network, images), 5, 3)))
    try:
        whole = StructureEstimator.from_pretrained(device=DEVICE)
        for size in (64, 256):
            taken = seconds(lambda: whole([*crops], batch_size=size), 1, 1)  # noqa: B023
            rows.append((f"from arrays to meshes, {size} at once", count / taken))
    except (ImportError, OSError) as error:
        print(f"No whole estimator: {str(error).splitlines()[0]}")
    show("Estimator", rows, ("", "crops / s"))


# ---------------------------------------------------------------------- loading
def loading(clock: Clock) -> None:
    """Crops and structures from files, through the loader's workers to the GPU."""
    rng, rows = np.random.default_rng(0), []
    count = 512 if GPU else 16
    with tempfile.TemporaryDirectory() as root:
        crops = {os.path.join(root, f"{i}.jpg"): f"noise/{i}.jpg" for i in range(count)}
        os.makedirs(os.path.join(root, "train", RENDERS, "noise"))
        for path, key in crops.items():
            Image.fromarray(rng.integers(0, 256, (128, 64, 3), np.uint8)).save(path)
            views = rng.integers(0, 256, (len(FOLDERS), 256, 128), np.uint8)
            write_renders(os.path.join(root, "train"), key, [*map(Image.fromarray, views)])
        store = open_store(root, "train", "renders", crops, 256)
        dataset = ViewDataset([(c, 0) for c in crops], (256, 128), structures=store)
        for workers in sorted({0, 4, min(usable_cores(), 16)} if GPU else {0, 1}):
            if clock.left() < 3:
                break
            loader = compat.DataLoaderX(
                0,
                dataset=dataset,
                num_workers=workers,
                batch_sampler=torch.utils.data.BatchSampler([*range(count)] * 2, 16, True),
                collate_fn=fast_batch_collator,
                pin_memory=True,
            )
            batches = iter(loader)
            next(batches)
            start = time.perf_counter()
            number = sum(len(batch["images"]) for batch in batches)
            rows.append((workers, number / (time.perf_counter() - start)))
            loader.shutdown()
    show("Loading, 256 x 128 with two structures each", rows, ("workers", "images / s"))


# ---------------------------------------------------------------------- all of it
def plan() -> list[tuple[str, float, Callable[[Clock], None]]]:
    """(what, seconds that it may take on a GPU, the work), in order of worth."""
    market, others = "market.yml", ("pku.yml", "cuhk03.yml")
    layout = ("bf16", "bf16 NCHW", "fp32", "fp32 NCHW")
    work = [
        ("market joint", 40, lambda c: steps(c, market, "joint")),
        ("renders", 10, renders),
        ("labels", 20, labels),
        ("anatomy of the joint step", 30, lambda c: anatomy(c, market, "joint")),
        ("market contrast", 20, lambda c: steps(c, market, "contrast")),
        ("market generator", 30, lambda c: steps(c, market, "generator")),
        ("estimator", 15, estimator),
        ("pku joint", 30, lambda c: steps(c, "pku.yml", "joint")),
        ("market_paper joint", 40, lambda c: steps(c, PAPER, "joint")),
        ("market_paper joint, 64 images", 40, lambda c: steps(c, PAPER, "joint", 64)),
        ("market_paper contrast", 20, lambda c: steps(c, PAPER, "contrast")),
        ("market_paper generator", 30, lambda c: steps(c, PAPER, "generator")),
        ("layout of G and D", 30, lambda c: steps(c, PAPER, "joint", 64, layout)),
        ("loading", 20, loading),
    ]
    for name in others:
        for phase in ("contrast", "generator", "joint"):
            if (name, phase) != ("pku.yml", "joint"):
                work.append((f"{name} {phase}", 25, lambda c, n=name, p=phase: steps(c, n, p)))
    work.append(("anatomy of the contrast", 20, lambda c: anatomy(c, market, "contrast")))
    if GPU:
        both = ("bf16", "bf16 compiled")
        for name in (market, PAPER):
            work.append(
                (f"{name} compiled", 120, lambda c, n=name: steps(c, n, "joint", 64, both))
            )
    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="of all, about")
    args = parser.parse_args()
    clock = Clock(args.minutes)
    compat.set_device(DEVICE)
    torch.backends.cudnn.benchmark = True
    card = "no GPU, small sizes: only whether it works"
    if GPU:
        properties = torch.cuda.get_device_properties(0)
        card = f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"
    print(f"{card}; torch {torch.__version__}, CUDA {torch.version.cuda}, {usable_cores()} cores")
    for name, needed, work in plan():
        if clock.left() < (needed if GPU else 1):
            print(f"\nleft out for time: {name}", flush=True)
            continue
        try:
            work(clock)
        except Exception:  # noqa: BLE001  the rest is worth having
            print(f"\n{name} failed:", flush=True)
            traceback.print_exc()
    print(f"\n{args.minutes - clock.left() / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
