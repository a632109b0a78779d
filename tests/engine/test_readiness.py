"""Readiness: 1 for views that E_id recognises beyond doubt, 0 for views that tell it nothing."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gcl.engine.readiness import Readiness, measure_readiness
from gcl.modeling.layers import RunningNorm

N, T = 32, 0.04


class Stub(nn.Module):
    """Stands for the model: a view is its crop, a view's "feature map" is ``features`` (N, D) of
    its image, its code the crop plus 1."""

    device = torch.device("cpu")

    def __init__(self, features, labels=None):
        super().__init__()
        self.features = features
        labels = torch.full((N,), -1) if labels is None else labels
        self.bank = SimpleNamespace(features=torch.eye(N), labels=labels)
        self.heads = Heads()
        self.turns = []

    def preprocess_image(self, batch):
        assert not self.training
        return batch["images"]

    def part_code(self, x):
        return x + 1

    def draw(self, x, code, s_ori, s_new):
        assert torch.equal(code, x + 1)
        self.turns.append(s_new.flatten().tolist())
        return x

    def resize(self, images, size):
        assert images.shape[-2:] == size
        return images

    def backbone(self, images):
        return self.features[images[:, 0, 0, 0].long()]


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.camera_norm = None

    def pool(self, x):
        return x

    def neck(self, x, camids, norm):
        assert len(camids) == len(x)
        return x if norm is None else norm(x)


class Pictures:
    """Image i is filled with i; its turn is drawn like the real data set's."""

    def __getitem__(self, i):
        turn = torch.randint(1000, ()).float().view(1, 1, 1)
        return {
            "images": torch.full((3, 1, 1), float(i)),
            "structure_ori": turn * 0,
            "structure_new": turn,
            "indices": i,
            "camids": 0,
        }


def measure(features, labels=None, indices=range(N), **kwargs):
    model = Stub(features, labels).train()
    return measure_readiness(model, Pictures(), list(indices), T, **kwargs)


def test_perfect_views():
    measured = measure(torch.eye(N))
    loss = math.log1p((N - 1) * math.exp(-1 / T))
    assert measured.loss == pytest.approx(loss, abs=1e-6)
    assert measured.chance == pytest.approx(math.log(N))
    assert measured.score == pytest.approx(1 - loss / math.log(N), abs=1e-6)
    assert measured.score > 0.999
    assert measured.rank1 == measured.rank1_class == 1


def test_blind_views():
    """A view that is equally near to every row: L_vi = log N, whichever the images."""
    measured = measure(torch.ones(N, N))
    assert measured.loss == pytest.approx(math.log(N), abs=1e-4)
    assert measured.score == pytest.approx(0, abs=1e-4)
    assert measured.rank1 == pytest.approx(1 / N)


def test_blind_views_among_large_classes():
    """Rows of the own class are no negatives: a blind guess costs log(1 + K) and scores 0."""
    labels = torch.arange(N) % 2
    measured = measure(torch.ones(N, N), labels)
    assert measured.chance == pytest.approx(math.log(1 + N // 2))
    assert measured.score == pytest.approx(0, abs=1e-4)


def test_views_of_somebody_else_are_not_below_zero():
    measured = measure(torch.eye(N).roll(1, 0))
    assert measured.loss == pytest.approx(1 / T, rel=1e-4)
    assert measured.score == 0
    assert measured.rank1 == measured.rank1_class == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_no_numbers_are_not_ready(value):
    features = torch.eye(N)
    features[3] = value
    measured = measure(features)
    assert measured.score == 0


def test_half_way():
    """Between the own row and one other, both at the same angle: log 2 and a little."""
    features = torch.eye(N) + torch.eye(N).roll(1, 0)
    rest = (N - 2) * math.exp(-1 / (T * math.sqrt(2)))
    measured = measure(features)
    assert measured.loss == pytest.approx(math.log(2 + rest), abs=1e-5)
    assert measured.score == pytest.approx(1 - math.log(2 + rest) / math.log(N), abs=1e-5)


def test_a_view_nearest_to_another_of_its_class_counts_for_the_class_only():
    pairs = torch.arange(N) // 2
    swapped = torch.eye(N)[torch.arange(N) ^ 1]
    measured = measure(swapped, pairs)
    assert (measured.rank1, measured.rank1_class) == (0, 1)
    outliers = measure(swapped)  # -1 is no class
    assert (outliers.rank1, outliers.rank1_class) == (0, 0)


def test_what_all_views_share_is_no_obstacle_where_they_have_statistics_of_their_own():
    """Views that are the rows plus one large vector: blind as they are, ready once standardised."""
    model = Stub(torch.eye(N) + 50 * torch.randn(N))
    assert measure_readiness(model, Pictures(), list(range(N)), T).score < 0.01
    model.heads.camera_norm = RunningNorm(N)
    measured = measure_readiness(model, Pictures(), list(range(N)), T)
    assert measured.rank1 == 1
    assert measured.score > 0.9
    assert model.heads.camera_norm.count.item() == 0  # the originals' statistics are left alone


def test_batches_do_not_matter_and_only_the_chosen_images_count():
    torch.manual_seed(0)
    features = F.normalize(torch.randn(N, N), dim=1)
    whole, parts = measure(features), measure(features, batch_size=5)
    assert parts == pytest.approx(whole, abs=1e-5)
    features[10:] = torch.eye(N)[10:]
    assert measure(features, indices=range(10, 20)).score > 0.999


def test_the_turns_are_the_same_every_time_and_the_random_state_is_left_alone():
    model = Stub(torch.eye(N))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    for _ in range(2):
        measure_readiness(model, Pictures(), [3, 4, 5], T)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.turns[0] == model.turns[1]
    assert len(set(model.turns[0])) > 1


def test_the_mode_of_the_model_comes_back():
    for mode in (True, False):
        model = Stub(torch.eye(N)).train(mode)
        measure_readiness(model, Pictures(), [0, 1], T)
        assert model.training is mode


def test_fields_are_what_the_log_shows():
    assert Readiness._fields == ("score", "loss", "chance", "rank1", "rank1_class")
