"""The one reader of crops: whatever a file holds, everybody sees the same upright RGB picture.

Shapes: H x W of a picture; sizes are (height, width) in pixels, as in INPUT.SIZE_TRAIN.

    Turned     upright, as the file's metadata (EXIF, XMP) in front of its pixels says.
    Alpha      dropped, as the toolbox does: the colours beneath stay as they were saved.
    Palette    its colours.
    CMYK       as Pillow converts it, without a colour profile.
    1 bit      0 and 255.
    16 bit     scaled to 8 bits, 65535 to 255. Where no value is above 255 the picture was one of
               8 bits in a wide file, and is taken as it is; scaled it would be black.

What can not be a crop of a person is refused, from its header where that tells.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Of file names that count as pictures, in lower case."""
LONGEST = 8
"""Times that one side may be as long as the other."""
SMALLEST = 8
"""Pixels of a side, at least."""
MOST = 89_478_485
"""Pixels of a picture: from here on Pillow, too, warns of a decompression bomb."""

Path = str | os.PathLike

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture of an EXIF orientation upright; from 5 on the sides change places."""
_NO_COLOURS = {"F": "floating-point numbers", "LAB": "L*a*b* colours"}
"""Modes of Pillow for which there is no one way to RGB."""


class PhotographError(OSError):
    """A file that is no photograph of a person; the message names it, the reason and the remedy."""


def read_photograph(path: Path, at_least: tuple[int, int] | None = None) -> Image.Image:
    """The picture in a file, upright, mode "RGB".

    Args:
        at_least: (H, W) to which it will be resized: a picture of four times both sides or more is
            handed out smaller, never with a side below twice what is asked. Others come as they
            are, to the bit.

    Raises:
        PhotographError: the file is missing, damaged, or can not be a crop of a person.
    """
    with _opened(path) as image:
        turn, upright = _upright(image)
        if at_least is not None:
            height, width = at_least if upright == _stored(image) else at_least[::-1]
            image.draft(None, (2 * width, 2 * height))  # JPEG alone can decode at a fraction
        picture = _rgb(image, path)
    if turn is not None:
        picture = picture.transpose(turn)
    if at_least is not None:
        factor = min(picture.height // (2 * at_least[0]), picture.width // (2 * at_least[1]))
        picture = picture.reduce(factor) if factor > 1 else picture
    picture.info.clear()  # which would tell others to turn the picture again
    return picture


def photograph_size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture when it is upright, from the file's header alone.

    Raises:
        PhotographError: as for :func:`read_photograph`, as far as a header tells.
    """
    with _opened(path) as image:
        return _upright(image)[1][::-1]


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A file of which the header is good. Whatever goes wrong with it is a PhotographError."""
    try:
        with open(path, "rb") as file, Image.open(file) as image:
            _check(image, path)
            yield image
    except PhotographError:
        raise
    except Exception as error:  # Pillow's decoders meet damage with a dozen kinds of exceptions
        raise PhotographError(
            f"image {os.fspath(path)} can not be read ({_reason(error)}): replace or remove it."
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "it has more pixels than a crop of a person can have"
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture of a known format"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _check(image: Image.Image, path: Path) -> None:
    """All of it holds for a picture on its side, too."""
    width, height = image.size
    # Pillow's own check may be switched off, or warn only. Its warning is not caught: that would
    # make Python forget which warnings it has shown, at every crop.
    if width * height > MOST:
        why = f"more than {MOST} pixels"
    elif min(width, height) < SMALLEST:
        why = f"a side of less than {SMALLEST} pixels"
    elif max(width, height) > LONGEST * min(width, height):
        why = f"one side more than {LONGEST} times the other"
    elif image.mode in _NO_COLOURS:
        why = f"{_NO_COLOURS[image.mode]} in the place of RGB or grey"
    else:
        return
    raise _no_crop(path, f"{width} x {height}, {why}")


def _no_crop(path: Path, why: str) -> PhotographError:
    return PhotographError(
        f"image {os.fspath(path)} can not be a crop of a person ({why}): replace or remove it."
    )


def _upright(image: Image.Image) -> tuple[Image.Transpose | None, tuple[int, int]]:
    """What turns a decoded image upright (None: nothing), and its (width, height) then."""
    try:
        # not the method that PNG has: it decodes all pixels to look for metadata behind them
        orientation = int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata spoil no picture
        orientation = 1
    turn, size = _TURNS.get(orientation), _stored(image)
    if turn is not None and orientation >= 5:
        size = size[::-1]
    return None if image.format == "TIFF" else turn, size  # Pillow turns TIFF while it decodes


def _stored(image: Image.Image) -> tuple[int, int]:
    """(width, height) as the pixels are stored; of TIFF Pillow may tell the upright one."""
    if image.format == "TIFF":
        tags = image.tag_v2
        return tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]
    return image.size


def _rgb(image: Image.Image, path: Path) -> Image.Image:
    """An image's pixels as mode "RGB"; a copy, in any case."""
    image.load()
    image.info.pop("transparency", None)  # of a palette: dropped, like all alpha
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise _no_crop(path, "it holds numbers beyond 16 bits")
        if values.max() > 255:
            values = (values + 128) // 257  # to the nearest of 256 steps
        image = Image.fromarray(values.astype(np.uint8))
    return image.convert("RGB")
