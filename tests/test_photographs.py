"""What is read of every kind of file, what is refused, and how early."""

from __future__ import annotations

import io
import pickle
import re
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photograph_files import HEIGHT, KINDS, WIDTH, write_photograph
from PIL import Image, ImageFile, ImageOps
from torch.utils.data import DataLoader, Dataset

from gcl.photographs import MOST, PhotographError, photograph_size, read_photograph


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height: int, width: int) -> Image.Image:
    """A picture that bears being made smaller."""
    return Image.fromarray(noise(6, 3)).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def no_pixels(monkeypatch):
    """Decoding is an error of its own here."""

    def load(self):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


# ---- what is seen
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("error")
def test_every_kind_of_file_is_the_same_rgb(tmp_path, kind):
    path, pixels = write_photograph(tmp_path, kind)
    picture = read_photograph(path)
    assert picture.mode == "RGB"
    assert np.array_equal(picture, pixels)
    assert photograph_size(path) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_costs_no_decoding(tmp_path, no_pixels, kind):
    assert photograph_size(write_photograph(tmp_path, kind)[0]) == (HEIGHT, WIDTH)


def test_a_cmyk_jpeg_has_its_colours(tmp_path):
    smooth(60, 25).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    seen = np.asarray(read_photograph(tmp_path / "a.jpg"), float)
    assert np.abs(seen - np.asarray(smooth(60, 25), float)).mean() < 4  # negative: 80 and more


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_pictures_are_turned_upright(tmp_path, suffix, orientation):
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise(60, 25)).save(path, exif=exif)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(read_photograph(path), upright)
    assert photograph_size(path) == upright.shape[:2] == ((60, 25) if orientation < 5 else (25, 60))


def test_nobody_turns_a_picture_twice(tmp_path):
    path, _ = write_photograph(tmp_path, "on_its_side")
    picture = read_photograph(path)
    assert np.array_equal(ImageOps.exif_transpose(picture), picture)


@pytest.mark.parametrize("exif", [b"nothing", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_metadata_spoil_no_picture(tmp_path, exif):
    Image.fromarray(noise(60, 25)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_photograph(tmp_path / "a.png"), noise(60, 25))


# ---- sizes
@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("size", [(64, 32), (128, 64), (255, 400), (400, 127)])
def test_what_is_not_four_times_as_large_is_read_to_the_bit(tmp_path, suffix, size):
    Image.fromarray(noise(*size)).save(tmp_path / f"a.{suffix}")
    with Image.open(tmp_path / f"a.{suffix}") as image:
        assert np.array_equal(read_photograph(tmp_path / f"a.{suffix}", (64, 32)), image)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("size", [(256, 128), (1000, 401), (1100, 1300)])
def test_what_is_huge_is_handed_out_small(tmp_path, monkeypatch, suffix, size, orientation):
    exif, decoded, load = Image.Exif(), [], ImageFile.ImageFile.load
    exif[0x0112] = orientation
    stored = smooth(*size) if orientation == 1 else smooth(*size).transpose(Image.ROTATE_90)
    stored.save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    monkeypatch.setattr(
        ImageFile.ImageFile, "load", lambda self: decoded.append(self.size) or load(self)
    )
    picture = read_photograph(tmp_path / f"a.{suffix}", (64, 32))
    times = min(picture.height / 64, picture.width / 32)
    assert 2 <= times < 4
    # the same picture as the whole one would have become
    expected = np.asarray(smooth(*size).resize((32, 64), Image.Resampling.BICUBIC), float)
    seen = np.asarray(picture.resize((32, 64), Image.Resampling.BICUBIC), float)
    assert np.abs(seen - expected).mean() < 1.5
    assert photograph_size(tmp_path / f"a.{suffix}") == size
    if suffix == "jpg":  # which was never there at its full size
        assert decoded[0][0] * decoded[0][1] <= size[0] * size[1] / 3.9


# ---- what is refused
def refused(path, why: str) -> None:
    """By both, in one sentence with path, reason and remedy."""
    for read in (read_photograph, photograph_size):
        with pytest.raises(PhotographError) as error:
            read(str(path))
        assert re.fullmatch(f"image {re.escape(str(path))} can not be .*", str(error.value))
        assert why in str(error.value) and str(error.value).endswith(": replace or remove it.")


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ((400, 49), "49 x 400, one side more than 8 times the other"),
        ((49, 400), "400 x 49, one side more than 8 times the other"),
        ((40, 7), "7 x 40, a side of less than 8 pixels"),
        ((7, 7), "a side of less than 8 pixels"),
    ],
)
def test_what_has_not_the_shape_of_a_crop(tmp_path, no_pixels, size, why):
    Image.new("RGB", size[::-1]).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", why)


@pytest.mark.parametrize("size", [(400, 50), (50, 400), (8, 8), (64, 8)])
def test_the_last_that_has(tmp_path, size):
    Image.new("RGB", size[::-1]).save(tmp_path / "a.png")
    assert np.asarray(read_photograph(tmp_path / "a.png")).shape[:2] == size


@pytest.mark.parametrize("limit", [Image.MAX_IMAGE_PIXELS, None])
@pytest.mark.parametrize("size", [(20000, 10000), (10000, 10000)])
@pytest.mark.parametrize("action", ["error", "ignore"])
def test_a_bomb(tmp_path, no_pixels, monkeypatch, size, limit, action):
    """Beyond Pillow's two limits, with them and without, whatever becomes of its warning."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    header = b"IHDR" + struct.pack(">IIBBBBB", *size[::-1], 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"")
    with open(tmp_path / "a.png", "wb") as file:  # nothing but a header
        file.write(b"\x89PNG\r\n\x1a\n")
        for chunk in (header, pixels):
            file.write(struct.pack(">I", len(chunk) - 4) + chunk)
            file.write(struct.pack(">I", zlib.crc32(chunk)))
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        refused(tmp_path / "a.png", " pixels")
    assert Image.MAX_IMAGE_PIXELS == limit


def test_the_limit_of_pixels_is_where_pillow_begins_to_warn():
    assert MOST == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("mode", ["F", "LAB"])
def test_what_has_no_colours(tmp_path, no_pixels, mode):
    Image.new(mode, (30, 60)).save(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "in the place of RGB or grey")


@pytest.mark.parametrize("value", [-1, 65536])
def test_numbers_beyond_16_bits(tmp_path, value):
    Image.new("I", (30, 60), value).save(tmp_path / "a.tif")
    with pytest.raises(PhotographError, match="a.tif .*numbers beyond 16 bits"):
        read_photograph(tmp_path / "a.tif")


def test_what_is_no_file(tmp_path):
    refused(tmp_path / "a.jpg", "No such file")
    (tmp_path / "folder.jpg").mkdir()
    refused(tmp_path / "folder.jpg", "directory")
    (tmp_path / "b.jpg").write_bytes(b"nothing")
    refused(tmp_path / "b.jpg", "no picture of a known format")


# ---- damage
def encoded(form: str) -> bytes:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(noise(30, 16))
    image = image.quantize() if form in ("GIF", "PNG") else image
    image.save(stream, form, exif=exif, **({"progressive": True} if form == "JPEG" else {}))
    return stream.getvalue()


FORMS = {form: encoded(form) for form in ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged") / "a.jpg"


def picture_or_refusal(path, content: bytes) -> None:
    path.write_bytes(content)
    for at_least in (None, (2, 2)):
        try:
            picture = read_photograph(path, at_least)
            assert picture.mode == "RGB" and min(picture.size) >= 4
        except PhotographError as error:
            assert str(path) in str(error)
    try:
        assert min(photograph_size(path)) >= 8
    except PhotographError as error:
        assert str(path) in str(error)


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=150)
@given(form=st.sampled_from(sorted(FORMS)), share=st.floats(0, 1))
def test_truncated_files(place, form, share):
    content = FORMS[form]
    picture_or_refusal(place, content[: int(share * len(content))])


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=150)
@given(
    form=st.sampled_from(sorted(FORMS)),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_changed_bytes(place, form, changes):
    content = bytearray(FORMS[form])
    for where, value in changes:
        content[where % len(content)] = value
    picture_or_refusal(place, bytes(content))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "WEBP", "TIFF"])
def test_half_a_file_is_no_picture(place, form):
    place.write_bytes(FORMS[form][: len(FORMS[form]) // 2])
    with pytest.raises(PhotographError, match="can not be read"):
        read_photograph(place)


# ---- data workers
class Broken(Dataset):
    def __init__(self, path: str) -> None:
        self.path = path

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Image.Image:
        return read_photograph(self.path)


def test_the_error_comes_out_of_a_data_worker(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(PhotographError, match=f"image {re.escape(str(tmp_path))}/a.jpg can not be"):
        next(iter(DataLoader(Broken(str(tmp_path / "a.jpg")), num_workers=1)))
    error = PhotographError("image a.jpg can not be read (why): replace or remove it.")
    assert isinstance(error, OSError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
