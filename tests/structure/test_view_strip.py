"""A TIFF with a strip a view: what Pillow makes of it, and that views are read alone."""

from __future__ import annotations

import io
import re
import struct

import numpy as np
import pytest
from PIL import Image

from gcl.structure.view_strip import MOST, read_strip, write_strip

SIZE = (16, 8)


def views_of(*size: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, size, np.uint8)) for _ in range(8)]


@pytest.fixture
def written(tmp_path) -> str:
    path = str(tmp_path / "a.tif")
    with open(path, "wb") as file:
        write_strip(file, views_of(*SIZE))
    return path


@pytest.mark.parametrize("size", [(1, 1), SIZE, (128, 64), (256, 128), (31, 47)], ids=str)
def test_other_programs_see_the_views_one_below_the_other(tmp_path, size):
    path, views = tmp_path / "a.tif", views_of(*size)
    with open(path, "wb") as file:
        write_strip(file, views)
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("TIFF", "L")
        assert np.array_equal(image, np.concatenate([np.asarray(view) for view in views]))
        assert image.tag_v2[278] == size[0] and len(image.tag_v2[273]) == 8  # a strip is a view


@pytest.mark.parametrize("numbers", [range(8), (0, 3), (3, 0), (5, 5), (7,), ()], ids=str)
def test_views_come_back_bit_for_bit(written, numbers):
    views, found = views_of(*SIZE), read_strip(written, numbers)
    assert len(found) == len(numbers)
    for image, number in zip(found, numbers, strict=True):
        assert image.mode == "L" and np.array_equal(image, views[number])


def test_two_views_need_no_other(written):
    """The strips of the others are overwritten, and what is behind the last that is read is cut."""
    with Image.open(written) as image:
        places, lengths = image.tag_v2[273], image.tag_v2[279]
    content = bytearray(open(written, "rb").read())
    for i in (1, 2, 4):
        content[places[i] : places[i] + lengths[i]] = bytes(lengths[i])
    open(written, "wb").write(content[: places[5]])
    for image, number in zip(read_strip(written, (0, 3)), (0, 3), strict=True):
        assert np.array_equal(image, views_of(*SIZE)[number])
    for number in (1, 2, 4, 5, 7):
        with pytest.raises(ValueError):
            read_strip(written, (0, number))


def test_dark_surroundings_cost_next_to_nothing():
    file = io.BytesIO()
    write_strip(file, [Image.new("L", (64, 128))] * 8)
    assert len(file.getvalue()) < 8 * 128 * 64 / 100


@pytest.mark.parametrize("count", [0, 7, 9])
def test_eight_views_are_needed(count):
    with pytest.raises(ValueError, match=f"^{count} views"):
        write_strip(io.BytesIO(), (views_of(*SIZE) * 2)[:count])


def test_views_of_one_size_are_needed():
    with pytest.raises(ValueError, match="of one$"):
        write_strip(io.BytesIO(), [*views_of(*SIZE)[:7], Image.new("L", (9, 16))])


def test_any_damage_to_what_is_read_is_found(written):
    """A bit of every byte in turn, and a cut at each."""
    content = open(written, "rb").read()
    for i in range(len(content)):
        other = bytearray(content)
        other[i] ^= 1 << i % 8
        open(written, "wb").write(other)
        try:
            found = read_strip(written, range(8))
        except ValueError as error:
            assert str(error)
        else:  # a bit of zlib's header that decides nothing
            assert all(map(np.array_equal, found, views_of(*SIZE)))
    for i in range(0, len(content), 7):
        open(written, "wb").write(content[:i])
        with pytest.raises(ValueError):
            read_strip(written, range(8))


def test_a_tiff_of_another_make_is_refused(tmp_path):
    path = str(tmp_path / "a.tif")
    for options in ({}, {"compression": "tiff_adobe_deflate"}):
        Image.new("L", (8, 128)).save(path, "TIFF", **options)
        with pytest.raises(ValueError, match="no strip of eight views|ends too soon"):
            read_strip(path, (0,))
    with pytest.raises(FileNotFoundError):
        read_strip(str(tmp_path / "b.tif"), (0,))


@pytest.mark.parametrize(("width", "height"), [(0, 16), (8, 0), (MOST, 2), (2**32 - 1, 2**32 - 1)])
def test_a_size_that_no_render_has_is_refused_before_memory_is_taken(written, width, height):
    content = bytearray(open(written, "rb").read())
    for tag, value in ((256, width), (278, height)):
        at = content.index(struct.pack("<HHI", tag, 4, 1)) + 8
        content[at : at + 4] = struct.pack("<I", value)
    open(written, "wb").write(content)
    with pytest.raises(ValueError, match=re.escape(f"{width} x {height} pixels are no render")):
        read_strip(written, (0,))


def test_a_strip_that_unpacks_to_more_than_a_view_is_refused(written):
    """A bomb: the header is consistent, the strip holds a hundred times as much."""
    file = io.BytesIO()
    write_strip(file, [Image.new("L", (80, 160))] * 8)
    content = bytearray(file.getvalue())
    for tag, value in ((256, 8), (257, 8 * 16), (278, 16)):
        at = content.index(struct.pack("<HHI", tag, 4, 1)) + 8
        content[at : at + 4] = struct.pack("<I", value)
    open(written, "wb").write(content)
    with pytest.raises(ValueError, match="of another size"):
        read_strip(written, (0,))
