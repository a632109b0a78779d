"""Pictures of any kind as (B, 3, 128, 64), against PIL's own resizing."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from photograph_files import KINDS, write_photograph
from PIL import Image

from gcl.structure.estimate.crops import load_crops
from gcl.structure.estimate.network import SIZE


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(128, 64), (256, 128), (128, 48), (1, 1), (7, 300), (500, 9)])
def test_any_size_becomes_one(size):
    array = picture(*size)
    found = load_crops([array])
    assert found.shape == (1, 3, *SIZE) and found.dtype == torch.uint8
    oracle = Image.fromarray(array).resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC)
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), np.asarray(oracle))


def test_a_crop_of_the_right_size_is_taken_as_it_is():
    array = picture(*SIZE)
    assert np.array_equal(load_crops([array])[0].permute(1, 2, 0).numpy(), array)


def test_a_file_is_read_as_its_array_is(tmp_path):
    arrays = [picture(60, 30, 1), picture(200, 77, 2)]
    paths = [tmp_path / "a.png", str(tmp_path / "b.png")]  # a Path and a string
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(path)
    together = load_crops([paths[0], arrays[1], paths[1]])
    assert torch.equal(together, load_crops([arrays[0], arrays[1], arrays[1]]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimator_sees_the_pixels_that_training_sees(tmp_path, kind):
    path, pixels = write_photograph(tmp_path, kind)
    assert torch.equal(load_crops([path]), load_crops([pixels]))


def test_views_of_arrays_are_read_in_their_order():
    array = picture(*SIZE)
    assert np.array_equal(load_crops([array[:, ::-1]])[0].permute(1, 2, 0).numpy(), array[:, ::-1])


def test_no_crops():
    found = load_crops([])
    assert found.shape == (0, 3, *SIZE) and found.dtype == torch.uint8


def broken_file(tmp_path, kind: str) -> str:
    path = tmp_path / f"{kind}.png"
    Image.fromarray(picture(64, 32)).save(path)
    content = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        made = {"empty": b"", "text": b"no picture", "cut": content[: len(content) // 2]}
        path.write_bytes(made[kind])
    return str(path)


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "cut"])
def test_a_file_that_can_not_be_read_is_named(tmp_path, kind):
    path = broken_file(tmp_path, kind)
    with pytest.raises(OSError, match=f"^image {re.escape(path)} can not be read .*remove it"):
        load_crops([picture(8, 8), path])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 4, 3), np.float32),
        np.zeros((8, 4), np.uint8),
        np.zeros((8, 4, 4), np.uint8),
        np.zeros((3, 8, 4), np.uint8),
        np.zeros((1, 8, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_an_array_that_is_no_picture_is_refused_with_its_place(array):
    shape = re.escape(f"{array.dtype} {array.shape}")
    with pytest.raises(ValueError, match=f"crop 1 is an array {shape}: it must be uint8"):
        load_crops([picture(8, 8), array])
