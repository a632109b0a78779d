"""Data loader, collator and transforms of the toolbox."""

import importlib
import multiprocessing
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import distributed as dist
from torch.utils.data import DataLoader

from gcl.photographs import read_photograph

from .device import device_type
from .patching import View, replace, stock


class DataLoaderX(DataLoader):
    """A DataLoader that, on CUDA, copies the next batch to the GPU while the model has this one.

    Differs from a torch DataLoader in three ways:

    * Nothing starts before the first batch is asked for: `iter(loader)` draws no random number and
      starts no worker. Batches, worker seeds and sampler are then asked for in the calling thread
      only, so that one seed gives one run. (Without workers the transforms use the global random
      generators, in that thread too.)
    * On CUDA one batch is fetched ahead and copied on a stream of its own. On the CPU there is
      nothing to copy, and nothing is fetched ahead but by the workers.
    * A second `iter` or `shutdown()` stops the workers of the first.

    Args:
        local_rank: the GPU to copy to, where the device is CUDA.
        **kwargs: of torch.utils.data.DataLoader; among them `generator` (worker seeds come from it
            and not from the global generator) and `worker_init_fn`.
    """

    def __init__(self, local_rank: int, **kwargs: Any) -> None:
        cuda = device_type() == "cuda"
        kwargs["pin_memory"] = cuda and kwargs.get("pin_memory", False)
        if kwargs.get("num_workers", 0) > 0 and not kwargs.get("multiprocessing_context"):
            kwargs["multiprocessing_context"] = _worker_context()
        super().__init__(**kwargs)
        self.local_rank = local_rank
        self._gpu = torch.device("cuda", local_rank) if cuda else None
        self._running: weakref.ref | None = None

    def __iter__(self) -> Iterator[Any]:
        self._end_running()
        batches = self._batches()
        self._running = weakref.ref(batches)  # weak: an abandoned iterator takes its workers along
        return batches

    def _batches(self) -> Iterator[Any]:
        source = super().__iter__()
        try:
            yield from source if self._gpu is None else self._copied_ahead(source)
        finally:
            if not self.persistent_workers:
                _stop_workers(source)

    def _copied_ahead(self, source: Iterator[Any]) -> Iterator[Any]:
        stream = torch.cuda.Stream(self._gpu)

        def copied() -> dict[str, Any] | None:
            batch = next(source, None)
            if batch is None:
                return None
            with torch.cuda.stream(stream):
                return {
                    key: value.to(self._gpu, non_blocking=True) if torch.is_tensor(value) else value
                    for key, value in batch.items()
                }

        ahead = copied()
        while ahead is not None:
            current = torch.cuda.current_stream(self._gpu)
            current.wait_stream(stream)
            for value in ahead.values():
                if torch.is_tensor(value):  # its memory is free only when `current` is through
                    value.record_stream(current)
            batch, ahead = ahead, copied()
            yield batch
            del batch

    def _end_running(self) -> None:
        running = self._running() if self._running else None
        if running is not None:
            running.close()

    def shutdown(self) -> None:
        """Stop the workers and end the running iterator, if any. The loader can be used again."""
        self._end_running()
        if self.persistent_workers and self._iterator is not None:
            _stop_workers(self._iterator)
            self._iterator = None


def _worker_context() -> BaseContext | None:
    """How data workers start on Linux.

    One process: by fork. In one of several: from a small server process that has imported us. There
    the default may be "spawn" (after mp.spawn), and every worker would import torch and fastreid
    again, minutes for an evaluation; and a fork there was seen to hang, while a thread of gloo held
    a lock of the interpreter (Python < 3.12 waits for that lock in the child, for ever).
    """
    if sys.platform != "linux":
        return None
    if not (dist.is_available() and dist.is_initialized()):
        return multiprocessing.get_context("fork")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gcl.compat"])
    return context


def _stop_workers(iterator: Any) -> None:
    # What torch does when the iterator is collected, but now: a traceback may keep it alive.
    getattr(iterator, "_shutdown_workers", lambda: None)()


def plain_data_loader() -> None:
    """Replace the toolbox's loader, which prefetches in a thread of its own, by `DataLoaderX`.

    Why: its thread and its constructor call CUDA whatever the device is; an exception ends the
        thread and nobody else; the thread uses the random generators at moments of its own; and it
        is still inside torch when the interpreter ends. torch's workers prefetch anyway.
    Symptom: on CPU `RuntimeError: torch.cuda.Stream requires CUDA support`. Everywhere: after a
        corrupt image training waits for ever; `terminate called without an active exception` (exit
        code 134) at the end; without workers two runs of one seed differ.
    Versions: all.
    Until: fastreid uses a plain DataLoader.
    """
    for name in ("data.data_utils", "data.build"):
        replace(importlib.import_module(f"fastreid.{name}"), "DataLoaderX", lambda _: DataLoaderX)


def fast_batch_collator(batched_inputs: list, key: str = "sample") -> Any:
    """The toolbox's collator, see `collator_types`; `key` is what an error names."""
    first = batched_inputs[0]
    if isinstance(first, Mapping):
        return {
            name: fast_batch_collator([sample[name] for sample in batched_inputs], name)
            for name in first
        }
    batch = stock("fastreid.data.build.fast_batch_collator")(batched_inputs)
    if batch is None:
        kind = f"{type(first).__module__}.{type(first).__name__}"
        raise TypeError(
            f"can not batch {key!r}, a {kind}: a data set may return tensors, int, float, "
            f"str and dicts of them (torch.as_tensor makes a tensor of a numpy array)"
        )
    return batch


def collator_types() -> None:
    """Make the collator refuse what it can not batch.

    Why: for a type that it does not know (numpy array, np.float32, list, None) it returns None.
    Symptom: none in the loader; later `'NoneType' object ...` somewhere in the model.
    Versions: all.
    Until: fastreid raises itself.
    """

    build = importlib.import_module("fastreid.data.build")
    replace(build, "fast_batch_collator", lambda _: fast_batch_collator)


def one_reader() -> None:
    """Let the toolbox's data set read crops as ours do, by `gcl.photographs`.

    Why: its own reader leaves alpha, CMYK, palette and 16-bit pictures as they are, decodes
        pictures of any size, and names no file that it can not read.
    Symptom: `RuntimeError: The size of tensor a (4) must match the size of tensor b (3)` for RGBA
        and CMYK, (2) for LA; `TypeError: Cannot handle this data type` for 1 and 16 bits; silently
        the numbers of a palette's colours in the place of the colours; `OSError: image file is
        truncated`, and nobody knows which.
    Versions: all.
    Until: fastreid reads with format="RGB", refuses what is no crop, and names the file.
    """
    common = importlib.import_module("fastreid.data.common")
    replace(common, "read_image", lambda _: read_photograph)


def affine_arguments() -> None:
    """Translate the old argument names of T.RandomAffine.

    Why: the toolbox passes `resample` and `fillcolor`, now `interpolation` and `fill`.
    Symptom: `TypeError: RandomAffine.__init__() got an unexpected keyword argument 'resample'` with
        INPUT.AFFINE.ENABLED.
    Versions: torchvision >= 0.15.
    Until: fastreid passes the new names.
    """

    def translating(transforms: Any) -> View:
        def random_affine(*args: Any, resample: int = 0, fillcolor: int = 0, **kwargs: Any) -> Any:
            # `resample` is a number of PIL's: 0 nearest, 2 bilinear, 3 bicubic
            mode = {0: "nearest", 2: "bilinear", 3: "bicubic"}[resample]
            kwargs.update(interpolation=transforms.InterpolationMode(mode), fill=fillcolor)
            return transforms.RandomAffine(*args, **kwargs)

        return View(transforms, RandomAffine=random_affine)

    replace(importlib.import_module("fastreid.data.transforms.build"), "T", translating)


def image_to_tensor() -> None:
    """Hand pictures to the toolbox's to_tensor as numpy arrays.

    Why: for the PIL modes "1" and "I;16" it asks numpy for a conversion without a copy; for all
        others it reads the pixels through a deprecated torch storage.
    Symptom: `ValueError: Unable to avoid copy while creating an array as requested`; a UserWarning
        `TypedStorage is deprecated` in every data worker.
    Versions: numpy >= 2; torch >= 2.0 (the warning).
    Until: fastreid uses np.asarray there.
    """

    def through_numpy(original: Callable[[Any], torch.Tensor]) -> Callable[[Any], torch.Tensor]:
        def to_tensor(pic: Image.Image | np.ndarray) -> torch.Tensor:
            if isinstance(pic, Image.Image):
                mode, pic = pic.mode, np.array(pic)
                if mode == "1":
                    pic = pic.astype(np.uint8) * 255
                elif mode.startswith("I;16"):
                    pic = pic.astype(np.int32)  # torch computes little in uint16
            return original(pic).contiguous()

        return to_tensor

    for name in ("functional", "transforms"):
        module = importlib.import_module(f"fastreid.data.transforms.{name}")
        replace(module, "to_tensor", through_numpy)
