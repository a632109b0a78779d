"""Fixtures of more than one folder: a configuration small enough for a CPU, pictures on disk."""

from __future__ import annotations  # noqa: I001  gcl first: fastreid does not import without it

import gcl

import logging
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from engine import runs
from fastreid.config import CfgNode, get_cfg
from fastreid.modeling.backbones import BACKBONE_REGISTRY
from gcl.config import LOSSES
from gcl.structure.store import FOLDERS
from PIL import Image
from torch import nn
from toy import write_toy_dataset

SIZE = (64, 32)  # height and width of every crop here: the smallest that three scales of D take


@pytest.fixture
def exact_gpu() -> Iterator[None]:
    """float32 on a GPU is float32: without it convolutions multiply with 10 bits (TF32)."""
    # not by monkeypatch, which can not undo it: cuda.matmul has names that setattr alone knows
    places = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [place.allow_tf32 for place in places]
    try:
        for place in places:
            place.allow_tf32 = False
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`pytest -m gpu` is all that a GPU can do; without one these are skipped."""
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(GPU)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Where a test of pure tensor mathematics runs: everywhere."""
    return request.param


@pytest.fixture(autouse=True)
def one_way_to_pytest() -> Iterator[None]:
    """The toolbox's setup_logger keeps a logger's lines to itself in all tests that follow. pytest
    then listens at that logger, and a test that opens the way again would hear everything twice."""
    yield
    logging.getLogger("gcl").propagate = True


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 people, 2 cameras, 4 orientations: 32 training images of 32 x 16, and 32 to test."""
    root = tmp_path_factory.mktemp("toy")
    write_toy_dataset(root, people=4, test_people=4, orientations=4, size=(32, 16))
    return root


@pytest.fixture(scope="session")
def finished(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUTPUT_DIR of a run over all phases that nothing disturbed. Read only."""
    out = tmp_path_factory.mktemp("finished")
    with runs.place(toy):
        runs.train(out, toy)
    return out


@pytest.fixture
def user_place(toy: Path) -> Iterator[None]:
    """One thread, the CPU, the toy data set; undone after the test."""
    with runs.place(toy):
        yield


@pytest.fixture
def run_tool(monkeypatch, capsys) -> Callable[..., tuple[int | str | None, str]]:
    """``run_tool(name, *arguments)``: tools/<name>.py in this process; its exit status or last
    sentence (None: it came to its end), and what it printed."""

    def run(name: str, *arguments: object) -> tuple[int | str | None, str]:
        path = Path(__file__).parent.parent / "tools" / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        status = None
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            status = end.code
        return status, capsys.readouterr().out

    return run


@BACKBONE_REGISTRY.register()
def build_unit_test_backbone(cfg: CfgNode) -> nn.Module:
    """(B, 3, H, W) -> (B, FEAT_DIM, H/4, W/4), with batch norm, in next to no time."""
    width = cfg.MODEL.BACKBONE.FEAT_DIM
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())


@pytest.fixture
def tiny_cfg(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CfgNode]:
    """``tiny_cfg(KEY, value, ...)``: GCL on a CPU with networks of a few channels."""
    monkeypatch.setenv("GCL_DEVICE", "cpu")

    def build(*pairs: object) -> CfgNode:
        cfg = get_cfg()
        gcl.add_gcl_config(cfg)
        cfg.merge_from_list(
            [
                "MODEL.DEVICE",
                "cpu",
                "MODEL.META_ARCHITECTURE",
                "GCL",
                "MODEL.BACKBONE.NAME",
                "build_unit_test_backbone",
                "MODEL.BACKBONE.NORM",
                "BN",
                "MODEL.BACKBONE.LAST_STRIDE",
                1,
                "MODEL.BACKBONE.FEAT_DIM",
                16,
                "MODEL.BACKBONE.PRETRAIN",
                False,
                "MODEL.HEADS.NAME",
                "IdentityHead",
                "MODEL.HEADS.NORM",
                "BN",
                "MODEL.HEADS.WITH_BNNECK",
                True,
                "MODEL.HEADS.NECK_FEAT",
                "after",
                "MODEL.HEADS.POOL_LAYER",
                "GlobalAvgPool",
                "MODEL.LOSSES.NAME",
                # the other needs proxies of the labels: tests of it ask for it
                tuple(name for name in LOSSES if name != "InterCameraLoss"),
                "INPUT.SIZE_TRAIN",
                SIZE,
                "INPUT.SIZE_TEST",
                SIZE,
                "DATALOADER.NUM_WORKERS",
                0,
                "DATALOADER.NUM_INSTANCE",
                2,
                "SOLVER.OPT",
                "SGD",
                "SOLVER.WARMUP_ITERS",
                0,
                "SOLVER.IMS_PER_BATCH",
                4,
                "TEST.IMS_PER_BATCH",
                4,
                "GCL.CONTRAST.IMS_PER_BATCH",
                4,
                "GCL.GENERATOR.IMS_PER_BATCH",
                4,
                "GCL.GENERATOR.WIDTH",
                4,
                "GCL.GENERATOR.NUM_BLOCKS",
                1,
                "GCL.GENERATOR.MLP_DIM",
                8,
                "GCL.DISCRIMINATOR.WIDTH",
                4,
                "GCL.DISCRIMINATOR.NUM_BLOCKS",
                1,
            ]
        )
        cfg.merge_from_list(list(pairs))
        return cfg

    return build


@pytest.fixture
def write_crop() -> Callable[..., str]:
    """``write_crop(path, seed)``: a random RGB picture of 64 x 32; returns its path as a string."""

    def write(path: Path, seed: int = 0, mode: str = "RGB") -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = SIZE + ((3,) if mode == "RGB" else ())
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(path, quality=95)
        return str(path)

    return write


@pytest.fixture
def write_renders() -> Callable[..., str]:
    """``write_renders(root, names)``: renders of all eight views; returns the root as a string.

    The grey value of a render says which view it is: 20 + 30 times the number of the view; the left
    half is darker by 20.
    """

    def write(root: Path, names: list[str], split: str = "train") -> str:
        for number, folder in enumerate(FOLDERS):
            directory = root / split / folder
            os.makedirs(directory, exist_ok=True)
            pixels = np.full(SIZE, 20 + 30 * number, np.uint8)
            pixels[:, : SIZE[1] // 2] -= 20
            for name in names:
                # PNG inside, whatever the suffix: grey values must come back as they were written
                Image.fromarray(pixels).save(directory / name, format="PNG")
        return str(root)

    return write


@pytest.fixture
def market_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_crop: Callable[..., str]
) -> list[str]:
    """A Market-1501 folder with 4 people, 2 cameras, 8 training images, known to the toolbox.

    Returns the names of the training images.
    """
    root = tmp_path / "datasets"
    base = root / "Market-1501-v15.09.15"
    names = []
    for person in range(1, 5):
        for camera in (1, 2):
            name = f"{person:04d}_c{camera}s1_{person * camera:06d}_00.jpg"
            write_crop(base / "bounding_box_train" / name, seed=10 * person + camera)
            names.append(name)
    write_crop(base / "query" / "0005_c1s1_000001_00.jpg", seed=51)
    write_crop(base / "bounding_box_test" / "0005_c2s1_000002_00.jpg", seed=52)
    monkeypatch.setattr("gcl.data.build._root", str(root))
    return sorted(names)
