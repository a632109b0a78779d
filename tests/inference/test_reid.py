"""Features of crops for a user's own code. D features."""

from __future__ import annotations

import ast
import dataclasses
import json
import logging
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gcl
from gcl.config import ConfigError
from gcl.inference import ReID
from gcl.inference import reid as module
from gcl.photographs import PhotographError


@pytest.fixture
def written(tmp_path) -> list[str]:
    """Three crops without loss, 64 x 32 as the encoder sees them."""
    paths = []
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (64, 32, 3), dtype=np.uint8)
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(pixels).save(paths[-1])
    return paths


@torch.no_grad()
def test_a_crop_is_the_same_however_it_is_given(reid, written):
    arrays = [np.asarray(Image.open(path)) for path in written]
    tensor = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)  # no resizing: by hand
    expected = reid.forward(tensor).numpy()
    found = reid.embed(written)
    assert found.shape == (3, reid.dimension) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    pictures = [Image.open(path) for path in written]
    for crops in (arrays, np.stack(arrays), pictures, [Path(p) for p in written]):
        np.testing.assert_allclose(reid.embed(crops), expected, atol=1e-6)
    for one in (written[0], arrays[0], pictures[0], Path(written[0])):
        np.testing.assert_allclose(reid.embed(one), expected[:1], atol=1e-6)


def test_of_no_crop_there_is_no_feature(reid):
    assert reid.embed([]).shape == (0, reid.dimension)


def test_many_crops_come_in_their_order(reid, written, monkeypatch):
    monkeypatch.setattr(module, "MANY", 1)  # by data workers
    monkeypatch.setattr(module, "BATCH", 2)
    by_workers = reid.embed([written[i] for i in (2, 0, 1, 2, 0)])
    monkeypatch.undo()
    np.testing.assert_allclose(by_workers, reid.embed(written)[[2, 0, 1, 2, 0]], atol=1e-6)


def test_a_folder_is_its_crops_with_the_cameras_of_its_table(reid, written, tmp_path):
    shutil.copy(written[0], tmp_path / "notes.txt")
    plain = reid.embed(tmp_path)
    np.testing.assert_allclose(plain, reid.embed(written), atol=1e-6)
    (tmp_path / "crops.csv").write_text("path,camera\n2.png,1\n0.png,0\n")
    by_table = reid.embed(tmp_path)
    np.testing.assert_allclose(by_table, reid.embed([written[0], written[2]], [0, 1]), atol=1e-6)
    assert np.abs(by_table - plain[[0, 2]]).max() > 0.01
    np.testing.assert_allclose(reid.embed(tmp_path, cameras=[None, None]), plain[[0, 2]], atol=1e-6)


def test_a_camera_of_which_nothing_is_known_gets_all_images_statistics_and_a_warning(
    reid, written, caplog
):
    module._warn_once.cache_clear()
    pooled = reid.embed(written)
    with caplog.at_level(logging.WARNING, "gcl"):
        np.testing.assert_array_equal(reid.embed(written, "porch"), pooled)
        reid.embed(written, "porch")
        reid.embed(written, 1)
    (record,) = [r for r in caplog.records if "porch" in r.message]
    assert "no statistics (0, 1)" in record.message


def test_cameras_are_of_each_crop_or_of_all(reid, written):
    np.testing.assert_array_equal(reid.embed(written, 1), reid.embed(written, ["1"] * 3))
    with pytest.raises(ConfigError, match="2 cameras were given for 3 crops"):
        reid.embed(written, [0, 1])


def test_a_file_that_is_no_crop_is_named(reid, written, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(PhotographError, match="broken.png"):
        reid.embed([written[0], str(broken), written[1]])
    features, problems = reid.embed_good([written[0], str(broken), written[1]])
    assert list(problems) == [1] and not features[1].any()
    np.testing.assert_allclose(features[[0, 2]], reid.embed(written[:2]), atol=1e-6)


@pytest.mark.parametrize(
    ("crop", "sentence"),
    [
        (np.zeros((32, 16, 3)), r"an array \(32, 16, 3\) of float64"),
        (np.zeros((32, 16), np.uint8), r"an array \(32, 16\) of uint8"),
        (np.zeros((32, 0, 3), np.uint8), r"an array \(32, 0, 3\)"),
        ([None], "Crop 0 is of type NoneType"),
        (None, "Crop 0 is of type NoneType"),
        (7, "Crop 0 is of type int"),
    ],
)
def test_what_is_no_crop_gets_a_sentence(reid, crop, sentence):
    with pytest.raises(ConfigError, match=sentence):
        reid.embed(crop)


def test_the_probability_follows_from_the_cosine_and_the_run_s_file(finished, tmp_path, written):
    run = tmp_path / "run"
    (run / "result").mkdir(parents=True)
    for name in ("config.yaml", "model_final.pth"):
        shutil.copy(finished / name, run)
    model = ReID.load(run, "cpu")
    with pytest.raises(ConfigError, match="result/calibration.json is not there"):
        model.same(written[0], written[1])
    values = {"source": "tracks", "threshold": 0.3, "slope": 5.0}
    (run / "result" / "calibration.json").write_text(json.dumps(values))
    for cameras in ((None, None), (0, 1)):
        a, b = model.embed(written[:2], list(cameras)).astype(float)
        expected = 1 / (1 + math.exp(-5.0 * (a @ b - 0.3)))
        found = model.same(written[0], np.asarray(Image.open(written[1])), cameras)
        assert found == pytest.approx(expected, abs=1e-5)


def test_encoders_of_other_weights_have_another_digest(encoder):
    model = ReID(encoder())
    before = model.digest
    assert ReID(encoder()).digest == before != ReID(encoder("INPUT.SIZE_TEST", [32, 32])).digest
    with torch.no_grad():
        model.encoder.camera_norm.sum[1, 0] += 1
    del model.digest  # kept since it was asked for
    assert model.digest != before


def test_a_pattern_says_whose_cameras(reid, written, tmp_path):
    folder = tmp_path / "named"
    folder.mkdir()
    for name in ("c1_a.png", "c0_b.png"):
        shutil.copy(written[0], folder / name)
    found = reid.list_crops(folder, "c{camera}_{}")
    assert [crop.camera for crop in found.crops] == ["0", "1"]
    with pytest.raises(ConfigError, match="pattern x{camera}: none of the 2 crops"):
        reid.list_crops(folder, "x{camera}")
    with pytest.raises(ConfigError, match="^.*nowhere is no folder"):
        reid.list_crops("nowhere")


def test_of_the_run_s_own_folder_the_crops_are_those_of_the_run(reid, written, tmp_path):
    """Not its structures, nor the labelled part, which may lie in it."""
    folder = tmp_path / "shop"
    for name in ("a.png", "meshes/b.png", "query/c.png", "gallery/d.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(written[0], folder / name)
    cfg = reid.encoder.cfg.clone()
    cfg.GCL.DATA.FOLDER, cfg.GCL.STRUCTURE.DIR = str(folder), str(folder / "meshes")
    cfg.GCL.DATA.QUERY, cfg.GCL.DATA.GALLERY = str(folder / "query"), str(folder / "gallery")
    own = ReID(dataclasses.replace(reid.encoder, cfg=cfg))
    assert [crop.name for crop in own.list_crops(folder).crops] == ["a.png"]
    assert len(reid.list_crops(folder).crops) == 4


def test_importing_the_package_does_not_import_it():
    assert gcl.ReID is ReID
    tree = ast.parse(Path(gcl.__file__).read_text())
    modules = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert "inference" not in modules
    with pytest.raises(AttributeError, match="no attribute 'ReId'"):
        gcl.ReId  # noqa: B018
