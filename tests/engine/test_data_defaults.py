"""Values that follow from the numbers of a data set."""

from __future__ import annotations

import math

import pytest
from engine import runs

from gcl.config import ConfigError
from gcl.engine.data_defaults import LEAST, data_defaults
from gcl.tools.command_line import read_config

SIZES = sorted({round(LEAST * 1.07**i) for i in range(120)} | {200, 640, 4821, 3200, 200_000})
GROW = ("GCL.ITERS_PER_EPOCH", "SOLVER.IMS_PER_BATCH", "GCL.LABELS.K1", "GCL.LABELS.K2")
GROW = (*GROW, "GCL.LABELS.MIN_SAMPLES", "GCL.LABELS.EPS", "GCL.CAMERA_NORM")


def value(cfg, key: str):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("pku", (640, 2)), ("pku", (640, 2, 80)), ("cuhk03", (4821, 6)), ("cuhk03", (4821, 6, 990))],
)
def test_the_configurations_that_were_measured_have_these_values(name, numbers):
    cfg = read_config(str(runs.REPOSITORY / f"projects/GCL/configs/{name}.yml"), [])
    for key, chosen in data_defaults(*numbers).items():
        if key == "GCL.LABELS.EPS" and len(numbers) == 3:
            assert chosen == 0.74  # of tracks of eight and of five
        else:
            assert chosen == value(cfg, key), key


@pytest.mark.parametrize(("name", "numbers"), [("pku", (640, 2)), ("cuhk03", (4821, 6))])
def test_contrast_alone_has_as_many_steps_and_falls_when_the_joint_phase_does(name, numbers):
    """Those of ablations/..._contrast.yml, which was measured beside it."""
    path = runs.REPOSITORY / f"projects/GCL/configs/ablations/{name}_contrast.yml"
    alone, found = read_config(str(path), []), data_defaults(*numbers, joint=False)
    for key, chosen in found.items():
        assert chosen == value(alone, key), key
    whole = data_defaults(*numbers)
    assert found["GCL.CONTRAST.EPOCHS"] == 2 + whole["GCL.JOINT.EPOCHS"]
    assert found["GCL.CONTRAST.STEPS"] == [2 + step for step in whole["SOLVER.STEPS"]]
    assert {key for key in whole if "JOINT" in key or "GENERATOR" in key}.isdisjoint(found)


@pytest.mark.parametrize("tracks", [0, 30, 3000])
def test_nothing_falls_when_there_are_more_crops(tracks):
    rows = [data_defaults(n, 2, tracks) for n in SIZES]
    for key in GROW:
        column = [row[key] for row in rows]
        assert column == sorted(column), key


def test_the_formulas():
    """Written down again, from the docstring."""
    for n in SIZES:
        found, octaves = data_defaults(n, 1), math.log2(n / 640)
        k1 = round(min(max(12 + 2.75 * octaves, 12), 30))
        assert found["GCL.LABELS.K1"] == k1 and found["GCL.LABELS.K2"] == -(-k1 // 5)
        assert found["GCL.LABELS.MIN_SAMPLES"] == min(k1 // 5, 4)
        assert found["GCL.LABELS.EPS"] == pytest.approx(
            min(max(0.55 + 0.0172 * octaves, 0.55), 0.6), abs=0.0051
        )
        drawn = found["GCL.ITERS_PER_EPOCH"] * 16 * 32  # over the whole run
        passes = 32 if n <= 640 else max(640 * 32 / n, 6.4)
        assert passes * n <= drawn < passes * n + 16 * 32 or found["GCL.ITERS_PER_EPOCH"] == 4


def test_tracks_are_farther_from_each_other_than_crops():
    """EPS of means: (1 - 1 / m) of the way from that of crops to 0.77, with m crops a track."""
    for images in (640, 4821):
        alone = data_defaults(images, 2)["GCL.LABELS.EPS"]
        for m in (1, 1.68, 2, 5, 20):
            found = data_defaults(images, 2, round(images / m))["GCL.LABELS.EPS"]
            # with tracks of twenty fewer crops count as different, and e is a little less
            assert found == pytest.approx(alone + (0.77 - alone) * (1 - 1 / m), abs=0.011)
    assert data_defaults(640, 2, 640)["GCL.LABELS.EPS"] == 0.55  # tracks of one crop change nothing


def test_two_hundred_and_two_hundred_thousand():
    few, many = data_defaults(200, 1), data_defaults(200_000, 12)
    assert (few["GCL.ITERS_PER_EPOCH"], few["GCL.LABELS.K1"]) == (13, 12)
    assert (many["GCL.ITERS_PER_EPOCH"], many["GCL.LABELS.K1"]) == (2500, 30)
    for found in (few, many):
        assert found["GCL.LABELS.K2"] <= found["GCL.LABELS.K1"]
        assert 0 < found["GCL.LABELS.EPS"] < 1


def test_of_a_track_sixteen_crops_count():
    """Its other frames show the same again: no more steps, and no larger neighbourhoods."""
    found = [data_defaults(20_000, 2, tracks) for tracks in (4, 100, 400, 800, 2000)]
    # 64, 1,600, 6,400, 12,800 and all 20,000 count as different
    assert [row["GCL.ITERS_PER_EPOCH"] for row in found] == [4, 40, 80, 160, 250]
    for row, different in zip(found, (64, 1600, 6400, 12_800, 20_000), strict=True):
        same = data_defaults(different, 2)
        for key in ("K1", "K2", "MIN_SAMPLES"):
            assert row[f"GCL.LABELS.{key}"] == same[f"GCL.LABELS.{key}"]


@pytest.mark.parametrize("images", [200, 5000, 200_000])
@pytest.mark.parametrize("cameras", [1, 6, 64])
@pytest.mark.parametrize("tracks", [0, 5, 100])
def test_values_that_a_run_can_take_whatever_the_data(images, cameras, tracks):
    """A track of 5 or 100 crops, or none known: labels have neighbours to look at, and a run ends
    after 40,000 steps at most and is no shorter than 16 epochs of a few steps."""
    found = data_defaults(images, cameras, tracks and images // tracks)
    labels = {key.split(".")[-1]: v for key, v in found.items() if "LABELS" in key}
    assert 2 <= labels["MIN_SAMPLES"] <= labels["K2"] <= labels["K1"] < images / 5
    assert 64 <= 16 * found["GCL.ITERS_PER_EPOCH"] <= 40_000
    assert found["SOLVER.IMS_PER_BATCH"] == found["GCL.CONTRAST.IMS_PER_BATCH"] == 32
    assert found["GCL.CAMERA_NORM"] is (cameras == 6 or cameras == 64 and images > 200)


@pytest.mark.parametrize(
    ("images", "cameras", "normed"),
    [(640, 1, False), (640, 2, True), (640, 20, True), (640, 21, False), (9999, 65, False)],
)
def test_cameras_are_standardised_where_there_are_several_with_enough_crops(
    images, cameras, normed
):
    assert data_defaults(images, cameras)["GCL.CAMERA_NORM"] is normed


def test_too_few_crops():
    with pytest.raises(ConfigError, match=f"has {LEAST - 1} crops, and fewer than {LEAST} teach"):
        data_defaults(LEAST - 1, 1)
    assert data_defaults(LEAST, 1)["SOLVER.IMS_PER_BATCH"] == 16
