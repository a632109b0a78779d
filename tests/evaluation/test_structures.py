"""Evaluation of an estimator: figures by hand, a perfect estimator, the command."""

from __future__ import annotations

import dataclasses
import json
import os
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from structure.estimators import Estimate, colour_crop, estimator  # noqa: F401  fixtures

from gcl.evaluation.labelled_crops import from_names, from_synthetic
from gcl.evaluation.structure_sheet import GAP, HEADER, HEIGHT, structure_sheet
from gcl.evaluation.structures import figures, measure, report
from gcl.structure.geometry import Geometry, render_views
from gcl.synthetic import Settings, write_set
from gcl.synthetic.draw import bodies
from gcl.synthetic.plan import plan
from gcl.synthetic.set_files import get_tailor

SMALL = Settings(people=1, test_people=1, cameras=2, shots=2, height=96, width=48, seed=5)


@pytest.fixture
def images(colour_crop) -> list[str]:  # noqa: F811
    """Four crops; what the estimator sees in their colours is off by 0, 30, 60 and 170 degrees."""
    made = []
    for camera, orientation, yaw, green in (
        (1, 7, 0, 255),
        (1, 7, 30, 255),
        (2, 1, 150, 20),
        (2, 1, 260, 255),
    ):
        name = f"{len(made):04d}_c{camera}s1_{orientation:06d}_00.png"
        made.append(colour_crop(name, round(yaw / 360 * 255), green))
    return made


def test_figures_are_counted_for_all_for_cameras_and_for_orientations(images, estimator):  # noqa: F811
    crops = from_names(images)
    measured = measure(estimator(), crops, batch_size=3)
    assert measured.error.tolist() == pytest.approx([0, 30, 60, 170], abs=0.8)
    assert estimator.log == [("estimate", 3), ("estimate", 1)]
    found = figures(crops, measured)
    assert found["all"]["median"] == pytest.approx(45, abs=0.8)
    assert [
        found["all"][k] for k in ("crops", "within_22", "within_45", "flipped", "doubtful")
    ] == [
        4,
        0.25,
        0.5,
        0.25,
        0.25,
    ]
    assert set(found["camera"]) == {"1", "2"} and set(found["orientation"]) == {"0", "90"}
    assert found["camera"]["1"]["within_45"] == found["orientation"]["0"]["within_45"] == 1
    assert found["camera"]["2"]["doubtful"] == 0.5
    assert "mpjpe" not in found["all"] and "iou" not in found["all"]
    table = [[c.strip() for c in row.split("|")[1:-1]] for row in report(found).splitlines()]
    assert table[0] == ["", "crops", "median error", "<= 22.5", "<= 45", "> 135", "doubtful"]
    assert table[2][:2] == ["all", "4"] and table[2][3:] == ["25.0%", "50.0%", "25.0%", "25.0%"]
    assert [row[0] for row in table[3:7]] == ["camera 1", "camera 2", "orientation 0"] + [
        "orientation 90"
    ]
    assert report(found).endswith(" crops/s")


class Perfect:
    """Knows the bodies of a synthetic set and where they are."""

    def __init__(self, settings: Settings, crops) -> None:
        self.scenes = {shot.name: shot.scene for shot in plan(settings)}
        self.crops, self.size = crops, settings.size

    def __call__(self, images, batch_size=64) -> Estimate:
        tailor = get_tailor()
        scenes = [self.scenes[os.path.basename(path)] for path in images]
        rows = [self.crops.images.index(path) for path in images]
        found = bodies(tailor, scenes, self.size)
        yaw = torch.tensor([body.yaw for body in found])
        return Estimate(
            yaw,
            torch.stack([body.vertices for body in found]),
            tailor.faces,
            torch.ones(len(yaw)),
            torch.stack([body.framing for body in found]),
            self.crops.keypoints[rows] + 1.0,
            torch.zeros(len(yaw), dtype=torch.bool),
        )


def test_a_perfect_estimator_of_a_synthetic_set_makes_no_error(tmp_path):
    crops = from_synthetic(write_set(tmp_path, SMALL, progress=False))
    measured = measure(Perfect(SMALL, crops), crops, batch_size=5)
    assert measured.error.max() < 0.01
    assert measured.mpjpe.max() < 1 and measured.pa_mpjpe.max() < 1
    assert measured.iou.min() > 0.98  # JPEG blurs outlines
    found = figures(crops, measured)
    assert found["all"]["iou"] == pytest.approx(float(measured.iou.mean()))
    row = [c.strip() for c in report(found).splitlines()[2].split("|")[1:-1]]
    assert row[:2] == ["all", "8"] and row[7] == row[8] == "0"
    other = dataclasses.replace(crops, silhouettes=crops.silhouettes[::-1])
    assert measure(Perfect(SMALL, crops), other).iou.max() < 0.9


def test_the_sheet_shows_chance_and_the_worst(images, estimator):  # noqa: F811
    crops = from_names(images)
    measured = measure(estimator(), crops)
    sheet = np.asarray(structure_sheet(estimator(), crops, measured, rows=3))
    assert sheet.shape[0] == HEADER + 3 * (HEIGHT + GAP)
    # right, first row: the crop that is off by most, and its body where the estimator has it
    found = estimator()([images[3]])
    body = Geometry(found.vertices[0], found.faces, framing=found.framing[0])
    expected = np.asarray(render_views(body, (0,), (HEIGHT, 48))[0])
    left = sheet.shape[1] // 2 - GAP // 2 + GAP
    cells = sheet[HEADER : HEADER + HEIGHT, left : left + 2 * 48 + GAP]
    assert cells[64, 24].tolist() == [round(260 / 360 * 255), 255, 0]
    assert np.array_equal(cells[:, 48 + GAP :, 0], expected)


@pytest.fixture
def run(run_tool):
    return partial(run_tool, "evaluate_structure")


def test_the_command_writes_figures_and_a_sheet(tmp_path, images, estimator, run):  # noqa: F811
    folder, out = os.path.dirname(images[0]), tmp_path / "out"
    status, printed = run(folder, "--out", out)
    assert status is None and printed.splitlines()[-1] == f"look at {out}/sheet.png"
    assert estimator.log[:2] == [("load", None), ("estimate", 4)]
    found = json.loads((out / "structure.json").read_text())
    assert found["adapted"] is False and found["weights"] == "packaged"
    assert found["all"]["flipped"] == 0.25
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    estimator.log.clear()
    line = (folder, "--out", out, "--adapt", "--weights", "x.safetensors")
    assert run(*line, "--orientations", "1=330,7=100")[0] is None
    assert estimator.log[:2] == [("load", "x.safetensors"), ("adapt", 4)]
    found = json.loads((out / "structure.json").read_text())
    assert set(found["orientation"]) == {"90", "315"}


def test_mistakes_end_in_one_sentence(tmp_path, images, estimator, run):  # noqa: F811
    folder = os.path.dirname(images[0])
    status, _ = run(folder, "--orientations", "9=0", "--out", tmp_path / "out")
    assert "holds one of the orientations 9 where" in status and "\n" not in status
    assert "knows no data set 'NoSuchSet'" in run("NoSuchSet")[0]
    assert run(folder, "--weights", "x.txt")[0] == (
        "ConfigError: --weights: x.txt is no file of weights."
    )
    assert run(folder, "--orientations", "left")[0] == 2
    assert not (tmp_path / "out").exists()
