"""Crops whose truth is known: from their names, from a synthetic set."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from PIL import Image

from gcl import ConfigError
from gcl.evaluation.labelled_crops import from_names, labelled_crops
from gcl.synthetic import Settings, write_set
from gcl.synthetic.draw import dress
from gcl.synthetic.plan import plan
from gcl.synthetic.projection import about_pelvis
from gcl.synthetic.set_files import get_tailor

SMALL = Settings(people=1, test_people=1, cameras=2, shots=2, height=48, width=24, seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return write_set(tmp_path_factory.mktemp("made"), SMALL, progress=False)


def test_names_of_the_development_data_say_the_view():
    """1 the image's right, then on by 45 degrees; the last two are front and half right."""
    images = [f"x/0003_c{1 + i % 2}s1_{i:06d}_00.jpg" for i in range(1, 9)]
    found = from_names([*images, "x/0003_c1s1_000451_03.jpg", "x/notes.jpg"])
    assert found.images == images and found.left_out == 2
    assert found.yaw.tolist() == [90, 135, 180, 225, 270, 315, 0, 45]
    assert found.cameras == [2, 1] * 4
    assert found.keypoints is None and found.silhouettes is None


def test_other_names_by_a_pattern_of_the_user():
    found = from_names(["a-front.png", "b-left.png"], r"-(\w+)\.", {"front": 0, "left": 270})
    assert found.yaw.tolist() == [0, 270] and found.cameras is None


@pytest.mark.parametrize(
    ("images", "pattern", "message"),
    [
        (["0001_c1s1_000451_03.jpg"], r"s1_(\d+)", "none of 1 image names, such as 0001_c1s1"),
        ([], r"s1_(\d+)", "none of 0 image names holds"),
        (["a.jpg"], "(", "--orientation-pattern (: "),
        (["a.jpg"], "s1", "--orientation-pattern s1 has 0 groups"),
    ],
)
def test_without_orientations_there_is_one_sentence(images, pattern, message):
    with pytest.raises(ConfigError) as error:
        from_names(images, pattern)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_a_data_set_of_the_toolbox_is_taken_whole(market_data):
    """8 training images, a query and a gallery image; three of them by chance 000001, 000002."""
    found = labelled_crops("Market1501", r"_(\d+)_00\.", {"000001": 10, "000002": 20})
    assert len(found.images) + found.left_out == 10
    assert {path.rsplit("/", 2)[1] for path in found.images} == {
        "bounding_box_train",
        "query",
        "bounding_box_test",
    }


def test_a_synthetic_set_knows_its_bodies(folder):
    """Against the bodies from which the renders were drawn."""
    found = labelled_crops(folder)
    shots = {shot.name: shot for shot in plan(SMALL)}
    drawn = [shots[path.rsplit("/", 1)[1]] for path in found.images]
    assert len(drawn) == 8 and found.cameras == [shot.camera for shot in drawn]
    yaw = torch.tensor([shot.scene.moment.yaw for shot in drawn])
    assert found.yaw == pytest.approx(yaw, abs=0.006)  # as written
    tailor = get_tailor()
    bodies = dress(tailor, [shot.scene for shot in drawn]).body
    keypoints = torch.einsum("kv,bvd->bkd", tailor._data["keypoints"], about_pelvis(bodies, yaw))
    # the soles of shoes are under those of the feet
    shift = (found.keypoints - keypoints).mean(1, keepdim=True)
    torch.testing.assert_close(found.keypoints - shift, keypoints, atol=1e-3, rtol=0)
    for path, silhouette in zip(found.images, found.silhouettes, strict=True):
        with Image.open(path) as crop, Image.open(silhouette) as render:
            assert crop.size == render.size and render.mode == "L"


def test_the_registered_synthetic_set_is_the_same(folder, monkeypatch):
    monkeypatch.setattr("gcl.data.build._root", folder.rsplit("/", 1)[0])
    assert labelled_crops("SyntheticPedestrians").images == labelled_crops(folder).images


@pytest.mark.parametrize("damage", ["no table", "version", "other people"])
def test_a_set_that_is_not_ours_is_refused(folder, tmp_path, damage):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("set.json", "crops.csv"):
        shutil.copy(f"{folder}/{name}", copy / name)
    settings = json.loads((copy / "set.json").read_text())
    if damage == "no table":
        (copy / "crops.csv").unlink()
    else:
        settings["version" if damage == "version" else "seed"] += 1
        (copy / "set.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="copy (is no whole|was drawn by another version)"):
        labelled_crops(str(copy))
