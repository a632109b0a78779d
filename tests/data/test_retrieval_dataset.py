"""The test sees what training sees: the same pixels of every kind of file, and the same keys as the
toolbox's own data set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fastreid.data.common import CommDataset
from fastreid.data.transforms import build_transforms
from photograph_files import KINDS, write_photograph
from PIL import Image

from gcl.data.retrieval_dataset import RetrievalDataset
from gcl.data.view_dataset import ViewDataset
from gcl.photographs import PhotographError

SIZE = (32, 16)


def pixels_of(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image))


@pytest.mark.parametrize("kind", KINDS)
def test_training_and_tests_see_the_same_pixels(tmp_path, kind):
    path, pixels = write_photograph(tmp_path, kind)
    train = ViewDataset([(path, 0)], SIZE, transform=pixels_of)
    test = RetrievalDataset([(path, 3, 1)], SIZE, pixels_of)
    toolbox = CommDataset([(path, 3, 1)], pixels_of, relabel=False)
    for dataset in (train, test, toolbox):
        assert torch.equal(dataset[0]["images"], torch.from_numpy(pixels))


def test_items_are_those_of_the_toolbox(tmp_path, tiny_cfg):
    path, _ = write_photograph(tmp_path, "rgb")
    items, transform = [(path, "7", 1)], build_transforms(tiny_cfg(), is_train=False)
    ours, theirs = RetrievalDataset(items, SIZE, transform), CommDataset(items, transform, False)
    assert len(ours) == len(theirs) and ours.num_cameras == theirs.num_cameras
    assert torch.equal(ours[0].pop("images"), theirs[0].pop("images"))
    assert {k: v for k, v in ours[0].items() if k != "images"} == {
        "targets": "7",
        "camids": 1,
        "img_paths": path,
    }


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_huge_pictures_are_small_before_they_are_transformed(tmp_path, suffix):
    path = str(tmp_path / f"a.{suffix}")
    Image.new("RGB", (900, 1700)).save(path)
    shapes = {
        tuple(dataset[0]["images"].shape[:2])
        for dataset in (
            ViewDataset([(path, 0)], SIZE, transform=pixels_of),
            RetrievalDataset([(path, 3, 1)], SIZE, pixels_of),
        )
    }
    ((height, width),) = shapes
    assert 2 <= min(height / SIZE[0], width / SIZE[1]) < 4


def test_what_is_no_crop_is_named(tmp_path):
    path = str(tmp_path / "a.png")
    Image.new("RGB", (10, 200)).save(path)
    items = [(path, 3, 1)]
    for dataset in (RetrievalDataset(items, SIZE, pixels_of), CommDataset(items, pixels_of, False)):
        with pytest.raises(PhotographError, match=f"image {path} can not be a crop of a person"):
            dataset[0]
