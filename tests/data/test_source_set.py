"""Labelled crops beside the target: who they are, who comes into a batch, how they are changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.market1501 import Market1501
from PIL import Image

from gcl.config import ConfigError
from gcl.data.build import TrainingSet
from gcl.data.source_set import SourceDataset, SourceSet, WithSource

FOLDER = "Market-1501-v15.09.15/bounding_box_train"


@DATASET_REGISTRY.register()
class DrawnMarket(Market1501):
    """As one that gcl.synthetic draws."""

    drawn = True


@pytest.fixture
def root(tmp_path, write_crop):
    """6 people of 5, 5, 5, 3, 3, 1 images before cameras 1, 2 and 4, in a root of their own."""
    for person, images in enumerate((5, 5, 5, 3, 3, 1), start=11):
        for i in range(images):
            name = f"{person:04d}_c{(1, 2, 4)[i % 3]}s1_{i:06d}_00.jpg"
            write_crop(tmp_path / "source" / FOLDER / name, seed=10 * person + i)
    return str(tmp_path / "source")


@pytest.fixture
def cfg(tiny_cfg, market_data, root):
    def build(*pairs: object):
        names = {"GCL.SOURCE.NAMES": ("Market1501",), "GCL.SOURCE.ROOT": root}
        names |= {"GCL.SOURCE.BATCH": 6, "DATASETS.NAMES": ("Market1501",)}
        names |= {"GCL.PHASES": ("contrast",)}
        return tiny_cfg(*(part for pair in names.items() for part in pair), *pairs)

    return build


def as_rank(monkeypatch, rank: int, size: int) -> None:
    monkeypatch.setattr("gcl.data.source_set.comm.get_rank", lambda: rank)
    monkeypatch.setattr("gcl.data.source_set.comm.get_world_size", lambda: size)
    monkeypatch.setattr("fastreid.data.build.comm.get_world_size", lambda: size)


# ---------------------------------------------------------------------- who is there
def test_people_and_cameras_are_numbered_from_0(cfg, root):
    source = SourceSet(cfg())
    assert source.people == 6 and len(source.items) == 22
    for path, person, camera in source.items:
        name = path.rsplit("/", 1)[1]
        assert path.startswith(root)
        assert person == int(name[:4]) - 11
        assert camera == (1, 2, 4).index(int(name[6]))
    assert source.items == sorted(source.items)
    assert not any(source.drawn)


def test_two_sets_share_nobody_and_no_camera(cfg):
    source = SourceSet(cfg("GCL.SOURCE.NAMES", ("DrawnMarket", "Market1501")))
    first, second = source.items[:22], source.items[22:]
    assert [path for path, *_ in first] == [path for path, *_ in second]
    assert {p for _, p, _ in first} == set(range(6)) and {c for *_, c in first} == {0, 1, 2}
    assert {p for _, p, _ in second} == set(range(6, 12)) and {c for *_, c in second} == {3, 4, 5}
    assert source.drawn == [True] * 22 + [False] * 22 and source.people == 12


def test_the_target_is_no_source(cfg):
    target = [path for path, _ in TrainingSet(cfg()).items]
    SourceSet(cfg(), target)
    with pytest.raises(ConfigError, match="GCL.SOURCE.NAMES.*training images of DATASETS.NAMES"):
        SourceSet(cfg("GCL.SOURCE.ROOT", ""), target)


def test_a_batch_needs_its_people(cfg):
    with pytest.raises(ConfigError, match=r"6 people: GCL.SOURCE.BATCH 14 .* needs 7; lower it"):
        SourceSet(cfg("GCL.SOURCE.BATCH", 14))
    SourceSet(cfg("GCL.SOURCE.BATCH", 12))


def test_a_folder_without_the_set_is_named_by_its_key(cfg, tmp_path):
    with pytest.raises(ConfigError, match=r"GCL.SOURCE.NAMES DukeMTMC.*GCL.SOURCE.ROOT = "):
        SourceSet(cfg("GCL.SOURCE.NAMES", ("DukeMTMC",)))
    with pytest.raises(ConfigError, match=r"GCL.SOURCE.NAMES.*no data set 'Markt1501'"):
        SourceSet(cfg("GCL.SOURCE.NAMES", ("Markt1501",)))


# ---------------------------------------------------------------------- batches
def test_a_batch_is_people_with_two_images_each(cfg):
    source = SourceSet(cfg())
    truth = {(person, camera) for _, person, camera in source.items}
    batches = list(source.train_loader(5, seed=3))
    assert len(batches) == 5
    for batch in batches:
        assert batch["images"].shape == (6, 3, 64, 32)
        assert batch["images"].min() >= 0 and 100 < batch["images"].max() <= 255
        pairs = list(zip(batch["targets"].tolist(), batch["camids"].tolist(), strict=True))
        assert set(pairs) <= truth


def test_ranks_share_one_draw_and_a_seed_is_one_draw(cfg, monkeypatch):
    source = SourceSet(cfg())

    def people(seed: int) -> list[list[int]]:
        return [batch["targets"].tolist() for batch in source.train_loader(4, seed=seed)]

    whole = people(3)
    assert whole == people(3) != people(4)
    shares = []
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        shares.append(people(3))
    assert [first + second for first, second in zip(*shares, strict=True)] == whole


def test_everybody_is_there_before_the_first_step(cfg, monkeypatch):
    """DATALOADER.NUM_INSTANCE 2 images of each of six people, of one only one: 11, and one again to
    fill the last batch."""
    source = SourceSet(cfg())
    batches = list(source.first_loader(seed=0))
    assert [len(batch["targets"]) for batch in batches] == [6, 6]
    people = torch.cat([batch["targets"] for batch in batches]).tolist()
    counts = np.bincount(people)
    assert sorted(counts) in ([1, 2, 2, 2, 2, 3], [2, 2, 2, 2, 2, 2])
    shares = []
    for rank in range(2):
        as_rank(monkeypatch, rank, 2)
        shares += [y for batch in source.first_loader(seed=0) for y in batch["targets"].tolist()]
    assert sorted(shares) == sorted(people)


def test_drawn_crops_are_changed_as_in_pre_training_and_photographs_are_not(cfg, monkeypatch):
    """What is done to a whole batch is done to the drawn ones of it alone, occlusion first."""
    items, drawn = SourceSet(cfg()).items[:4], [False, True, False, True]
    monkeypatch.setattr("gcl.data.source_set.occlude", lambda crops: crops.flip(0) + 1)
    monkeypatch.setattr("gcl.data.source_set.photometric", lambda crops: 3 * crops)

    def plain(image):
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def other(image):
        return plain(image) // 2

    data = SourceDataset(items, drawn, (64, 32), plain, other)
    batch = data.__getitems__([0, 1, 2, 3])
    pictures = [plain(Image.open(path)).float() for path, *_ in items]
    halves = [(picture / 2).floor() for picture in pictures]
    expected = [pictures[0], 3 * (halves[3] + 1), pictures[2], 3 * (halves[1] + 1)]
    for item, (_, person, camera), images in zip(batch, items, expected, strict=True):
        assert (item["targets"], item["camids"]) == (person, camera)
        assert torch.equal(item["images"].float(), images)
    assert torch.equal(data[1]["images"], 3 * (halves[1] + 1))


def test_drawn_crops_are_not_erased(cfg):
    """They have things before them; photographs are augmented as the target's are."""
    source = SourceSet(cfg("INPUT.REA.ENABLED", True, "INPUT.REA.PROB", 1.0))
    photographs, drawn = source.train_loader(1, seed=0).dataset.transforms
    names = [[type(step).__name__ for step in t.transforms] for t in (photographs, drawn)]
    assert names[0] == [*names[1], "RandomErasing"]


class Loader:
    def __init__(self, *batches: dict) -> None:
        self.batches, self.ended, self.dataset = batches, 0, object()

    def __iter__(self):
        return iter(self.batches)

    def shutdown(self) -> None:
        self.ended += 1


def test_batches_of_both_come_together():
    target, source = Loader({"images": 1}, {"images": 2}), Loader({"images": 3}, {"images": 4})
    both = WithSource(target, source)
    expected = [{"images": 1, "source_images": 3}, {"images": 2, "source_images": 4}]
    assert list(both) == expected
    assert both.dataset is target.dataset
    both.shutdown()
    assert (target.ended, source.ended) == (1, 1)
