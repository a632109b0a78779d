"""The views of a person, one below the other, as one grey TIFF, of which views can be read alone.

A TIFF is cut into strips of rows that are compressed each for itself (deflate). Here a strip is a
view, so that reading two of eight decompresses two, in less time than two small pictures take. Any
viewer shows the file; what is read is only what is written here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import Image

VIEWS = 8

MOST = 2**24
"""Pixels of a view."""

_SHORT, _LONG = 3, 4
_ENTRIES = 9
_START = struct.Struct("<2sHIH")  # of a file, and the number of its entries
_ENTRY = struct.Struct("<HHII")  # tag, type, number of values, the value or where the values are
_LISTS = struct.Struct(f"<{VIEWS}I{VIEWS}I")  # places of the strips, their bytes
_LISTS_AT = _START.size + _ENTRIES * _ENTRY.size + 4
_STRIPS_AT = _LISTS_AT + _LISTS.size


def write_strip(file: BinaryIO, views: Sequence[Image.Image]) -> None:
    """Write eight views of mode "L".

    Raises:
        ValueError: they are not eight, or differ in size.
    """
    pixels = [np.asarray(view, np.uint8) for view in views]
    shapes = {view.shape for view in pixels}
    if len(pixels) != VIEWS or len(shapes) != 1:
        raise ValueError(f"{len(pixels)} views of the shapes {shapes} are not {VIEWS} of one")
    ((height, width),) = shapes
    strips = [zlib.compress(view.tobytes()) for view in pixels]
    file.write(_header(width, height, [len(strip) for strip in strips]) + b"".join(strips))


def read_strip(path: str, numbers: Sequence[int]) -> list[Image.Image]:
    """Views of a file, mode "L", by their numbers from 0 on.

    Raises:
        ValueError: it is no file of :func:`write_strip`, or damaged.
        OSError: it can not be opened.
    """
    with open(path, "rb") as file:
        head = file.read(_STRIPS_AT)
        if len(head) < _STRIPS_AT:
            raise ValueError("it ends too soon")
        width, height = (_ENTRY.unpack_from(head, _START.size + i * _ENTRY.size)[3] for i in (0, 7))
        lengths = _LISTS.unpack_from(head, _LISTS_AT)[VIEWS:]
        if head != _header(width, height, lengths):
            raise ValueError("it is no strip of eight views")
        views = []
        for number in numbers:
            file.seek(_STRIPS_AT + sum(lengths[:number]))
            pixels = _decompressed(file.read(min(lengths[number], 2 * MOST)), width * height)
            views.append(Image.frombytes("L", (width, height), pixels))
    return views


def _decompressed(strip: bytes, size: int) -> bytes:
    """The ``size`` bytes of a strip, which zlib's checksum vouches for."""
    stream = zlib.decompressobj()
    try:
        pixels = stream.decompress(strip, size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(pixels) != size or not stream.eof:
        raise ValueError("a view is cut, or of another size")
    return pixels


def _header(width: int, height: int, lengths: Sequence[int]) -> bytes:
    """What stands before the strips, given the bytes of each.

    Raises:
        ValueError: such a file can not be.
    """
    if not 0 < width * height <= MOST:
        raise ValueError(f"{width} x {height} pixels are no render")
    places = [_STRIPS_AT + sum(lengths[:i]) for i in range(VIEWS)]
    if places[-1] + lengths[-1] >= 2**32:
        raise ValueError("it is too long")
    entries = (
        (256, _LONG, 1, width),
        (257, _LONG, 1, VIEWS * height),
        (258, _SHORT, 1, 8),  # bits of a pixel
        (259, _SHORT, 1, 8),  # deflate
        (262, _SHORT, 1, 1),  # 0 is black
        (273, _LONG, VIEWS, _LISTS_AT),
        (277, _SHORT, 1, 1),  # values of a pixel
        (278, _LONG, 1, height),  # rows of a strip
        (279, _LONG, VIEWS, _LISTS_AT + 4 * VIEWS),
    )
    start = _START.pack(b"II", 42, 8, len(entries))
    packed = b"".join(_ENTRY.pack(*entry) for entry in entries)
    return start + packed + bytes(4) + _LISTS.pack(*places, *lengths)
