"""Where training reads structure images from, a folder a split.

``<dir>/<split>/render/<image name>`` is the person from its own view, ``render_45`` ...
``render_315`` the same mesh turned by that yaw, all grey: the published layout.
``<dir>/<split>/geometry/<image stem>.npz`` is the mesh itself (:mod:`.geometry`), drawn when asked
for.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence

from PIL import Image, UnidentifiedImageError

from gcl.atomic_files import atomic

from .geometry import read_faces, read_geometry, render_views

TURNS = (45, 90, 135, 180, 225, 270, 315)
"""Yaws in degrees by which meshes are turned."""

FOLDERS = ("render", *(f"render_{turn}" for turn in TURNS))

GEOMETRY = "geometry"

SOURCES = ("renders", "geometry")


class MissingStructureError(FileNotFoundError):
    """Images without structures."""


class StructureStore(ABC):
    """Structure images of one split of a data set.

    Attributes:
        folder: the split's folder.
    """

    folder: str

    @abstractmethod
    def __contains__(self, name: str) -> bool:
        """Whether the image ``name`` has its structure (one listing a folder, kept)."""

    @abstractmethod
    def load_views(self, name: str, turns: Sequence[int], aspect: float = 0.5) -> list[Image.Image]:
        """Structure images of the image ``name`` turned by each of ``turns`` degrees, mode "L".

        Args:
            aspect: width / height of the crop, and so of its structure.

        Raises:
            OSError: a file is missing or broken; the message names it.
        """

    def load(self, name: str, turn: int = 0, aspect: float = 0.5) -> Image.Image:
        """One of :meth:`load_views`; 0 is the person's own view."""
        return self.load_views(name, (turn,), aspect)[0]


class RenderStore(StructureStore):
    """Renders on disk, in the published layout. They have their crop's aspect ratio already.

    Args:
        root: folder that holds ``train`` and ``test``.
        split: "train" or "test".

    Raises:
        MissingStructureError: the split lacks one of the eight view folders.
    """

    def __init__(self, root: str, split: str) -> None:
        self.folder = os.path.join(root, split)
        self._names: set[str] | None = None
        for view in FOLDERS:
            if not os.path.isdir(os.path.join(self.folder, view)):
                raise MissingStructureError(
                    f"GCL.STRUCTURE.DIR: {os.path.join(self.folder, view)} does not exist; a split"
                    f" needs the folders {FOLDERS[0]}, {FOLDERS[1]}, ..., {FOLDERS[-1]}."
                )

    def __contains__(self, name: str) -> bool:
        if self._names is None:
            self._names = names_in(self.folder)
        return name in self._names

    def load_views(self, name: str, turns: Sequence[int], aspect: float = 0.5) -> list[Image.Image]:
        return [read_render(render_path(self.folder, name, turn)) for turn in turns]


class GeometryStore(StructureStore):
    """Meshes on disk, rendered when they are asked for: any yaw, no files a view.

    Args:
        root: folder that holds ``train`` and ``test``.
        split: "train" or "test".
        height: of the renders in pixels.

    Raises:
        MissingStructureError: the split has no folder ``geometry``.
        OSError: its ``faces.npy`` is broken; the message names it.
    """

    def __init__(self, root: str, split: str, height: int = 256) -> None:
        self.folder = os.path.join(root, split, GEOMETRY)
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
        self._stems: set[str] | None = None

    def __contains__(self, name: str) -> bool:
        if self._stems is None:
            self._stems = {stem(file) for file in os.listdir(self.folder) if file.endswith(".npz")}
        return stem(name) in self._stems

    def load_views(
        self, name: str, turns: Sequence[float], aspect: float = 0.5
    ) -> list[Image.Image]:
        path = os.path.join(self.folder, f"{stem(name)}.npz")
        try:
            geometry = read_geometry(path, self._faces)
        except ValueError as error:
            raise OSError(str(error)) from error
        return render_views(geometry, turns, render_size(self.height, aspect))


def open_store(root: str, split: str, source: str, height: int = 256) -> StructureStore:
    """The store of ``source``, "renders" or "geometry"; raises what that does."""
    if source == "geometry":
        return GeometryStore(root, split, height)
    return RenderStore(root, split)


def render_size(height: int, aspect: float) -> tuple[int, int]:
    """(height, width) of a render of width / height ``aspect``."""
    return height, max(round(height * aspect), 1)


def stem(name: str) -> str:
    """File name without folder and suffix."""
    return os.path.splitext(os.path.basename(name))[0]


def render_path(folder: str, name: str, turn: int) -> str:
    """Path of one render below a split's folder."""
    return os.path.join(folder, "render" if turn == 0 else f"render_{turn}", name)


def names_in(folder: str) -> set[str]:
    """Images of which a split's folder has all eight views."""
    return set.intersection(*(set(os.listdir(os.path.join(folder, view))) for view in FOLDERS))


def read_render(path: str) -> Image.Image:
    """A render, mode "L".

    Raises:
        OSError: the file is missing or broken; the message names it.
    """
    try:
        with Image.open(path) as image:
            return image.convert("L")
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise OSError(
            f"structure render {path} can not be read ({error}): render it again."
        ) from error


def write_renders(folder: str, name: str, views: Sequence[Image.Image]) -> None:
    """Write the own view and the seven turned ones of the image ``name``, each all or nothing.

    Args:
        folder: the split's folder, with :data:`FOLDERS` in it.
        views: eight images of mode "L", in the order of :data:`FOLDERS`. The suffix of ``name``
            decides on the file format, as the layout has renders under their crop's name.
    """
    kind = Image.registered_extensions().get(os.path.splitext(name)[1].lower(), "PNG")
    for view, image in zip(FOLDERS, views, strict=True):
        with atomic(os.path.join(folder, view, name)) as file:
            image.save(file, kind, quality=95)
