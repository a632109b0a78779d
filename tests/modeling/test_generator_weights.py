"""Weights that a view generator starts from: what is loaded, and what each mistake is told."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch
from fastreid.config import get_cfg
from fastreid.modeling.meta_arch import build_model
from safetensors.torch import save_file
from torch import nn

from gcl import ConfigError, add_gcl_config
from gcl.modeling import generator_weights
from gcl.modeling.generator_weights import PACKAGED
from gcl.pretraining.weight_files import export_weights

KEY = "GCL.GENERATOR.WEIGHTS"
NAMES = ("ViewGenerator", "AttentionViewGenerator")
CONFIGS = Path(__file__).parents[2] / "projects" / "GCL" / "configs"


def drawing_part(model: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict({"generator": model.generator, "discriminator": model.discriminator})


@pytest.fixture
def make(tiny_cfg):
    """``make(seed, KEY, value, ...)``: a model of an AttentionViewGenerator, unless told
    otherwise."""

    def build(seed: int, *pairs: object):
        torch.manual_seed(seed)
        return build_model(tiny_cfg("GCL.GENERATOR.NAME", NAMES[1], *pairs))

    return build


@pytest.fixture
def weights(make, tmp_path) -> str:
    path = str(tmp_path / "weights.safetensors")
    export_weights(drawing_part(make(1)), path, size=(64, 32), STEPS=3)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_generator_and_discriminator_start_from_the_file(make, tmp_path, name):
    """With code norm, whose count is a number of the file, too; the encoder is as ever."""
    pairs = ("GCL.GENERATOR.NAME", name, "GCL.GENERATOR.CODE_NORM", True)
    source, path = make(1, *pairs), str(tmp_path / "w.safetensors")
    if name == NAMES[0]:
        source.generator.track(torch.randn(5, 4, 16))
    export_weights(drawing_part(source), path, size=(64, 32))
    model = make(2, *pairs, KEY, path)
    expected, found = drawing_part(source).state_dict(), drawing_part(model).state_dict()
    parameters = dict(drawing_part(source).named_parameters())
    assert expected.keys() == found.keys()
    for key, value in found.items():
        assert value.dtype == expected[key].dtype, key
        wanted = expected[key].half().float() if key in parameters else expected[key]
        assert torch.equal(value, wanted), key
    assert all(p.requires_grad for p in drawing_part(model).parameters())
    plain = make(2, *pairs)
    for key, value in plain.backbone.state_dict().items():
        assert torch.equal(value, model.backbone.state_dict()[key]), key


def test_nothing_is_loaded_where_nothing_is_named(make, weights, monkeypatch):
    monkeypatch.setattr(generator_weights, "load_file", lambda path: pytest.fail(path))
    one, two = (drawing_part(make(2, KEY, "")).state_dict() for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    with pytest.raises(pytest.fail.Exception):  # it does read what is named
        make(2, KEY, weights)


def test_nothing_is_loaded_where_there_is_no_generator(make):
    assert make(1, "GCL.PHASES", ("contrast",), KEY, "/no/such").generator is None


def test_packaged_is_the_file_in_the_package(make, weights, monkeypatch):
    monkeypatch.setattr(generator_weights, "PACKAGED", Path(weights))
    found = drawing_part(make(2, KEY, "packaged")).state_dict()
    wanted = drawing_part(make(2, KEY, weights)).state_dict()
    assert all(torch.equal(found[key], wanted[key]) for key in found)


def told(make, *pairs: object) -> str:
    with pytest.raises(ConfigError) as error:
        make(2, *pairs)
    message = str(error.value)
    assert message.startswith(KEY) and message.endswith(".") and "\n" not in message
    assert "'' to start from scratch" in message
    return message


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "checkpoint", "cut",
                                  "no metadata", "other metadata", "no json"])  # fmt: skip
def test_a_file_that_can_not_be_read_is_named_with_the_remedy(make, weights, tmp_path, kind):
    path, content = tmp_path / "other", Path(weights).read_bytes()
    state = {"generator.a": torch.zeros(2)}
    if kind == "folder":
        path.mkdir()
    elif kind == "checkpoint":
        torch.save({"model": state}, path)
    elif kind in ("empty", "text", "cut"):
        path.write_bytes({"empty": b"", "text": b"nothing " * 9, "cut": content[:-9]}[kind])
    elif kind != "missing":
        metadata = {"other metadata": {"a": "b"}, "no json": {"made_with": "(64, 32)"}}
        save_file(state, path, metadata.get(kind))
    message = told(make, KEY, str(path))
    assert f"{path} can not be read (" in message and "tools/pretrain_generator.py" in message
    assert "()" not in message


@pytest.mark.parametrize(
    "pairs",
    [
        ("GCL.GENERATOR.WIDTH", 8),
        ("GCL.GENERATOR.NUM_BLOCKS", 2),
        ("GCL.GENERATOR.NAME", "ViewGenerator"),
        ("GCL.DISCRIMINATOR.WIDTH", 8),
        ("GCL.DISCRIMINATOR.NUM_SCALES", 2),
        ("GCL.DISCRIMINATOR.NUM_BLOCKS", 3),
    ],
    ids=lambda pairs: " ".join(map(str, pairs)),
)
def test_weights_of_other_networks_are_refused(make, weights, pairs):
    message = told(make, KEY, weights, *pairs)
    assert f"{weights} does not fit GCL.GENERATOR and GCL.DISCRIMINATOR (" in message
    assert "discriminator." in message if "DISCRIMINATOR" in pairs[0] else "generator." in message


def test_another_size_of_views_is_a_warning(make, weights, caplog):
    caplog.set_level(logging.WARNING, "gcl")
    make(2, KEY, weights)
    assert caplog.messages == []
    model = make(2, KEY, weights, "GCL.GENERATOR.SIZE", [128, 64])
    assert caplog.messages == [f"{KEY} {weights} was trained at views of 64 x 32, not 128 x 64."]
    assert model.generator is not None


# ---- GCL.GENERATOR.FREEZE_LAYERS
LAYERS = "GCL.GENERATOR.FREEZE_LAYERS"
SEVERAL = [  # a whole module, one in a list, and all whose names begin alike
    (NAMES[0], ("structure", "blocks.1."), ("structure.", "blocks.1.")),
    (NAMES[1], ("search.0", "see"), ("search.0.", "see_half.", "see_quarter.")),
]


def frozen(model: nn.Module) -> set[str]:
    return {name for name, p in drawing_part(model).named_parameters() if not p.requires_grad}


def batch_of(model: nn.Module) -> dict:
    torch.manual_seed(3)
    return {
        "images": 255 * torch.rand(4, 3, 64, 32),
        "targets": torch.full((4,), -1),
        "camids": torch.zeros(4, dtype=torch.long),
        "indices": torch.arange(4),
        "structure_ori": torch.rand(4, 1, 64, 32),
        "structure_new": torch.rand(4, 1, 64, 32),
    }


@pytest.mark.parametrize(("name", "prefixes", "modules"), SEVERAL)
def test_the_named_layers_stay_and_all_others_learn(make, name, prefixes, modules):
    """An optimizer of everything, with momentum and weight decay; in the phase generator."""
    model = make(1, "GCL.GENERATOR.NAME", name, LAYERS, prefixes)
    model.bank.allocate(8)
    model.bank.fill(torch.randn(8, model.heads.embedding_dim))
    model.bank.labels.copy_(torch.arange(8))
    parts = dict(drawing_part(model).named_parameters())
    wanted = {k for k in parts if k.startswith(tuple(f"generator.{m}" for m in modules))}
    assert all(any(k.startswith(f"generator.{m}") for k in wanted) for m in modules)
    assert frozen(model) == wanted
    model.train()
    model.set_phase("generator")
    before = {k: p.detach().clone() for k, p in parts.items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        sum(model(batch_of(model)).values()).backward()
        optimizer.step()
    assert {k for k, p in parts.items() if torch.equal(p, before[k])} == wanted


@pytest.mark.parametrize(("name", "prefixes", "modules"), SEVERAL)
def test_no_phase_unfreezes_them(make, name, prefixes, modules):
    model = make(1, "GCL.GENERATOR.NAME", name, LAYERS, prefixes)
    wanted = frozen(model)
    assert wanted
    for phase in ("generator", "joint", "contrast", "generator", "joint"):
        model.train()
        model.set_phase(phase)
        assert frozen(model) == wanted
    model.eval().train()
    assert frozen(model) == wanted


@pytest.mark.parametrize(
    "prefixes", [("",), ("structure", "see", "search", "blocks", "up", "out")]
)
def test_something_must_be_left_to_learn(make, prefixes):
    with pytest.raises(ConfigError, match=f"{LAYERS}.*LEARNS encoder"):
        make(1, "GCL.GENERATOR.NAME", NAMES[1], LAYERS, prefixes)


def test_nothing_is_frozen_where_nothing_is_named(make):
    assert frozen(make(1)) == set()


def test_frozen_layers_are_loaded_like_all_others(make, weights):
    model = make(2, KEY, weights, LAYERS, ("structure",))
    plain = make(2, KEY, weights)
    found, wanted = drawing_part(model).state_dict(), drawing_part(plain).state_dict()
    assert found.keys() == wanted.keys() and frozen(model)
    assert all(torch.equal(found[key], wanted[key]) for key in found)


def test_frozen_layers_need_a_generator(make):
    assert make(1, "GCL.PHASES", ("contrast",), LAYERS, ("nothing",)).generator is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefixes", [("strukture",), ("structure", "generator.structure")])
def test_layers_that_there_are_not_are_named_with_the_choices(make, name, prefixes):
    with pytest.raises(ConfigError) as error:
        make(1, "GCL.GENERATOR.NAME", name, LAYERS, prefixes)
    message = str(error.value)
    assert message.startswith(f"{LAYERS} names {prefixes[-1]!r}, which {name} does not have")
    assert message.endswith(".") and "\n" not in message
    choices = message.partition("it has ")[2].rstrip(".").split(", ")
    for choice in choices:  # none that would be refused in turn
        assert frozen(make(1, "GCL.GENERATOR.NAME", name, LAYERS, (choice,)))
    every = make(1, "GCL.GENERATOR.NAME", name).generator.named_parameters()
    assert {parameter.split(".")[0] for parameter, _ in every} == {*choices}


def test_the_packaged_weights_fit_what_they_are_for(caplog):
    assert os.path.getsize(PACKAGED) < 25e6
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.merge_from_file(str(CONFIGS / "pku.yml"))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.BACKBONE.PRETRAIN", False,
                         "GCL.GENERATOR.NAME", NAMES[1], KEY, "packaged"])  # fmt: skip
    caplog.set_level(logging.WARNING, "gcl")
    model = build_model(cfg)
    assert caplog.messages == []
    assert all(value.isfinite().all() for value in drawing_part(model).state_dict().values())
