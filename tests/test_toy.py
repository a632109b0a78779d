"""The toy data set: what the toolbox and the structure store make of it, and what it shows."""

import hashlib

import numpy as np
import pytest
import toy as module
from fastreid.data.datasets import DATASET_REGISTRY
from PIL import Image
from toy import DATASET, PARTS, render_body, write_toy_dataset

from gcl.structure.crop_keys import crop_keys
from gcl.structure.store import FOLDERS, TURNS, RenderStore


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    write_toy_dataset(root, people=3, test_people=2, cameras=3, orientations=4, size=(64, 32))
    return root


@pytest.fixture
def person():
    return module._person(np.random.default_rng(0), 0)


def files(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*.jpg")
    }


def test_the_toolbox_reads_it(root):
    market = DATASET_REGISTRY.get("Market1501")(root=str(root))
    people = [{item[1] for item in part} for part in (market.train, market.query, market.gallery)]
    assert people == [{"market1501_1", "market1501_2", "market1501_3"}, {4, 5}, {4, 5}]
    assert len(market.train) == 3 * 3 * 4
    assert len(market.query) == len(market.gallery) == 2 * 3 * 2
    assert {item[2] for item in market.query} == {item[2] for item in market.gallery} == {0, 1, 2}


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_crop_has_all_its_structures(root, split):
    folders = ["bounding_box_train"] if split == "train" else ["query", "bounding_box_test"]
    crops = [str(path) for folder in folders for path in (root / DATASET / folder).iterdir()]
    store = RenderStore(str(root / "meshes"), split, crop_keys("Toy", str(root), crops))
    assert crops and all(crop in store for crop in crops)
    names = [store.name_of(crop) for crop in crops]
    assert len(list((root / "meshes" / split / "render").iterdir())) == len(names)
    for turn in (0, *TURNS):
        with Image.open(root / "meshes" / split / FOLDERS[turn // 45] / names[0]) as image:
            assert (image.mode, image.size) == ("L", (32, 64))
    for folder in folders:
        with Image.open(next((root / DATASET / folder).iterdir())) as image:
            assert (image.mode, image.size) == ("RGB", (32, 64))


def test_same_arguments_same_files(tmp_path):
    options = {"people": 2, "test_people": 1, "orientations": 2, "size": (32, 16)}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_toy_dataset(tmp_path / name, **options, seed=seed)
    a, b, c = (files(tmp_path / name) for name in "abc")
    assert len(a) == 3 * 2 * 2 * 9
    assert a == b
    assert a.keys() == c.keys() and not set(a.values()) & set(c.values())


def grey(root, split, view, name):
    with Image.open(root / "meshes" / split / view / name) as image:
        return np.asarray(image, float) / 255


def test_a_structure_lies_on_its_person(root):
    """The person differs from camera to camera in colour, not in place: inside the structure's
    outline the crop is the person, so it changes at the outline more than elsewhere."""
    for path in sorted((root / DATASET / "bounding_box_train").iterdir())[:8]:
        crop = np.asarray(Image.open(path).convert("RGB"), float) / 255
        body = grey(root, "train", "render", path.name) > 0.1
        assert 0.08 < body.mean() < 0.5
        rim = body[:, 1:] != body[:, :-1]
        jump = np.abs(np.diff(crop, axis=1)).mean(2)
        assert jump[rim].mean() > 2 * jump[~rim].mean()


def test_a_turn_of_one_picture_is_the_own_view_of_another(root):
    """0001_c1s1_000001 is seen from 0 degrees and ..._000002 from 90."""
    own = grey(root, "train", "render", "0001_c1s1_000002_00.jpg")

    def apart(turn):
        """Mean difference where the two lie best: each picture is moved by up to two pixels."""
        turned = grey(root, "train", f"render_{turn}", "0001_c1s1_000001_00.jpg")
        moves = [(down, right) for down in range(-4, 5) for right in range(-4, 5)]
        return min(np.abs(np.roll(turned, move, (0, 1)) - own).mean() for move in moves)

    assert apart(90) < 0.01
    assert min(apart(turn) for turn in (45, 135, 180, 225, 270, 315)) > 3 * apart(90)


def test_yaw_90_looks_to_the_right_of_the_image(person):
    """Feet point to where the person looks."""
    feet = [i for i, name in enumerate(PARTS, 1) if name == "foot"]
    legs = [i for i, name in enumerate(PARTS, 1) if name == "leg"]

    def reach(yaw):
        body = render_body(person, yaw, 0.0, (256, 128), bag=False)
        columns = [np.nonzero(np.isin(body.part, which))[1].mean() for which in (feet, legs)]
        return columns[0] - columns[1]

    assert reach(90) > 3 and reach(270) < -3
    assert abs(reach(0)) < 0.5 and abs(reach(180)) < 0.5


@pytest.mark.parametrize("yaw", [0, 45, 90, 180, 300])
def test_points_of_the_body_lie_where_the_ray_goes(person, yaw):
    size = (128, 64)
    body = render_body(person, yaw, 0.4, size)
    rows, columns = np.nonzero(body.part)
    left, down, front = body.point[rows, columns].T
    a = np.deg2rad(yaw)
    scale = 0.9 * size[0]
    x = (left * np.cos(a) + front * np.sin(a)) * scale + (size[1] - 1) / 2
    np.testing.assert_allclose(x, columns, atol=1e-6)
    np.testing.assert_allclose(down * scale + 0.5 * size[0], rows, atol=1e-6)


def test_facing_the_camera_shows_a_face_and_from_behind_there_is_hair(person):
    def share_of_hair(yaw):
        body = render_body(person, yaw, 0.0, (128, 64))
        colours = module._albedo(person, body)[body.part == 1]
        return (np.abs(colours - person.hair).max(1) < 1e-9).mean()

    assert share_of_hair(0) < 0.7 < share_of_hair(180)
    assert share_of_hair(180) == 1


def test_left_and_right_differ_by_the_bag():
    rng = np.random.default_rng(0)
    for i in range(40):
        person = module._person(rng, i)
        if person.bag_place == "left":
            break
    bag = PARTS.index("bag") + 1

    def columns(yaw):
        return np.nonzero(render_body(person, yaw, 0.0, (128, 64)).part == bag)[1]

    # yaw 0 faces us: the own left is on the image's right
    assert columns(0).mean() > 32 + 5 and columns(180).mean() < 32 - 5
    # facing the image's right, the own left is the far side
    assert len(columns(90)) < len(columns(270))
    assert not (render_body(person, 0, 0.0, (128, 64), bag=False).part == bag).any()


def test_people_and_cameras_can_be_told_apart(root):
    """The torso's mean colour moves more from person to person than from view to view, and a
    camera's background has a colour of its own."""
    torsos, corners = {}, {}
    for path in (root / DATASET / "bounding_box_train").iterdir():
        crop = np.asarray(Image.open(path).convert("RGB"), float) / 255
        key = path.name[:4], path.name[5:7]
        torsos.setdefault(key, []).append(crop[18:30, 12:20].mean((0, 1)))
        corners.setdefault(key[1], []).append(crop[:6, :8].mean((0, 1)))

    def between(groups):
        centres = np.array([np.mean(group, 0) for group in groups])
        return min(np.linalg.norm(a - b) for i, a in enumerate(centres) for b in centres[:i])

    within = np.mean([np.std(group, 0).mean() for group in torsos.values()])
    for camera in ("c1", "c2", "c3"):
        assert between([v for k, v in torsos.items() if k[1] == camera]) > 2 * within
    assert between(corners.values()) > 0.02


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cameras": 7}, "1 to 6 cameras"),
        ({"orientations": 9}, "8 orientations"),
        ({"people": 1500, "test_people": 2}, "1501 people"),
        ({"people": 1, "test_people": 0}, "2 to 1501 people"),
    ],
)
def test_what_the_layout_can_not_hold_is_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        write_toy_dataset(tmp_path, **options)
    assert not list(tmp_path.iterdir())
