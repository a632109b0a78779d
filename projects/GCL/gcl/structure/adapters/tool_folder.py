"""A folder of a tool's files, a file or more a crop."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from gcl.structure.crop_keys import CropKeys, files_below, locate, mesh_names
from gcl.structure.geometry import FACES, Geometry, GeometryError, read_faces, read_geometry

from . import clips, meshes, payload, smpl_parameters, tools
from .clip_folder import ClipFolder
from .crop_names import CROP_NAMES, CropNames
from .files_of_crops import REMEDY, FilesOfCrops, NobodyError
from .payload import PayloadError, read_payload

if TYPE_CHECKING:
    from gcl.structure.smpl_body import SMPLBody

MOST_PEOPLE = 1000
"""In a crop."""


@dataclass(frozen=True)
class Adapter:
    """How to read one tool's files.

    Attributes:
        reader: content of a file -> people; its docstring says what is in the file.
        faces: where the tool keeps its mesh's faces, as Python.
        posed: whether files hold SMPL parameters, for which a body model is needed.
        clips: whether a file holds people by person and frame.
    """

    reader: Callable[..., Any]
    faces: str = ""
    posed: bool = False
    clips: bool = False

    @property
    def licence(self) -> str:
        """The line of the reader's docstring about the licence."""
        text = self.reader.__doc__.split("Licence:")[1].split("\n\n")[0]
        return "Licence: " + " ".join(text.split())


ADAPTERS = {
    "hmr2": Adapter(tools.hmr2, "model.smpl.faces"),
    "tokenhmr": Adapter(tools.tokenhmr, "model.smpl.faces"),
    "sam3dbody": Adapter(tools.sam3dbody, "estimator.faces"),
    "nlf": Adapter(tools.nlf, "smplx.SMPL(model_path).faces"),
    "multihmr": Adapter(tools.multihmr, "next(iter(model.smpl_layer.values())).bm_x.faces"),
    "wham": Adapter(clips.wham, "smpl.faces", clips=True),
    "phalp": Adapter(clips.phalp, posed=True, clips=True),
    "smpl": Adapter(smpl_parameters.smpl_parameters, posed=True),
    "mesh": Adapter(meshes.read_mesh),
}
"""Adapters by name."""


class GeometryFolder:
    """Our own ``.npz`` of a folder; see :func:`open_adapter`."""

    def __init__(self, folder: str, crops: CropKeys) -> None:
        self._folder, self._crops = folder, crops
        self._names = locate(crops, mesh_names, files_below(folder, ".npz"), folder, REMEDY)
        self.faces = read_faces(folder)

    def __call__(self, crop: str) -> Geometry:
        if crop not in self._names:
            raise NobodyError(f"{self._folder} has no file for {self._crops[crop]}.")
        return read_geometry(os.path.join(self._folder, self._names[crop]), self.faces)


class MeshFolder:
    """Mesh files of a folder; see :func:`open_adapter`.

    Attributes:
        guessed: axes that the last crop's files were taken to have; "" when it was said.
    """

    faces = None  # every file has its own
    guessed = ""

    def __init__(self, folder: str, crops: CropKeys, axes: str | None = None) -> None:
        self._files, self._axes = FilesOfCrops(folder, meshes.SUFFIXES, crops), axes

    def __call__(self, crop: str) -> Geometry:
        people = [meshes.read_mesh(path) for path in self._files[crop]]
        axes = self._axes
        if axes is None:
            axes = self.guessed = meshes.guess_axes(np.concatenate([body for body, _ in people]))
        people = [(meshes.to_camera(body, axes), faces) for body, faces in people]
        vertices, faces = max(people, key=lambda person: apparent_height(person[0]))
        return _geometry(self._files[crop][0], vertices, faces)


class ToolFolder:
    """Files of one tool in a folder; see :func:`open_adapter`."""

    def __init__(
        self,
        name: str,
        folder: str,
        crops: CropKeys,
        reader: Callable[[Any], tools.People],
        faces: Tensor,
    ) -> None:
        self._files = FilesOfCrops(folder, payload.SUFFIXES, crops)
        self._name, self._reader = name, reader
        self.faces = faces

    def __call__(self, crop: str) -> Geometry:
        people = []
        for path in self._files[crop]:
            try:
                people += self._reader(read_payload(path))
            except PayloadError:
                raise
            except Exception as error:  # whatever arrays and containers of another kind lead to
                reason = error.args[0] if error.args else type(error).__name__
                raise PayloadError(f"{path} is no file of {self._name}: {reason}.") from error
        if len(people) > MOST_PEOPLE:
            raise PayloadError(f"{path} has {len(people)} people, more than a crop can show.")
        if not people:
            raise NobodyError(f"{path} has no person for {self._files.crops[crop]}.")
        return _geometry(path, max(people, key=apparent_height), self.faces)


def open_adapter(
    name: str,
    folder: str,
    crops: CropKeys,
    body: SMPLBody | None = None,
    axes: str | None = None,
    crop_names: str = CROP_NAMES,
) -> Callable[[str], Geometry]:
    """A function from a crop's path to its mesh.

    With several people in a crop's files, the one who appears tallest is the crop's.

    Args:
        name: "geometry" (our own ``.npz``) or one of :data:`ADAPTERS`.
        folder: of the tool's files.
        crops: all crops, to tell whose file is whose.
        body: which "smpl" and "phalp" need; for the other tools it is another place to take the
            faces from.
        axes: of mesh files, one of :data:`.meshes.AXES`; None: guessed for every crop.
        crop_names: how crops are named after person and frame, where a file is a clip
            (:class:`.crop_names.CropNames`).

    Returns:
        The function, which raises :class:`NobodyError` for a crop without a mesh, and
        :class:`PayloadError` or GeometryError for an unusable file. Its attribute ``faces`` is the
        (F, 3) that all meshes share, or None.

    Raises:
        GeometryError: there is no such folder, or no faces for the vertices of it, or the crops of
            clips can not be told from their names.
        MissingStructureError: two crops would share a file, or it can not be told whose it is.
    """
    if not os.path.isdir(folder):
        raise GeometryError(f"{folder} is no folder with files of {name} (--input).")
    if name == "geometry":
        return GeometryFolder(folder, crops)
    if name == "mesh":
        return MeshFolder(folder, crops, axes)
    adapter = ADAPTERS[name]
    if adapter.posed and body is None:
        raise GeometryError(f"--source {name} needs the body model's file: --smpl-model.")
    faces = body.faces if adapter.posed else _faces(name, folder, body)
    if adapter.clips:
        people = smpl_parameters.Posed(body) if adapter.posed else _alone
        names = CropNames(crop_names)
        return ClipFolder(name, folder, crops, names, adapter.reader, people, faces)
    reader = smpl_parameters.Posed(body) if adapter.posed else adapter.reader
    return ToolFolder(name, folder, crops, reader, faces)


def _faces(name: str, folder: str, body: SMPLBody | None) -> Tensor:
    """Of a tool that does not write them."""
    faces = read_faces(folder)
    if faces is None and body is not None:
        faces = body.faces
    if faces is None:
        raise GeometryError(
            f"{os.path.join(folder, FACES)} does not exist, and {name} does not write its mesh's"
            f" faces: save them once by numpy.save('{os.path.join(folder, FACES)}',"
            f" {ADAPTERS[name].faces})."
        )
    return faces


def _alone(vertices: np.ndarray) -> tools.People:
    return [vertices]


def apparent_height(vertices: np.ndarray) -> float:
    """How tall a person is in the picture: metres per metre of distance."""
    distance = float(vertices[:, 2].mean())
    return float(np.ptp(vertices[:, 1])) / (distance if distance > 0.1 else 1.0)


def _geometry(path: str, vertices: np.ndarray, faces: np.ndarray | Tensor) -> Geometry:
    try:
        return Geometry(vertices, faces)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}.") from error
