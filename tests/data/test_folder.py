"""Whose structure is whose in a folder of crops and in the toolbox's data sets."""

from __future__ import annotations

import os

import pytest
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset

from gcl.data.build import load_dataset
from gcl.data.folder import dataset_folder, dataset_keys, folder_keys, images_in


def test_a_folder_of_crops_is_a_data_set_of_its_name(tmp_path, write_crop, monkeypatch):
    for name in ("b.jpg", "a.PNG", "a.jpg"):
        write_crop(tmp_path / "shop" / name)
    (tmp_path / "shop" / "notes.txt").write_text("no crop")
    folder = str(tmp_path / "shop")
    assert images_in(folder) == [os.path.join(folder, name) for name in ("a.PNG", "a.jpg", "b.jpg")]
    expected = ["shop/a.PNG", "shop/a.jpg", "shop/b.jpg"]
    assert list(folder_keys(folder).values()) == expected
    assert list(folder_keys(folder + os.sep).values()) == expected
    monkeypatch.chdir(folder)
    assert list(folder_keys(".").values()) == expected


def test_crops_are_found_in_folders_of_folders(tmp_path, write_crop):
    """A folder a person or a camera; what is hidden, and the folder of the structures, is none."""
    names = (
        "b/1.jpg",
        "a/c/1.jpg",
        "1.png",
        ".hidden/1.jpg",
        "a/._1.jpg",
        "out/train/render/1.jpg",
    )
    for name in names:
        write_crop(tmp_path / "shop" / name)
    folder = str(tmp_path / "shop")
    (tmp_path / "shop" / "a" / "again").symlink_to(folder)  # a loop
    keys = folder_keys(folder, without=os.path.join(folder, "out"))
    assert list(keys.values()) == ["shop/1.png", "shop/a/c/1.jpg", "shop/b/1.jpg"]
    assert len(images_in(folder)) == 4


@pytest.mark.parametrize("root", ["datasets", "datasets/Market-1501-v15.09.15"])
def test_keys_of_market_do_not_depend_on_where_the_toolbox_looks(
    market_data, tmp_path, root, monkeypatch
):
    """The folder itself as FASTREID_DATASETS is the older way, which the toolbox still reads."""
    monkeypatch.setattr("gcl.data.build._root", str(tmp_path / root))
    data = load_dataset("Market1501")
    assert dataset_folder(data) == str(tmp_path / "datasets" / "Market-1501-v15.09.15")
    keys = dataset_keys("Market1501", data, data.train)
    assert list(keys.values()) == [f"Market1501/bounding_box_train/{n}" for n in market_data]
    (query,) = dataset_keys("Market1501", data, data.query).values()
    assert query == "Market1501/query/0005_c1s1_000001_00.jpg"


def test_a_class_that_keeps_its_folder_s_name_below_the_root(tmp_path, write_crop):
    """PKU of the toolbox: images in one folder of PKUv1a_128x48."""
    path = write_crop(tmp_path / "PKUv1a_128x48" / "0001" / "0001_1_1.png")
    data = ImageDataset([(path, "pku_1", "pku_0")], [], [])
    data.root, data.dataset_dir = str(tmp_path), DATASET_REGISTRY.get("PKU").dataset_dir
    assert dataset_folder(data) == str(tmp_path / "PKUv1a_128x48")
    assert list(dataset_keys("PKU", data, data.train).values()) == ["PKU/0001/0001_1_1.png"]


def test_else_the_folder_is_what_all_images_have_in_common(tmp_path):
    """Of all splits: the keys of one do not depend on whether the others are asked for."""
    train = [(str(tmp_path / "shop" / "train" / "cam1" / f"{i}.jpg"), i, 0) for i in (1, 2)]
    query = [(str(tmp_path / "shop" / "query" / "cam1" / "1.jpg"), 3, 0)]
    data = ImageDataset(train, query, [])
    for named in ("", "elsewhere", str(tmp_path / "sho"), None):
        data.dataset_dir = named
        assert dataset_folder(data) == str(tmp_path / "shop")
    keys = dataset_keys("Shop", data, data.train)
    assert list(keys.values()) == ["Shop/train/cam1/1.jpg", "Shop/train/cam1/2.jpg"]
    assert dataset_keys("Shop", ImageDataset([], [], []), []) == {}
