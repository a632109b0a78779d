"""A step as a CUDA graph does what it does without: the same losses, gradients and weights."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from engine import runs
from modeling.test_meta_arch import ATTENTION, INTER, STAYS, make_batch, make_model, with_proxies
from modeling.test_source_term import SOURCE, source_batch, with_people

from gcl import ConfigError
from gcl.engine import GCLTrainer, trainer
from gcl.engine.graphed_step import WARM_UP, GraphedStep
from gcl.engine.optimizer import PhaseOptimizer

R1 = ("MODEL.LOSSES.R1.EVERY", 3)


# ---------------------------------------------------------------------- what it keeps count of
class Graph:
    """Stands in for a CUDA graph, whose replay computes what was recorded; here nothing."""

    made: list[Graph] = []

    def __init__(self) -> None:
        self.made.append(self)
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1


class Stream:
    def __init__(self, *device: object) -> None:
        pass

    def wait_stream(self, other: Stream) -> None:
        pass


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(Graph, "made", [])
    for name, value in {
        "CUDAGraph": Graph,
        "Stream": Stream,
        "current_stream": Stream,
        "graph_pool_handle": lambda: None,
        "graph": lambda graph, **options: nullcontext(),
        "stream": lambda stream: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)


@pytest.mark.usefixtures("no_gpu")
def test_steps_with_and_without_r1_are_recorded_apart_after_their_warm_up(tiny_cfg):
    model = make_model(tiny_cfg(*R1), "generator")
    step, made = GraphedStep(model, nullcontext()), []
    for _ in range(14):  # R1 in steps 0, 3, 6, 9 and 12; WARM_UP of each kind are no replays
        step(make_batch())
        made.append(len(Graph.made))
    assert WARM_UP == 3
    # the others' first graph in step 5, R1's in step 9
    assert made == [0] * 5 + [1] * 4 + [2] * 5
    assert [graph.replays for graph in Graph.made] == [6, 2]
    assert model.r1_steps == 14


@pytest.mark.usefixtures("no_gpu")
def test_a_replay_reads_the_batch_and_gives_gradients_and_rows(tiny_cfg):
    model = make_model(tiny_cfg())
    step = GraphedStep(model, nullcontext())
    for _ in range(WARM_UP + 1):
        step(make_batch())
    (recorded,) = step._recorded.values()
    model.pending = ()
    for parameter in model.parameters():
        parameter.grad = None
    batch = make_batch(7)
    losses = step(batch)
    assert losses is recorded.losses and not any(v.requires_grad for v in losses.values())
    assert all(torch.equal(recorded.batch[k], v) for k, v in batch.items() if torch.is_tensor(v))
    ((memory, _, rows),) = model.pending
    assert memory is model.bank and rows is recorded.batch["indices"]
    learning = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in learning)


@pytest.mark.usefixtures("no_gpu")
def test_a_replay_reads_the_source_and_gives_its_rows(tiny_cfg):
    model = with_people(make_model(tiny_cfg(*SOURCE), "contrast"))
    step = GraphedStep(model, nullcontext())
    for _ in range(WARM_UP + 1):
        step(make_batch() | source_batch())
        model.update_memory()
    (recorded,) = step._recorded.values()
    other = source_batch(6)
    assert "loss_source" in step(make_batch() | other)
    for name, value in other.items():
        assert torch.equal(recorded.batch[name], value)
    memories = [(memory, rows) for memory, _, rows in model.pending]
    assert memories[0][0] is model.bank and memories[1][0] is model.source
    assert memories[1][1] is recorded.batch["source_targets"]


@pytest.mark.usefixtures("no_gpu")
def test_other_sizes_and_other_phases_are_recorded_anew(tiny_cfg):
    model = make_model(tiny_cfg(), "contrast")
    step = GraphedStep(model, nullcontext())
    smaller = {k: v[:2] for k, v in make_batch().items()}
    for batch in (make_batch(), smaller):
        for _ in range(WARM_UP + 2):
            step(batch)
    assert len(Graph.made) == 2
    model.set_phase("generator")
    step(make_batch())
    assert step._recorded == {}
    for _ in range(WARM_UP):
        step(make_batch())
    assert len(Graph.made) == 3


@pytest.mark.usefixtures("no_gpu")
def test_proxies_of_new_labels_are_recorded_anew(tiny_cfg):
    model = with_proxies(make_model(tiny_cfg(*INTER), "contrast"))
    step = GraphedStep(model, nullcontext())
    for _ in range(WARM_UP + 2):
        step(make_batch())
        model.update_memory()  # moves them, and they stay the same tensor
    assert [graph.replays for graph in Graph.made] == [2]
    model.proxies.build(model.bank)
    for _ in range(WARM_UP + 1):
        step(make_batch())
    assert [graph.replays for graph in Graph.made] == [2, 1]


def test_processes_that_share_gradients_are_refused(tiny_cfg, monkeypatch):
    monkeypatch.setattr(trainer.comm, "get_world_size", lambda: 2)
    with pytest.raises(ConfigError, match="GCL.CUDA_GRAPHS is on in one of 2 processes"):
        trainer.graphed_step(None, tiny_cfg())


def test_float16_is_refused(tiny_cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    cfg, model = tiny_cfg("SOLVER.AMP.ENABLED", True), torch.nn.Module()
    model.device = torch.device("cuda")
    with pytest.raises(ConfigError, match="no bfloat16: set SOLVER.AMP.ENABLED False"):
        trainer.graphed_step(model, cfg)


# ---------------------------------------------------------------------- on a GPU
def state(model) -> list[torch.Tensor]:
    """Weights, running statistics and the bank."""
    return [*model.parameters(), *model.buffers()]


def gradients(model) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.gpu
@pytest.mark.usefixtures("exact_gpu")
@pytest.mark.parametrize(
    ("phase", "pairs"),
    [
        ("contrast", ()),
        ("contrast", INTER),
        ("generator", R1),
        ("joint", R1),
        ("joint", (*ATTENTION, *STAYS)),
    ],
)
def test_ten_steps_are_those_without_graphs(tiny_cfg, phase, pairs):
    """To within what sums in another order do: kernels that add by atomics have none. Each step is
    taken from the same weights: of ten in a row, noise of 1e-6 in the gradients (a sum of almost
    nothing changes its sign before a ReLU) makes losses that are 4 % apart."""
    cfg = tiny_cfg("MODEL.DEVICE", "cuda", "GCL.CAMERA_NORM", True, *pairs)
    plain, graphed = (make_model(cfg, phase) for _ in range(2))
    for model in (plain, graphed) if plain.proxies is not None else ():
        with_proxies(model)
        images = torch.arange(len(model.bank.labels), device=model.device)
        model.bank.labels.copy_(images)  # nothing is drawn,
        model.proxies.classes = images ^ 1  # and each has a proxy in the other camera
    optimizers = []
    for model in (plain, graphed):
        model.set_phase("contrast")  # with all of E_id trainable, as when a run begins
        optimizers.append(PhaseOptimizer(cfg, model, phase))
        model.set_phase(phase)
    step = GraphedStep(graphed, nullcontext())
    for seed in range(10):
        batch = make_batch(seed)
        batch["indices"] = torch.tensor([seed % 4, 4, 5, 6])
        with torch.no_grad():
            for one, other in zip(state(plain), state(graphed), strict=True):
                other.copy_(one)
        # detached: a graph that they keep alive would tie gradients to another stream
        before = [parameter.detach().clone() for parameter in graphed.parameters()]
        wanted = plain({k: v.cuda() if torch.is_tensor(v) else v for k, v in batch.items()})
        optimizers[0].zero_grad()
        sum(wanted.values()).backward()
        losses = step(batch)
        assert losses.keys() == wanted.keys()
        for name, loss in wanted.items():
            assert losses[name].item() == pytest.approx(loss.item(), rel=1e-3, abs=1e-4), name
        slopes, ours = gradients(plain), gradients(graphed)
        assert ours.keys() == slopes.keys()
        whole = torch.cat([slope.flatten() for slope in slopes.values()])
        apart = whole - torch.cat([ours[name].flatten() for name in slopes])
        assert apart.norm() < 0.1 * whole.norm()
        for model, optimizer in zip((plain, graphed), optimizers, strict=True):
            optimizer.step()
            model.update_memory()
        assert not all(map(torch.equal, before, graphed.parameters()))
        for one, other in zip(plain.buffers(), graphed.buffers(), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3)
    assert step._recorded


@pytest.mark.gpu
@pytest.mark.usefixtures("exact_gpu")
@pytest.mark.parametrize("graphed", [False, True])
def test_a_source_teaches_the_same_with_graphs_and_on_a_cpu(tiny_cfg, graphed):
    """Ten steps, of which the last are replays: its centroids and its cameras' statistics."""
    found = []
    for device in ("cpu", "cuda"):
        model = with_people(make_model(tiny_cfg(*SOURCE), "contrast")).to(device)
        step = GraphedStep(model, nullcontext()) if graphed and device == "cuda" else None
        for seed in range(10):
            batch = make_batch(seed) | source_batch(seed)
            if step is not None:
                step(batch)
            else:
                sum(model(batch).values()).backward()
            model.update_memory()  # no step of the weights: what differs would grow
        found.append({name: value.cpu() for name, value in model.source.named_buffers()})
    assert not graphed or step._recorded
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
def test_a_whole_run_by_graphs(toy, tmp_path):
    run = runs.train(tmp_path, toy, MODEL__DEVICE="cuda", GCL__CUDA_GRAPHS=True,
                     GCL__ITERS_PER_EPOCH=8)  # fmt: skip
    assert isinstance(run, GCLTrainer) and run.graphed._recorded
    assert run.gcl.bank.features.isfinite().all()
    assert "model_final.pth" in runs.checkpoints(tmp_path)
