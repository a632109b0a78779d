"""Features of a folder are kept for the same pixels, cameras and weights, and for nothing else."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable

import numpy as np
import pytest
import torch

from gcl.inference import ReID
from gcl.inference.folder_features import folder_features, kept_file


@pytest.fixture
def gallery(write_crop, tmp_path):
    for i in range(4):
        write_crop(tmp_path / "gallery" / f"{i}.jpg", seed=i)
    return tmp_path / "gallery"


@pytest.fixture
def look(reid, gallery, tmp_path, monkeypatch) -> Callable[..., list[str]]:
    """``look()``: names of the crops that the encoder had to see; the features are checked."""
    seen: list[str] = []
    plain = ReID.embed_good

    def counted(self, crops, *args, **kwargs):
        seen.extend(os.path.basename(path) for path in crops)
        return plain(self, crops, *args, **kwargs)

    def run(model: ReID = reid) -> list[str]:
        seen.clear()
        monkeypatch.setattr(ReID, "embed_good", counted)
        found, features = folder_features(model, model.list_crops(gallery), kept)
        monkeypatch.undo()
        paths = [str(gallery / crop.name) for crop in found.crops]
        expected = model.embed(paths, [crop.camera for crop in found.crops])
        np.testing.assert_allclose(features, expected, atol=1e-6)
        return sorted(seen)

    kept = kept_file(str(tmp_path / "kept"), str(gallery))
    run.file = kept
    assert run() == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    return run


def test_nothing_is_seen_twice(look, gallery):
    assert look() == []
    os.utime(gallery / "0.jpg", (1, 1))
    assert look() == []


def test_a_crop_of_another_name_is_known(look, gallery):
    (gallery / "1.jpg").rename(gallery / "moved.jpg")
    assert look() == []


def test_other_pixels_under_a_name_are_seen(look, gallery):
    times = os.stat(gallery / "0.jpg")
    os.replace(gallery / "1.jpg", gallery / "0.jpg")
    shutil.copy(gallery / "2.jpg", gallery / "1.jpg")
    os.utime(gallery / "0.jpg", (times.st_atime, times.st_mtime))
    assert look() == []  # all of these pixels are known
    data = bytearray((gallery / "0.jpg").read_bytes())
    (gallery / "0.jpg").write_bytes(data + b"\0")  # as long as nobody looks at pixels, others
    os.utime(gallery / "0.jpg", (times.st_atime, times.st_mtime))
    assert look() == ["0.jpg"]


def test_another_camera_makes_another_feature(look, gallery):
    rows = "".join(f"{i}.jpg,{'1' if i < 2 else ''}\n" for i in range(4))
    (gallery / "crops.csv").write_text(f"path,camera\n{rows}")
    assert look() == ["0.jpg", "1.jpg"]
    assert look() == []


def test_other_weights_make_other_features(look, encoder):
    other = ReID(encoder())
    with torch.no_grad():
        other.encoder.model.backbone[0].weight[0].mul_(1.5)
    assert len(look(other)) == 4
    assert look(other) == []
    assert len(look()) == 4


def test_a_broken_file_of_features_is_made_anew(look, caplog):
    with open(look.file, "r+b") as file:
        file.truncate(100)
    with caplog.at_level(logging.WARNING, "gcl"):
        assert len(look()) == 4
    assert "features are made anew" in caplog.text
    assert look() == []


def test_a_file_that_is_no_crop_is_left_out_and_tried_again(look, reid, gallery):
    shutil.copy(gallery / "0.jpg", gallery / "last.jpg")
    whole = (gallery / "1.jpg").read_bytes()
    (gallery / "1.jpg").write_bytes(whole[:60])
    for _ in range(2):
        assert look() == ["1.jpg"]
    found, features = folder_features(reid, reid.list_crops(gallery), look.file)
    assert [crop.name for crop in found.crops] == ["0.jpg", "2.jpg", "3.jpg", "last.jpg"]
    assert len(features) == 4
    (skipped,) = found.skipped
    assert skipped.name == "1.jpg" and "can not be read" in skipped.reason
    (gallery / "1.jpg").write_bytes(whole)
    assert look() == ["1.jpg"]


def test_without_a_file_nothing_is_kept(reid, gallery, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    folder_features(reid, reid.list_crops(gallery))
    assert sorted(tmp_path.rglob("*")) == before
