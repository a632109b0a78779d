import os

import pytest
import torch
from fastreid.engine import train_loop
from fastreid.evaluation import evaluator
from fastreid.utils import events
from torch import nn

from gcl.compat import device_type, set_device, stock


class Recorder(evaluator.DatasetEvaluator):
    def __init__(self) -> None:
        self.outputs: list[torch.Tensor] = []

    def process(self, inputs: dict, outputs: torch.Tensor) -> None:
        self.outputs.append(outputs)

    def evaluate(self) -> dict:
        return {"batches": len(self.outputs)}


class Loader(list):
    dataset = range(4)


class Model(nn.Module):
    def forward(self, inputs: dict) -> torch.Tensor:
        return inputs["images"].flatten(1)


def evaluate() -> dict:
    batches = Loader({"images": torch.rand(2, 3, 4, 2)} for _ in range(2))
    return evaluator.inference_on_dataset(Model(), batches, Recorder())


def test_the_choice_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    set_device("cuda")
    assert device_type() == os.environ["GCL_DEVICE"] == "cuda"
    set_device("cuda:0")
    assert device_type() == "cuda"
    set_device("cpu")
    assert device_type() == os.environ["GCL_DEVICE"] == "cpu"


@pytest.mark.parametrize(("seen", "kind"), [(True, "cuda"), (False, "cpu")])
def test_without_a_choice_cuda_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, seen: bool, kind: str
) -> None:
    monkeypatch.delenv("GCL_DEVICE")
    monkeypatch.setattr("torch.cuda.is_available", lambda: seen)
    assert device_type() == kind


@pytest.mark.parametrize(
    ("name", "seen", "message"),
    [
        ("cuda", False, "run with MODEL.DEVICE cpu"),
        ("cuda:1", True, "CUDA_VISIBLE_DEVICES=1"),
        ("mps", True, "'cpu' or 'cuda'"),
    ],
)
def test_a_device_that_can_not_be_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, seen: bool, message: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: seen)
    with pytest.raises(ValueError, match=message):
        set_device(name)
    assert device_type() == "cpu"


@pytest.mark.usefixtures("cuda_is_seen")
def test_chosen_device() -> None:
    assert evaluate() == {"batches": 2}
    with train_loop.torch.cuda.stream(None):  # what the trainer writes for a loss on the CPU
        pass
    assert not events.torch.cuda.is_available()


@pytest.mark.usefixtures("cuda_is_seen")
def test_the_toolbox_alone_touches_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "torch", stock("fastreid.evaluation.evaluator.torch"))
    with pytest.raises(AssertionError, match="touched the GPU"):
        evaluate()


def test_cuda_is_synchronised_where_it_is_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setenv("GCL_DEVICE", "cuda")
    monkeypatch.setattr("torch.cuda.synchronize", lambda: calls.append(1))
    evaluate()
    assert len(calls) == 2
