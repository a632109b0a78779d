"""One photograph in every kind of file, and the RGB pixels that everybody must see in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 60, 25


def _colours(seed: int = 0) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def _alike(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, 2).astype(np.uint8)


def _rgb(path: str) -> np.ndarray:
    Image.fromarray(_colours()).save(f"{path}.png")
    return _colours()


def _grey(path: str) -> np.ndarray:
    grey = _colours()[:, :, 0]
    Image.fromarray(grey).save(f"{path}.png")
    return _alike(grey)


def _grey_alpha(path: str) -> np.ndarray:
    Image.fromarray(_colours()[:, :, :2], "LA").save(f"{path}.png")
    return _alike(_colours()[:, :, 0])


def _rgb_alpha(path: str) -> np.ndarray:
    alpha = _colours(1)[:, :, :1]
    Image.fromarray(np.concatenate((_colours(), alpha), 2)).save(f"{path}.png")
    return _colours()  # what is beneath, however transparent


def _palette(path: str, **transparency) -> np.ndarray:
    numbers, palette = _colours()[:, :, 0], _colours(1).reshape(-1, 3)[:256]
    image = Image.fromarray(numbers)
    image.putpalette(palette.tobytes())  # which makes it mode "P"
    image.save(f"{path}.png", **transparency)
    return palette[numbers]


def _palette_one_clear(path: str) -> np.ndarray:
    return _palette(path, transparency=7)


def _palette_half_clear(path: str) -> np.ndarray:
    return _palette(path, transparency=bytes(range(256)))


def _two_colours(path: str) -> np.ndarray:
    dark = _colours()[:, :, 0] < 100
    Image.fromarray(~dark).save(f"{path}.png")
    return _alike(np.where(dark, 0, 255))


def _cmyk(path: str) -> np.ndarray:
    """Inks that a printer would use for grey: black alone."""
    inks = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    inks[:, :, 3] = _colours()[:, :, 0]
    Image.fromarray(inks, "CMYK").save(f"{path}.tif")
    return _alike(255 - inks[:, :, 3])


def _deep() -> np.ndarray:
    """All of 16 bits, with both ends."""
    values = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    values[0, :4] = 0, 65535, 128, 129  # the last two are nearest to 0 and 1 of 255
    return values


def _deep_grey(path: str) -> np.ndarray:
    Image.fromarray(_deep()).save(f"{path}.png")
    return _alike(np.round(_deep() / 65535 * 255))


def _deep_big_endian(path: str) -> np.ndarray:
    values = Image.frombytes("I;16B", (WIDTH, HEIGHT), _deep().astype(">u2").tobytes())
    values.save(f"{path}.tif")
    return _alike(np.round(_deep() / 65535 * 255))


def _deep_pgm(path: str) -> np.ndarray:
    Path(f"{path}.pgm").write_bytes(
        b"P5 %d %d 65535 " % (WIDTH, HEIGHT) + _deep().astype(">u2").tobytes()
    )
    return _alike(np.round(_deep() / 65535 * 255))


def _shallow(path: str) -> np.ndarray:
    """Grey values of 8 bits in a file of 16."""
    grey = _colours()[:, :, 0]
    Image.fromarray(grey.astype(np.uint16)).save(f"{path}.png")
    return _alike(grey)


def _on_its_side(path: str) -> np.ndarray:
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to look at it"
    stored = np.rot90(_colours())  # the other way
    Image.fromarray(stored).save(f"{path}.png", exif=exif)
    return _colours()


KINDS: dict[str, Callable[[str], np.ndarray]] = {
    write.__name__.strip("_"): write
    for write in (
        _rgb,
        _grey,
        _grey_alpha,
        _rgb_alpha,
        _palette,
        _palette_one_clear,
        _palette_half_clear,
        _two_colours,
        _cmyk,
        _deep_grey,
        _deep_big_endian,
        _deep_pgm,
        _shallow,
        _on_its_side,
    )
}


def write_photograph(folder: Path, kind: str) -> tuple[str, np.ndarray]:
    """Path of a file of one of KINDS, and its pixels (HEIGHT, WIDTH, 3) uint8."""
    pixels = KINDS[kind](str(folder / kind))
    (path,) = folder.glob(f"{kind}.*")
    return str(path), pixels
