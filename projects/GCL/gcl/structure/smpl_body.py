"""The SMPL body through the `smplx` package, for users who hold a licence for its model file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .array_files import read_npz
from .body import BodyOutput, stand
from .poses import Pose
from .skeleton import Skeleton, as_rotations, axis_angle
from .unpickle import ArrayUnpickler, Held, Maker, load_arrays

WHERE = (
    "register at https://smpl.is.tue.mpg.de, accept the licence (non-commercial research only, no"
    " surveillance) and download SMPL for Python"
)

_PARTS = {
    "pelvis": (0,),
    "spine": (3,),
    "chest": (6,),
    "neck": (12,),
    "head": (15,),
}
# bones of the left and of the right side
_SIDES = {
    "collar": (13, 14),
    "upper_arm": (16, 17),
    "forearm": (18, 19),
    "hand": (20, 21),
    "fingers": (22, 23),
    "thigh": (1, 2),
    "shin": (4, 5),
    "foot": (7, 8),
    "toes": (10, 11),
}
_ENDS = {
    "upper_arm": (18, 19),
    "forearm": (20, 21),
    "hand": (22, 23),
    "thigh": (4, 5),
    "shin": (7, 8),
}
# where smplx's output joints have COCO's 17: five vertices of the face, then bones
_COCO = (24, 26, 25, 28, 27, 16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)


_NEEDED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
MOST_BYTES = 2**30
"""Of all arrays of a model file together."""
_LARGEST = 2**24
"""Numbers of a matrix; the joint regressor has 24 x 6,890."""


class SMPLBody:
    """SMPL (6,890 vertices, 24 joints): the same interface as AnnyBody.

    The SMPL family of models is licensed for non-commercial research only and not for surveillance;
    nothing of it comes with this package.

    Args:
        model_path: the model file, `.pkl` as downloaded or `.npz` with the same arrays. A pickle is
            read by an unpickler that knows numpy, scipy and chumpy arrays and refuses all else;
            chumpy need not be installed.
        device: where it calculates.

    Raises:
        ImportError: the package smplx is missing.
        FileNotFoundError, ValueError: no such file, or not an SMPL model.
    """

    def __init__(self, model_path: str | os.PathLike, device: str | torch.device = "cpu") -> None:
        try:
            import smplx
        except ImportError as error:
            raise ImportError(
                "SMPLBody needs the package smplx: pip install fastreid-gcl[smpl]; for the model"
                f" file {WHERE}."
            ) from error
        data = _read(Path(model_path))
        self.device = torch.device(device)
        self.model = smplx.SMPLLayer(str(model_path), data_struct=data, num_betas=10)
        self.model.to(self.device).requires_grad_(False)
        self.faces = self.model.faces_tensor
        self.parents: list[int] = self.model.parents.tolist()
        self.weights = self.model.lbs_weights
        drivers, ends = {part: list(bones) for part, bones in _PARTS.items()}, {}
        for side, name in enumerate(("left", "right")):
            drivers |= {f"{part}_{name}": [bones[side]] for part, bones in _SIDES.items()}
            ends |= {f"{part}_{name}": bones[side] for part, bones in _ENDS.items()}
        self.skeleton = Skeleton(self.parents, drivers, ends, self.weights)
        self.part_weights = self.skeleton.part_weights
        self.canonical = self.rest(None)[0]

    def rest(self, betas: Tensor | None) -> Tensor:
        """(B, V, 3) vertices at rest (a T-pose), camera axes."""
        return _flip(self.model.forward_shape(self._betas(betas)).v_shaped)

    def __call__(self, pose: Pose | Tensor, betas: Tensor | None = None) -> BodyOutput:
        """Bodies of these shapes in these poses, standing and facing the camera.

        Args:
            pose: B poses, or their rotations (B, P, 3, 3) alone.
            betas: (B or 1, 10) shape coefficients; None: the average person.

        Raises:
            ValueError: wrong shapes, or sizes that do not go together.
        """
        turns = as_rotations(pose).to(self.device, torch.float32)
        betas = self._betas(betas)
        if len(turns) != len(betas) and 1 not in (len(turns), len(betas)):
            raise ValueError(f"{len(turns)} poses for {len(betas)} betas: as many, or one.")
        batch = len(turns) if len(betas) == 1 else len(betas)
        turns, betas = turns.expand(batch, -1, -1, -1), betas.expand(batch, -1)
        vertices = self.rest(betas)
        joints = torch.einsum("jv,bvd->bjd", self.model.J_regressor, vertices)
        world = self.skeleton.rotations(turns, joints, vertices)
        above = world[:, [max(parent, 0) for parent in self.parents]].transpose(-1, -2)
        local = torch.cat((world[:, :1], (above @ world)[:, 1:]), 1)
        # the same rotations in SMPL's axes (y up, face to +z)
        local = local * local.new_tensor([[1, -1, -1], [-1, 1, 1], [-1, 1, 1]])
        posed = self._forward(local[:, :1], local[:, 1:], betas)
        return stand(BodyOutput(*(_flip(points) for points in posed)))

    def from_parameters(
        self, global_orient: Tensor, body_pose: Tensor, betas: Tensor | None = None
    ) -> BodyOutput:
        """Bodies from SMPL's own parameters, as mesh recovery tools give them: `global_orient`
        already turns them into camera space, and nothing is moved afterwards.

        Args:
            global_orient: (B, 1, 3, 3) rotations or (B, 3) axis times angle (radians).
            body_pose: (B, 23, 3, 3) or (B, 69), the same way.
            betas: (B or 1, 10).

        Raises:
            ValueError: wrong shapes.
        """
        first, rest = _matrices(global_orient, 1), _matrices(body_pose, 23)
        if len(first) != len(rest):
            raise ValueError(f"{len(first)} global_orient for {len(rest)} body_pose.")
        first, rest = (part.to(self.device, torch.float32) for part in (first, rest))
        return self._forward(first, rest, self._betas(betas).expand(len(rest), -1))

    def _forward(self, first: Tensor, rest: Tensor, betas: Tensor) -> BodyOutput:
        if not len(rest):  # the package can not do nothing
            eye = torch.eye(3, device=self.device).expand(1, 24, 3, 3)
            one = self._forward(eye[:, :1], eye[:, 1:], self._betas(None))
            return BodyOutput(*(points[:0] for points in one))
        out = self.model(betas=betas, global_orient=first, body_pose=rest, pose2rot=False)
        return BodyOutput(out.vertices, out.joints[:, :24], out.joints[:, list(_COCO)])

    def _betas(self, betas: Tensor | None) -> Tensor:
        if betas is None:
            betas = torch.zeros(1, self.model.num_betas)
        if betas.ndim != 2 or betas.shape[1] != self.model.num_betas:
            raise ValueError(
                f"betas must be (B, {self.model.num_betas}); their shape is {tuple(betas.shape)}."
            )
        return betas.to(self.device, torch.float32)


def _flip(points: Tensor) -> Tensor:
    """(..., 3) between SMPL's axes (x to the left hand, y up, face to +z) and the camera's."""
    return points * points.new_tensor([1.0, -1.0, -1.0])


def _matrices(turns: Tensor, joints: int) -> Tensor:
    if turns.ndim == 4 and turns.shape[1:] == (joints, 3, 3):
        return turns
    if turns.ndim != 2 or turns.shape[1] != 3 * joints:
        raise ValueError(
            f"rotations must be (B, {joints}, 3, 3) or (B, {3 * joints}); the shape is"
            f" {tuple(turns.shape)}."
        )
    return axis_angle(turns.view(-1, joints, 3))


def _read(path: Path) -> SimpleNamespace:
    if not path.is_file():
        raise FileNotFoundError(f"SMPL model {path} does not exist: {WHERE}.")
    try:
        if path.suffix == ".npz":
            data = read_npz(str(path), _NEEDED, most=MOST_BYTES)
        else:
            content = path.read_bytes()
            data = load_arrays(content, _Unpickler, MOST_BYTES, encoding="latin1")
        data = {str(key): value for key, value in data.items()}
    # a damaged file can raise nearly anything
    except Exception as error:
        reason = " ".join(str(error).split())  # pickle's own has line breaks
        raise ValueError(f"{path} can not be read as an SMPL model ({reason}): {WHERE}.") from error
    missing = [key for key in _NEEDED if key not in data]
    if missing or len(np.asarray(data["v_template"])) != 6890:
        raise ValueError(
            f"{path} is no SMPL model with 6,890 vertices"
            f" ({'without ' + ', '.join(missing) if missing else 'another mesh'}): {WHERE}."
        )
    return SimpleNamespace(**data)


class _Chumpy(Held):
    """Stands for chumpy.ch.Ch, of which the model files need only the array."""

    __slots__ = ()

    def plain(self, resolve: Callable[[Any], Any]) -> Any:
        return resolve(self.state["x"])


class _Sparse(Held):
    """Stands for a scipy matrix in compressed columns; the array that it is."""

    __slots__ = ()

    def plain(self, resolve: Callable[[Any], Any]) -> np.ndarray:
        state = resolve(self.state)
        rows, columns = state["_shape"] if "_shape" in state else state["shape"]
        if rows * columns > _LARGEST:
            raise ValueError(f"a matrix of {rows} x {columns}")
        index, starts = np.asarray(state["indices"]), np.asarray(state["indptr"])
        if len(starts) != columns + 1 or (len(index) and index.min() < 0):
            raise ValueError("a sparse matrix whose indices are damaged")
        dense = np.zeros((rows, columns), state["data"].dtype)
        column = np.repeat(np.arange(columns), np.diff(starts))
        np.add.at(dense, (index, column), state["data"])  # numpy checks what scipy does not
        return dense


class _SparseRows(_Sparse):
    """In compressed rows: the columns of its transpose."""

    __slots__ = ()

    def plain(self, resolve: Callable[[Any], Any]) -> np.ndarray:
        state = resolve(self.state)
        key = "_shape" if "_shape" in state else "shape"
        self.state = {**state, key: tuple(state[key])[::-1]}
        return super().plain(lambda value: value).T


def _reconstructor(kind: type[Held], *_: Any) -> Held:
    """How older protocols make objects."""
    if kind not in (_Chumpy, _Sparse, _SparseRows):
        raise ValueError("an object of another kind")
    return kind()


def _encode(text: str, encoding: str) -> bytes:
    """How older protocols write bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes in {encoding}")
    return text.encode("latin1")


class _Unpickler(ArrayUnpickler):
    """Knows the arrays of scipy and chumpy too, and nothing that could run code."""

    allowed = {
        **ArrayUnpickler.allowed,
        ("chumpy.ch", "Ch"): _Chumpy,
        ("_codecs", "encode"): Maker(_encode),
        ("copy_reg", "_reconstructor"): Maker(_reconstructor),
        ("copyreg", "_reconstructor"): Maker(_reconstructor),
        ("__builtin__", "object"): "object",  # which _reconstructor is told of
        ("builtins", "object"): "object",
        **{
            (f"scipy.sparse.{module}", f"{kind}_matrix"): stand_in
            for kind, stand_in in (("csc", _Sparse), ("csr", _SparseRows))
            for module in (kind, f"_{kind}")  # its name before and since scipy 1.8
        },
    }
