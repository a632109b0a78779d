"""The eight renders of a crop on disk.

We write one file a crop, ``<dir>/<split>/renders/<crop>.tif`` (:mod:`.view_strip`): the person from
its own view, below that the same mesh turned by 45, 90 ... 315 degrees. We read the published
layout as well, a folder a view with a picture a crop: ``<dir>/<split>/render/<crop>``,
``render_45/<crop>`` ... ``render_315/<crop>``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image

from gcl.atomic_files import atomic

from .crop_keys import RENDERS_SUFFIX, files_below, renders_name
from .view_strip import MOST, read_strip, write_strip

TURNS = (45, 90, 135, 180, 225, 270, 315)
"""Yaws in degrees by which meshes are turned."""

FOLDERS = ("render", *(f"render_{turn}" for turn in TURNS))

RENDERS = "renders"


def render_path(folder: str, name: str, turn: int) -> str:
    """Path of one picture below a split's folder."""
    return os.path.join(folder, "render" if turn == 0 else f"render_{turn}", name)


def read_render(path: str) -> Image.Image:
    """A render that is a picture of its own, mode "L".

    Raises:
        OSError: the file is missing or broken; the message names it.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST:
                raise ValueError(f"{image.width} x {image.height} pixels are no render")
            return image.convert("L")
    except Exception as error:  # Pillow's decoders meet damage with a dozen kinds of exceptions
        raise OSError(
            f"structure render {path} can not be read ({error}): render it again."
        ) from error


def read_renders(path: str, turns: Sequence[int]) -> list[Image.Image]:
    """Views of the one file of a crop, mode "L".

    Args:
        turns: in degrees, of 0 and :data:`TURNS`.

    Raises:
        OSError: the file is missing or broken; the message names it.
    """
    try:
        return read_strip(path, [(0, *TURNS).index(turn) for turn in turns])
    except (ValueError, OSError) as error:
        raise OSError(
            f"structure renders {path} can not be read ({error}): render them again."
        ) from error


def write_renders(folder: str, key: str, views: Sequence[Image.Image]) -> None:
    """Write the one file of a crop, all or nothing.

    Args:
        folder: the split's folder, with that of the file in it.
        key: of the crop.
        views: the own view and the seven turned ones, eight images of mode "L" and one size, in the
            order of :data:`FOLDERS`.
    """
    with atomic(os.path.join(folder, RENDERS, renders_name(key))) as file:
        write_strip(file, views)


def names_in(folder: str) -> set[str]:
    """Crops of which a split's folder has the one file, or all eight pictures, by their names
    there, the one file's without its own suffix."""
    files = files_below(os.path.join(folder, RENDERS), RENDERS_SUFFIX)
    pictures = (files_below(os.path.join(folder, view)) for view in FOLDERS)
    return {name.removesuffix(RENDERS_SUFFIX) for name in files} | set.intersection(*pictures)


def renders_whole(folder: str, key: str) -> bool:
    """Whether the renders of a crop in a split's folder can be read: those in its one file, where
    it has one, else the eight pictures."""
    path = os.path.join(folder, RENDERS, renders_name(key))
    try:
        if os.path.exists(path):
            read_renders(path, (0, *TURNS))
        else:
            for turn in (0, *TURNS):
                read_render(render_path(folder, key, turn))
    except OSError:
        return False
    return True
