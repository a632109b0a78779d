"""The encoder of a run: the right weights, by the right configuration, or a sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from engine import runs
from fastreid.modeling import build_model
from safetensors.torch import save_file

from gcl.config import ConfigError
from gcl.inference import ReID
from gcl.inference.trained_encoder import open_encoder
from gcl.modeling.encoder_weights import packaged_encoder


@pytest.fixture(scope="module")
def reid(finished: Path) -> ReID:
    """Of a run on cameras 0 and 1, standardised by camera."""
    return ReID.load(finished, "cpu")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """What of the run an encoder needs, to be spoilt."""
    for name in ("config.yaml", "model_final.pth"):
        shutil.copy(finished / name, tmp_path)
    return tmp_path


@torch.no_grad()
def test_features_are_those_of_the_model_that_was_trained(finished, toy, reid):
    model = build_model(runs.config(finished, toy)).eval()
    state = torch.load(finished / "model_final.pth", weights_only=True)["model"]
    model.load_state_dict(state)
    images = 255 * torch.rand(6, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    camids = torch.tensor([0, 1, 1, 0, 7, -1])
    expected = F.normalize(model({"images": images, "camids": camids}))
    torch.testing.assert_close(reid.forward(images, camids), expected)
    torch.testing.assert_close(reid.forward(images), F.normalize(model({"images": images})))
    assert (expected[:4] - reid.forward(images)[:4]).abs().max() > 1e-4


def test_nothing_of_what_trained_it_is_built(reid):
    names = {name.split(".")[0] for name, _ in reid.encoder.model.named_parameters()}
    assert names == {"backbone", "heads"}


def test_a_checkpoint_and_its_run_are_one(finished, reid):
    by_file = open_encoder(finished / "model_final.pth")
    assert by_file.path == reid.encoder.path and by_file.cameras == {"0": 0, "1": 1}
    assert ReID(by_file).digest == reid.digest


def test_a_run_that_goes_on_has_its_last_checkpoint(finished, tmp_path, reid):
    last = (finished / "last_checkpoint").read_text()
    earlier = "model_0000.pth"
    assert last != earlier
    for name in ("config.yaml", earlier):
        shutil.copy(finished / name, tmp_path)
    (tmp_path / "last_checkpoint").write_text(earlier)
    found = open_encoder(tmp_path)
    assert found.path == str(tmp_path / earlier) and ReID(found).digest != reid.digest
    shutil.copy(finished / last, tmp_path)  # of a run that was there before
    assert open_encoder(tmp_path).path == str(tmp_path / earlier)


@torch.no_grad()
def test_the_packaged_encoder_is_the_one_of_the_package():
    reid = ReID.load("packaged", "cpu")
    images = 255 * torch.rand(2, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    expected = F.normalize(packaged_encoder()(images))
    torch.testing.assert_close(reid.forward(images), expected)
    assert reid.encoder.folder == "" and reid.encoder.cameras == {}


def test_cameras_have_the_names_of_the_run_s_crops(copy):
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("- Market1501", "- OwnCrops", 1))
    assert "- OwnCrops" in (copy / "config.yaml").read_text()
    assert open_encoder(copy).cameras == {}  # nobody has written down which was which
    (copy / "skipped.csv").write_text("path,reason\n")
    (copy / "crops.csv").write_text("path,camera\na.jpg,yard\nb.jpg,door\nc.jpg,shop\n")
    assert open_encoder(copy).cameras == {"door": 0, "shop": 1}  # and none of the third was seen


def spoil(folder: Path, how: str) -> str:
    """What to open then."""
    config, weights = folder / "config.yaml", folder / "model_final.pth"
    if how == "no configuration":
        config.unlink()
    elif how == "another backbone":
        config.write_text(config.read_text().replace("x0_25", "x0_5").replace("128", "256"))
    elif how == "another architecture":
        config.write_text(config.read_text().replace("ARCHITECTURE: GCL", "ARCHITECTURE: MGN"))
    elif how == "no yaml":
        config.write_text("a: [")
    elif how == "half a file":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif how == "diverged":
        state = torch.load(weights, weights_only=True)
        state["model"]["backbone.conv1.conv.weight"][0] = torch.nan
        torch.save(state, weights)
    elif how == "nothing":
        weights.unlink()
    elif how == "no encoder":
        save_file({"a": torch.zeros(1)}, folder / "a.safetensors")
        return str(folder / "a.safetensors")
    return str(folder)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("no configuration", "has no config.yaml beside it"),
        ("another backbone", "is not of the run of the config.yaml beside it"),
        ("another architecture", "META_ARCHITECTURE is MGN"),
        ("no yaml", "config.yaml is no configuration"),
        ("half a file", "model_final.pth is no checkpoint that can be read"),
        ("diverged", "no numbers, the first backbone.conv1.conv.weight"),
        ("nothing", "has no model_final.pth, and no checkpoint"),
        ("no encoder", "a.safetensors is no encoder's"),
    ],
)
def test_what_can_not_be_opened_gets_a_sentence(copy, how, sentence):
    with pytest.raises(ConfigError, match=sentence):
        open_encoder(spoil(copy, how))


def test_a_place_that_is_none_gets_a_sentence():
    with pytest.raises(ConfigError, match="nowhere is neither OUTPUT_DIR of a run"):
        open_encoder("nowhere")
