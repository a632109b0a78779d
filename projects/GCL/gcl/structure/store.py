"""Where training reads structure images from, a folder a split.

They are renders on disk (:mod:`.render_files`), or meshes, ``<dir>/<split>/geometry/<crop>.npz``
(:mod:`.geometry`), that are drawn when asked for. ``<crop>`` is the key of a crop, or, where that
is unique, its name: the published layout (:mod:`.crop_keys`).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from PIL import Image

from .crop_keys import (
    RENDERS_SUFFIX,
    CropKeys,
    MissingStructureError,
    files_below,
    locate,
    mesh_name,
    mesh_names,
    render_names,
    renders_name,
)
from .geometry import Geometry, read_faces, read_geometry, render_views
from .render_files import FOLDERS, RENDERS, TURNS, read_render, read_renders, render_path

GEOMETRY = "geometry"

SOURCES = ("renders", "geometry")

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
    def files(self, crop: str) -> Mapping[str, Sequence[int]]:
        """Path of each of its files, or of those that there would be -> degrees of the views for
        which it is read."""

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
    """Renders on disk, in one file a crop or, where there is none, in a folder a view. They have
    their crop's aspect ratio already.

    Args:
        root: folder that holds ``train`` and ``test``.
        split: "train" or "test".
        crops: all of the run.

    Raises:
        MissingStructureError: the split has neither the folder ``renders`` nor all eight view
            folders, or two crops would share renders.
    """

    def __init__(self, root: str, split: str, crops: CropKeys) -> None:
        self.folder, self.crops = os.path.join(root, split), crops
        one, *eight = (os.path.join(self.folder, name) for name in (RENDERS, *FOLDERS))
        lacking = [folder for folder in eight if not os.path.isdir(folder)]
        if lacking and not os.path.isdir(one):
            raise MissingStructureError(
                f"GCL.STRUCTURE.DIR: {one if lacking == eight else lacking[0]} does not exist; a"
                f" split needs the folder {RENDERS}, which tools/prepare_structure.py writes, or"
                f" all of {FOLDERS[0]}, {FOLDERS[1]}, ..., {FOLDERS[-1]}."
            )
        files, views = files_below(one, RENDERS_SUFFIX), [files_below(folder) for folder in eight]
        places = os.path.join(self.folder, "render*")
        there = files.union(*views)
        self._names = locate(crops, render_names, there, places, _REMEDY.format(root))
        pictures = set.union(*views) - files
        self._pictures = {crop for crop, name in self._names.items() if name in pictures}
        whole = files | set.intersection(*views)
        self._whole = {crop for crop, name in self._names.items() if name in whole}

    def __contains__(self, crop: str) -> bool:
        return crop in self._whole

    def name_of(self, crop: str) -> str:
        return self._names.get(crop, renders_name(self.crops[crop]))

    def files(self, crop: str) -> dict[str, Sequence[int]]:
        name, turns = self.name_of(crop), (0, *TURNS)
        if crop in self._pictures:
            return {render_path(self.folder, name, turn): (turn,) for turn in turns}
        return {os.path.join(self.folder, RENDERS, name): turns}

    def load_views(self, crop: str, turns: Sequence[int], aspect: float = 0.5) -> list[Image.Image]:
        name = self.name_of(crop)
        if crop in self._pictures:
            return [read_render(render_path(self.folder, name, turn)) for turn in turns]
        return read_renders(os.path.join(self.folder, RENDERS, name), turns)


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

    def files(self, crop: str) -> dict[str, Sequence[int]]:
        return {os.path.join(self.folder, self.name_of(crop)): (0, *TURNS)}

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
