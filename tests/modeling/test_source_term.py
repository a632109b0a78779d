"""The labelled source: its memory by loops, and that it leaves the target's statistics alone."""

import copy

import pytest
import torch
import torch.nn.functional as F
from modeling.test_meta_arch import make_batch, make_model, reached
from modeling.test_step import AskingNothing

from gcl.modeling import GCL, SourceTerm

DIM = 16
"""Of embeddings and pooled features alike, in ``tiny_cfg``."""


class Heads(torch.nn.Module):
    """Pooling, and a neck that does nothing."""

    def pool(self, features):
        return features.mean((2, 3))

    def neck(self, pooled, camids, norm):
        return pooled if norm is None else norm(pooled, camids)


def term(alpha=0.3, camera_norm=False):
    return SourceTerm(DIM, DIM, alpha=alpha, temperature=0.1, scale=2.0, camera_norm=camera_norm)


def maps(*shape):
    return torch.randn(*shape, DIM, 2, 1)


# ---------------------------------------------------------------------- memory
def test_centroids_are_first_the_means_of_the_normalised_embeddings():
    torch.manual_seed(0)
    pooled, targets = torch.randn(7, DIM), torch.tensor([0, 2, 2, 0, 4, 2, 0])
    source = term()
    source.fit(Heads(), pooled, targets, torch.zeros(7).long(), classes=5)
    for k in range(5):
        own = [x / x.norm() for x, y in zip(pooled, targets.tolist(), strict=True) if y == k]
        expected = sum(own) / len(own) if own else torch.zeros(DIM)
        expected = expected / expected.norm() if own else expected
        torch.testing.assert_close(source.centroids[k], expected)


def test_centroids_follow_the_mean_of_their_people_in_a_batch():
    """w_k <- normalise(alpha w_k + (1 - alpha) mean of the normalised f_i of k)."""
    torch.manual_seed(1)
    source, alpha = term(), 0.3
    source.centroids = F.normalize(torch.randn(4, DIM), dim=1)
    before, features = source.centroids.clone(), maps(5)
    targets = [1, 3, 1, 1, 3]
    source.update(features.mean((2, 3)), torch.tensor(targets))
    for k in range(4):
        own = [f.mean((1, 2)) for f, y in zip(features, targets, strict=True) if y == k]
        if not own:
            assert torch.equal(source.centroids[k], before[k])
            continue
        mean = sum(f / f.norm() for f in own) / len(own)
        expected = alpha * before[k] + (1 - alpha) * mean
        torch.testing.assert_close(source.centroids[k], expected / expected.norm())


def test_what_is_no_number_moves_no_centroid():
    source = term()
    source.centroids = torch.eye(DIM)[:3].clone()
    features = maps(3)
    features[1] = float("nan")
    source.update(features.mean((2, 3)), torch.tensor([0, 1, 0]))
    assert source.centroids.isfinite().all()
    assert torch.equal(source.centroids[1], torch.eye(DIM)[1])
    assert not torch.equal(source.centroids[0], torch.eye(DIM)[0])


def test_the_loss_is_that_of_the_centroids_times_its_weight():
    torch.manual_seed(2)
    source, features, targets = term(), maps(4), torch.tensor([0, 1, 1, 2])
    source.centroids = F.normalize(torch.randn(3, DIM), dim=1)
    f = F.normalize(features.mean((2, 3)), dim=1)
    expected = F.cross_entropy(f @ source.centroids.T / 0.1, targets)
    loss = source(source.embed(Heads(), features, torch.zeros(4).long()), targets)
    torch.testing.assert_close(loss, 2 * expected)


# ---------------------------------------------------------------------- apart from the target
def source_batch(seed=5):
    g = torch.Generator().manual_seed(seed)
    return {
        # much brighter than the target's: mixed statistics would show
        "source_images": 200 + 55 * torch.rand(6, 3, 64, 32, generator=g),
        "source_targets": torch.tensor([0, 0, 1, 1, 2, 2]),
        "source_camids": torch.tensor([0, 1, 0, 1, 2, 2]),
    }


SOURCE = ("GCL.CAMERA_NORM", True, "GCL.SOURCE.NAMES", ("Market1501",))


def with_people(model: GCL) -> GCL:
    """The model, with centroids of the three people of :func:`source_batch`."""
    centroids = torch.randn(3, DIM, generator=torch.Generator().manual_seed(4))
    model.source.centroids = F.normalize(centroids, dim=1).to(model.device)
    return model


@pytest.fixture
def model(tiny_cfg):
    def build(phase="joint", *pairs: object) -> GCL:
        return with_people(make_model(tiny_cfg(*SOURCE, *pairs), phase))

    return build


def statistics(model: GCL) -> dict[str, torch.Tensor]:
    """All that the target's evaluation uses; batch norm's counters say nothing."""
    return {
        name: value.clone()
        for name, value in model.named_buffers()
        if not name.startswith("source.") and not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("phase", ["contrast", "joint"])
@pytest.mark.parametrize("learns", ["everything", "encoder"])
def test_the_source_moves_no_statistic_of_the_target(model, phase, learns):
    alone = model(phase, "GCL.JOINT.LEARNS", learns)
    beside = copy.deepcopy(alone)
    first = statistics(alone)
    losses = []
    for network, batch in ((alone, make_batch()), (beside, make_batch())):
        if network is beside:
            batch |= source_batch()
        torch.manual_seed(3)
        losses.append(network(batch))
        network.update_memory()
    assert losses[1].keys() - losses[0].keys() == {"loss_source"}
    for name, loss in losses[0].items():
        assert torch.equal(loss, losses[1][name]), name
    after, same = statistics(alone), statistics(beside)
    moved = {name for name in after if not torch.equal(after[name], first[name])}
    assert {"backbone.1.running_mean", "heads.camera_norm.sum", "bank.features"} <= moved
    for name in after:
        assert torch.equal(after[name], same[name]), name
    assert beside.source.norm.count.flatten()[:5].tolist() == pytest.approx([6, 2, 2, 2, 0])
    assert not torch.equal(beside.source.centroids, alone.source.centroids)


def test_the_source_is_normalised_by_its_own_batch(model):
    """E_id sees the same of the source whatever the target's running statistics are."""
    network = model("contrast")
    losses = []
    for shift in (0.0, 50.0):
        network.backbone[1].running_mean += shift
        network.heads.bottleneck[0].running_mean += shift
        network.heads.camera_norm.sum += shift
        twin = copy.deepcopy(network)
        losses.append(twin(make_batch() | source_batch())["loss_source"])
    assert torch.equal(*losses)


def test_frozen_statistics_are_the_source_s_too(model):
    network = model("contrast", "GCL.FREEZE_BN", True)
    before = statistics(network)
    network(make_batch() | source_batch())
    assert torch.equal(before["backbone.1.running_mean"], network.backbone[1].running_mean)


def test_the_source_teaches_the_encoder_alone(model):
    network = model()
    loss = network(make_batch() | source_batch())["loss_source"]
    assert reached(network, loss) == {"backbone", "heads"}


def test_what_is_evaluated_has_nothing_of_the_source(model, tiny_cfg):
    names = set(model().state_dict())
    without = make_model(tiny_cfg("GCL.CAMERA_NORM", True))
    assert without.source is None
    assert names == set(without.state_dict())


@pytest.mark.parametrize("phase", ["contrast", "joint"])
def test_a_step_beside_a_source_asks_nothing(model, phase):
    """Of what its tensors hold, so that a GPU waits for nobody."""
    network = model(phase)
    with AskingNothing():
        losses = network(make_batch() | source_batch())
        sum(losses.values()).backward()
        network.update_memory()
    assert losses["loss_source"].isfinite()
