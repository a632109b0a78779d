"""Weights to ship: parameters as halves, whole or not there, with what they were made with."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from gcl.pretraining.weight_files import export_weights


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3))


def test_parameters_are_halves_and_buffers_stay(network, tmp_path):
    path = tmp_path / "w.safetensors"
    network[1].num_batches_tracked.fill_(100_001)  # both more than a half can tell
    network[1].running_var.fill_(1e6)
    export_weights(network, path)
    written, state = load_file(path), network.state_dict()
    assert written.keys() == state.keys()
    parameters = {name for name, _ in network.named_parameters()}
    for name, value in state.items():
        wanted = value.half() if name in parameters else value
        assert torch.equal(written[name], wanted) and written[name].dtype == wanted.dtype
    assert os.listdir(tmp_path) == ["w.safetensors"]
    assert all(v.dtype == torch.float32 for k, v in state.items() if "tracked" not in k)


def test_any_memory_layout_is_written_alike(network, tmp_path):
    export_weights(network, tmp_path / "a")
    export_weights(network.to(memory_format=torch.channels_last), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_it_is_known_what_they_were_made_with(network, tmp_path):
    """In one entry of JSON; the same ones make the same file, byte for byte."""
    made_with = {"STEPS": 7, "LR": 5e-4, "size": (64, 32), "name": "ä"}
    for name in ("a", "b"):
        export_weights(network, tmp_path / name, **made_with)
    with safe_open(tmp_path / "a", "pt") as file:
        (entry,) = file.metadata().items()
    assert entry[0] == "made_with"
    assert json.loads(entry[1]) == {**made_with, "size": [64, 32]}
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_was_there_stays_when_writing_fails(network, tmp_path):
    path = tmp_path / "w.safetensors"
    export_weights(network, path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        export_weights(network, path, LR=object())
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_what_is_left_out_is_not_there(network, tmp_path):
    export_weights(network, tmp_path / "a", leave_out=("2.weight", "2.bias"))
    written = load_file(tmp_path / "a")
    assert {*network.state_dict()} - {*written} == {"2.weight", "2.bias"}
