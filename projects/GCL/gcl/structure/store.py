"""Where training reads structure images from, a folder a split.

``<dir>/<split>/render/<crop>`` is the person from its own view, ``render_45`` ... ``render_315``
the same mesh turned by that yaw, all grey. ``<dir>/<split>/geometry/<crop>.npz`` is the mesh itself
(:mod:`.geometry`), drawn when asked for. ``<crop>`` is the key of a crop, or, where that is unique,
its name: the published layout (:mod:`.crop_keys`).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence

from PIL import Image

from gcl.atomic_files import atomic

from .crop_keys import (
    CropKeys,
    MissingStructureError,
    files_below,
    locate,
    mesh_name,
    mesh_names,
    render_names,
)
from .geometry import Geometry, read_faces, read_geometry, render_views

TURNS = (45, 90, 135, 180, 225, 270, 315)
"""Yaws in degrees by which meshes are turned."""

FOLDERS = ("render", *(f"render_{turn}" for turn in TURNS))

GEOMETRY = "geometry"

SOURCES = ("renders", "geometry")

MOST = 2**24
"""Pixels of a render."""
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
"""Of Pillow's, in which grey is written; a render under another suffix is a PNG."""

_REMEDY = (
    "write each data set's structures by tools/prepare_structure.py <data set> --out {}, which"
    " names them after the data set and the crop's path"
)


class StructureStore(ABC):
    """Structure images of one split of one or more data sets.

    Attributes:
        folder: the split's folder, or that of its meshes.
        crops: key of each photograph of the run, by path.
    """

    folder: str
    crops: CropKeys

    @abstractmethod
    def __contains__(self, crop: str) -> bool:
        """Whether the photograph has its structure (one listing a folder, kept)."""

    @abstractmethod
    def name_of(self, crop: str) -> str:
        """Of its files in their folders, or what that would be."""

    @abstractmethod
    def load_views(self, crop: str, turns: Sequence[int], aspect: float = 0.5) -> list[Image.Image]:
        """Structure images of a photograph turned by each of ``turns`` degrees, mode "L".

        Args:
            crop: path, one of ``crops``.
            aspect: width / height of the crop, and so of its structure.

        Raises:
            OSError: a file is missing or broken; the message names it.
        """

    def load(self, crop: str, turn: int = 0, aspect: float = 0.5) -> Image.Image:
        """One of :meth:`load_views`; 0 is the person's own view."""
        return self.load_views(crop, (turn,), aspect)[0]


class RenderStore(StructureStore):
    """Renders on disk. They have their crop's aspect ratio already.

    Args:
        root: folder that holds ``train`` and ``test``.
        split: "train" or "test".
        crops: all of the run.

    Raises:
        MissingStructureError: the split lacks one of the eight view folders, or two crops would
            share renders.
    """

    def __init__(self, root: str, split: str, crops: CropKeys) -> None:
        self.folder, self.crops = os.path.join(root, split), crops
        for view in FOLDERS:
            if not os.path.isdir(os.path.join(self.folder, view)):
                raise MissingStructureError(
                    f"GCL.STRUCTURE.DIR: {os.path.join(self.folder, view)} does not exist; a split"
                    f" needs the folders {FOLDERS[0]}, {FOLDERS[1]}, ..., {FOLDERS[-1]}."
                )

        views = [files_below(os.path.join(self.folder, view)) for view in FOLDERS]
        places = os.path.join(self.folder, "render*")
        self._names = locate(crops, render_names, set.union(*views), places, _REMEDY.format(root))
        whole = set.intersection(*views)
        self._whole = {crop for crop, name in self._names.items() if name in whole}

    def __contains__(self, crop: str) -> bool:
        return crop in self._whole

    def name_of(self, crop: str) -> str:
        return self._names.get(crop, self.crops[crop])

    def load_views(self, crop: str, turns: Sequence[int], aspect: float = 0.5) -> list[Image.Image]:
        name = self.name_of(crop)
        return [read_render(render_path(self.folder, name, turn)) for turn in turns]


class GeometryStore(StructureStore):
    """Meshes on disk, rendered when they are asked for: any yaw, no files a view.

    Args:
        root: folder that holds ``train`` and ``test``.
        split: "train" or "test".
        crops: all of the run.
        height: of the renders in pixels.

    Raises:
        MissingStructureError: the split has no folder ``geometry``, or two crops would share a
            mesh.
        OSError: its ``faces.npy`` is broken; the message names it.
    """

    def __init__(self, root: str, split: str, crops: CropKeys, height: int = 256) -> None:
        self.folder, self.crops = os.path.join(root, split, GEOMETRY), crops
        self.height = height
        if not os.path.isdir(self.folder):
            raise MissingStructureError(
                f"GCL.STRUCTURE.DIR: {self.folder} does not exist; make it with"
                " tools/prepare_structure.py --write geometry, or read renders by"
                " GCL.STRUCTURE.SOURCE renders."
            )
        try:
            self._faces = read_faces(self.folder)
        except ValueError as error:
            raise OSError(str(error)) from error
        files = files_below(self.folder, ".npz")
        self._names = locate(crops, mesh_names, files, self.folder, _REMEDY.format(root))

    def __contains__(self, crop: str) -> bool:
        return crop in self._names

    def name_of(self, crop: str) -> str:
        return self._names.get(crop, mesh_name(self.crops[crop]))

    def read(self, crop: str) -> Geometry:
        """Raises GeometryError when its file can not be used; the message names it."""
        return read_geometry(os.path.join(self.folder, self.name_of(crop)), self._faces)

    def load_views(
        self, crop: str, turns: Sequence[float], aspect: float = 0.5
    ) -> list[Image.Image]:
        try:
            geometry = self.read(crop)
        except ValueError as error:
            raise OSError(str(error)) from error
        return render_views(geometry, turns, render_size(self.height, aspect))


def open_store(
    root: str, split: str, source: str, crops: CropKeys, height: int = 256
) -> StructureStore:
    """The store of ``source``, "renders" or "geometry"; raises what that does."""
    if source == "geometry":
        return GeometryStore(root, split, crops, height)
    return RenderStore(root, split, crops)


def render_size(height: int, aspect: float) -> tuple[int, int]:
    """(height, width) of a render of width / height ``aspect``."""
    return height, max(round(height * aspect), 1)


def render_path(folder: str, name: str, turn: int) -> str:
    """Path of one render below a split's folder."""
    return os.path.join(folder, "render" if turn == 0 else f"render_{turn}", name)


def names_in(folder: str) -> set[str]:
    """Names of which a split's folder has all eight views."""
    return set.intersection(*(files_below(os.path.join(folder, view)) for view in FOLDERS))


def read_render(path: str) -> Image.Image:
    """A render, mode "L".

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


def renders_whole(folder: str, name: str) -> bool:
    """Whether all eight views of a crop in a split's folder can be read."""
    try:
        for turn in (0, *TURNS):
            read_render(render_path(folder, name, turn))
    except OSError:
        return False
    return True


def write_renders(folder: str, name: str, views: Sequence[Image.Image]) -> None:
    """Write the own view and the seven turned ones of a crop, each all or nothing.

    Args:
        folder: the split's folder, with :data:`FOLDERS` in it, and in those the folder of ``name``.
        name: the crop's key.
        views: eight images of mode "L", in the order of :data:`FOLDERS`. The suffix of ``name``
            decides on the file format, as the layout has renders under their crop's name.
    """
    kind = Image.registered_extensions().get(os.path.splitext(name)[1].lower())
    kind = kind if kind in _FORMATS else "PNG"
    for view, image in zip(FOLDERS, views, strict=True):
        with atomic(os.path.join(folder, view, name)) as file:
            image.save(file, kind, quality=95)
