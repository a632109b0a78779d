"""The call crop -> body: what comes in and out, and that a mirrored crop has the mirrored answer.

The network here has weights drawn by chance, large enough that its answers differ from crop to
crop; what trained weights are worth is the last test.
"""

from __future__ import annotations

import re

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from structure.estimate.networks import crops, random_network

from gcl.pretraining.structure_estimator import export_weights
from gcl.structure.body import KEYPOINTS, AnnyBody
from gcl.structure.estimate import Estimate, StructureEstimator
from gcl.structure.estimate.estimator import DOUBT, SMALLEST
from gcl.structure.estimate.network import StructureNet
from gcl.structure.poses import PARTS, neutral_pose
from gcl.structure.render import turn
from gcl.synthetic.examples import draw_examples
from gcl.synthetic.set_files import get_tailor, one_thread


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("weights") / "w.safetensors")
    export_weights(random_network(), path, commit="abc")
    return path


@pytest.fixture(scope="module")
def estimator(weights):
    return StructureEstimator.from_pretrained(weights)


def assert_close(one: Estimate, two: Estimate, tolerance: float = 1e-3) -> None:
    for name, a, b in zip(Estimate._fields, one, two, strict=True):
        assert a.shape == b.shape and torch.allclose(a.float(), b.float(), atol=tolerance), name


def apart(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Degrees between directions, 0 to 180."""
    return ((a - b + 180) % 360 - 180).abs()


# ---------------------------------------------------------------------- answers
@pytest.fixture(scope="module")
def twelve(estimator) -> Estimate:
    return estimator(crops(12))


def test_everything_is_there_and_finite(estimator, twelve):
    vertices = len(AnnyBody("reduced").canonical)
    shapes = {
        "yaw": (12,),
        "vertices": (12, vertices, 3),
        "faces": estimator.faces.shape,
        "confidence": (12,),
        "framing": (12, 3),
        "keypoints": (12, 17, 3),
        "doubtful": (12,),
    }
    assert {name: tuple(v.shape) for name, v in twelve._asdict().items()} == shapes
    assert all(value.isfinite().all() and not value.requires_grad for value in twelve)
    assert ((twelve.yaw >= 0) & (twelve.yaw < 360)).all()
    assert ((twelve.confidence >= 0) & (twelve.confidence <= 1)).all()
    assert twelve.faces.dtype == torch.int64 and twelve.faces.max() < vertices
    top, bottom, centre = twelve.framing.unbind(1)
    assert (bottom - top >= SMALLEST - 1e-6).all() and ((centre >= 0) & (centre <= 1)).all()
    # the crops are not all alike to it
    assert apart(twelve.yaw, twelve.yaw.roll(1)).max() > 30
    assert twelve.doubtful.any() and not twelve.doubtful.all()


def test_a_call_leaves_gradients_on_and_the_network_in_eval_mode(estimator, twelve):
    assert torch.is_grad_enabled() and not estimator.network.training


@pytest.mark.parametrize("batch_size", [1, 5, 12, 64])
def test_batches_of_any_size_agree(estimator, twelve, batch_size):
    assert_close(estimator(crops(12), batch_size=batch_size), twelve)


def test_one_and_none(estimator, twelve):
    one = estimator(crops(12)[3:4])
    for name in set(Estimate._fields) - {"faces"}:
        assert torch.allclose(
            getattr(one, name).float(), getattr(twelve, name)[3:4].float(), atol=1e-3
        ), name
    none = estimator([])
    assert torch.equal(none.faces, one.faces)
    for name, nothing, something in zip(Estimate._fields, none, one, strict=True):
        assert nothing.dtype == something.dtype
        assert name == "faces" or nothing.shape == (0, *something.shape[1:])


def test_paths_and_arrays_give_the_same(estimator, twelve, tmp_path):
    mixed = []
    for i, array in enumerate(crops(12)):
        path = tmp_path / f"{i}.png"
        Image.fromarray(array).save(path)
        mixed.append((array, path, str(path))[i % 3])
    assert_close(estimator(mixed), twelve)


def test_what_can_not_be_read_is_named(estimator, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8")
    with pytest.raises(OSError, match=re.escape(f"image {path} can not be read")):
        estimator([*crops(2), path])
    with pytest.raises(ValueError, match="crop 1 is an array float64"):
        estimator([crops(1)[0], crops(1)[0] / 255])


def test_the_mirrored_crop_has_the_mirrored_estimate(estimator, twelve):
    mirrored = estimator([array[:, ::-1] for array in crops(12)])
    # resizing is symmetric to one grey value
    assert apart(mirrored.yaw, -twelve.yaw).max() < 1.5
    assert torch.allclose(mirrored.confidence, twelve.confidence, atol=0.02)
    assert torch.allclose(mirrored.framing[:, :2], twelve.framing[:, :2], atol=0.01)
    assert torch.allclose(mirrored.framing[:, 2], 1 - twelve.framing[:, 2], atol=0.01)
    assert (twelve.framing[:, 2] - 0.5).abs().max() > 0.02


# ---------------------------------------------------------------------- bodies
def test_a_doubtful_body_stands_at_its_yaw(twelve):
    """Confidence under DOUBT: the neutral pose and the average phenotype."""
    assert torch.equal(twelve.doubtful, twelve.confidence < DOUBT)
    standing = AnnyBody("reduced")(neutral_pose(1))
    points = torch.cat((standing.vertices, standing.keypoints), 1)
    yaw = twelve.yaw[twelve.doubtful]
    turned = turn(points.expand(len(yaw), -1, -1), yaw)
    vertices = standing.vertices.shape[1]
    assert torch.allclose(twelve.vertices[twelve.doubtful], turned[:, :vertices], atol=1e-5)
    assert torch.allclose(twelve.keypoints[twelve.doubtful], turned[:, vertices:], atol=1e-5)
    # of nobody else is even the height that of the average person
    tall = twelve.vertices[..., 1].amin(1) - standing.vertices[..., 1].min()
    assert (tall.abs() > 1e-3).tolist() == (~twelve.doubtful).tolist()


def test_a_body_faces_where_its_yaw_says(twelve):
    """Yaw 0: the nose is nearer to the camera (-z) than the ears are; 90: further to the right."""
    points = twelve.keypoints[twelve.doubtful]
    ears = [KEYPOINTS.index(f"{side}_ear") for side in ("left", "right")]
    forward = points[:, KEYPOINTS.index("nose")] - points[:, ears].mean(1)
    direction = torch.rad2deg(torch.atan2(forward[:, 0], -forward[:, 2]))
    assert apart(direction, twelve.yaw[twelve.doubtful]).max() < 3
    # facing the camera, the left is on the image's right
    hips = [KEYPOINTS.index(f"{side}_hip") for side in ("left", "right")]
    across = points[:, hips[0]] - points[:, hips[1]]
    direction = torch.rad2deg(torch.atan2(across[:, 2], across[:, 0]))
    assert apart(direction, twelve.yaw[twelve.doubtful]).max() < 3


def test_the_chosen_pose_is_that_of_the_likeliest_hypothesis(estimator):
    """Of a prediction written by hand: one person bends the left elbow to the front."""
    said = estimator.predict(crops(1))
    bent = torch.eye(3)
    bent[1:, 1:] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    pose = torch.eye(3)[:, :2].repeat(1, said.pose.shape[1], len(PARTS), 1, 1)
    pose[0, 1, PARTS.index("forearm_left")] = bent[:, :2]
    said = said._replace(
        yaw=torch.eye(said.yaw.shape[1])[:1],
        choice=torch.tensor([[0.3, 0.4, 0.3]]),
        pose=pose,
        phenotype=torch.full((1, 6), 0.5),
        framing=torch.tensor([[0.5, 0.6, 1.5]]),
    )
    yaw, vertices, sure, framing, keypoints, doubtful = estimator._bodies(said)
    rotations = torch.eye(3).repeat(1, len(PARTS), 1, 1)
    rotations[0, PARTS.index("forearm_left")] = bent
    body = AnnyBody("reduced")(rotations)
    assert float(yaw) == 0 and float(sure) == 1 and not doubtful
    assert torch.allclose(vertices, body.vertices, atol=1e-5)
    assert torch.allclose(keypoints, body.keypoints, atol=1e-5)
    # a body too low for a crop, and one beside it
    assert torch.allclose(framing, torch.tensor([[0.5, 0.5 + SMALLEST, 1.0]]))


# ---------------------------------------------------------------------- weights
def test_weights_come_back_in_half_precision(weights, estimator):
    """Parameters do, that is; batch norm's statistics as they were."""
    network = random_network()
    written, parameters = network.state_dict(), dict(network.named_parameters())
    for name, value in estimator.network.state_dict().items():
        expected = written[name]
        assert value.dtype == expected.dtype
        if name in parameters:
            expected = expected.half().float()
        assert torch.equal(value, expected), name


def test_weights_of_something_else_are_refused_in_one_sentence(tmp_path, weights):
    content = open(weights, "rb").read()
    files = {
        "missing": None,
        "empty": b"",
        "text": b"no weights at all",
        "cut": content[: len(content) // 2],
    }
    for name, data in files.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    (tmp_path / "folder").mkdir()
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign")
    state = {name: value.contiguous() for name, value in StructureNet().state_dict().items()}
    save_file(state | {"yaw.bias": torch.zeros(8)}, tmp_path / "other_size")
    for name in (*files, "folder", "foreign", "other_size"):
        path = tmp_path / name
        with pytest.raises(OSError) as caught:
            StructureEstimator.from_pretrained(path)
        sentence = str(caught.value)
        assert sentence.startswith(f"{path} holds no weights of this estimator ("), name
        assert "tools/pretrain_estimator.py" in sentence and "\n" not in sentence
        assert len(sentence) < 400


def test_the_packaged_weights_see_the_view_of_people_they_have_never_seen():
    with one_thread():
        drawn = draw_examples(get_tailor(), 1234, range(64))
    pictures = []
    for crop, (left, top, right, bottom) in zip(drawn.crops, drawn.box, strict=True):
        # as a detector cuts: the height with a little room, the width 0.45 of it
        high = 1.06 * (bottom - top)
        across, down = (left + right) / 2, (top + bottom) / 2
        rows = slice(max(round(down - high / 2), 0), round(down + high / 2))
        columns = slice(max(round(across - 0.225 * high), 0), round(across + 0.225 * high))
        pictures.append(crop[rows, columns])
    found = StructureEstimator.from_pretrained()(pictures)
    error = apart(found.yaw, torch.from_numpy(drawn.yaw))
    assert error.median() < 10
    assert (error > 135).float().mean() < 0.05
