"""Every kind of name that people give to crops: read as it says, or counted and named."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from fastreid.data.datasets import DATASET_REGISTRY

from gcl.compat import stock
from gcl.compat.market_layout import list_crops

FOLDERS = {"Market1501": "Market-1501-v15.09.15", "DukeMTMC": "DukeMTMC-reID"}
SPLITS = ("bounding_box_train", "query", "bounding_box_test")
USUAL = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0002_c6s4_012743_04.jpg"],
    "query": ["0003_c2s1_000001_00.jpg"],
    "bounding_box_test": [
        "0003_c1s1_000001_00.jpg",
        "0000_c3s1_000001_00.jpg",
        "-1_c2s1_000001_01.jpg",
    ],
}


def write(root: Path, name: str = "Market1501", **files: list[str]) -> Path:
    """Empty files: only names are read."""
    for split, names in (USUAL | files).items():
        folder = root / FOLDERS[name] / split
        folder.mkdir(parents=True)
        for file in names:
            (folder / file).touch()
    return root


def read(root: Path, name: str = "Market1501"):
    return DATASET_REGISTRY.get(name)(root=str(root))


def numbers(items: list[tuple]) -> list[tuple]:
    return [(os.path.basename(path), person, camera) for path, person, camera in items]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """``warnings()``: what was said so far, from WARNING on."""
    monkeypatch.setattr(logging.getLogger("gcl"), "propagate", True)
    caplog.set_level(logging.INFO, "gcl")

    def said(level: int = logging.WARNING) -> list[str]:
        return [r.getMessage() for r in caplog.records if r.levelno == level]

    return said


@pytest.mark.parametrize("name", FOLDERS)
def test_market_layout(tmp_path: Path, name: str) -> None:
    """Person and camera as in the name, the camera from 0; of training images with the data set's
    name before both."""
    data, prefix = read(write(tmp_path, name), name), name.lower()
    assert numbers(data.train) == [
        ("0002_c1s1_000451_03.jpg", f"{prefix}_2", f"{prefix}_0"),
        ("0002_c6s4_012743_04.jpg", f"{prefix}_2", f"{prefix}_5"),
    ]
    assert numbers(data.query) == [("0003_c2s1_000001_00.jpg", 3, 1)]
    assert numbers(data.gallery) == [
        ("0000_c3s1_000001_00.jpg", 0, 2),
        ("0003_c1s1_000001_00.jpg", 3, 0),
    ]


def test_names_that_the_toolbox_reads_are_read_as_it_does(tmp_path: Path) -> None:
    data = read(write(tmp_path))
    process_dir = stock("fastreid.data.datasets.market1501.Market1501.process_dir")
    assert data.train == sorted(process_dir(data, data.train_dir))
    for folder in (data.query_dir, data.gallery_dir):
        assert data.process_dir(folder, False) == sorted(process_dir(data, folder, False))


@pytest.mark.parametrize(
    ("file", "person", "camera"),
    [
        ("1502_c1s1_000001_00.jpg", 1502, 0),
        ("123456_c1s1_000001_00.jpg", 123456, 0),
        ("0001_c7s1_000001_00.jpg", 1, 6),
        ("0001_c12s1_000001_00.jpg", 1, 11),
        ("0001_c112.jpg", 1, 111),
        ("0001_c2_f0046985.jpg", 1, 1),
        ("0001_c1s1_000001_00.png", 1, 0),
        ("0001_c1s1_000001_00.JPG", 1, 0),
        ("0001_c1s1_000001_00.jpeg", 1, 0),
        ("2024-0005_c2.jpg", 5, 1),
        ("gate_0005_c2.jpg", 5, 1),
    ],
)
def test_own_numbers_and_suffixes(tmp_path, warnings, file, person, camera) -> None:
    data = read(write(tmp_path, bounding_box_train=[file], query=[file]))
    assert numbers(data.train) == [(file, f"market1501_{person}", f"market1501_{camera}")]
    assert numbers(data.query) == [(file, person, camera)]
    assert not warnings()


@pytest.mark.parametrize(
    "parent", ["2024_c3_mall", "12_c3", "data[v2]", "a*b?", "meine größe 人", "-1_c2"]
)
def test_names_of_parent_folders_do_not_matter(tmp_path, parent) -> None:
    plain, other = read(write(tmp_path / "plain")), read(write(tmp_path / parent))
    for split in ("train", "query", "gallery"):
        assert numbers(getattr(other, split)) == numbers(getattr(plain, split))
        assert all(os.path.exists(path) for path, _, _ in getattr(other, split))


def test_the_toolbox_takes_numbers_from_parent_folders(tmp_path: Path) -> None:
    data = read(write(tmp_path / "2024_c3_mall"))
    process_dir = stock("fastreid.data.datasets.market1501.Market1501.process_dir")
    with pytest.raises(AssertionError):  # person 2024
        process_dir(data, data.train_dir)


@pytest.mark.parametrize("split", SPLITS)
def test_cameras_are_counted_from_0_in_all_splits_where_one_has_a_camera_0(tmp_path, split) -> None:
    """One number is one camera everywhere."""
    data = read(write(tmp_path, **{split: ["0003_c0.jpg", "0003_c2.jpg"]}))
    items = numbers(data.train) + numbers(data.query) + numbers(data.gallery)
    assert len(items) >= 4
    for file, _, camera in items:
        assert int(str(camera).split("_")[-1]) == int(file.split("_c")[1][0])


def test_what_is_left_out_is_counted_with_the_first_name_and_the_rule(tmp_path, warnings) -> None:
    names = ["0001_c1.jpg", "frame1.jpg", "frame2.png", "person1.jpg", "x.tif", "notes.txt"]
    root = write(tmp_path, bounding_box_train=[*names, "Thumbs.db", ".DS_Store", "._0001_c1.jpg"])
    (root / FOLDERS["Market1501"] / "bounding_box_train" / "0004").mkdir()
    data = read(root)
    assert [name for name, _, _ in numbers(data.train)] == ["0001_c1.jpg"]
    assert len(data.gallery) == 2
    unnamed, others = warnings()
    assert data.train_dir in unnamed and "3 crops" in unnamed and "frame1.jpg" in unnamed
    assert "<person>_c<camera>" in unnamed
    assert data.train_dir in others and "3 files or folders" in others and "0004" in others
    (junk,) = (line for line in warnings(logging.INFO) if "junk" in line)
    assert data.gallery_dir in junk and "1 junk" in junk
    assert not any("\n" in line for line in (unnamed, others, junk))


def test_it_is_said_once(tmp_path, warnings) -> None:
    root = write(tmp_path, query=["frame1.jpg", "0003_c2.jpg"])
    for _ in range(3):
        assert len(read(root).query) == 1
    assert len(warnings()) == 1


def test_no_name_to_train_on_is_a_sentence_with_a_file_and_the_rule(tmp_path: Path) -> None:
    root = write(tmp_path, bounding_box_train=["frame2.jpg", "frame1.jpg"])
    words = r"^none of the 2 crops in .*box_train.* frame1.jpg, is named <person>_c<camera>"
    with pytest.raises(ValueError, match=words) as error:
        read(root)
    assert "\n" not in str(error.value)


def test_who_only_tests_needs_no_training_images(tmp_path: Path) -> None:
    data = read(write(tmp_path, bounding_box_train=[]))
    assert data.train == [] and len(data.query) == 1


@pytest.mark.parametrize("name", FOLDERS)
def test_who_only_trains_needs_no_query_and_no_gallery(tmp_path, name) -> None:
    root = write(tmp_path, name, query=[], bounding_box_test=[])
    for split in SPLITS[1:]:
        (root / FOLDERS[name] / split).rmdir()
    data = read(root, name)
    assert len(data.train) == 2 and data.query == data.gallery == []
    assert list_crops(data.query_dir).crops == []


@pytest.mark.parametrize("name", FOLDERS)
def test_no_training_folder_is_named(tmp_path, name) -> None:
    with pytest.raises(RuntimeError, match=r'"(.*)" is not found'):
        read(tmp_path / "nowhere", name)


def test_the_packaged_sets_of_drawn_people_are_read_by_the_same_rule() -> None:
    synthetic = DATASET_REGISTRY.get("SyntheticPedestrians")
    assert synthetic.process_dir is DATASET_REGISTRY.get("Market1501").process_dir
