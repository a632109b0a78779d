"""Evaluation of views: perfect and useless generators, figures by hand, the command."""

from __future__ import annotations

import json
import os
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from engine import runs
from fastreid.modeling import build_model
from PIL import Image
from structure.estimators import estimator  # noqa: F401  fixture
from torchvision.transforms import functional as TF

from gcl.data.view_dataset import ViewDataset
from gcl.evaluation.view_encoders import STAGES, Encoder
from gcl.evaluation.view_pairs import Item, photographs
from gcl.evaluation.view_report import figures, report
from gcl.evaluation.view_sheet import GAP, HEADER, HEIGHT, TEXT, sample, view_sheet
from gcl.evaluation.views import CHANCE, CROP, PHOTOGRAPH, Judge, drawing, measure
from gcl.modeling.imagenet import ImageNet
from gcl.photographs import read_photograph
from gcl.structure.store import RenderStore

SIZE = (64, 32)
YAWS = (0, 90, 180, 315)
OWN = 10 / 255  # mean of an own render of write_renders
RUN = ("--orientations", "1=0,2=90,3=180,4=270")  # of the toy data set


class Colours(Encoder):
    """Whom a picture shows is in its green and blue."""

    def pool(self, pictures):
        return pictures[:, 1:].float().mean((2, 3))

    def embed(self, pooled, cameras, generated):
        return F.normalize(pooled - 128, dim=1)


@pytest.fixture
def pairs(tmp_path):
    """6 people in 2 cameras from 4 sides: red says the yaw, as the fake estimator reads it, green
    and blue the person."""
    items, rng = [], np.random.default_rng(0)
    (tmp_path / "crops").mkdir()
    for person in range(6):
        angle = 2 * np.pi * person / 6
        shade = [round(128 + 100 * np.cos(angle)), round(128 + 100 * np.sin(angle))]
        for camera in range(2):
            for yaw in YAWS:
                path = str(tmp_path / "crops" / f"{person}_{camera}_{yaw}.png")
                pixels = np.tile(np.array([round(yaw / 360 * 255), *shade]), (*SIZE, 1))
                pixels[12:] += rng.integers(-20, 20, (SIZE[0] - 12, SIZE[1], 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
                items.append(Item(path, person, camera, float(yaw)))
    return photographs(items)


@pytest.fixture
def dataset(pairs, tmp_path, write_renders):
    names = [os.path.basename(path) for path in pairs.images]
    keys = dict(zip(pairs.images, names, strict=True))
    store = RenderStore(write_renders(tmp_path / "meshes", names), "train", keys)
    items = [(path, 0) for path in pairs.images]
    return ViewDataset(items, SIZE, structures=store, structure_size=(32, 16))


class Knows:
    """A generator that is handed the answers: ``answer`` (T,) rows of photographs. Unturned, which
    it is asked for second, it draws the crop."""

    def __init__(self, pairs, answer) -> None:
        self.turned = False
        self.visits = iter([visit for visit in pairs.visits if visit.pairs.stop])
        self.pairs, self.answer, self.seen = pairs, answer, []

    def __call__(self, crops, own, structures, crop):
        self.turned = not self.turned
        assert own.mean((1, 2, 3)).tolist() == pytest.approx([OWN] * len(crops), abs=1e-3)
        if not self.turned:
            assert torch.equal(structures, own) and crop.tolist() == list(range(len(crops)))
            return crops
        here = next(self.visits).pairs
        self.seen.append((crops[crop], structures, here))
        return torch.stack([picture(self.pairs.images[i]) for i in self.answer[here]])


def picture(path: str) -> torch.Tensor:
    return TF.pil_to_tensor(read_photograph(path))


def nearly(values) -> object:
    return pytest.approx(values, abs=2e-3)


def test_a_perfect_generator_and_one_that_does_nothing(pairs, dataset, estimator):  # noqa: F811
    judge = Judge(Colours(), ImageNet(STAGES), estimator(), "cpu")
    perfect, idle = Knows(pairs, pairs.truth), Knows(pairs, pairs.crop)
    draw = {"perfect": perfect, "idle": idle}
    measured, kept = measure(draw, judge, pairs, dataset, keep=[0, 50])
    drawn = ["perfect, unturned", "perfect", "idle, unturned", "idle"]
    assert list(measured) == [PHOTOGRAPH, CROP, *drawn, CHANCE]
    found = figures(pairs, measured)
    assert (found["pairs"], found["people"], found["cameras"]) == (6 * 2 * 4 * 3, 6, 2)
    assert found["gallery"] == 6
    row = found["all"]["perfect"]
    assert (row["ssim"], row["perceptual"]) == (pytest.approx(1, abs=1e-5), nearly(0))
    assert (row["rank1"], row["mAP"]) == (1, 1)
    assert row["median"] < 1 and row["within_45"] == 1 and row["flipped"] == 0
    assert found["all"][PHOTOGRAPH] == {k: row[k] for k in found["all"][PHOTOGRAPH]}
    assert set(found["all"][PHOTOGRAPH]) == {"median", "within_22", "within_45", "flipped"}
    for t, turn in enumerate(pairs.turn):
        assert measured[CROP].error[t].item() == pytest.approx(min(turn, 360 - turn), abs=1)
    for name in ("idle", "idle, unturned", "perfect, unturned"):
        for one, other in zip(measured[CROP], measured[name], strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert found["all"][CROP]["ssim"] < 0.9 and found["all"][CROP]["perceptual"] > 0.01
    chance = found["all"][CHANCE]
    assert chance["rank1"] == nearly(1 / 6) and chance["mAP"] == nearly((1 + 1 / 2 + 1 / 3
        + 1 / 4 + 1 / 5 + 1 / 6) / 6)  # fmt: skip
    assert (chance["median"], chance["within_45"], chance["flipped"]) == (90, 0.25, 0.25)
    # of the first person of a camera there is nobody before
    assert measured[CHANCE].ssim.isnan().sum() == 2 * 12 and chance["ssim"] < 0.99
    assert set(found["turn"]) == {"45", "90", "135", "180", "225", "270", "315"}
    assert found["turn"]["180"][CROP]["flipped"] == 1
    # what the generators were given, and what is kept for the sheet
    for crops, structures, here in perfect.seen:
        for i, t in enumerate(range(here.start, here.stop)):
            path = pairs.images[pairs.crop[t]]
            assert torch.equal(crops[i], picture(path))
            grey = np.asarray(dataset.structures.load(path, pairs.turn[t]))
            assert structures[i].mean().item() * 255 == pytest.approx(grey.mean(), abs=0.5)
    assert set(kept) == {0, 50}
    crop, true, best, nothing = kept[50]
    assert torch.equal(crop, picture(pairs.images[pairs.crop[50]])) and torch.equal(crop, nothing)
    assert torch.equal(true, picture(pairs.images[pairs.truth[50]])) and torch.equal(true, best)


def test_the_table_of_a_generator_of_wrong_people(pairs, dataset, estimator):  # noqa: F811
    judge = Judge(Colours(), ImageNet(STAGES), estimator(), "cpu")
    # somebody else: right side, wrong person
    other = np.array([np.flatnonzero((pairs.person == (pairs.person[t] + 1) % 6)
                      & (pairs.camera == pairs.camera[t]) & (pairs.yaw == pairs.yaw[t]))[0]
                      for t in pairs.truth])  # fmt: skip
    draw = {"wrong": Knows(pairs, other)}
    measured, _ = measure(draw, judge, pairs, dataset)
    found = figures(pairs, measured)
    assert found["all"]["wrong"]["rank1"] == 0
    rows = [[c.strip() for c in r.split("|")[1:-1]] for r in report(found).splitlines()]
    assert report(found).splitlines()[0] == (
        "144 turned crops of 6 people in 2 cameras, searched among 6.0 people"
    )
    yaw = ["yaw: median error", "<= 45", "> 135"]
    assert rows[1] == ["", "SSIM", "perceptual", "rank-1", "mAP", *yaw]
    assert [row[0] for row in rows[3:]] == [PHOTOGRAPH, CROP, "wrong, unturned", "wrong", CHANCE]
    assert rows[3][1:5] == [""] * 4 and rows[3][6:] == ["100.0%", "0.0%"]
    assert rows[6][3] == "0.0%" and rows[6][6:] == ["100.0%", "0.0%"]  # on the right side
    assert rows[7][3:] == ["16.7%", "40.8%", "90.0", "25.0%", "25.0%"]


def test_the_sheet_has_a_column_a_pair(pairs):
    chosen = sample(pairs, 3)
    assert chosen == sample(pairs, 3) and len(set(chosen)) == 3
    assert sample(pairs, 1000) == list(range(len(pairs.crop)))
    shade = {
        pair: [torch.full((3, *SIZE), 40 * c + 10 * r, dtype=torch.uint8) for r in range(4)]
        for c, pair in enumerate(chosen)
    }
    sheet = np.asarray(view_sheet(pairs, shade, ["a", "b"]))
    for c in range(3):
        for r in range(4):
            y = HEADER + GAP + r * (HEIGHT + GAP) + HEIGHT // 2
            x = TEXT + GAP + c * (HEIGHT // 2 + GAP) + HEIGHT // 4
            assert sheet[y, x].tolist() == [40 * c + 10 * r] * 3
    assert sheet.shape[1] == TEXT + GAP + 3 * (HEIGHT // 2 + GAP)


@torch.no_grad()
@pytest.mark.parametrize("name", ["ViewGenerator", "AttentionViewGenerator"])
def test_drawing_is_the_generator_on_what_it_knows_of_the_crop(tiny_cfg, name):
    torch.manual_seed(0)
    cfg = tiny_cfg("GCL.GENERATOR.SIZE", [32, 16], "GCL.GENERATOR.NAME", name)
    model = build_model(cfg).eval()
    g = model.generator
    crops = torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8)
    own, structures, crop = torch.rand(2, 1, 32, 16), torch.rand(70, 1, 32, 16), np.arange(70) % 2
    found = drawing(model, SIZE)(crops, own, structures, crop)
    assert found.shape == (70, 3, *SIZE) and found.dtype == torch.uint8
    for t in (0, 1, 69):
        x = (crops[t % 2][None] - model.pixel_mean) / model.pixel_std
        code = model.heads.part_code(model.backbone(x))
        small = F.interpolate(x, (32, 16), mode="bilinear", antialias=True)
        s = own[t % 2][None]
        known = code if g.uses_code else g.appearance(small, s, g.encode(s))
        view = g.decode(g.encode(structures[t : t + 1]), known)
        view = F.interpolate(view, SIZE, mode="bilinear", antialias=True)
        view = (view * model.pixel_std + model.pixel_mean).clamp(0, 255)
        assert (view - found[t].float()).abs().max() < 0.51


@pytest.fixture
def run(run_tool):
    return partial(run_tool, "evaluate_views", "--config-file", runs.CONFIG, *RUN)


@pytest.fixture
def checkpoint(toy, tmp_path) -> str:
    """Of a model that was never trained."""
    torch.manual_seed(0)
    model = build_model(runs.config(tmp_path, toy))
    path = str(tmp_path / "logs" / "model_final.pth")
    os.makedirs(os.path.dirname(path))
    torch.save({"model": model.state_dict(), "epoch": 3}, path)
    return path


def test_the_command_judges_both_splits(toy, tmp_path, checkpoint, estimator, run):  # noqa: F811
    out = tmp_path / "out"
    pairs = runs.options(tmp_path, toy, MODEL__WEIGHTS=checkpoint)
    status, printed = run("--out", out, "--compare", f"same={checkpoint}", *pairs)
    assert status is None
    assert estimator.log[:2] == [("load", None), ("estimate", 4)]
    found = json.loads((out / "views.json").read_text())
    assert found["encoder"] == "model" and list(found["checkpoints"]) == [
        "logs/model_final",
        "same",
    ]
    assert list(found["sets"]) == ["Market1501 train", "Market1501 test"]
    for name, values in found["sets"].items():
        assert f"{name}: {values['pairs']} turned crops of 4 people in 2 cameras" in printed
        assert values["pairs"] == 4 * 2 * 4 * 3 and values["gallery"] == 4
        rows = values["all"]
        assert rows["logs/model_final"] == rows["same"]
        assert "logs/model_final, unturned" in rows and rows["same"]["ssim"] < 0.9
        assert rows[CHANCE]["rank1"] == 0.25 and "median" in rows[CROP]
        with Image.open(out / f"sheet_{name.replace(' ', '_')}.png") as sheet:
            assert sheet.format == "PNG" and sheet.height > 4 * HEIGHT
    estimator.log.clear()
    line = ("--encoder", "imagenet", *pairs, "DATASETS.NAMES", "()")
    line = ("--estimator", "x.safetensors", *line)
    assert run("--out", out, *line)[0] is None
    assert estimator.log[0] == ("load", "x.safetensors")
    assert "adapt" not in dict(estimator.log)
    found = json.loads((out / "views.json").read_text())
    assert found["encoder"] == "imagenet" and list(found["sets"]) == ["Market1501 test"]


def test_mistakes_end_in_one_sentence(toy, tmp_path, checkpoint, run):
    def end(*arguments, **changes) -> str:
        pairs = runs.options(tmp_path, toy, **{"MODEL__WEIGHTS": checkpoint, **changes})
        status, _ = run("--out", tmp_path / "out", *arguments, *pairs)
        assert status.startswith(("ConfigError: ", "MissingStructureError: "))
        assert "\n" not in status
        return status

    assert "MODEL.WEIGHTS is empty" in end(MODEL__WEIGHTS="")
    assert "is not a file" in end(MODEL__WEIGHTS=tmp_path / "none.pth")
    assert "write NAME=CHECKPOINT" in end("--compare", checkpoint)
    assert "neither generator nor joint" in end(GCL__PHASES='("contrast",)')
    assert "does not fit the configuration" in end(GCL__GENERATOR__WIDTH=8)
    assert "holds one of the orientations 9" in end("--orientations", "9=0")
    assert "neither a folder 'train' nor 'test'" in end(GCL__STRUCTURE__DIR=tmp_path)
    state = torch.load(checkpoint)["model"]
    for other, message in (
        ({k: v for k, v in state.items() if "generator" not in k}, "holds no view generator"),
        (None, "no checkpoint that can be read"),
    ):
        path = tmp_path / "other.pth"
        torch.save({"model": other} if other else [1], path)
        assert message in end(MODEL__WEIGHTS=path)
    path.write_text("nothing")
    assert "no checkpoint that can be read" in end(MODEL__WEIGHTS=path)
    name = sorted(os.listdir(toy / "meshes" / "test" / "render"))[0]
    bare = tmp_path / "bare"
    os.makedirs(bare / "test")
    for view in os.listdir(toy / "meshes" / "test"):
        os.makedirs(bare / "test" / view)
        for file in os.listdir(toy / "meshes" / "test" / view):
            if file != name:
                os.symlink(toy / "meshes" / "test" / view / file, bare / "test" / view / file)
    status = end(GCL__STRUCTURE__DIR=bare)
    assert "1 of 32 images have no structure" in status and name in status
    assert not (tmp_path / "out").exists()
