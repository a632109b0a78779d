"""Batches of drawn people: who is in them, and that only seed and step decide it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gcl.pretraining import people_batches as module
from gcl.pretraining.people_batches import PeopleBatches, film, load_batches
from gcl.synthetic.people import GROUP, People

FILES, IN_A_FILE, SEEN_BY, SHOTS, SIZE = 3, 6, 3, 2, (32, 16)
S = SEEN_BY * SHOTS


@pytest.fixture
def files() -> list[People]:
    """Each picture is all of one colour: person, shot, and 200; cameras are new for everybody."""
    made = []
    for number in range(FILES):
        crops = np.empty((IN_A_FILE, S, 40, 24, 3), np.uint8)
        people = number * IN_A_FILE + np.arange(IN_A_FILE)
        crops[..., 0] = people[:, None, None, None]
        crops[..., 1] = np.arange(S)[:, None, None]
        crops[..., 2] = 200
        cameras = np.tile(np.arange(SEEN_BY).repeat(SHOTS), (IN_A_FILE, 1)).astype(np.int32)
        box = np.tile(np.array([8, 6, 16, 34], np.float32), (IN_A_FILE, S, 1))
        made.append(People(crops, cameras + people[:, None].astype(np.int32), box))
    return made


@pytest.fixture
def plain(monkeypatch):
    """Colours stay as they are."""
    for name in ("photometric", "occlude"):
        monkeypatch.setattr(module, name, lambda crops: crops)


def batches(files, steps=range(40), people: int = 6, shots: int = 3, seed: int = 1):
    return PeopleBatches(files, people, shots, SIZE, seed, steps)


def test_a_batch_is_so_many_shots_of_so_many_people(files, plain):
    seen = set()
    for batch in load_batches(batches(files), 0):
        images, targets = batch["images"], batch["targets"]
        assert images.shape == (18, 3, *SIZE) and images.dtype == torch.uint8
        assert targets.dtype == torch.int64
        flat = images.flatten(2)
        assert (flat == flat[..., :1]).all()
        assert (flat[:, 2] == 200).all() and torch.equal(flat[:, 0, 0].long(), targets)
        shots = flat[:, 1, 0].view(6, 3)
        people = targets.view(6, 3)
        assert (people == people[:, :1]).all() and len({*people[:, 0].tolist()}) == 6
        for row in shots.tolist():
            assert len({shot // SHOTS for shot in row}) == SEEN_BY  # one of each camera
        # siblings come together
        groups = people[:, 0].view(-1, GROUP).sort(1)[0]
        assert torch.equal(groups, groups[:, :1] + torch.arange(GROUP))
        assert (groups[:, 0] % GROUP == 0).all()
        seen |= {*zip(targets.tolist(), flat[:, 1, 0].tolist(), strict=True)}
    assert len(seen) == FILES * IN_A_FILE * S  # everybody, in every shot


@pytest.mark.parametrize(("people", "shots"), [(4, 2), (2, 6), (18, 1)])
def test_any_numbers_of_people_and_shots(files, plain, people, shots):
    batch = batches(files, people=people, shots=shots)[0]
    pairs = {*zip(batch["targets"].tolist(), batch["images"][:, 1, 0, 0].tolist(), strict=True)}
    assert len(pairs) == people * shots and len({p for p, _ in pairs}) == people


def test_a_group_that_is_not_whole(files, plain):
    """4 people of groups of 3, two of them in a batch."""
    two = [People(*(field[:2] for field in data)) for data in files[:2]]
    made = batches(two, range(60), people=2)
    for data, first in zip(two, (0, 2), strict=True):
        data.crops[..., 0] = first + np.arange(2)[:, None, None, None]
    seen = []
    for batch in made:
        assert torch.equal(batch["images"][:, 0, 0, 0].long(), batch["targets"])
        seen.append((*batch["targets"][::3].tolist(),))
    assert {person for pair in seen for person in pair} == {0, 1, 2, 3}
    assert all(len({*pair}) == 2 for pair in seen)


def test_only_seed_and_step_decide(files):
    wanted = [*load_batches(batches(files, range(5)), 0)]
    torch.manual_seed(99)
    by_others = [*load_batches(batches(files, range(5)), 2)]
    resumed = [*load_batches(batches(files, range(3, 5)), 1)]
    assert len(by_others) == 5 and len(resumed) == 2
    for one, two in zip(wanted + wanted[3:], by_others + resumed, strict=True):
        assert all(torch.equal(one[key], two[key]) for key in ("images", "targets"))
    other = batches(files, range(5), seed=2)[0]
    assert not torch.equal(other["images"], wanted[0]["images"])
    assert not torch.equal(wanted[1]["targets"], wanted[0]["targets"])


def test_chance_elsewhere_is_left_alone(files):
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    batches(files)[0]
    assert torch.equal(torch.rand(3), wanted)


def test_pictures_are_cut_and_seen_anew(files):
    """The boxes and cameras of the estimator's training: no two crops are alike."""
    for data in files:
        data.crops[:] = np.random.default_rng(0).integers(0, 256, data.crops.shape)
    images = torch.cat([batch["images"] for batch in load_batches(batches(files, range(3)), 0)])
    assert len(images.flatten(1).unique(dim=0)) == len(images)
    assert images.float().mean((1, 2, 3)).std() > 10  # exposures


def test_who_takes_uncut_batches_can_film_them(files):
    """With the step's chance going on, they become the same crops."""
    for data in files:
        data.crops[:] = np.random.default_rng(0).integers(0, 256, data.crops.shape)
    uncut = PeopleBatches(files, 6, 3, SIZE, 1, range(40), cut=False)
    wanted = batches(files)[7]
    torch.manual_seed(hash((1, 7)))
    batch = uncut._batch()
    assert {*batch} == {"pictures", "box", "targets"}
    assert batch["pictures"].dtype == torch.uint8 and batch["box"].shape == (18, 4)
    assert torch.equal(batch["targets"], wanted["targets"])
    assert torch.equal(film(batch["pictures"], batch["box"], SIZE), wanted["images"])
    assert torch.equal(uncut[7]["pictures"], batch["pictures"])


def test_every_camera_comes_once_before_one_comes_again():
    cameras = torch.tensor([4, 4, 4, 9, 9, 1])
    for seed in range(30):
        torch.manual_seed(seed)
        order = module._shots_of_many_cameras(cameras)
        assert sorted(order.tolist()) == [*range(6)]
        turn = cameras[order].tolist()
        assert {*turn[:3]} == {1, 4, 9} and {*turn[3:5]} == {4, 9} and turn[5] == 4
