"""One optimizer for the toolbox, two inside: E_id's and Adam of E_str, G and D."""

from copy import deepcopy

import pytest
import torch
from engine import runs
from fastreid.modeling import build_model

from gcl.engine.optimizer import PhaseOptimizer, fused


@pytest.fixture
def build(toy, tmp_path):
    def build(phase="contrast", **changes):
        torch.manual_seed(0)
        cfg = runs.config(tmp_path, toy, **changes)
        model = build_model(cfg)
        return model, PhaseOptimizer(cfg, model, phase)

    return build


def encoder_of(model):
    modules = (model.backbone, model.heads)
    return [p for module in modules for p in module.parameters() if p.requires_grad]


def gradients(parameters, seed=0):
    torch.manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)


def kind(optimizer):
    return type(optimizer._encoder_optimizer).__name__


def test_every_trained_parameter_is_in_one_group_of_its_own_part(build):
    model, optimizer = build(GCL__CONTRAST__BASE_LR=0.03, GCL__GENERATOR__BASE_LR=0.002)
    encoder = [id(p) for group in optimizer.encoder_groups for p in group["params"]]
    assert sorted(encoder) == sorted(map(id, encoder_of(model)))
    assert {group["lr"] for group in optimizer.encoder_groups} == {0.03}
    rest = [group for group in optimizer.param_groups if group not in optimizer.encoder_groups]
    other = [id(p) for group in rest for p in group["params"]]
    views = [*model.generator.parameters(), *model.discriminator.parameters()]
    assert sorted(other) == sorted(map(id, views))
    assert [(g["lr"], g["betas"], g["weight_decay"]) for g in rest] == [(0.002, (0, 0.999), 5e-4)]


def test_parameters_that_the_toolbox_never_trains_are_left_out(build):
    model, optimizer = build()
    grouped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert id(model.heads.weight) not in grouped  # the classifier that GCL does not have
    assert id(model.heads.bottleneck[-1].bias) not in grouped  # of the BN neck


def test_without_a_generator_there_is_one_optimizer(build):
    model, optimizer = build(GCL__PHASES=("contrast",))
    assert optimizer.param_groups == optimizer.encoder_groups
    assert "generator" not in optimizer.state_dict()


@pytest.mark.parametrize(
    ("phase", "kind_of", "rate"), [("contrast", "Adam", 0.01), ("joint", "SGD", 0.02)]
)
def test_each_phase_has_its_own_encoder_optimizer(build, phase, kind_of, rate):
    rates = {"GCL__CONTRAST__BASE_LR": 0.01, "SOLVER__BASE_LR": 0.02}
    _, optimizer = build(phase, SOLVER__CLIP_GRADIENTS__ENABLED=False, **rates)
    assert kind(optimizer) == kind_of
    assert {group["initial_lr"] for group in optimizer.encoder_groups} == {rate}
    if kind_of == "SGD":
        assert all(g["momentum"] == 0.9 and g["nesterov"] for g in optimizer.encoder_groups)


def test_begin_forgets_the_momentum_of_the_phase_before_and_keeps_adam_of_the_generator(build):
    model, optimizer = build()
    gradients([*encoder_of(model), *model.generator.parameters()])
    optimizer.step()
    assert optimizer._encoder_optimizer.state and optimizer._generator.state
    optimizer.begin("joint")
    assert not optimizer._encoder_optimizer.state
    assert optimizer._generator.state


def test_the_generator_phase_leaves_the_encoder_optimizer_alone(build):
    model, optimizer = build()
    gradients(encoder_of(model))
    optimizer.step()
    before = optimizer._encoder_optimizer
    optimizer.begin("generator")
    assert optimizer._encoder_optimizer is before and before.state


def test_what_has_no_gradient_does_not_move_not_even_by_weight_decay(build):
    model, optimizer = build()
    gradients([*model.parameters()])
    optimizer.step()  # momentum exists now
    optimizer.zero_grad()
    gradients(model.generator.parameters())
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    state = optimizer._encoder_optimizer.state_dict()["state"]
    state = {k: {n: t.clone() for n, t in v.items()} for k, v in state.items()}
    optimizer.step()
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, weights[k])}
    assert moved and all(name.startswith("generator.") for name in moved)
    runs.assert_same(state, optimizer._encoder_optimizer.state_dict()["state"])


def test_zero_grad_drops_all_gradients(build):
    model, optimizer = build()
    gradients(model.parameters())
    optimizer.zero_grad()
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert all(p.grad is None for p in grouped)


ORDERS = [
    ("contrast", "generator", "joint"),
    ("contrast", "joint", "generator"),  # in "generator" the encoder's optimizer is joint's
    ("generator", "contrast", "joint"),
]


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_loaded_state_goes_on_like_the_original(build, order, length):
    model, optimizer = build(order[0], GCL__PHASES=order)
    for i, phase in enumerate(order[:length]):
        optimizer.begin(phase)
        trained = model.generator.parameters() if phase == "generator" else model.parameters()
        gradients(trained, seed=i)
        optimizer.step()
        optimizer.zero_grad()
    copy, loaded = build(order[0], GCL__PHASES=order)
    copy.load_state_dict(model.state_dict())
    loaded.load_state_dict(deepcopy(optimizer.state_dict()))  # a checkpoint shares no memory
    assert loaded.phase == optimizer.phase == order[length - 1]
    assert kind(loaded) == kind(optimizer)
    for m, o in ((model, optimizer), (copy, loaded)):
        gradients(m.parameters(), seed=9)
        o.step()
    runs.assert_same(dict(model.state_dict()), dict(copy.state_dict()))
    runs.assert_same(optimizer.state_dict(), loaded.state_dict())


# ---------------------------------------------------------------------- another configuration
def trained(build, **changes):
    """A model and its optimizer after one step of the contrast phase, and its state."""
    model, optimizer = build(**changes)
    gradients(model.parameters())
    optimizer.step()
    return model, deepcopy(optimizer.state_dict())


def warned(caplog):
    """What loading a state has warned of since the last call."""
    records = [r for r in caplog.records if r.name == "gcl.engine.optimizer"]
    caplog.clear()
    return [record.getMessage() for record in records]


def test_the_configuration_s_rates_win_over_the_checkpoint_s(build, caplog):
    _, state = trained(build, GCL__CONTRAST__BASE_LR=0.03, GCL__GENERATOR__BASE_LR=0.002)
    state["encoder"]["param_groups"][0]["lr"] = 0.003  # behind a step of the schedule
    _, loaded = build(
        GCL__CONTRAST__BASE_LR=0.01, GCL__GENERATOR__BASE_LR=0.004, SOLVER__WEIGHT_DECAY=0.1
    )
    loaded.load_state_dict(state)
    assert {group["initial_lr"] for group in loaded.encoder_groups} == {0.01}
    assert {group["lr"] for group in loaded._generator.param_groups} == {0.004}
    assert 0.1 in {group["weight_decay"] for group in loaded.encoder_groups}
    said = warned(caplog)
    assert len(said) == 3 and all("configuration" in line for line in said)
    assert any("E_id" in line and "rate 0.01" in line and "with 0.03" in line for line in said)
    assert any("G and D" in line and "rate 0.004" in line for line in said)
    assert any("weight_decay 0.0005, 0.1" in line for line in said)


def test_the_same_configuration_says_nothing(build, caplog):
    _, state = trained(build)
    _, loaded = build()
    loaded.load_state_dict(state)
    assert warned(caplog) == []


@pytest.mark.parametrize(
    "change", [{"SOLVER__HEADS_LR_FACTOR": 3.0}, {"SOLVER__WEIGHT_DECAY_NORM": 0.0}], ids=str
)
def test_moments_follow_their_weights_when_rates_group_them_anew(build, change):
    model, state = trained(build)
    _, same = build()
    same.load_state_dict(deepcopy(state))
    other_model, other = build(**change)
    other.load_state_dict(state)
    sizes = [[len(g["params"]) for g in o.encoder_groups] for o in (same, other)]
    assert sizes[0] != sizes[1]
    first = dict(zip(same._encoder_names, same._encoder_optimizer.state.values(), strict=True))
    names = {id(p): n for n, p in other._encoder.named_parameters()}
    state_of = {names[id(p)]: s for p, s in other._encoder_optimizer.state.items()}
    assert state_of.keys() == first.keys()
    for name, moments in state_of.items():
        runs.assert_same(dict(moments), dict(first[name]))
    gradients(other_model.parameters())
    other.step()


def test_another_kind_of_optimizer_starts_anew(build, caplog):
    """Whether gradients are clipped is no other kind."""
    _, state = trained(build)
    model, loaded = build(GCL__CONTRAST__OPT="SGD", SOLVER__CLIP_GRADIENTS__ENABLED=False)
    loaded.load_state_dict(state)
    (line,) = warned(caplog)
    assert "is Adam, the configuration's SGD: it starts anew" in line
    assert not loaded._encoder_optimizer.state and loaded._generator.state
    gradients(model.parameters())
    loaded.step()
    _, unclipped = build(SOLVER__CLIP_GRADIENTS__ENABLED=False)
    unclipped.load_state_dict(state)
    assert warned(caplog) == [] and unclipped._encoder_optimizer.state


@pytest.mark.parametrize("name", ["Adam", "SGD", "AdamW", "Rprop"])
def test_one_kernel_steps_all_parameters_where_there_is_one(name, device):
    parameters = [torch.nn.Parameter(torch.ones(2, device=device)) for _ in range(2)]
    options = fused(getattr(torch.optim, name), parameters)
    assert options == ({"fused": True} if device == "cuda" and name != "Rprop" else {})
    getattr(torch.optim, name)(parameters, lr=0.1, **options)


def test_a_run_goes_on_by_other_kernels_without_a_word(build, caplog):
    """A checkpoint of a GPU, whose groups say fused."""
    model, optimizer = build()
    gradients(encoder_of(model))
    optimizer.step()
    state = deepcopy(optimizer.state_dict())
    for part in ("encoder", "generator"):
        for group in state[part]["param_groups"]:
            group["fused"] = True
    again = build()[1]
    again.load_state_dict(state)
    assert not any(group.get("fused") for group in again.param_groups)
    assert "goes on with" not in caplog.text
