"""Files as mesh-recovery tools write them give the renders of the mesh that was put in."""

from __future__ import annotations

import json
import os
import pickle
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from structure.figures import figure

from gcl.structure.adapters import ADAPTERS, NobodyError, PayloadError, open_adapter, read_payload
from gcl.structure.crop_keys import MissingStructureError
from gcl.structure.geometry import (
    Geometry,
    GeometryError,
    render_views,
    write_faces,
    write_geometry,
)

FACES = figure().faces
SHIFT = np.array([0.1, -0.2, 5.0], np.float32)
MESH = figure().vertices.numpy()  # camera space, metres
CENTRED = MESH - SHIFT
FAR = CENTRED + np.array([1.0, 0.0, 9.0], np.float32)  # a second person, further away


def save(path: str, payload: object) -> None:
    """Write ``payload`` as the suffix says, in the way users of the tools do."""
    kind = os.path.splitext(path)[1]
    if kind == ".npz":
        np.savez(path, **payload)
    elif kind == ".npy":
        np.save(path, payload, allow_pickle=True)
    elif kind == ".pt":
        torch.save(payload, path)
    elif kind == ".json":
        with open(path, "w") as file:
            json.dump(payload, file, default=lambda a: a.tolist())
    else:
        with open(path, "wb") as file:
            pickle.dump(payload, file)


def tensors(payload: object) -> object:
    """The same with tensors for arrays."""
    if isinstance(payload, dict):
        return {key: tensors(value) for key, value in payload.items()}
    if isinstance(payload, list):
        return [tensors(value) for value in payload]
    return torch.from_numpy(payload)


def keys(*crops: str) -> dict[str, str]:
    return {crop: crop for crop in crops}


def read(folder, name: str, crops: tuple[str, ...] = ("a.jpg",)):
    if not (folder / "faces.npy").exists():
        write_faces(str(folder), FACES)
    return open_adapter(name, str(folder), keys(*crops))


# What each tool writes: (adapter, file, content). TWO has a second person, who is further away.
HMR2 = {"pred_vertices": CENTRED[None], "pred_cam_t": SHIFT[None], "pred_cam": np.ones((1, 3))}
TWO = {
    "pred_vertices": np.stack([CENTRED, CENTRED]),
    "pred_cam_t": np.stack([SHIFT + [1, 0, 4], SHIFT]).astype(np.float32),
}
SAM = {"pred_vertices": CENTRED, "pred_cam_t": SHIFT, "focal_length": np.float32(900), "mask": None}
NLF = {"vertices3d": [np.stack([FAR, MESH]) * 1000], "boxes": [np.zeros((2, 5), np.float32)]}
MULTI = {"v3d": MESH, "transl": SHIFT}
CASES = {
    "hmr2.npz": ("hmr2", HMR2),
    "hmr2.npy": ("hmr2", HMR2),
    "hmr2.pkl": ("hmr2", HMR2),
    "hmr2.json": ("hmr2", HMR2),
    "hmr2.pt": ("hmr2", tensors(HMR2)),
    "two.npz": ("hmr2", TWO),
    "one without batch.npz": ("hmr2", {"pred_vertices": CENTRED, "pred_cam_t": SHIFT}),
    "tokenhmr.npz": ("tokenhmr", TWO),
    "sam.pkl": ("sam3dbody", [SAM]),
    "sam.npy": ("sam3dbody", [SAM, {**SAM, "pred_cam_t": SHIFT + np.float32(4)}]),
    "sam.json": ("sam3dbody", [SAM]),
    "nlf.pt": ("nlf", tensors(NLF)),
    "nlf.pkl": ("nlf", NLF),
    "nlf.json": ("nlf", NLF),
    "nlf of one image.npz": ("nlf", {"vertices3d": NLF["vertices3d"][0]}),
    "nlf ragged.npy": ("nlf", NLF),
    "multihmr.pkl": ("multihmr", [{"v3d": FAR, "transl": SHIFT}, MULTI]),
    "multihmr.pt": ("multihmr", tensors([MULTI])),
    "multihmr old.pkl": ("multihmr", [{"verts_smplx": MESH, "transl": SHIFT}]),
    "multihmr demo.npy": ("multihmr", np.stack([MESH, FAR])),
}


@pytest.mark.parametrize("case", CASES)
def test_a_tool_s_file_gives_the_mesh_and_its_renders(tmp_path, case):
    name, payload = CASES[case]
    save(str(tmp_path / f"a{os.path.splitext(case)[1]}"), payload)
    geometry = read(tmp_path, name, ("crops/a.jpg",))("crops/a.jpg")
    np.testing.assert_allclose(geometry.vertices.numpy(), MESH, atol=2e-6)
    same_renders(geometry)


@pytest.mark.parametrize(
    "file", ["a.obj", "a_0.obj", "a.ply", "a_mesh_000.ply", "a/a_mesh_000.ply", "a.glb"]
)
def test_a_mesh_file_gives_the_mesh_and_its_renders(tmp_path, file):
    """x right, y up, z back, as 4D-Humans and SAM 3D Body save them."""
    half_turn = np.array([1, -1, -1])
    (tmp_path / "a").mkdir()
    trimesh.Trimesh(MESH * half_turn, FACES, process=False).export(tmp_path / file)
    adapter = open_adapter("mesh", str(tmp_path), keys("a.jpg"))
    np.testing.assert_allclose(adapter("a.jpg").vertices, MESH, atol=1e-6)
    same_renders(adapter("a.jpg"))
    assert adapter.faces is None


def test_a_mesh_file_in_front_of_our_camera_is_taken_as_it_is(tmp_path):
    trimesh.Trimesh(MESH, FACES, process=False).export(tmp_path / "a.ply")
    vertices = open_adapter("mesh", str(tmp_path), keys("a.jpg"))("a.jpg").vertices
    np.testing.assert_allclose(vertices, MESH, atol=1e-6)


@pytest.mark.parametrize(
    "axes, middle, guessed",
    [
        ("opencv", (0.1, -0.2, 5.0), "opencv"),
        ("opencv", (0.0, 0.0, 0.0), "opengl"),  # nothing tells it: it would be upside down
        ("opengl", (0.1, -0.2, 5.0), "opengl"),
        ("opengl", (0.0, 0.0, 0.0), "opengl"),
        ("opengl", (0.0, 0.0, -5.0), "opencv"),  # as if the camera looked along +z
    ],
)
def test_what_axes_say_counts_and_what_they_do_not_is_guessed(tmp_path, axes, middle, guessed):
    """Meshes on both sides of a camera and about the origin."""
    vertices = CENTRED - CENTRED.mean(0) + np.float32(middle)
    signs = {"opencv": 1, "opengl": np.array([1, -1, -1])}
    trimesh.Trimesh(vertices * signs[axes], FACES, process=False).export(tmp_path / "a.ply")
    told = open_adapter("mesh", str(tmp_path), keys("a.jpg"), axes=axes)
    np.testing.assert_allclose(told("a.jpg").vertices, vertices, atol=1e-6)
    assert told.guessed == ""
    guessing = open_adapter("mesh", str(tmp_path), keys("a.jpg"))
    expected = vertices * signs[axes] * signs[guessed]
    np.testing.assert_allclose(guessing("a.jpg").vertices, expected, atol=1e-6)
    assert guessing.guessed == guessed


def same_renders(geometry) -> None:
    """Outline within a pixel, greys within rounding, in all views."""
    turns = (0, 45, 90, 180, 270)
    for a, b in zip(
        render_views(geometry, turns, (128, 64)),
        render_views(figure(), turns, (128, 64)),
        strict=True,
    ):
        a, b = np.asarray(a, int), np.asarray(b, int)
        assert (np.abs(a - b) > 2).mean() < 0.002  # 16 of 8192 pixels, at the outline
        inner = grown(b > 0, -1)
        assert (a[inner] > 0).all() and not (a > 0)[~grown(b > 0, 1)].any()


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """``mask`` one pixel larger (1) or smaller (-1) on every side."""
    if pixels < 0:
        return ~grown(~mask, 1)
    padded = np.pad(mask, 1)
    height, width = mask.shape
    shifted = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.any(shifted, axis=0)


def test_our_own_geometry_is_a_source(tmp_path):
    write_geometry(str(tmp_path / "a.npz"), figure())
    source = open_adapter("geometry", str(tmp_path), keys("a.jpg", "b.jpg"))
    assert torch.equal(source("a.jpg").vertices, figure().vertices)
    with pytest.raises(NobodyError, match="no file for b.jpg"):
        source("b.jpg")


@pytest.mark.parametrize("name", ["geometry", "mesh", "nlf"])
def test_sources_go_to_worker_processes(tmp_path, name):
    write_geometry(str(tmp_path / "a.npz"), figure())
    trimesh.Trimesh(MESH, FACES, process=False).export(tmp_path / "a.ply")
    save(str(tmp_path / "a.pkl"), NLF)
    (tmp_path / "a.npz").rename(tmp_path / ("a.npz" if name == "geometry" else "other"))
    source = pickle.loads(pickle.dumps(read(tmp_path, name)))
    np.testing.assert_allclose(source("a.jpg").vertices, MESH, atol=1e-5)


# ---- whose file it is
def depths(source, crops) -> list[int]:
    return [round(float(source(crop).vertices[:, 2].mean())) for crop in crops]


def test_folders_that_a_tool_kept_tell_equal_names_apart(tmp_path):
    """As much of the crop's path as there is: from the folder of all data sets, or none."""
    crops = ("d/market/c1/a.jpg", "d/market/c2/a.jpg", "d/duke/c2/a.jpg", "d/duke/c2/b.jpg")
    for name, z in (("c1/a", 3), ("market/c2/a_0", 4), ("duke/c2/a_mesh_000", 5), ("b_0", 6)):
        path = tmp_path / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(str(path), {**HMR2, "pred_cam_t": np.float32([[0, 0, z]])})
    assert depths(read(tmp_path, "hmr2", crops), crops) == [3, 4, 5, 6]


@pytest.mark.parametrize("name", ["hmr2", "mesh", "geometry"])
@pytest.mark.parametrize("crops", [("c1/a.jpg", "c2/a.jpg"), ("a.jpg", "a.png")])
def test_a_file_that_two_crops_would_take_is_refused(tmp_path, name, crops):
    if name == "geometry":
        write_geometry(str(tmp_path / "a.npz"), figure())
    elif name == "mesh":
        trimesh.Trimesh(MESH, FACES, process=False).export(tmp_path / "a.ply")
    else:
        save(str(tmp_path / "a_0.npz"), HMR2)
    message = f"{tmp_path}: a(.npz)? would be .* two crops, {' and '.join(crops)}: put the files"
    with pytest.raises(MissingStructureError, match=message) as error:
        read(tmp_path, name, crops)
    assert "\n" not in str(error.value)


def test_our_own_meshes_are_told_apart_by_data_set_path_and_suffix(tmp_path):
    crops = {"/d/a.jpg": "A/a.jpg", "/d/a.png": "A/a.png", "/e/a.jpg": "B/a.jpg"}
    for z, key in enumerate(crops.values()):
        path = tmp_path / f"{key}.npz"
        path.parent.mkdir(exist_ok=True)
        write_geometry(str(path), Geometry(figure().vertices + torch.tensor([0, 0, z]), FACES))
    source = open_adapter("geometry", str(tmp_path), crops)
    first, second, third = depths(source, crops)
    assert (second, third) == (first + 1, first + 2)


def test_a_crop_without_file_or_person_is_told_from_a_bad_file(tmp_path):
    save(str(tmp_path / "b.pt"), {"vertices3d": [torch.zeros(0, 6890, 3)]})
    save(str(tmp_path / "c.npz"), {"joints3d": MESH})
    source = read(tmp_path, "nlf", ("a.jpg", "b.jpg", "c.jpg"))
    for crop, message in (("a.jpg", "no file for a.jpg"), ("b.jpg", "no person for b.jpg")):
        with pytest.raises(NobodyError, match=message):
            source(crop)
    with pytest.raises(
        PayloadError, match=f"{tmp_path}/c.npz is no file of nlf: no key vertices3d, but joints3d"
    ):
        source("c.jpg")


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("sam3dbody", []),
        ("multihmr", []),
        ("multihmr", np.zeros((0,))),
        ("hmr2", {"pred_vertices": np.zeros((0, 6890, 3)), "pred_cam_t": np.zeros((0, 3))}),
        ("nlf", {"vertices3d": []}),
        ("nlf", []),
    ],
)
def test_nobody_found_is_no_error(tmp_path, name, payload):
    save(str(tmp_path / "a.pkl"), payload)
    with pytest.raises(NobodyError, match="a.pkl has no person for a.jpg"):
        read(tmp_path, name)("a.jpg")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ([1, 2], "a dict with pred_vertices and pred_cam_t was expected"),
        ("text", "a dict with pred_vertices and pred_cam_t was expected"),
        ({"pred_vertices": CENTRED}, "no key pred_cam_t, but pred_vertices"),
        ({"pred_vertices": np.zeros(7), "pred_cam_t": SHIFT}, r"shape \(7,\)"),
        ({"pred_vertices": CENTRED, "pred_cam_t": np.zeros((2, 3))}, "1 meshes and 2 pred_cam_t"),
        ({"pred_vertices": "text", "pred_cam_t": SHIFT}, "could not convert"),
    ],
)
def test_content_of_another_kind_is_named(tmp_path, payload, message):
    save(str(tmp_path / "a.pkl"), payload)
    with pytest.raises(PayloadError, match=f"{tmp_path}/a.pkl is no file of hmr2: .*{message}"):
        read(tmp_path, "hmr2")("a.jpg")


def test_millimetres_and_faces_of_another_body_are_noticed(tmp_path):
    save(str(tmp_path / "a.npz"), {**HMR2, "pred_vertices": CENTRED * 1000})
    with pytest.raises(GeometryError, match=f"{tmp_path}/a.npz: .*no person in metres"):
        read(tmp_path, "hmr2")("a.jpg")
    save(str(tmp_path / "a.npz"), {**HMR2, "pred_vertices": CENTRED[:100]})
    with pytest.raises(GeometryError, match=f"{tmp_path}/a.npz: .*faces of another body model"):
        read(tmp_path, "hmr2")("a.jpg")


def test_missing_faces_folder_and_body_say_what_to_do(tmp_path):
    with pytest.raises(GeometryError, match=r"faces.npy does not exist.*numpy.save\(.*estimator.f"):
        open_adapter("sam3dbody", str(tmp_path), {})
    for name in ("mesh", "geometry", "nlf"):
        with pytest.raises(GeometryError, match=f"none is no folder with files of {name}"):
            open_adapter(name, str(tmp_path / "none"), {})
    with pytest.raises(GeometryError, match="--smpl-model"):
        open_adapter("smpl", str(tmp_path), {})


@pytest.mark.parametrize("key", ["neutral", "neutral_10"])
def test_multihmr_s_faces_are_found_under_any_name_of_its_layer(key):
    """ "neutral" until June 2024, "neutral_10" since."""
    layer = SimpleNamespace(bm_x=SimpleNamespace(faces="faces"))
    model = SimpleNamespace(smpl_layer={key: layer})
    assert eval(ADAPTERS["multihmr"].faces, {"model": model}) == "faces"


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_says_its_licence(name):
    assert len(ADAPTERS[name].licence) > 20 and "\n" not in ADAPTERS[name].licence


@pytest.mark.parametrize(
    "content", [b"", b"v 1 2\nf", b"v 0 0 0\n", b"ply\nnonsense", b"v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n"]
)
@pytest.mark.parametrize("file", ["a.obj", "a.ply", "a.glb"])
def test_broken_mesh_files_are_named(tmp_path, content, file):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(PayloadError, match=re.escape(str(tmp_path / file))):
        open_adapter("mesh", str(tmp_path), keys("a.jpg"))("a.jpg")


# ---- files that could do harm
class Harm:
    """Unpickled by the stock unpickler, it leaves a file behind."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def harmful(folder, kind: str, payload: object) -> str:
    path = str(folder / f"a{kind}")
    if kind == ".npz":
        np.savez(path, pred_vertices=np.array(payload, object), pred_cam_t=SHIFT)
    elif kind == ".npy":
        np.save(path, np.array(payload, object), allow_pickle=True)
    elif kind == ".pt":
        torch.save(payload, path)
    else:
        with open(path, "wb") as file:
            pickle.dump(payload, file)
    return path


@pytest.mark.parametrize("kind", [".pkl", ".pickle", ".npy", ".npz", ".pt", ".pth"])
def test_a_malicious_file_is_refused_and_does_nothing(tmp_path, kind):
    kept = ".pt" if kind == ".pth" else kind
    path = harmful(tmp_path, kept, {"pred_vertices": Harm(tmp_path / "harm")})
    os.rename(path, path.replace(kept, kind))
    path = path.replace(kept, kind)
    with pytest.raises(PayloadError, match=f"{re.escape(path)} is refused.* could run code"):
        read_payload(path)
    assert not (tmp_path / "harm").exists()
    with pytest.raises(PayloadError):
        read(tmp_path, "hmr2")("a.jpg")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "function",
    [eval, exec, getattr, __import__, open, os.system, pickle.loads, np.load, torch.load, print],
)
def test_no_function_gets_through(tmp_path, function):
    path = harmful(tmp_path, ".pkl", function)
    with pytest.raises(PayloadError, match="refused"):
        read_payload(path)


def test_dotted_names_do_not_reach_further(tmp_path):
    """Protocol 4 looks up "a.b" step by step: numpy.ndarray.something must not pass."""
    text = b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.tobyt\x93."
    (tmp_path / "a.pkl").write_bytes(text)
    with pytest.raises(PayloadError, match="refused"):
        read_payload(str(tmp_path / "a.pkl"))


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("package", ["numpy.core", "numpy._core"])
def test_arrays_of_every_protocol_and_numpy_are_read(tmp_path, protocol, package):
    payload = {
        "a": MESH,
        "f": np.asfortranarray(MESH),
        "s": np.float32(2.5),
        "l": [1, (2.0, None, True, "x")],
        "e": np.zeros((0, 3)),
    }
    raw = pickle.dumps(payload, protocol)
    if protocol < 4:  # there names are plain text
        raw = raw.replace(b"numpy._core", package.encode())
    (tmp_path / "a.pkl").write_bytes(raw)
    back = read_payload(str(tmp_path / "a.pkl"))
    for key in "afse":
        assert np.shape(back[key]) == np.shape(payload[key])
        assert np.array_equal(back[key], payload[key])
    assert back["l"] == payload["l"]


def test_tensors_in_a_pickle_are_refused_with_the_remedy(tmp_path):
    """torch would unpickle them with all of pickle's powers."""
    save(str(tmp_path / "a.pkl"), tensors(HMR2))
    with pytest.raises(PayloadError, match="refused.*save plain numpy arrays in .npz"):
        read_payload(str(tmp_path / "a.pkl"))


@pytest.mark.parametrize("kind", [".npz", ".npy", ".pkl", ".pt", ".json"])
@pytest.mark.parametrize("content", [b"", b"nonsense", "cut", None])
def test_broken_payloads_are_named(tmp_path, kind, content):
    path = tmp_path / f"a{kind}"
    save(str(path), tensors(HMR2) if kind == ".pt" else HMR2)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:500] if content == "cut" else content)
    with pytest.raises(PayloadError, match=re.escape(str(path))):
        read_payload(str(path))


def test_other_kinds_of_files_are_named(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"")
    with pytest.raises(PayloadError, match=r"a.h5: .h5 is none of .npz"):
        read_payload(str(tmp_path / "a.h5"))
