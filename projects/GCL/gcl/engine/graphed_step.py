"""A training iteration as a CUDA graph: thousands of small kernels, launched by one call."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor

from gcl.modeling import GCL

WARM_UP = 3
"""Iterations of each kind that run as ever before one is recorded: libraries choose algorithms and
allocate in them."""


class _Recorded(NamedTuple):
    graph: torch.cuda.CUDAGraph
    batch: dict[str, Tensor]  # what it reads
    losses: dict[str, Tensor]  # what it writes, and:
    gradients: list[tuple[torch.nn.Parameter, Tensor | None]]
    pending: tuple
    r1_steps: int  # that one such iteration counts


class GraphedStep:
    """Forward and backward of a model in one call; gradients are in ``.grad`` after it.

    The same kernels as without it run in the same order: results are the same. It works because
    nothing in an iteration depends on what a tensor holds. An iteration is recorded again where
    another phase, R1 in it or not, other sizes, or the proxies of new labels make it another one.

    Args:
        model: on a GPU, in no distributed wrapper.
        autocast: makes the context of its forward pass.
    """

    def __init__(self, model: GCL, autocast: AbstractContextManager) -> None:
        self.model, self.autocast = model, autocast
        self._parameters = list(model.parameters())
        self._stream = torch.cuda.Stream(model.device)
        self._pool = torch.cuda.graph_pool_handle()
        self._phase, self._proxies = model.phase, _proxies(model)
        self._seen: dict[tuple, int] = {}
        self._recorded: dict[tuple, _Recorded] = {}

    def __call__(self, batch: dict) -> dict[str, Tensor]:
        """Losses of a batch, constants; the model's bank can be updated after the optimizer's
        step."""
        model = self.model
        if model.phase != self._phase or _proxies(model) is not self._proxies:
            self._phase, self._proxies = model.phase, _proxies(model)
            self._seen.clear()
            self._recorded.clear()  # which hold memory
        tensors = {k: model.here(v) for k, v in batch.items() if torch.is_tensor(v)}
        sizes = tuple((k, v.shape, v.dtype) for k, v in sorted(tensors.items()))
        kind = (model.r1_is_due, sizes)
        recorded = self._recorded.get(kind)
        self._stream.wait_stream(torch.cuda.current_stream())
        if recorded is None and self._seen.get(kind, 0) < WARM_UP:
            self._seen[kind] = self._seen.get(kind, 0) + 1
            with torch.cuda.stream(self._stream):
                losses = self._iterate(tensors)
        else:
            if recorded is None:
                recorded = self._recorded[kind] = self._record(tensors)
            else:
                model.r1_steps += recorded.r1_steps
            with torch.cuda.stream(self._stream):
                for name, value in tensors.items():
                    recorded.batch[name].copy_(value, non_blocking=True)
                recorded.graph.replay()
            losses = recorded.losses
            for parameter, gradient in recorded.gradients:
                parameter.grad = gradient
            model.pending = recorded.pending
        torch.cuda.current_stream().wait_stream(self._stream)
        return losses

    def _iterate(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        for parameter in self._parameters:
            parameter.grad = None
        with self.autocast:
            losses = self.model(dict(batch))
        sum(losses.values()).backward()
        return {name: loss.detach() for name, loss in losses.items()}

    def _record(self, batch: dict[str, Tensor]) -> _Recorded:
        read = {name: value.clone() for name, value in batch.items()}
        graph, steps = torch.cuda.CUDAGraph(), self.model.r1_steps
        # "thread_local": a loader's thread may pin memory meanwhile
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            losses = self._iterate(read)
        gradients = [(p, p.grad) for p in self._parameters]
        counted = self.model.r1_steps - steps
        return _Recorded(graph, read, losses, gradients, self.model.pending, counted)


def _proxies(model: GCL) -> Tensor | None:
    """What a step reads of InterCameraLoss; each epoch's labels make another tensor."""
    return None if model.proxies is None else model.proxies.features
