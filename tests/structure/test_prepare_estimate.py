"""Meshes by an estimator for a whole split: batches, resumed runs, shares, the list of doubtful."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest
import torch
from photograph_files import KINDS, write_photograph
from structure.estimators import colour_crop, estimator  # noqa: F401  fixtures
from structure.figures import figure

from gcl.structure import prepare_estimate
from gcl.structure.crop_keys import files_below
from gcl.structure.estimate.crops import load_crops
from gcl.structure.geometry import read_faces, read_geometry
from gcl.structure.prepare_estimate import (
    Batches,
    adaptation_sample,
    estimate_meshes,
    list_doubtful,
)
from gcl.structure.render import turn


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(prepare_estimate, "BATCH", 4)


@pytest.fixture
def folder(tmp_path) -> str:
    return str(tmp_path / "out" / "train")


@pytest.fixture
def paths(colour_crop) -> list[str]:  # noqa: F811
    """Ten crops of growing yaw; the third and the eighth are of low confidence."""
    greens = {2: 60, 7: 20}
    return [colour_crop(f"{i}.png", 20 * i, greens.get(i, 255)) for i in range(10)]


@pytest.fixture
def crops(paths) -> dict[str, str]:
    return keys(paths)


def keys(paths: list[str]) -> dict[str, str]:
    """Of crops in two folders of a data set, whose names repeat."""
    return {path: f"set/{i // 5}/{i % 5}.png" for i, path in enumerate(paths)}


def mesh(folder: str, i: int) -> str:
    return f"{folder}/geometry/set/{i // 5}/{i % 5}.png.npz"


def content(folder: str) -> dict[str, bytes]:
    """Bytes of each mesh."""
    found = {}
    for name in sorted(files_below(f"{folder}/geometry", ".npz")):
        with open(f"{folder}/geometry/{name}", "rb") as file:
            found[name] = file.read()
    return found


@pytest.mark.parametrize("workers", [0, 1])
def test_each_crop_has_its_own_mesh(crops, folder, estimator, workers):  # noqa: F811
    summary = estimate_meshes(crops, folder, estimator.from_pretrained, workers=workers)
    assert summary.counts == Counter(made=10) and summary.complete and summary.seconds > 0
    assert estimator.log == [("load", None)] + [("estimate", n) for n in (4, 4, 2)]
    faces = read_faces(f"{folder}/geometry")
    for i in range(10):
        found = read_geometry(mesh(folder, i), faces)
        yaw = 20 * i / 255 * 360
        assert found.yaw == pytest.approx(yaw)
        np.testing.assert_array_equal(found.vertices, turn(figure().vertices[None], found.yaw)[0])
        assert found.framing.tolist() == [0.5, 1.0, 0.5]
        assert found.doubtful == (i in (2, 7))
    with np.load(mesh(folder, 0)) as arrays:
        assert set(arrays) == {"vertices", "yaw", "confidence", "framing"}


def test_a_resumed_run_writes_what_it_lacks_and_the_same(crops, folder, estimator):  # noqa: F811
    estimate_meshes(crops, folder, estimator.from_pretrained, adapt=True)
    whole = content(folder)
    before = os.stat(mesh(folder, 0)).st_mtime_ns
    for i in (1, 3, 5):
        os.remove(mesh(folder, i))
    estimator.log.clear()
    summary = estimate_meshes(crops, folder, estimator.from_pretrained, adapt=True)
    assert summary.counts == Counter({"made": 3, "there already": 7})
    # adapted to all, in the batches of the first run
    assert estimator.log == [("load", None), ("adapt", 10), ("estimate", 4), ("estimate", 4)]
    assert content(folder) == whole
    assert os.stat(mesh(folder, 0)).st_mtime_ns == before
    estimator.log.clear()
    summary = estimate_meshes(crops, folder, estimator.from_pretrained, adapt=True)
    assert summary.counts == Counter({"there already": 10}) and estimator.log == []


def test_the_crops_to_adapt_to_are_drawn_and_always_the_same(paths, monkeypatch):
    monkeypatch.setattr(prepare_estimate, "ADAPT_TO", 6)
    sample = adaptation_sample(paths)
    assert len(set(sample)) == 6 and set(sample) < set(paths) and sample == sorted(sample)
    assert sample == adaptation_sample(paths)
    with open(sample[0], "wb"):
        pass
    assert adaptation_sample(paths) == sample[1:]


def test_unreadable_crops_fail_alone(paths, crops, folder, estimator):  # noqa: F811
    with open(paths[1], "wb"):
        pass
    with open(paths[5], "r+b") as file:  # the header is whole, the pixels are not
        file.truncate(os.path.getsize(paths[5]) - 30)
    summary = estimate_meshes(crops, folder, estimator.from_pretrained)
    assert summary.counts == Counter(made=8, failed=2)
    for crop, message in zip((paths[1], paths[5]), summary.messages, strict=True):
        assert message.startswith(f"failed: image {crop} can not be read")
    assert set(content(folder)) == {
        f"{crops[path]}.npz" for path in paths if path not in (paths[1], paths[5])
    }
    with open(paths[0], "wb"):  # its mesh is there: that it can not be read any more is no failure
        pass
    summary = estimate_meshes(crops, folder, estimator.from_pretrained)
    assert summary.counts == Counter({"there already": 8, "failed": 2})
    for crop in crops:
        with open(crop, "wb"):
            pass
    estimator.log.clear()
    others = folder + "2"
    assert estimate_meshes(crops, others, estimator.from_pretrained).counts == Counter(failed=10)
    assert estimator.log == [("load", None)]


@pytest.mark.parametrize("cut", [0, 1000])
def test_a_damaged_mesh_is_estimated_again(crops, folder, estimator, cut):  # noqa: F811
    estimate_meshes(crops, folder, estimator.from_pretrained)
    whole = content(folder)
    os.truncate(mesh(folder, 6), cut)
    estimator.log.clear()
    summary = estimate_meshes(crops, folder, estimator.from_pretrained)
    assert summary.counts == Counter({"made": 1, "there already": 9})
    assert estimator.log == [("load", None), ("estimate", 4)] and content(folder) == whole


def test_a_name_that_the_disk_can_not_have_fails_alone(paths, folder, estimator):  # noqa: F811
    crops = keys(paths[:3]) | {paths[3]: "set/" + "x" * 252}
    summary = estimate_meshes(crops, folder, estimator.from_pretrained)
    assert summary.counts == Counter(made=3, failed=1)
    assert summary.lost[0].key == crops[paths[3]] and "File name too long" in summary.messages[0]


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_what_the_estimator_would_read(tmp_path, kind):
    path, pixels = write_photograph(tmp_path, kind)
    _, pictures, broken = Batches({path: f"set/{kind}"}, str(tmp_path))[0]
    assert broken == {} and list(pictures) == [path]
    assert pictures[path].shape == (128, 64, 3)
    for crop in (path, pixels):
        assert torch.equal(load_crops([pictures[path]]), load_crops([crop]))


def test_an_estimate_that_is_no_person_fails_alone(paths, folder, estimator, monkeypatch):  # noqa: F811
    plain = estimator.__call__

    def broken(self, images, batch_size=64):
        found = plain(self, images, batch_size)
        found.vertices[1] = float("nan")
        return found

    monkeypatch.setattr(estimator, "__call__", broken)
    summary = estimate_meshes(keys(paths[:4]), folder, estimator.from_pretrained)
    assert summary.counts == Counter(made=3, failed=1)
    assert summary.messages == [f"failed: {paths[1]}: some vertices are not finite."]


def test_processes_share_the_batches(crops, folder, estimator, monkeypatch):  # noqa: F811
    """Three processes one after another give the files of one; each knows nothing of the others."""
    estimate_meshes(crops, folder, estimator.from_pretrained)
    shared = folder + "2"
    monkeypatch.setattr(prepare_estimate, "gather", lambda value: [value])
    monkeypatch.setenv("WORLD_SIZE", "3")
    counts = []
    for rank in (1, 0, 2):
        monkeypatch.setenv("RANK", str(rank))
        summary = estimate_meshes(crops, shared, estimator.from_pretrained)
        counts.append(dict(summary.counts))
    assert counts == [{"made": 4}, {"made": 4}, {"made": 2}]
    assert content(shared) == content(folder)


def test_doubtful_crops_are_listed_from_what_is_on_disk(crops, folder, estimator):  # noqa: F811
    estimate_meshes(crops, folder, estimator.from_pretrained)
    os.remove(mesh(folder, 1))
    with open(mesh(folder, 3), "wb"):
        pass
    for _ in "ab":
        assert list_doubtful(crops, folder) == 2
        with open(f"{folder}/low_confidence.txt") as file:
            assert file.read() == "set/1/2.png 0.078\nset/0/2.png 0.235\n"
    # of another data set in the same folder: beside the lines of the first
    with open(f"{folder}/low_confidence.txt", "a") as file:
        file.write("a b/1.png 0.100\nno_data_set.png 0.200\n")
    assert list_doubtful(dict(list(crops.items())[:2]), folder) == 0
    with open(f"{folder}/low_confidence.txt") as file:
        assert file.read() == "a b/1.png 0.100\n"
    assert list_doubtful(crops, folder) == 2
    with open(f"{folder}/low_confidence.txt") as file:
        assert file.read() == "set/1/2.png 0.078\na b/1.png 0.100\nset/0/2.png 0.235\n"
