"""A run that has diverged stops with a sentence that names the epoch and what to lower."""

from types import SimpleNamespace

import pytest
import torch
from engine import runs

from gcl.engine import hooks
from gcl.engine.divergence import DivergedError, DivergenceHook, check_start, diverged, unusable
from gcl.engine.phases import PhasePlan
from gcl.engine.readiness import Readiness

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def trainer(toy, tmp_path):
    """Stands in for one whose epochs 0-1 are contrast, 2-3 generator, 4-5 joint."""

    def build(epoch=0, **changes):
        cfg = runs.config(tmp_path, toy, **changes)
        return SimpleNamespace(cfg=cfg, plan=PhasePlan(cfg), epoch=epoch)

    return build


# ---------------------------------------------------------------------- features
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e30])  # (1e30)^2 is beyond float32
def test_features_that_no_loss_can_use(value):
    features = torch.ones(5, 3)
    features[2, 1] = features[4, 0] = value
    assert unusable(features) == "2 of 5 features are not finite"


def test_features_of_a_dead_encoder():
    assert unusable(torch.zeros(5, 3)) == "all 5 features are zero"


def test_features_that_tell_nobody_apart():
    assert unusable(torch.ones(5, 3)) == "all 5 features are the same"


@pytest.mark.parametrize("features", [torch.ones(1, 3), torch.eye(3)[:2] * 1e15, torch.zeros(0, 3)])
def test_features_that_can_be_used(features):
    assert unusable(features) is None


def test_one_zero_feature_is_no_divergence():
    """The only image of a camera may have one."""
    assert unusable(torch.tensor([[0.0, 0.0], [1.0, 0.0]])) is None


def test_usable_features_pass_as_they_are(trainer):
    features = torch.eye(3)
    assert check_start(trainer(), features) is features


def test_broken_weights_to_start_from_are_not_called_divergence(trainer):
    with pytest.raises(DivergedError, match=r"^Before any training .*MODEL\.WEIGHTS"):
        check_start(trainer(0), torch.full((2, 3), NAN))


@pytest.mark.parametrize(
    ("epoch", "blamed", "key"),
    [(1, 0, "GCL.CONTRAST.BASE_LR"), (4, 1, "GCL.CONTRAST.BASE_LR"), (5, 4, "SOLVER.BASE_LR")],
)
def test_the_epoch_that_taught_the_encoder_last_is_blamed(trainer, epoch, blamed, key):
    with pytest.raises(DivergedError, match=rf"diverged in epoch {blamed} \(.*lower {key}"):
        check_start(trainer(epoch), torch.zeros(2, 3))


# ---------------------------------------------------------------------- the sentence
@pytest.mark.parametrize(
    ("epoch", "learns", "lowered", "not_lowered"),
    [
        (0, "everything", ("GCL.CONTRAST.BASE_LR (0.00035)",), ("SOLVER", "GENERATOR")),
        (3, "everything", ("GCL.GENERATOR.BASE_LR (0.0001)",), ("SOLVER", "CONTRAST")),
        (
            4,
            "everything",
            ("SOLVER.BASE_LR (0.0001)", "GCL.GENERATOR.BASE_LR (0.0001)"),
            ("CONTRAST",),
        ),
        (5, "encoder", ("SOLVER.BASE_LR (0.0001)",), ("CONTRAST", "GENERATOR")),
    ],
)
def test_the_sentence_names_epoch_and_rates_of_its_phase(
    trainer, epoch, learns, lowered, not_lowered
):
    said = str(diverged(trainer(epoch, GCL__JOINT__LEARNS=learns), "this is wrong"))
    assert said.startswith(f"Training diverged in epoch {epoch} (phase ")
    assert "this is wrong" in said and "\n" not in said
    assert all(words in said for words in lowered)
    assert not any(f"{word}.BASE_LR" in said for word in not_lowered)
    assert "AMP" not in said


def test_half_precision_may_be_to_blame(trainer):
    said = str(diverged(trainer(SOLVER__AMP__ENABLED=True), "this is wrong"))
    assert said.endswith("or set SOLVER.AMP.ENABLED False.")


# ---------------------------------------------------------------------- the hooks
class Encoder(torch.nn.Module):
    """Features from what a dataset of plain numbers holds; remembers how it was asked."""

    def __init__(self, scale):
        super().__init__()
        self.scale, self.asked = scale, []

    def forward(self, batch):
        self.asked.append((self.training, torch.is_grad_enabled(), batch["x"].tolist()))
        return batch["x"][:, None].expand(-1, 2) * self.scale


def after_epoch(trainer, scale, images=10):
    dataset = [{"x": i + 1} for i in range(images)]
    trainer.gcl = Encoder(scale).train()
    loader = SimpleNamespace(dataset=dataset)
    trainer.train_set = SimpleNamespace(feature_loader=lambda: loader)
    hook = DivergenceHook()
    hook.trainer = trainer
    hook.after_epoch()
    return trainer.gcl


@pytest.mark.parametrize("scale", [NAN, INF, 1e30, 0.0])
@pytest.mark.parametrize("epoch", [0, 5])
def test_an_epoch_that_ends_with_useless_features_ends_the_run(trainer, epoch, scale):
    with pytest.raises(DivergedError, match=f"epoch {epoch}"):
        after_epoch(trainer(epoch), scale)


def test_features_are_looked_at_as_evaluation_sees_them_and_nothing_moves(trainer):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    model = after_epoch(trainer(1), 1.0, images=130)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    ((training, grad, images),) = model.asked
    assert not training and not grad
    assert images == list(range(1, 131, 3))  # 44, evenly: at most 64


def test_the_generator_phase_leaves_the_encoder_alone(trainer):
    assert after_epoch(trainer(2), NAN).asked == []


@pytest.mark.parametrize("loss", [NAN, INF])
def test_readiness_that_is_no_number_ends_the_run(trainer, monkeypatch, loss):
    played = trainer(3)
    played.gcl, played.storage = None, None
    played.train_set = SimpleNamespace(usable=[0], dataset=lambda phase: None)
    measured = Readiness(0.0, loss, 3.0, 0.0, 0.0)
    monkeypatch.setattr(hooks, "measure_readiness", lambda *args: measured)
    hook = hooks.ReadinessHook(0.04)
    hook.trainer = played
    with pytest.raises(DivergedError, match=r"epoch 3 .*generated views.*GCL\.GENERATOR\.BASE_LR"):
        hook.after_epoch()


# ---------------------------------------------------------------------- whole runs
def test_a_loss_that_is_no_number_ends_the_run_with_the_sentence(toy, tmp_path, monkeypatch):
    """The toolbox's own error says neither epoch nor remedy."""
    monkeypatch.setattr(
        "gcl.modeling.meta_arch.contrast_loss", lambda f, *args, **options: f.sum() * NAN
    )
    with pytest.raises(
        DivergedError, match=r"epoch 0 .*'loss_view_ori': nan}.*GCL\.CONTRAST\.BASE_LR"
    ):
        runs.train(tmp_path, toy, GCL__PHASES=("contrast",))


def test_an_encoder_that_blows_up_does_not_end_as_if_all_were_well(toy, tmp_path):
    """Its losses stay harmless, as batch norm hides what is wrong; the checkpoint before stays."""
    with pytest.raises(DivergedError, match=r"epoch \d+ .*features.*lower GCL\.CONTRAST\.BASE_LR"):
        runs.train(
            tmp_path,
            toy,
            GCL__PHASES=("contrast",),
            GCL__CONTRAST__BASE_LR=100.0,
            SOLVER__CLIP_GRADIENTS__ENABLED=False,
            GCL__CONTRAST__OPT="SGD",
            GCL__CAMERA_NORM=False,
        )
    assert not (tmp_path / "model_final.pth").exists()
