"""What happens around the steps, hook by hook, with the rest of the trainer played by stand-ins."""

import itertools
import logging
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from engine import runs

from gcl.data.build import seed_of
from gcl.data.sampler import PseudoLabelSampler, ShuffleSampler
from gcl.engine import hooks
from gcl.engine.phases import Place
from gcl.engine.readiness import Readiness
from gcl.modeling import MemoryBank
from gcl.pseudo_labels import PseudoLabels

N = 24


class Plan:
    """Epochs 0 and 1 contrast, 2 and 3 generator, 4 and 5 joint."""

    def place(self, epoch):
        phase = ("contrast", "generator", "joint")[epoch // 2]
        return Place(phase, epoch % 2, epoch % 2 == 0, epoch % 2 == 1)


class Storage:
    def __init__(self):
        self.scalars = {}

    def put_scalars(self, smoothing_hint, **scalars):
        assert not smoothing_hint
        self.scalars |= scalars


def groups_of_three():
    """8 people of 3 images each, far apart."""
    torch.manual_seed(0)
    centres = torch.eye(8).repeat_interleave(3, 0)
    return centres + 0.01 * torch.randn(N, 8)


@pytest.fixture
def trainer(toy, tmp_path):
    bank = MemoryBank(8, 0.2, N)
    bank.fill(groups_of_three())
    train_set = SimpleNamespace(
        usable=list(range(N)), feature_loader=lambda: "loader", dataset=lambda phase: phase
    )
    return SimpleNamespace(
        cfg=runs.config(tmp_path, toy),
        epoch=0,
        plan=Plan(),
        gcl=SimpleNamespace(bank=bank, proxies=None, device=torch.device("cpu")),
        state=SimpleNamespace(seed=7, evaluated=True),
        _hooks=[],
        storage=Storage(),
        iter=0,
        train_set=train_set,
        source_set=None,
        iters_per_epoch=6,
    )


def label_hook(trainer, toy, tmp_path, identities=None, known=None, **changes):
    options = {"GCL__LABELS__K1": 3, "GCL__LABELS__K2": 1, "GCL__LABELS__MIN_SAMPLES": 2}
    cfg = runs.config(tmp_path, toy, **(options | changes))
    hook = hooks.PseudoLabelHook(cfg, identities, known)
    hook.trainer = trainer
    return hook


@pytest.fixture
def build(trainer, toy, tmp_path):
    def build(identities=None, known=None, **changes):
        return label_hook(trainer, toy, tmp_path, identities, known, **changes)

    return build


# ---------------------------------------------------------------------- pseudo labels
def test_clusters_become_labels(trainer, build):
    build().before_epoch()
    assert trainer.gcl.bank.labels.tolist() == [person for person in range(8) for _ in range(3)]
    scalars = trainer.storage.scalars
    assert scalars["labels/clusters"] == 8 and scalars["labels/outliers"] == 0
    assert scalars["labels/eps"] == pytest.approx(0.6)
    assert "labels/precision" not in scalars  # nobody knows the truth


def test_the_truth_is_logged_when_it_exists_and_changes_nothing(trainer, build):
    truth = np.arange(N) // 6
    build(truth).before_epoch()
    assert trainer.gcl.bank.labels.max() == 7
    scalars = trainer.storage.scalars
    assert scalars["labels/precision"] == 1
    assert scalars["labels/recall"] == pytest.approx(8 * 3 / (4 * 15))


def test_the_clusters_say_how_much_they_moved_and_how_many_cameras_they_hold(
    trainer, toy, tmp_path
):
    old = torch.arange(N) // 4  # of the epoch before, all of which are replaced
    trainer.gcl.bank.labels.copy_(old)
    cfg = label_hook(trainer, toy, tmp_path).node
    hook = hooks.PseudoLabelHook(
        SimpleNamespace(GCL=SimpleNamespace(LABELS=cfg)), cameras=np.arange(N) // 3 % 2
    )
    hook.trainer = trainer
    hook.before_epoch()
    scalars = trainer.storage.scalars
    expected = quality_oracle(old.numpy(), np.arange(N) // 3)["rand_index"]
    assert 0 < expected < 1 and scalars["labels/stability"] == pytest.approx(expected)
    assert scalars["labels/cross_camera"] == 0 and scalars["labels/outlier_share"] == 0


def test_tracks_are_heard(trainer, build):
    """The first two people of three images are as one; two tracks at the same time part them."""
    features = trainer.gcl.bank.features
    features[3:6] = features[:3]
    build(GCL__LABELS__K1=6).before_epoch()
    assert len(set(trainer.gcl.bank.labels[:6].tolist())) == 1
    tracks = {
        "tracks": np.arange(N) // 3,
        "times": np.arange(N) % 3,
        "cameras": np.zeros(N, np.int64),
    }
    build(known=tracks, GCL__LABELS__K1=6).before_epoch()
    first, second = (set(trainer.gcl.bank.labels[i : i + 3].tolist()) for i in (0, 3))
    assert len(first) == len(second) == 1 and first != second


def test_sites_are_heard(trainer, build):
    """The first two people look the same, and are at two sites."""
    trainer.gcl.bank.features[3:6] = trainer.gcl.bank.features[:3]
    build(known={"sites": np.arange(N) // 3 % 2}, GCL__LABELS__K1=6).before_epoch()
    first, second = (set(trainer.gcl.bank.labels[i : i + 3].tolist()) for i in (0, 3))
    assert len(first) == len(second) == 1 and first != second


@pytest.mark.parametrize("epoch", [2, 3])
def test_the_generator_phase_has_no_use_for_labels(trainer, build, epoch):
    trainer.epoch = epoch
    build().before_epoch()
    assert (trainer.gcl.bank.labels == -1).all() and not trainer.storage.scalars


NO_CLUSTER = {"GCL__LABELS__MIN_SAMPLES": 4}  # of three images a person
ONE_CLUSTER = "one cluster"


def spoil(trainer, build, how):
    if how == ONE_CLUSTER:
        trainer.gcl.bank.fill(torch.ones(N, 8))
        return build()
    return build(**NO_CLUSTER)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no cluster", ("no cluster", "raise GCL.LABELS.EPS", "MIN_SAMPLES", "MODEL.WEIGHTS")),
        (ONE_CLUSTER, ("everything into one cluster", "lower GCL.LABELS.EPS")),
    ],
)
def test_useless_clusters_stop_a_run_that_never_had_labels(trainer, build, how, words):
    with pytest.raises(hooks.NoClusterError) as caught:
        spoil(trainer, build, how).before_epoch()
    message = str(caught.value)
    assert all(word in message for word in words) and "\n" not in message


@pytest.mark.parametrize("how", ["no cluster", ONE_CLUSTER])
def test_useless_clusters_leave_the_labels_of_the_epoch_before(trainer, build, how, caplog):
    old = torch.arange(N) // 2 - 1  # with outliers
    trainer.gcl.bank.labels.copy_(old)
    hook = spoil(trainer, build, how)
    with caplog.at_level(logging.WARNING, "gcl.engine.hooks"):
        hook.before_epoch()
    assert torch.equal(trainer.gcl.bank.labels, old)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert how.split()[-1] in warnings[0] and "epoch before" in warnings[0]
    assert trainer.storage.scalars["labels/clusters"] == (how == ONE_CLUSTER)


@pytest.mark.parametrize(("k1", "warned"), [(N + 1, True), (N, False)])
def test_fewer_images_than_k1_is_a_warning_with_the_remedy(trainer, build, caplog, k1, warned):
    trainer.gcl.bank.labels.zero_()  # with so many neighbours all may become one cluster
    with caplog.at_level(logging.WARNING, "gcl.engine.hooks"):
        build(GCL__LABELS__K1=k1).before_epoch()
    assert (f"Only {N} training images" in caplog.text) == warned
    assert (f"K1 {k1}: lower K1" in caplog.text) == warned


@pytest.mark.parametrize(("k1", "warned"), [(6, True), (5, False)])
def test_the_smallest_site_counts(trainer, build, caplog, k1, warned):
    sites = {"sites": np.arange(N) >= 5}
    trainer.gcl.bank.labels.zero_()
    with caplog.at_level(logging.WARNING, "gcl.engine.hooks"):
        build(known=sites, GCL__LABELS__K1=k1).before_epoch()
    assert ("Only 5 training images at a site" in caplog.text) == warned


def labelled(clusters, outliers, crowded=0):
    """A stand-in for the labeler's result on N images."""
    labels = np.concatenate([np.arange(N - outliers) % clusters, np.full(outliers, -1)])
    return PseudoLabels(labels, 1e-5, clusters, outliers, crowded, {})


def said(caplog, hook, results):
    """Warnings of the epochs in which the labeler finds these results."""
    results, eps = iter(results), hook.labeler.eps
    hook.labeler = lambda features: next(results)
    hook.labeler.eps = eps
    found = []
    for _ in range(3):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "gcl.engine.hooks"):
            hook.before_epoch()
        found.append([r.getMessage() for r in caplog.records])
    return found


@pytest.mark.parametrize(
    ("eps", "words"),
    [
        (0.0, ["GCL.LABELS.RHO (0.002)", "GCL.LABELS.EPS", "video"]),
        (0.3, ["raise GCL.LABELS.EPS (0.3)"]),
    ],
)
def test_mostly_outliers_is_a_warning_with_the_epochs_before(trainer, build, caplog, eps, words):
    results = [labelled(4, N // 2), labelled(3, N // 2 + 3), labelled(2, N - 6)]
    hook = build(GCL__LABELS__EPS=eps)
    first, second, third = said(caplog, hook, results)
    assert first == []  # a half is not most
    for line, count, before in ((second, N // 2 + 3, "had 50%"), (third, N - 6, "had 50%, 62%")):
        assert len(line) == 1 and f"{count} of {N} training images are outliers" in line[0]
        assert before in line[0] and "GCL.LABELS.K1 (3)" in line[0]
        assert all(word in line[0] for word in words)


def test_neighbourhoods_of_one_crop_are_a_warning(trainer, build, caplog):
    results = [labelled(8, 0, N // 2), labelled(8, 0, N // 2 + 1), labelled(1, 0, N)]
    trainer.gcl.bank.labels.zero_()
    first, second, third = said(caplog, build(), results)
    assert first == []
    assert len(second) == 1 and "13 of 24" in second[0] and "K1 (3)" in second[0]
    assert len(third) == 1 and "one cluster" in third[0]  # which says enough


@pytest.mark.parametrize(
    ("features", "epoch", "refilled"),
    [("fresh", 1, True), ("fresh", 5, True), ("fresh", 0, False), ("bank", 1, False)],
)
def test_fresh_features_come_from_a_pass_of_their_own(
    trainer, build, monkeypatch, features, epoch, refilled
):
    fresh = groups_of_three().flip(0)
    monkeypatch.setattr(hooks, "extract_features", lambda model, loader: fresh)
    before = trainer.gcl.bank.features.clone()
    trainer.epoch = epoch
    build(GCL__LABELS__FEATURES=features).before_epoch()
    expected = torch.nn.functional.normalize(fresh, dim=1) if refilled else before
    assert torch.equal(trainer.gcl.bank.features, expected)


def test_features_are_gone_when_the_bank_is_clustered(trainer, build, monkeypatch):
    """They are as large as the bank."""
    made = []

    def extract(model, loader):
        features = groups_of_three()
        made.append(weakref.ref(features))
        return features

    monkeypatch.setattr(hooks, "extract_features", extract)
    hook = build()
    trainer.epoch, labeler = 1, hook.labeler
    alive = []
    hook.labeler = lambda *args, **kwargs: alive.append(made[0]()) or labeler(*args, **kwargs)
    hook.before_epoch()
    assert alive == [None]


# ---------------------------------------------------------------------- quality of clusters
def pair_counts(truth, labels):
    """Same in both, only in labels, only in truth, in neither; an outlier is never "same"."""
    both = only_labels = only_truth = neither = 0
    for i, j in itertools.combinations(range(len(truth)), 2):
        together = labels[i] == labels[j] != -1
        same = truth[i] == truth[j]
        both += together and same
        only_labels += together and not same
        only_truth += same and not together
        neither += not same and not together
    return both, only_labels, only_truth, neither


def quality_oracle(truth, labels):
    a, b, c, d = pair_counts(truth, labels)
    index = 1.0
    if b or c:  # Hubert and Arabie's index, by pairs
        index = 2 * (a * d - b * c) / ((a + b) * (b + d) + (a + c) * (c + d))
    return {"precision": a / max(a + b, 1), "recall": a / max(a + c, 1), "rand_index": index}


@pytest.mark.parametrize("seed", range(5))
def test_cluster_quality_counts_pairs(seed):
    rng = np.random.default_rng(seed)
    truth, labels = rng.integers(0, 6, 40), rng.integers(-1, 5, 40)
    assert hooks.cluster_quality(truth, labels) == pytest.approx(quality_oracle(truth, labels))


@pytest.mark.parametrize(
    ("truth", "labels"),
    [
        ([0, 0, 1, 1], [5, 5, 2, 2]),
        ([0, 0, 1, 1], [-1, -1, -1, -1]),
        ([0, 0, 1, 1], [0, 0, 0, 0]),
        ([0, 1, 2, 3], [-1, -1, -1, -1]),
        ([3], [0]),
    ],
)
def test_cluster_quality_at_the_edges(truth, labels):
    truth, labels = np.array(truth), np.array(labels)
    before = labels.copy()
    assert hooks.cluster_quality(truth, labels) == pytest.approx(quality_oracle(truth, labels))
    assert (labels == before).all()


# ---------------------------------------------------------------------- phases
class Model(SimpleNamespace):
    def set_phase(self, phase):
        self.phase = phase


@pytest.fixture
def phase_hook(trainer, monkeypatch):
    trainer.begun, trainer.applied, trainer.new_necks, trainer.views = [], [], [], []

    def extract(model, loader, new_neck):
        trainer.new_necks.append(new_neck)
        return torch.eye(N)[:, :8] + 1

    monkeypatch.setattr(hooks, "extract_features", extract)
    monkeypatch.setattr(hooks, "fit_view_statistics", lambda model, loader: loader.use(trainer))
    heads = SimpleNamespace(generated_norm=None)
    trainer.gcl = Model(bank=trainer.gcl.bank, heads=heads)
    trainer.optimizer = SimpleNamespace(begin=trainer.begun.append)
    trainer.schedule = SimpleNamespace(apply=trainer.applied.append)
    hook = hooks.PhaseHook()
    hook.trainer = trainer
    return hook


def test_a_phase_begins_once_and_goes_on(trainer, phase_hook):
    for trainer.epoch in range(6):
        trainer.gcl.bank.features.zero_()
        phase_hook.before_epoch()
        assert trainer.gcl.phase == Plan().place(trainer.epoch).phase
        filled = bool(trainer.gcl.bank.features.any())
        assert filled == (trainer.epoch % 2 == 0)
    assert trainer.begun == ["contrast", "generator", "joint"]
    assert trainer.applied == list(range(6))
    assert trainer.new_necks == [True, False, False]  # the neck is new before the first fill only
    assert trainer.views == []


@pytest.mark.parametrize(("usable", "drawn"), [(N, N), (20, 20), (10_000, 4096)])
def test_views_are_measured_once_before_they_count(trainer, phase_hook, usable, drawn):
    """A loader of the joint phase that shows each image once, 4096 at most."""

    class Loader:
        def __init__(self, phase, sampler):
            self.phase, self.rows, self.ended = phase, list(sampler), False

        def use(self, trainer):
            trainer.views.append((trainer.epoch, self))

        def shutdown(self):
            self.ended = True

    trainer.train_set.usable = list(range(usable))
    trainer.train_set.train_loader = Loader
    trainer.gcl.heads.generated_norm = "there is one"
    for trainer.epoch in range(6):
        phase_hook.before_epoch()
    ((epoch, loader),) = trainer.views
    assert (epoch, loader.phase, loader.ended) == (4, "joint", True)
    assert len(set(loader.rows)) == drawn
    assert drawn <= len(loader.rows) < drawn + 4  # whole batches


def test_a_source_is_measured_before_each_phase_that_it_teaches(trainer, phase_hook, monkeypatch):
    measured, ended = [], []
    loader = SimpleNamespace(shutdown=lambda: ended.append(trainer.epoch))
    trainer.source_set = SimpleNamespace(people=5, first_loader=lambda seed: loader)
    monkeypatch.setattr(
        hooks, "fit_source", lambda model, *source: measured.append((trainer.epoch, *source))
    )
    for trainer.epoch in range(6):
        phase_hook.before_epoch()
    assert measured == [(0, loader, 5), (4, loader, 5)]  # contrast and joint
    assert ended == [0, 4]


def test_random_numbers_of_an_epoch_follow_from_seed_epoch_and_rank(
    trainer, phase_hook, monkeypatch
):
    def numbers(epoch, seed=7, rank=0):
        trainer.epoch, trainer.state.seed = epoch, seed
        monkeypatch.setattr(hooks.comm, "get_rank", lambda: rank)
        phase_hook.before_epoch()
        return torch.rand(()).item(), np.random.rand()  # noqa: NPY002

    first = numbers(1)
    torch.rand(5)  # whatever came before
    assert numbers(1) == first
    others = [numbers(2), numbers(1, seed=8), numbers(1, rank=1)]
    for values in zip(first, *others, strict=True):
        assert len(set(values)) == 4


# ---------------------------------------------------------------------- loaders
@pytest.fixture
def load(trainer):
    def load(epoch, usable=range(N), labels=None):
        made = []
        trainer.epoch = epoch
        trainer.train_set.usable = list(usable)
        labels = torch.arange(N) // 3 if labels is None else labels
        trainer.gcl.bank.labels.copy_(labels)
        trainer.train_set.train_loader = lambda phase, sampler: (phase, sampler)
        trainer.use_loader = made.append
        hook = hooks.LoaderHook()
        hook.trainer = trainer
        hook.before_epoch()
        ((phase, sampler),) = made
        assert phase == Plan().place(epoch).phase
        return sampler

    return load


def test_a_source_comes_beside_the_phases_that_teach_the_encoder(trainer, load, monkeypatch):
    asked = []

    def source_loader(num_batches, seed):
        asked.append((num_batches, seed))
        return "source"

    def both(target, source):
        assert source == "source"
        return target

    trainer.source_set = SimpleNamespace(train_loader=source_loader)
    monkeypatch.setattr(hooks, "WithSource", both)
    for epoch in range(6):
        load(epoch)
    assert asked == [(6, seed_of(7, epoch)) for epoch in (0, 1, 4, 5)]


def test_contrast_draws_labelled_images_by_class(load):
    labels = torch.arange(N) // 3
    labels[9:12] = -1
    sampler = load(0, usable=[0], labels=labels)
    assert isinstance(sampler, PseudoLabelSampler)
    drawn = list(sampler)
    assert len(drawn) == 6 * 8  # GCL.CONTRAST.IMS_PER_BATCH
    assert set(drawn) == set(range(N)) - {9, 10, 11}
    pairs = [(drawn[i] // 3, drawn[i + 1] // 3) for i in range(0, 8, 2)]  # NUM_INSTANCE 2
    assert all(a == b for a, b in pairs)


def test_the_generator_draws_all_that_have_a_structure(load):
    sampler = load(2, usable=range(5, N), labels=torch.full((N,), -1))
    assert isinstance(sampler, ShuffleSampler)
    drawn = list(sampler)
    assert len(drawn) == 6 * 4  # GCL.GENERATOR.IMS_PER_BATCH
    assert set(drawn) == set(range(5, N))


def test_joint_draws_labelled_images_that_have_a_structure(load):
    labels = torch.arange(N) // 3
    labels[23] = -1
    sampler = load(4, usable=range(15, N), labels=labels)
    assert isinstance(sampler, PseudoLabelSampler)
    assert set(sampler) == set(range(15, 23))
    with pytest.raises(hooks.NoClusterError, match="None of the 1 training images with a struct"):
        load(4, usable=[23], labels=labels)


def test_epochs_differ_and_an_epoch_does_not(load):
    for one, other in ((0, 1), (2, 3), (4, 5)):
        assert list(load(one)) == list(load(one)) != list(load(other))


# ---------------------------------------------------------------------- the others
def test_memory_is_updated_after_each_step(trainer):
    calls = []
    trainer.gcl.update_memory = lambda: calls.append(1)
    hook = hooks.MemoryHook()
    hook.trainer = trainer
    hook.after_step()
    hook.after_step()
    assert len(calls) == 2


def test_readiness_is_logged_after_each_epoch_with_a_generator(trainer, monkeypatch):
    measured = Readiness(0.3, 2.0, 3.0, 0.5, 0.75)
    asked = []
    monkeypatch.setattr(
        hooks, "measure_readiness", lambda *args, **kwargs: asked.append(args) or measured
    )
    hook = hooks.ReadinessHook(0.07, num_images=4)
    hook.trainer = trainer
    for trainer.epoch in (0, 1):
        hook.after_epoch()
    assert not asked and not trainer.storage.scalars
    for trainer.epoch in range(2, 6):
        hook.after_epoch()
    assert len(asked) == 4
    assert asked[0][1:] == ("generator", [0, 7, 15, 23], 0.07)
    logged = {f"readiness/{name}": value for name, value in measured._asdict().items()}
    assert trainer.storage.scalars == logged


@pytest.mark.parametrize(
    ("period", "epochs"), [(0, [1, 3, 5]), (1, [0, 1, 3, 4, 5]), (3, [1, 3, 5]), (5, [1, 3, 4, 5])]
)
def test_evaluation_at_the_end_of_each_phase(trainer, monkeypatch, period, epochs):
    """And after every ``period`` epochs of those in which E_id learns (0, 1, 4, 5)."""
    monkeypatch.setattr(hooks, "extract_features", lambda *args, **kwargs: None)
    evaluated = []
    hook = hooks.PhaseEvalHook(period, lambda: evaluated.append(trainer.epoch))
    hook.trainer = trainer
    for trainer.epoch in range(6):
        hook.after_epoch()
    hook.after_train()
    assert evaluated == epochs


@pytest.mark.parametrize(
    ("period", "saved"), [(1, [0, 1, 2, 3, 4, 5]), (3, [1, 2, 3, 5]), (9, [1, 3, 5])]
)
def test_checkpoints_at_the_end_of_each_phase_and_by_the_period(trainer, period, saved):
    """model_best where the metric is higher than ever among those."""
    written = []
    checkpointer = SimpleNamespace(
        checkpointables={}, save=lambda name, **state: written.append((name, state))
    )
    hook = hooks.PhaseCheckpointer(checkpointer, period, max_epoch=6)
    hook.trainer = trainer
    metrics = (1.0, 3.0, -1.0, 3.0, 2.0, 4.0)
    best = -1.0
    for trainer.epoch in range(6):
        written.clear()
        hook.step(trainer.epoch, metric=metrics[trainer.epoch])
        state = {"epoch": trainer.epoch, "metric": metrics[trainer.epoch]}
        name = "model_final" if trainer.epoch == 5 else f"model_{trainer.epoch:04d}"
        if trainer.epoch not in saved:
            assert written == []
            continue
        better = metrics[trainer.epoch] > best
        assert written == [("model_best", state | {"last": False})] * better + [(name, state)]
        best = max(best, metrics[trainer.epoch])
        written.clear()
        hook.save_untested(trainer.epoch)
        assert written == [(name, {"epoch": trainer.epoch})]


def test_the_checkpoint_is_written_before_the_evaluation_and_says_so(trainer, monkeypatch):
    """With the cameras' statistics of here; an evaluation that is made up repeats neither."""
    events = []
    def extract(*args, **kwargs):
        events.append("statistics")

    monkeypatch.setattr(hooks, "extract_features", extract)
    checkpointer = SimpleNamespace(
        checkpointables={},
        save=lambda name, **_: events.append((name, trainer.state.evaluated)),
    )
    keeper = hooks.PhaseCheckpointer(checkpointer, 1, max_epoch=6)
    hook = hooks.PhaseEvalHook(0, lambda: events.append("evaluation"))
    hook.trainer = keeper.trainer = trainer
    trainer._hooks = [hook, keeper]
    trainer.epoch = 1
    hook.after_epoch()
    assert events == ["statistics", ("model_0001", False), "evaluation"]
    assert trainer.state.evaluated
    events.clear()
    trainer.state.evaluated = False
    hook.after_epoch()
    assert events == ["evaluation"] and trainer.state.evaluated


@pytest.mark.parametrize("count", [1, 3, 7, 9])
def test_spread(count):
    indices = [10, 11, 12, 13, 14, 15, 16]
    chosen = hooks.spread(indices, count)
    assert len(chosen) == min(count, 7) == len(set(chosen))
    assert chosen == sorted(chosen) and set(chosen) <= set(indices)
    if 1 < count < 7:
        gaps = np.diff(chosen)
        assert chosen[0] == 10 and chosen[-1] == 16 and gaps.max() - gaps.min() <= 1


def test_labels_are_searched_as_the_configuration_says():
    node = SimpleNamespace(K1=30, K2=6, MIN_SAMPLES=4, EPS=0.0, RHO=2e-3, KNN="exact", VISIT=500)
    made = hooks.labeler_of(node)
    assert (made.knn, made.visit, made.eps) == ("auto", 500, None)
    node.KNN = "ivf"
    assert hooks.labeler_of(node).knn == "ivf"
