"""Sets of a configuration: which crops, which structures."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image

import gcl
from gcl.evaluation.configured_pairs import open_sets
from gcl.evaluation.labelled_crops import ORIENTATIONS, PATTERN
from gcl.structure.render_files import TURNS, render_path
from gcl.structure.store import MissingStructureError
from gcl.synthetic import Settings, write_set

NAMES = ("SyntheticPedestrians",)
SMALL = Settings(people=2, test_people=1, cameras=2, shots=2, height=64, width=32, seed=5)


@pytest.fixture
def synthetic(tmp_path, monkeypatch) -> str:
    folder = write_set(tmp_path, SMALL, progress=False)
    monkeypatch.setattr(gcl.data.build, "_root", str(tmp_path))
    return folder


def test_a_synthetic_set_needs_no_names(tiny_cfg, synthetic):
    meshes = os.path.join(synthetic, "meshes")
    cfg = tiny_cfg(*("DATASETS.NAMES", NAMES, "DATASETS.TESTS", NAMES, "GCL.STRUCTURE.DIR", meshes))
    sets = open_sets(cfg, PATTERN, ORIENTATIONS)
    assert list(sets) == ["SyntheticPedestrians train", "SyntheticPedestrians test"]
    for split, people in (("train", 2), ("test", 1)):
        pairs, dataset = sets[f"SyntheticPedestrians {split}"]
        assert len(np.unique(pairs.person)) == people and len(pairs.crop) == people * 2 * 2 * 7
        assert set(pairs.camera) == {0, 1}
        t = 10
        views, name = dataset.views(int(pairs.crop[t])), pairs.images[pairs.crop[t]]
        path = render_path(os.path.join(meshes, split), os.path.basename(name), pairs.turn[t])
        grey = np.asarray(Image.open(path).convert("L")) / 255
        assert np.abs(views[1 + TURNS.index(pairs.turn[t]), 0].numpy() - grey).max() < 0.01


def test_crops_without_structures_are_left_out_on_request(tiny_cfg, toy, tmp_path):
    full = toy / "meshes" / "test"
    names = sorted(os.listdir(full / "render"))
    for view in os.listdir(full):
        os.makedirs(tmp_path / "test" / view)
        for name in names[1:]:
            os.symlink(full / view / name, tmp_path / "test" / view / name)
    cfg = tiny_cfg("GCL.STRUCTURE.DIR", str(tmp_path), "GCL.STRUCTURE.MISSING", "skip")
    sets = open_sets(cfg, PATTERN, {"1": 0, "2": 90, "3": 180, "4": 270})
    (pairs, _), name = sets["Market1501 test"], "Market1501 test"
    assert list(sets) == [name] and len(pairs.images) == 31
    assert len(pairs.crop) == 7 * 4 * 3 + 3 * 2
    assert names[0] not in {os.path.basename(path) for path in pairs.images}


def test_two_sets_of_equal_names_do_not_share_structures(
    tiny_cfg, market_data, tmp_path, write_renders
):
    """Judged one by one, but of one folder of structures."""
    datasets = tmp_path / "datasets"
    shutil.copytree(datasets / "Market-1501-v15.09.15", datasets / "DukeMTMC-reID")
    names = ["0005_c1s1_000001_00.jpg", "0005_c2s1_000002_00.jpg"]
    root = write_renders(tmp_path / "meshes", names, split="test")
    tests = ("Market1501", "DukeMTMC")
    cfg = tiny_cfg("DATASETS.TESTS", tests, "GCL.STRUCTURE.DIR", root)
    with pytest.raises(MissingStructureError, match="0005.* DukeMTMC/.*0005.* and Market1501/.*05"):
        open_sets(cfg, PATTERN, ORIENTATIONS)
