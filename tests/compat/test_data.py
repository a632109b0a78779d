import multiprocessing
import os
import pickle
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.config import get_cfg
from fastreid.data import build, common, data_utils
from fastreid.data.transforms import ToTensor, build_transforms
from PIL import Image
from torch.utils.data import Dataset

from gcl.compat import DataLoaderX, stock

NO_CUDA = not torch.cuda.is_available()


class Noise(Dataset):
    """Draws from all three global generators, as transforms do; sample `broken` can not be read."""

    num_classes = 3

    def __init__(self, broken: int | None = None) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict:
        if index == self.broken:
            raise OSError(f"image {index}.jpg is corrupt")
        noise = torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()])  # noqa: NPY002
        return {"index": index, "noise": noise, "img_paths": f"{index}.jpg"}


def loader(num_workers: int = 0, broken: int | None = None, **kwargs: object) -> DataLoaderX:
    return DataLoaderX(
        0,
        dataset=Noise(broken),
        batch_size=4,
        num_workers=num_workers,
        collate_fn=build.fast_batch_collator,
        **kwargs,
    )


def seed_everything() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)


def indices(batches: Iterator[dict]) -> list[int]:
    return [int(index) for batch in batches for index in batch["index"]]


# --------------------------------------------------------------------------- plain_data_loader


def test_plain_data_loader() -> None:
    built = build.build_reid_train_loader(Noise(), sampler=range(12), total_batch_size=4)
    assert type(built).__name__ == DataLoaderX.__name__ == data_utils.DataLoaderX.__name__
    assert isinstance(built, DataLoaderX)
    assert len(built) == 3
    assert indices(built) == list(range(12))
    test_loader, num_query = build.build_reid_test_loader(Noise(), 5, 2, num_workers=0)
    assert isinstance(test_loader, DataLoaderX)
    assert num_query == 2
    assert indices(test_loader) == indices(test_loader) == list(range(12))


@pytest.mark.skipif(not NO_CUDA, reason="shows what a machine without CUDA sees")
def test_the_toolbox_loader_needs_cuda() -> None:
    with pytest.raises(Exception, match="CUDA|NVIDIA"):
        stock("fastreid.data.build.DataLoaderX")(0, dataset=Noise())


def test_the_toolbox_loader_dies_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.set_device", lambda rank: None)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    thread = data_utils.BackgroundGenerator(map(Noise(broken=0).__getitem__, range(3)), 0)
    thread.join()
    assert thread.queue.empty()  # and nobody is left to fill it: next(thread) waits for ever


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_the_data_set_arrives_in_the_loop(num_workers: int) -> None:
    batches = iter(loader(num_workers, broken=9))
    assert indices(next(batches) for _ in range(2)) == list(range(8))
    with pytest.raises(OSError, match=r"image 9\.jpg is corrupt"):
        next(batches)
    assert not multiprocessing.active_children()


def test_iter_starts_nothing_and_draws_nothing() -> None:
    seed_everything()
    states = torch.get_rng_state(), random.getstate()
    batches = iter(loader(num_workers=2))
    assert not multiprocessing.active_children()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    batches.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_one_seed_gives_one_run(num_workers: int) -> None:
    def run() -> list[torch.Tensor]:
        seed_everything()
        seen = []
        for batch in loader(num_workers, shuffle=True):
            seen += [batch["index"].double(), batch["noise"].double()]
            seen += [torch.rand(3).double(), torch.tensor(random.random())]  # the training thread
        return seen

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


def test_only_the_calling_thread_asks_for_samples() -> None:
    callers = set()

    class Watched(Noise):
        def __getitem__(self, index: int) -> dict:
            callers.add(threading.current_thread())
            return super().__getitem__(index)

    list(DataLoaderX(0, dataset=Watched(), collate_fn=build.fast_batch_collator))
    assert callers == {threading.current_thread()}


def test_worker_seeds_come_from_the_given_generator() -> None:
    def run(global_seed: int) -> torch.Tensor:
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        batches = loader(num_workers=2, generator=torch.Generator().manual_seed(5))
        noise = torch.cat([batch["noise"] for batch in batches])
        assert torch.equal(torch.get_rng_state(), before)  # the global one is left alone
        return noise

    assert torch.equal(run(1), run(2))


def test_worker_init_fn_is_passed_on() -> None:
    def init(worker: int) -> None:
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(7)

    first, second = next(iter(loader(1, worker_init_fn=init))), next(iter(loader(1)))
    again = next(iter(loader(1, worker_init_fn=init)))
    assert torch.equal(first["noise"], again["noise"])
    assert not torch.equal(first["noise"], second["noise"])


@pytest.mark.parametrize("persistent_workers", [False, True])
def test_shutdown_and_a_second_iter_stop_the_workers(persistent_workers: bool) -> None:
    batches = loader(num_workers=2, persistent_workers=persistent_workers)
    first = iter(batches)
    next(first)
    assert len(multiprocessing.active_children()) == 2
    second = iter(batches)
    with pytest.raises(StopIteration):
        next(first)
    assert int(next(second)["index"][0]) == 0
    assert len(multiprocessing.active_children()) == 2
    batches.shutdown()
    batches.shutdown()
    assert not multiprocessing.active_children()
    with pytest.raises(StopIteration):
        next(second)
    assert indices(batches) == list(range(12))
    batches.shutdown()


def test_persistent_workers_outlive_an_epoch() -> None:
    batches = loader(num_workers=1, persistent_workers=True)
    workers = []
    for _ in range(2):
        assert indices(batches) == list(range(12))
        workers.append(multiprocessing.active_children())
    assert workers[0] == workers[1]
    batches.shutdown()


@pytest.mark.skipif(sys.platform != "linux", reason="forking is for Linux")
def test_workers_are_forked_whatever_the_default_is(monkeypatch: pytest.MonkeyPatch) -> None:
    # in a process that mp.spawn started, the default is "spawn"
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none=False: "spawn")
    assert loader(num_workers=1).multiprocessing_context.get_start_method() == "fork"
    assert loader(num_workers=0).multiprocessing_context is None
    chosen = loader(num_workers=1, multiprocessing_context="spawn")
    assert chosen.multiprocessing_context.get_start_method() == "spawn"


@pytest.mark.usefixtures("cuda_is_seen")
def test_device_cpu_on_a_machine_with_a_gpu() -> None:
    batches = loader(pin_memory=True)
    assert not batches.pin_memory
    assert indices(batches) == list(range(12))


def test_on_cuda_the_next_batch_is_copied_while_this_one_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []

    class Stream:
        def __init__(self, device: torch.device) -> None:
            self.name = "side"

        def wait_stream(self, other: "Stream") -> None:
            log.append("wait")

        def __enter__(self) -> None:
            log.append("copy")

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr("torch.cuda.Stream", Stream)
    monkeypatch.setattr("torch.cuda.stream", lambda stream: stream)
    monkeypatch.setattr("torch.cuda.current_stream", Stream)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, s: log.append("record"))
    monkeypatch.setenv("GCL_DEVICE", "cuda")
    batches = loader()
    monkeypatch.setattr(batches, "_gpu", torch.device("cpu"))  # all but the copy itself
    seen = []
    for batch in batches:
        seen.append(batch)
        log.append("use")
    assert indices(seen) == list(range(12))
    assert seen[0]["img_paths"] == [f"{i}.jpg" for i in range(4)]
    ready = ["wait", "record", "record"]
    assert log == [
        *["copy", *ready, "copy", "use"],
        *[*ready, "copy", "use"],
        *[*ready, "use"],
    ]


# ------------------------------------------------------------------------------ collator_types


@pytest.mark.parametrize(
    "value", [np.zeros(3), np.float32(1), np.int64(1), [1, 2], (1, 2), None], ids=repr
)
def test_collator_types(value: object) -> None:
    assert stock("fastreid.data.build.fast_batch_collator")([value, value]) is None
    for sample in ({"yaw": value}, {"extra": {"yaw": value}}):
        with pytest.raises(TypeError, match="can not batch 'yaw'"):
            build.fast_batch_collator([sample, sample])


def test_collator_can_be_sent_to_a_worker() -> None:
    collator = build.fast_batch_collator
    assert pickle.loads(pickle.dumps(collator)) is collator


def test_collator_batches_as_before() -> None:
    sample = {"images": torch.rand(3, 2, 2), "yaw": 45.0, "id": 3, "path": "a.jpg", "b": True}
    samples = [sample, {**sample, "id": 4}]
    batch = build.fast_batch_collator(samples)
    expected = stock("fastreid.data.build.fast_batch_collator")(samples)
    assert batch.keys() == expected.keys()
    for key in ("images", "yaw", "id", "b"):
        assert torch.equal(batch[key], expected[key])
        assert batch[key].dtype == expected[key].dtype
    assert batch["path"] == ["a.jpg", "a.jpg"]
    nested = build.fast_batch_collator([{"a": {"b": 1}}, {"a": {"b": 2}}])
    assert nested["a"]["b"].tolist() == [1, 2]


# ---------------------------------------------------------------------------------- one_reader


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 4), ("LA", 2), ("P", 3)])
def test_one_reader(tmp_path: Path, mode: str, channels: int) -> None:
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8))
    image = colours.quantize(16) if mode == "P" else colours.convert(mode)
    image.save(tmp_path / "a.png")
    path, expected = str(tmp_path / "a.png"), np.asarray(image.convert("RGB"))
    original = np.asarray(stock("fastreid.data.common.read_image")(path))
    assert original.shape[2] == channels and not np.array_equal(original, expected)
    item = common.CommDataset([(path, "1", "1")], np.asarray)[0]
    assert np.array_equal(item["images"], expected)


def test_one_reader_names_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    Image.new("RGB", (32, 64)).save(path)
    os.truncate(path, 60)
    with pytest.raises(OSError) as error:
        stock("fastreid.data.common.read_image")(path)
    assert path not in str(error.value)
    with pytest.raises(OSError, match=f"image {path} can not be read"):
        common.CommDataset([(path, "1", "1")])[0]


# ------------------------------------------------------------------------- affine, to_tensor


def test_affine_arguments(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="resample"):
        stock("fastreid.data.transforms.build.T").RandomAffine(10, resample=False, fillcolor=0)
    cfg = get_cfg()
    cfg.INPUT.AFFINE.ENABLED = True
    cfg.INPUT.SIZE_TRAIN = [16, 8]
    transform = build_transforms(cfg, is_train=True)
    image = transform(Image.new("RGB", (8, 16), (9, 9, 9)))
    assert image.shape == (3, 16, 8)
    transforms = build.build_transforms.__globals__["T"]
    affine = transforms.RandomAffine(10, resample=2, fillcolor=7)
    assert affine.interpolation.value == "bilinear"
    assert affine.fill == 7
    assert isinstance(affine, stock("fastreid.data.transforms.build.T").RandomAffine)


def picture(mode: str) -> Image.Image:
    rng = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (4, 3), dtype=np.uint16))
    return Image.fromarray(rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "F", "I"])
@pytest.mark.filterwarnings("ignore:TypedStorage", "ignore:The given NumPy array is not writable")
def test_image_to_tensor_is_as_before(mode: str) -> None:
    image, expected = picture(mode), stock("fastreid.data.transforms.transforms.to_tensor")
    got = ToTensor()(image)
    assert torch.equal(got, expected(image))
    assert got.dtype == expected(image).dtype
    assert got.is_contiguous()


@pytest.mark.filterwarnings("error")
def test_image_to_tensor() -> None:
    original = stock("fastreid.data.transforms.transforms.to_tensor")
    if int(np.__version__.split(".")[0]) >= 2:
        with pytest.raises(ValueError, match="Unable to avoid copy"):
            original(picture("1"))
    image = picture("1")
    assert ToTensor()(image).unique().tolist() == [0, 255]
    deep = picture("I;16")
    assert ToTensor()(deep)[0].tolist() == np.array(deep).tolist()
    ToTensor()(picture("RGB"))  # no warning about a deprecated storage
    array = np.arange(12, dtype=np.uint8).reshape(4, 3)
    assert torch.equal(ToTensor()(array), original(array))
