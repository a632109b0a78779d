"""Crops, renders, and files of drawn people and sets."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Callable

import numpy as np
from faults.kinds import REFUSALS, Kind
from PIL import Image

from gcl.photographs import photograph_size, read_photograph
from gcl.structure.estimate.crops import load_crop
from gcl.structure.render_files import FOLDERS, renders_whole, write_renders
from gcl.structure.store import RenderStore
from gcl.synthetic.examples import Examples, read_examples
from gcl.synthetic.people import People, read_people
from gcl.synthetic.plan import Settings
from gcl.synthetic.set_folder import read_settings
from gcl.synthetic.turns import Turns, read_turns

SIZE = (64, 32)


def picture_kinds(folder: str) -> list[Kind]:
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, SIZE, dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    crops = [
        Kind("crop.jpg", _file(colours, "JPEG"), _read_crop),
        Kind("turned.jpg", _file(colours, "JPEG", exif=exif), _read_crop),
        Kind("crop.png", _file(colours, "PNG"), _read_crop),
        Kind("palette.png", _file(colours.convert("P"), "PNG"), _read_crop),
        Kind("deep.png", _file(deep, "PNG"), _read_crop),
        Kind("crop.bmp", _file(colours, "BMP"), _read_crop),
        Kind("crop.webp", _file(colours, "WEBP"), _read_crop),
        Kind("tiff.png", _file(colours, "TIFF"), _read_crop),
    ]
    grey = _file(colours.convert("L"), "JPEG")
    renders = Kind("render.jpg", grey, _render_reader(folder, grey), often=3)
    one = Kind("renders.tif", *_one_file(folder, colours.convert("L")))
    return [*crops, renders, one, *_drawn_kinds(rng)]


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _read_crop(path: str) -> None:
    """As training, estimation and preparation read it."""
    for at_least in (None, SIZE, (8, 4)):
        picture = read_photograph(path, at_least)
        assert picture.mode == "RGB" and min(picture.size) >= 4
    height, width = photograph_size(path)
    assert (width, height) == read_photograph(path).size
    assert load_crop(path).shape == (128, 64, 3)


def _render_reader(folder: str, good: bytes) -> Callable[[str], None]:
    """The damaged one is the view at 90 degrees of a whole set."""
    train = os.path.join(folder, "meshes", "train")
    for view in FOLDERS:
        os.makedirs(os.path.join(train, view), exist_ok=True)
        with open(os.path.join(train, view, "render.jpg"), "wb") as file:
            file.write(good)

    def read(path: str) -> None:
        damaged = os.path.join(train, "render_90", "render.jpg")
        os.replace(path, damaged)
        store = RenderStore(os.path.dirname(train), "train", {"crops/render.jpg": "render.jpg"})
        whole = renders_whole(train, "render.jpg")
        try:
            (view,) = store.load_views("crops/render.jpg", (90,))
        except OSError:
            assert not whole
            raise
        assert whole and view.mode == "L"

    return read


def _one_file(folder: str, view: Image.Image) -> tuple[bytes, Callable[[str], None]]:
    """All eight views of a crop in one file: its content, and how training and preparation read
    it."""
    train = os.path.join(folder, "one", "train")
    written = os.path.join(train, "renders", "crop.png.tif")
    os.makedirs(os.path.dirname(written))
    write_renders(train, "crop.png", [view] * 8)
    with open(written, "rb") as file:
        good = file.read()

    def read(path: str) -> None:
        os.replace(path, written)
        store = RenderStore(os.path.dirname(train), "train", {"crop.png": "crop.png"})
        whole = renders_whole(train, "crop.png")
        try:
            views = store.load_views("crop.png", (0, 90))
        except OSError:
            assert not whole
            raise
        assert [image.mode for image in views] == ["L", "L"]

    return good, read


def _drawn_kinds(rng: np.random.Generator) -> list[Kind]:
    def pictures(*shape: int) -> np.ndarray:
        return rng.integers(0, 256, shape, dtype=np.uint8)

    people = People(pictures(2, 4, 8, 4, 3), np.zeros((2, 4), np.int32), np.zeros((2, 4, 4)))
    turns = Turns(pictures(2, 4, 8, 4, 3), pictures(2, 4, 8, 4))
    numbers = np.zeros((2, 5), np.float32)
    examples = Examples(
        pictures(2, 8, 4, 3), pictures(2, 8, 4), numbers[:, 0], numbers, numbers, numbers[:, :4]
    )
    shards = [
        Kind(f"{name}.npz", _shard(good), _shard_reader(good, read))
        for name, good, read in (
            ("people", people, read_people),
            ("turns", turns, read_turns),
            ("examples", examples, read_examples),
        )
    ]
    settings = json.dumps(dataclasses.asdict(Settings())).encode()
    # the commands that draw sets end with its sentence, too
    return [*shards, Kind("set.json", settings, _read_set, refusals=(*REFUSALS, ValueError))]


def _shard(arrays: tuple) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays._asdict())
    return file.getvalue()


def _shard_reader(good: tuple, read: Callable) -> Callable[[str], None]:
    def check(path: str) -> None:
        for name, array, wanted in zip(good._fields, read([path]), good, strict=True):
            assert array.dtype.kind in "biuf" and array.ndim == wanted.ndim, name

    return check


def _read_set(path: str) -> None:
    assert isinstance(read_settings(os.path.dirname(path), Settings), Settings)
