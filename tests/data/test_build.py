"""From a Market-1501 folder to items, data sets of each phase and batches."""

from __future__ import annotations

import logging
import os
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from structure.estimators import estimator  # noqa: F401  a fixture
from structure.figures import figure

from gcl.config import ConfigError
from gcl.data.build import (
    TrainingSet,
    camera_number,
    load_dataset,
    load_test_set,
    phase_batch_size,
    seed_of,
)
from gcl.data.build import test_items as in_order
from gcl.data.sampler import ShuffleSampler
from gcl.structure.geometry import render_views, write_geometry
from gcl.structure.store import MissingStructureError


@pytest.fixture
def cfg(tiny_cfg, market_data, tmp_path, write_renders):
    """All three phases on the folder of ``market_data``, every image with renders."""
    root = write_renders(tmp_path / "meshes", market_data)
    return tiny_cfg("DATASETS.NAMES", ("Market1501",), "GCL.STRUCTURE.DIR", root)


def test_sites_of_a_labelled_set_are_by_the_toolboxs_numbers(cfg):
    assert TrainingSet(cfg).sites is None and TrainingSet(cfg).for_labels() == {}
    numbers = [camera for _, camera in TrainingSet(cfg).items]
    first, *others = sorted(set(numbers))
    cfg.GCL.LABELS.SITES = ((first,), tuple(others))
    assert TrainingSet(cfg).sites.tolist() == [int(camera != first) for camera in numbers]


@pytest.mark.parametrize(
    ("camera", "number"),
    [
        ("market1501_0", 0),
        ("market1501_5", 5),
        ("dukemtmc_7", 7),
        ("msmt17_14", 14),
        ("market1501_test_3", 3),
        ("thermalworld_cam0", 0),
        (4, 4),
        ("12", 12),
    ],
)
def test_camera_numbers_are_those_of_test_batches(camera, number):
    assert camera_number(camera) == number


def test_a_camera_without_a_number_is_named():
    with pytest.raises(ConfigError, match="'gate_a'"):
        camera_number("gate_a")


def test_items_are_paths_and_cameras_in_the_order_of_names(cfg, market_data):
    train_set = TrainingSet(cfg)
    assert len(train_set) == 8
    assert [os.path.basename(path) for path, _ in train_set.items] == market_data
    # c1 and c2 of the file names are cameras 0 and 1 of the toolbox
    assert [camera for _, camera in train_set.items] == [0, 1] * 4
    assert train_set.usable == list(range(8))


def test_the_order_does_not_depend_on_the_file_system(cfg, monkeypatch):
    plain, listing, orders = TrainingSet(cfg), os.listdir, set()
    for seed in range(3):

        def shuffled(path: str, seed: int = seed) -> list[str]:
            found = sorted(listing(path))
            random.Random(seed).shuffle(found)
            orders.add(tuple(found))
            return found

        monkeypatch.setattr(os, "listdir", shuffled)
        again = TrainingSet(cfg)
        assert again.items == plain.items
        np.testing.assert_array_equal(again.identities, plain.identities)
    assert len({order for order in orders if len(order) == 8}) > 1


@pytest.mark.parametrize("phase", ["contrast", "generator", "joint"])
def test_identities_are_not_in_what_training_reads(cfg, market_data, phase):
    """Only the file name carries the person; every target is -1."""
    train_set = TrainingSet(cfg)
    assert [len(item) for item in train_set.items] == [2] * 8
    # known for the log alone: two images of each of four people
    assert train_set.identities.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    dataset = train_set.dataset(phase)
    assert dataset.num_classes == 0
    held = [value for value in vars(dataset).values() if value is not train_set.structures]
    assert not any(value is train_set or value is train_set.identities for value in held)
    for i in range(8):
        item = dataset[i]
        assert item["targets"] == -1
        numbers = {k: v for k, v in item.items() if not torch.is_tensor(v) and k != "img_paths"}
        assert numbers == {"targets": -1, "camids": i % 2, "indices": i}


@pytest.mark.parametrize(
    ("phase", "pairs", "extra"),
    [
        ("contrast", (), set()),
        ("generator", (), {"structure_ori", "structure_new"}),
        ("joint", (), {"structure_ori", "structure_new"}),
        ("joint", ("GCL.JOINT.AUGMENT", True), {"structure_ori", "structure_new", "images_aug"}),
        ("generator", ("GCL.JOINT.AUGMENT", True), {"structure_ori", "structure_new"}),
    ],
)
def test_batches_of_each_phase_through_the_toolbox_loader(cfg, phase, pairs, extra):
    cfg.merge_from_list(["GCL.GENERATOR.SIZE", [32, 16], *pairs])
    train_set = TrainingSet(cfg)
    sampler = ShuffleSampler(train_set.usable, 4, 2, seed=0)
    loader = train_set.train_loader(phase, sampler)
    batches = list(loader)
    assert len(batches) == 2
    order = list(sampler)
    for number, batch in enumerate(batches):
        assert set(batch) == {"images", "targets", "camids", "img_paths", "indices"} | extra
        indices = order[4 * number : 4 * number + 4]
        assert batch["indices"].tolist() == indices
        assert batch["img_paths"] == [train_set.items[i][0] for i in indices]
        assert batch["camids"].tolist() == [train_set.items[i][1] for i in indices]
        assert batch["targets"].tolist() == [-1] * 4
        for key in extra:
            size = (3, 64, 32) if key == "images_aug" else (1, 32, 16)
            assert batch[key].shape == (4, *size)
        assert batch["images"].shape == (4, 3, 64, 32)
        assert batch["images"].max() > 1  # 0-255


def test_the_toolbox_s_augmentation_is_for_the_contrast_phase(cfg):
    """No augmentation but normalisation in phases 2 and 3; in phase 1 here a flip of every crop."""
    off = ("INPUT.PADDING.ENABLED", False, "INPUT.REA.ENABLED", False)
    cfg.merge_from_list(["INPUT.FLIP.ENABLED", True, "INPUT.FLIP.PROB", 1.0, *off])
    train_set = TrainingSet(cfg)
    plain = train_set.dataset("generator")[0]["images"]
    assert torch.equal(train_set.dataset("joint")[0]["images"], plain)
    assert torch.equal(train_set.dataset("contrast")[0]["images"], plain.flip(-1))


def test_batch_sizes_of_phases(tiny_cfg):
    cfg = tiny_cfg()
    cfg.GCL.CONTRAST.IMS_PER_BATCH, cfg.GCL.GENERATOR.IMS_PER_BATCH = 6, 5
    cfg.SOLVER.IMS_PER_BATCH = 4
    assert [phase_batch_size(cfg, p) for p in ("contrast", "generator", "joint")] == [6, 5, 4]


def test_the_feature_loader_reads_all_images_in_order_without_augmentation(cfg):
    cfg.merge_from_list(["INPUT.FLIP.ENABLED", True, "INPUT.FLIP.PROB", 1.0])
    train_set = TrainingSet(cfg)
    batches = list(train_set.feature_loader())
    assert torch.cat([b["indices"] for b in batches]).tolist() == list(range(8))
    images = torch.cat([b["images"] for b in batches])
    for i in range(8):
        assert torch.equal(images[i], train_set.dataset("generator")[i]["images"])


def test_structures_are_not_asked_for_by_the_contrast_phase(tiny_cfg, market_data):
    train_set = TrainingSet(
        tiny_cfg("DATASETS.NAMES", ("Market1501",), "GCL.PHASES", ("contrast",))
    )
    assert train_set.structures is None
    assert train_set.usable == list(range(8))


def test_meshes_are_a_source_of_structures(tiny_cfg, market_data, tmp_path):
    folder = tmp_path / "meshes" / "train" / "geometry"
    folder.mkdir(parents=True)
    for name in market_data:
        write_geometry(str(folder / name.replace(".jpg", ".npz")), figure())
    pairs = ("DATASETS.NAMES", ("Market1501",), "GCL.STRUCTURE.DIR", str(tmp_path / "meshes"))
    train_set = TrainingSet(tiny_cfg(*pairs, "GCL.STRUCTURE.SOURCE", "geometry"))
    assert train_set.usable == list(range(8))
    structure = train_set.dataset("generator")[0]["structure_ori"]
    (view,) = render_views(figure(), (0,), (64, 32))
    np.testing.assert_allclose(structure[0], np.asarray(view) / 255, atol=1e-6)
    with pytest.raises(MissingStructureError, match="renders does not exist"):
        TrainingSet(tiny_cfg(*pairs))


def test_images_without_structures_stop_or_are_skipped(cfg, market_data, caplog, monkeypatch):
    render = os.path.join(cfg.GCL.STRUCTURE.DIR, "train", "render_90")
    for name in market_data[1:3]:
        os.remove(os.path.join(render, name))
    keys = [f"Market1501/bounding_box_train/{name}" for name in market_data]
    with pytest.raises(MissingStructureError, match=f"2 of 8.*{keys[1]}, {keys[2]}"):
        TrainingSet(cfg)
    cfg.GCL.STRUCTURE.MISSING = "skip"
    # the toolbox's setup_logger, where a test before this one called it, would hide it from pytest
    monkeypatch.setattr(logging.getLogger("gcl"), "propagate", True)
    with caplog.at_level(logging.WARNING, "gcl"):
        train_set = TrainingSet(cfg)
    assert train_set.usable == [0, 3, 4, 5, 6, 7]
    assert len(train_set) == 8  # the contrast phase has them all
    assert "2 of 8 training images have no structure" in caplog.text


@pytest.fixture
def two_sites(market_data, tmp_path) -> tuple[str, ...]:
    """Market1501 and DukeMTMC, whose images have the same names."""
    datasets = tmp_path / "datasets"
    shutil.copytree(datasets / "Market-1501-v15.09.15", datasets / "DukeMTMC-reID")
    return "Market1501", "DukeMTMC"


def test_flat_structures_do_not_serve_two_data_sets_of_equal_names(cfg, two_sites, market_data):
    cfg.DATASETS.NAMES = two_sites
    name = f"bounding_box_train/{market_data[0]}"
    both = f"DukeMTMC/{name} and Market1501/{name}: write each data set's structures by"
    for missing in ("error", "skip"):
        cfg.GCL.STRUCTURE.MISSING = missing
        with pytest.raises(MissingStructureError, match=both):
            TrainingSet(cfg)
    cfg.GCL.PHASES = ("contrast",)
    assert len(TrainingSet(cfg)) == 16


@pytest.mark.parametrize("source", ["renders", "geometry"])
def test_two_data_sets_of_equal_names_have_structures_of_their_own(
    cfg,
    two_sites,
    tmp_path,
    run_tool,
    estimator,  # noqa: F811
    source,
):
    """Prepared by the tool one after the other into one folder; the estimator sees yaw and
    confidence in a crop's colour."""
    out, datasets = tmp_path / "prepared", tmp_path / "datasets"
    for folder, red in (("Market-1501-v15.09.15", 0), ("DukeMTMC-reID", 128)):
        for path in (datasets / folder / "bounding_box_train").iterdir():
            Image.new("RGB", (32, 64), (red, 255, 0)).save(path, quality=95)
    for name in two_sites:
        options = ("--write", source, "--height", 64, "--workers", 0)
        status, printed = run_tool("prepare_structure", name, "--out", out, *options)
        assert status == 0 and printed.splitlines()[4].split()[:3] == ["train", "8", "8"]
    cfg.merge_from_list(["DATASETS.NAMES", two_sites, "GCL.STRUCTURE.DIR", str(out)])
    cfg.GCL.STRUCTURE.SOURCE = source
    train_set = TrainingSet(cfg)
    assert train_set.usable == list(range(16))
    seen = {}
    for i, (path, _) in enumerate(train_set.items):
        view = train_set.dataset("generator").views(i)[0]
        seen.setdefault("Duke" if "DukeMTMC" in path else "Market", []).append(view)
    market, duke = (torch.stack(seen[site]) for site in ("Market", "Duke"))
    assert (market == market[0]).all() and (duke == duke[0]).all()  # JPEGs of one colour
    assert (market[0] - duke[0]).abs().max() > 0.2  # seen from the front, and from the back


def test_fewer_images_than_a_batch(cfg):
    cfg.SOLVER.IMS_PER_BATCH = 9
    with pytest.raises(
        ConfigError, match=r"DATASETS.NAMES.*8 training images.*SOLVER.IMS_PER_BATCH 9"
    ):
        TrainingSet(cfg)


def test_an_unknown_data_set_is_named():
    with pytest.raises(ConfigError, match="DATASETS.NAMES.*'Markt1501'"):
        load_dataset("Markt1501")


def test_a_data_set_that_is_not_there_is_named_with_its_folder(market_data, tmp_path):
    shutil.rmtree(tmp_path / "datasets" / "Market-1501-v15.09.15" / "bounding_box_train")
    words = f"DATASETS.NAMES Market1501.*box_train.*FASTREID_DATASETS = {tmp_path}"
    with pytest.raises(ConfigError, match=words):
        load_dataset("Market1501")


@pytest.fixture
def market_folder(market_data, tmp_path) -> Path:
    """Market1501's, with a query and a gallery image of person 5, from cameras 1 and 2."""
    return tmp_path / "datasets" / "Market-1501-v15.09.15"


def test_a_test_set_has_queries_with_matches(market_folder):
    data = load_test_set("Market1501")
    assert len(data.query) == len(data.gallery) == 1


@pytest.mark.parametrize("absent", [True, False])
@pytest.mark.parametrize(
    ("split", "folder"), [("query", "query"), ("gallery", "bounding_box_test")]
)
def test_a_test_set_without_images_names_the_folder(market_folder, split, folder, absent):
    if absent:
        shutil.rmtree(market_folder / folder)
    else:
        next((market_folder / folder).iterdir()).unlink()
    words = rf"^DATASETS.TESTS Market1501 has no {split} images \(.*{folder}\)\.$"
    with pytest.raises(ConfigError, match=words):
        load_test_set("Market1501")


@pytest.mark.parametrize("name", ["0005_c1s1_000002_00.jpg", "0006_c2s1_000002_00.jpg"])
def test_a_test_set_without_a_match_says_so(market_folder, name):
    """The same camera, and another person: neither counts as a match."""
    image = next((market_folder / "bounding_box_test").iterdir())
    image.rename(image.with_name(name))
    cameras = 1 if "_c1" in name else 2
    words = rf"none of the 1 query.*another camera \({cameras} in all"
    with pytest.raises(ConfigError, match=words):
        load_test_set("Market1501")


def test_items_of_a_test_are_queries_first_each_part_by_path():
    query, gallery = ([(f"{name}/{i}.jpg", i, 0) for i in range(5)] for name in ("query", "a"))
    data = SimpleNamespace(query=query[::-1], gallery=gallery[3:] + gallery[:3])
    assert in_order(data) == query + gallery


def test_a_test_set_that_nobody_registered():
    with pytest.raises(ConfigError, match="^DATASETS.TESTS: the toolbox.*'Markt1501'"):
        load_test_set("Markt1501")


def test_seeds_differ_by_epoch_and_rank_and_fit_32_bits():
    seeds = {seed_of(s, e, r) for s in range(5) for e in range(5) for r in range(3)}
    assert len(seeds) == 75
    assert all(0 <= s < 2**32 for s in seeds)
    assert seed_of(1, 2, 0) == seed_of(1, 2)
