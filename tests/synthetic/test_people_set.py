"""Drawn people as a data set: what the toolbox reads and trains on, how crops are cut, and files
that are drawn once whatever interrupts, grow, and are the same by any number of workers."""

from __future__ import annotations

import logging
import os
import pickle
import runpy
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from engine import runs
from PIL import Image

from gcl import ConfigError, add_gcl_config, check_gcl_config
from gcl.engine import BaselineTrainer
from gcl.evaluation.labelled_crops import labelled_crops
from gcl.synthetic import PeopleSettings, set_folder, write_people_set
from gcl.synthetic import people_set as module
from gcl.synthetic.people import (
    CAMERAS,
    GROUP,
    SEEN_BY,
    SHOTS,
    People,
    cameras_of,
    canvas_of,
    draw_people,
)
from gcl.synthetic.plan import VERSION
from gcl.synthetic.set_files import CROPS, get_tailor, one_thread

# isort: split
# gcl adapts fastreid before anything imports it
from fastreid.config import get_cfg
from fastreid.data.datasets import DATASET_REGISTRY

SMALL = PeopleSettings(people=4, height=32, width=16, seed=3)
S = SEEN_BY * SHOTS


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder of data sets with the small set, really drawn. Read only."""
    root = tmp_path_factory.mktemp("made")
    write_people_set(root, SMALL, progress=False)
    return root


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """Numbers of the people who were asked for, when noise is drawn in their place."""
    numbers: list[int] = []

    def noise(size, tailor, seed: int, wanted: Sequence[int], sharp: bool = True) -> People:
        (number,) = wanted
        numbers.append(number)
        crops = np.random.default_rng((seed, number)).integers(0, 256, (1, S, *size, 3), np.uint8)
        box = np.tile(np.float32([0.3, 0.2, 0.7, 0.8]) * [*size[::-1], *size[::-1]], (1, S, 1))
        return People(crops, cameras_of(seed, number)[None], box.astype(np.float32))

    monkeypatch.setattr(module, "draw_people", noise)
    monkeypatch.setattr(module, "get_tailor", lambda: None)
    return numbers


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.*") if p.is_file()}


def write(root: Path, settings: PeopleSettings | None = SMALL, **options) -> None:
    assert write_people_set(root, settings, progress=False, **options) == str(root / "drawn-people")


# ---------------------------------------------------------------------- the toolbox
@pytest.mark.parametrize("name", ["DrawnPeople", "Market1501"])
def test_the_toolbox_reads_it(made, name):
    """By its own name, or as Market-1501 from the set's folder."""
    root, prefix = (
        (made, "drawn") if name == "DrawnPeople" else (made / module.FOLDER, "market1501")
    )
    data = DATASET_REGISTRY.get(name)(root=str(root))
    assert len(data.train) == 3 * S
    for number in range(3):
        cameras = [cam for _, pid, cam in data.train if pid == f"{prefix}_{number + 1}"]
        assert sorted(cameras) == sorted(f"{prefix}_{c}" for c in cameras_of(3, number))
    assert max(int(cam.split("_")[1]) for _, _, cam in data.train) >= 9  # of two digits in names
    # a query for each camera, and all other shots to find
    cameras = cameras_of(3, 3).tolist()
    assert sorted((p, c) for _, p, c in data.query) == sorted((4, c) for c in {*cameras})
    wanted = sorted((4, c) for c in {*cameras} for _ in range(SHOTS - 1))
    assert sorted((p, c) for _, p, c in data.gallery) == wanted
    for path, *_ in data.train + data.query + data.gallery:
        with Image.open(path) as crop:
            assert crop.size == (16, 32) and crop.mode == "RGB"


def test_the_configuration_trains_and_evaluates(made, tmp_path):
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.merge_from_file(str(runs.REPOSITORY / "configs/drawn_people.yml"))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "INPUT.SIZE_TRAIN", [64, 32]])
    cfg.merge_from_list(["INPUT.SIZE_TEST", [64, 32], "DATALOADER.NUM_INSTANCE", 6, "SEED", 1])
    cfg.merge_from_list(["SOLVER.IMS_PER_BATCH", 18, "SOLVER.WARMUP_ITERS", 0])
    cfg.merge_from_list(["SOLVER.MAX_EPOCH", 1, "OUTPUT_DIR", str(tmp_path)])
    check_gcl_config(cfg)
    cfg.freeze()
    with runs.place(made):
        trainer = BaselineTrainer(cfg)
        before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
        trainer.train()
    assert trainer.cfg.MODEL.HEADS.NUM_CLASSES == 3
    last = runs.metrics(tmp_path)[-1]
    assert np.isfinite([last["loss_cls"], last["loss_triplet"], last["mAP"]]).all()
    assert len(runs.differences(dict(trainer.model.state_dict()), before)) > 100


def test_it_is_not_taken_for_a_set_with_known_orientations(made):
    with pytest.raises(ConfigError, match="none of 80 image names"):
        labelled_crops(str(made / module.FOLDER))


# ---------------------------------------------------------------------- crops
def test_crops_are_cut_as_they_were_seen():
    """Of a canvas whose red says the column, whose green says the row, and whose blue is 77."""
    height, width = canvas_of((32, 16))
    canvas = np.full((height, width, 3), 77, np.uint8)
    canvas[..., 0], canvas[..., 1] = 6 * np.arange(width), 4 * np.arange(height)[:, None]
    box = np.float32([6, 6, 18, 34])
    people = People(np.tile(canvas, (1, S, 1, 1, 1)), np.zeros((1, S)), np.tile(box, (1, S, 1)))
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    crops = module._cut(people, (32, 16), (3, 5))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert crops.shape == (S, 32, 16, 3) and crops.dtype == np.uint8
    assert (crops[..., 2] == 77).all()  # colours stay
    # nobody is a mirror image, or upside down
    middle = crops[:, 8:-8, 4:-4].astype(int)
    assert (np.diff(middle[..., 0].mean(1), axis=1) > 0).all()
    assert (np.diff(middle[..., 1].mean(2), axis=1) > 0).all()
    # the body's middle is near the crop's, and no box is like another
    centre = crops[:, 15:17, 7:9].mean((1, 2))
    assert np.abs(centre[:, 0] - 6 * 11.5).max() < 6 * 5
    assert np.abs(centre[:, 1] - 4 * 19.5).max() < 4 * 10
    assert len({crop.tobytes() for crop in crops}) == S
    np.testing.assert_array_equal(module._cut(people, (32, 16), (3, 5)), crops)
    assert (module._cut(people, (32, 16), (3, 6)) != crops).any()


def test_files_hold_the_person_with_the_number_as_the_cameras_see_them(made):
    number = 2
    with one_thread():
        people = draw_people(canvas_of((32, 16)), get_tailor(), 3, [number], sharp=False)
    crops = module._cut(people, (32, 16), (3, number))
    for i, (crop, camera) in enumerate(zip(crops, cameras_of(3, number), strict=True)):
        name = f"0003_c{camera + 1:02d}s1_{25 * (i + 1):06d}_00.jpg"
        with Image.open(made / module.FOLDER / CROPS / "bounding_box_train" / name) as file:
            assert np.abs(np.asarray(file, int) - crop).mean() < 6  # JPEG


def test_a_person_does_not_depend_on_the_others(made, tmp_path):
    folder = tmp_path / module.FOLDER
    for split in module.SPLITS:
        (folder / CROPS / split).mkdir(parents=True)
    module.draw_person(3, str(folder), SMALL)
    alone, all_of_them = files(tmp_path), files(made)
    assert len(alone) == S and alone.items() <= all_of_them.items()


# ---------------------------------------------------------------------- who is there
def test_one_group_in_ten_is_tested_and_siblings_stay_together():
    tested = [n for n in range(300) if module.is_tested(n)]
    assert len(tested) == 30 and tested[:4] == [3, 4, 5, 33]
    assert {n // GROUP for n in tested} == {*range(1, 100, 10)}


def test_labels_are_those_of_the_people():
    rows = module._rows(3, 1233)
    assert {person for _, _, person, _ in rows} == {1234}
    assert [camera - 1 for *_, camera in rows] == cameras_of(3, 1233).tolist()
    assert len({name for name, *_ in rows}) == S
    assert all(name.startswith(f"1234_c{camera:02d}s1_") for name, _, _, camera in rows)
    assert {camera for n in range(100) for *_, camera in module._rows(0, n)} == {
        *range(1, CAMERAS + 1)
    }


# ---------------------------------------------------------------------- files
def test_what_is_there_is_not_drawn_again(tmp_path, asked):
    write(tmp_path)
    before = files(tmp_path)
    assert asked == [0, 1, 2, 3] and len(before) == 4 * S + 2
    write(tmp_path)
    write(tmp_path, None)  # whatever is there
    assert asked == [0, 1, 2, 3] and files(tmp_path) == before
    table = before["drawn-people/crops.csv"].decode().splitlines()
    assert table[0] == "image,folder,person,camera" and len({*table}) == 4 * S + 1


def test_a_set_grows_by_drawing_the_others(tmp_path, asked):
    write(tmp_path / "some")
    some = files(tmp_path / "some")
    asked.clear()
    write(tmp_path / "some", replace(SMALL, people=7))
    assert asked == [4, 5, 6]
    more = files(tmp_path / "some")
    kept = some.keys() - {"drawn-people/crops.csv", "drawn-people/people.json"}
    assert {name: more[name] for name in kept} == {name: some[name] for name in kept}
    write(tmp_path / "at once", replace(SMALL, people=7))
    assert files(tmp_path / "at once") == more


@pytest.mark.parametrize("before", [0, 4])
def test_an_interrupted_set_is_completed_to_the_same_files(tmp_path, asked, monkeypatch, before):
    """From nothing, or while it grows; the kill tears a person's files apart."""
    seven, whole = replace(SMALL, people=7), module.write_file
    write(tmp_path / "whole", seven)
    if before:
        write(tmp_path / "killed", replace(SMALL, people=before))
    asked.clear()

    def dies(path: str, content: bytes) -> None:
        if f"0006_c{cameras_of(3, 5)[9] + 1:02d}s1_000250_00" in path:
            raise KeyboardInterrupt
        whole(path, content)

    monkeypatch.setattr(module, "write_file", dies)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "killed", seven)
    assert asked == [*range(before, 6)]
    assert not (tmp_path / "killed/drawn-people/crops.csv").exists()
    monkeypatch.setattr(module, "write_file", whole)
    asked.clear()
    write(tmp_path / "killed", None)  # to as many as were wanted
    assert asked == [5, 6] and files(tmp_path / "killed") == files(tmp_path / "whole")


def test_many_workers_draw_the_same(tmp_path, asked, monkeypatch):
    """Threads in the place of processes, which would not see the noise of this test."""

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int, mp_context: object) -> None:
            super().__init__(1)  # the number of threads and the chance are torch's for all of them

        def map(self, draw, *jobs):
            return super().map(pickle.loads(pickle.dumps(draw)), *jobs)

    monkeypatch.setattr(set_folder, "ProcessPoolExecutor", Pool)
    write(tmp_path / "one")
    write(tmp_path / "three", workers=3)
    assert files(tmp_path / "three") == files(tmp_path / "one")


@pytest.mark.parametrize("people", [4, 7])
def test_a_set_of_another_version_is_drawn_anew(tmp_path, asked, caplog, people):
    """Nothing of it is mixed with ours, when it grows, too."""
    write(tmp_path)
    path = tmp_path / "drawn-people/people.json"
    path.write_text(path.read_text().replace(f'"version": {VERSION}', '"version": 1'))
    asked.clear()
    write(tmp_path, replace(SMALL, people=people))
    assert asked == [*range(people)]
    assert "drawn by another version of this software" in caplog.text
    write(tmp_path / "new", replace(SMALL, people=people))
    assert (
        files(tmp_path / "new").items()
        <= {**{f"drawn-people/{k}": v for k, v in files(tmp_path / "drawn-people").items()}}.items()
    )


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        ({"people": 3 + 1, "height": 64}, "height 32 instead of 64"),
        ({"people": 8, "seed": 4}, "people 5 instead of 8, seed 3 instead of 4"),
        ({"people": 4}, "people 5 instead of 4"),
    ],
)
def test_another_set_is_refused_with_the_difference(tmp_path, asked, wanted, difference):
    write(tmp_path, replace(SMALL, people=5))
    before = files(tmp_path)
    with pytest.raises(ValueError, match=f"{difference}.*remove it or choose another folder"):
        write(tmp_path, replace(SMALL, **wanted))
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"people": 3}, "people of at least 4, not 3"),
        ({"width": 7}, "width"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_make_no_set(wrong, message):
    with pytest.raises(ValueError, match=message):
        PeopleSettings(**wrong)


# ---------------------------------------------------------------------- what is said
def test_one_line_says_how_long_it_takes_and_how_to_draw_another_number(
    tmp_path, asked, monkeypatch, caplog
):
    write(tmp_path / "few", replace(SMALL, people=5))
    monkeypatch.setattr(module, "draw_batches", lambda *_, **__: None)
    with caplog.at_level(logging.INFO):
        write(tmp_path / "few", replace(SMALL, people=130), workers=1)
    (line,) = [r.getMessage() for r in caplog.records if r.name == module.logger.name]
    # 125 x 20 crops at 40 a second are 63 seconds
    assert line.startswith("Drawing 2500 of 2600 crops of 130 people into")
    assert "about 2 min" in line
    assert f"python -m gcl.synthetic.draw_people {tmp_path / 'few'} --people N" in line
    caplog.clear()
    write(tmp_path / "few", None)
    assert not caplog.records


@pytest.fixture
def command(monkeypatch):
    def run(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["draw_people", *map(str, arguments)])
        runpy.run_module("gcl.synthetic.draw_people", run_name="__main__")

    return run


def test_the_command_draws_the_set_that_it_is_told(tmp_path, asked, command):
    command(tmp_path, "--people", 5, "--size", 40, 24, "--seed", 9, "--workers", 1)
    assert asked == [0, 1, 2, 3, 4]
    there = set_folder.read_settings(tmp_path / module.FOLDER, PeopleSettings)
    assert there == PeopleSettings(people=5, height=40, width=24, seed=9)
    with Image.open(next((tmp_path / module.FOLDER).rglob("*.jpg"))) as crop:
        assert crop.size == (24, 40)


def test_the_command_says_what_is_wrong_in_a_sentence(tmp_path, command):
    with pytest.raises(SystemExit, match="people of at least 4, not 1") as end:
        command(tmp_path, "--people", 1)
    assert "\n" not in end.value.code and os.listdir(tmp_path) == []
