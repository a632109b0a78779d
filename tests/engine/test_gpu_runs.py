"""What runs and steps do on a GPU, and that they do there what they do on a CPU."""

from __future__ import annotations

import pytest
import torch
from engine import runs
from modeling.test_meta_arch import ATTENTION, STAYS, make_batch, make_model
from modeling.test_step import CASES, DRAWN, SMALL_BANK, model_and_batch

from gcl.engine import GCLTrainer
from gcl.engine.late_losses import LateLosses
from gcl.engine.optimizer import PhaseOptimizer

pytestmark = pytest.mark.gpu

# 6 epochs: 50 steps of each phase
LONG = {"MODEL__DEVICE": "cuda", "GCL__ITERS_PER_EPOCH": 25}
KINDS = {
    "the paper's generator": {},
    "attention": {
        "GCL__GENERATOR__NAME": "AttentionViewGenerator",
        "GCL__JOINT__LEARNS": "encoder",
        "GCL__JOINT__UNTURNED": 0.5,
        "GCL__JOINT__SWAP_BACKGROUNDS": True,
        "GCL__FREEZE_BN": True,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_fifty_steps_of_each_phase_in_half_precision_with_evaluations(kind, toy, tmp_path):
    run = runs.train(tmp_path, toy, TEST__EVAL_PERIOD=2, **LONG, **KINDS[kind])
    assert run.cfg.SOLVER.AMP.ENABLED is True  # nobody asked for it
    assert next(run.gcl.parameters()).is_cuda and run.gcl.bank.features.is_cuda
    assert run.gcl.bank.features.isfinite().all()
    assert all(value.isfinite().all() for value in run.gcl.state_dict().values())
    assert 0 < run._last_eval_results["mAP"] <= 100
    lines = [line for line in runs.metrics(tmp_path) if "total_loss" in line]
    assert [line["iteration"] for line in lines] == [24, 49, 74, 99, 124, 149]  # of each epoch
    assert {"model_0001.pth", "model_0003.pth", "model_final.pth"} <= runs.checkpoints(tmp_path)


def test_a_killed_run_goes_on(toy, tmp_path):
    """From the checkpoint of epoch 3, in the middle of whose successor it is killed."""
    with runs.place(toy, "cuda"):
        killed = GCLTrainer(runs.config(tmp_path, toy, **LONG))
        killed.resume_or_load(resume=False)
        runs.train_until(killed, 4 * 25 + 7)
        saved = runs.load(tmp_path / "model_0003.pth")
        again = GCLTrainer(runs.config(tmp_path, toy, **LONG))
        again.resume_or_load(resume=True)
    assert again.start_epoch == 4
    assert torch.equal(again.gcl.bank.features.cpu(), saved["bank"]["features"])
    moments = again.optimizer.state_dict()["generator"]["state"]
    assert moments.keys() == saved["optimizer"]["generator"]["state"].keys()
    for number, kept in saved["optimizer"]["generator"]["state"].items():
        for name, value in kept.items():
            assert torch.equal(moments[number][name].cpu(), value), (number, name)
    finished = runs.train(tmp_path, toy, resume=True, **LONG)
    assert finished.epoch == 5
    assert finished.gcl.bank.features.isfinite().all()


def on_gpu(batch: dict) -> dict:
    """As the loaders bring it."""
    kinds = {True: torch.Tensor.cuda, False: lambda value: value}
    return {
        name: on_gpu(value) if isinstance(value, dict) else kinds[torch.is_tensor(value)](value)
        for name, value in batch.items()
    }


@pytest.mark.parametrize("negatives", [SMALL_BANK, DRAWN], ids=["all", "drawn"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_the_host_waits_for_nothing_in_a_step(tiny_cfg, case, half, negatives):
    cfg, model, batch = model_and_batch(tiny_cfg, case, "MODEL.DEVICE", "cuda", *negatives)
    phase = model.phase
    model.set_phase("contrast")  # with all of E_id trainable, as when a run begins
    optimizer = PhaseOptimizer(cfg, model, phase)
    model.set_phase(phase)
    batch, write = on_gpu(batch), LateLosses(lambda losses, seconds: None)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            losses = model(dict(batch))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        write(losses, 0.0)
        optimizer.step()
        model.update_memory()

    step()  # moments of the optimizers are made in the first
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.usefixtures("exact_gpu")
@pytest.mark.parametrize(
    ("phase", "pairs"),
    [
        ("contrast", ()),
        ("generator", ()),
        ("generator", ATTENTION),
        ("joint", ()),
        ("joint", (*ATTENTION, *STAYS, "GCL.JOINT.SWAP_BACKGROUNDS", True)),
    ],
)
def test_a_gpu_s_step_is_the_cpu_s(tiny_cfg, phase, pairs):
    """float32 with sums in another order: losses to 1e-4. A gradient jumps where a sum of almost
    nothing changes its sign before a ReLU, and batch norm of four images magnifies it: pictures
    that differ by 1e-5 move it by 4 % of its length, as an H200 did. A tenth is another one."""
    found = []
    for device in ("cpu", "cuda"):
        cfg = tiny_cfg("MODEL.DEVICE", device, "GCL.CAMERA_NORM", True, *pairs)
        model, batch = make_model(tiny_cfg("GCL.CAMERA_NORM", True, *pairs), phase), make_batch()
        model.to(device).set_phase(phase)
        losses = model(batch)
        sum(losses.values()).backward()
        model.update_memory()
        assert str(model.device).startswith(device) and cfg.MODEL.DEVICE == device
        gradients = {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}
        found.append((losses, gradients, model.bank.features.cpu()))
    (wanted, slopes, rows), (losses, ours, ours_rows) = found
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(wanted[name].item(), rel=1e-4, abs=1e-6), name
    assert ours.keys() == slopes.keys()
    whole = torch.cat([slope.flatten() for slope in slopes.values()])
    apart = whole - torch.cat([ours[name].flatten() for name in slopes])
    assert apart.norm() < 0.1 * whole.norm()
    torch.testing.assert_close(ours_rows, rows, rtol=0, atol=1e-4)
