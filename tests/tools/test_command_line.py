"""Which file --config-file means: the user's, else ours by its path in the repository; and
MODEL.WEIGHTS."""

from __future__ import annotations

from pathlib import Path

import pytest

from gcl import ConfigError
from gcl.modeling import encoder_weights
from gcl.tools import command_line
from gcl.tools.command_line import find_config, read_config, sentence

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The current folder: an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["configs/pku.yml", "projects/GCL/configs/pku.yml"])
def test_ours_from_any_folder(name):
    assert Path(find_config(name)).samefile(REPOSITORY / name)


def test_the_user_s_own_file_comes_first(folder):
    own = folder / "configs/pku.yml"
    own.parent.mkdir()
    own.touch()
    assert find_config("configs/pku.yml") == "configs/pku.yml"
    assert find_config(str(own)) == str(own)
    assert find_config("") == ""


@pytest.mark.parametrize("name", ["configs/nobody.yml", "/nowhere/pku.yml", "configs"])
def test_what_is_nowhere_is_named_with_what_there_is(name):
    with pytest.raises(ConfigError) as error:
        find_config(name)
    said = str(error.value)
    assert said.startswith(f"--config-file {name} is not a file.") and "\n" not in said
    for shipped in ("configs/msmt17.yml", "projects/GCL/configs/ablations/pku_scratch.yml"):
        assert shipped in said and find_config(shipped)


def test_an_installed_package_has_its_own(folder, monkeypatch):
    """In site-packages there is no checkout above the package; what lies there is not ours."""
    monkeypatch.setattr(command_line, "PACKAGE", folder / "lib/python3/site-packages/gcl")
    for place in ("lib/configs", "lib/python3/site-packages/gcl/shipped/configs"):
        (folder / place).mkdir(parents=True)
        (folder / place / "market.yml").write_text(place)
    text = Path(find_config("configs/market.yml")).read_text()
    assert text == "lib/python3/site-packages/gcl/shipped/configs"


def test_weights_are_there_before_anything_is_done(tmp_path, monkeypatch):
    """MODEL.WEIGHTS is a file, or the packaged encoder."""
    packaged = tmp_path / "encoder.safetensors"
    monkeypatch.setattr(encoder_weights, "PACKAGED", packaged)
    with pytest.raises(ConfigError, match="MODEL.WEIGHTS none.pth is not a file"):
        read_config("", ["MODEL.WEIGHTS", "none.pth"])
    with pytest.raises(ConfigError, match=r"MODEL.WEIGHTS packaged: .* make one by"):
        read_config("", ["MODEL.WEIGHTS", "packaged"])
    packaged.write_bytes(b"")
    assert read_config("", ["MODEL.WEIGHTS", "packaged"]).MODEL.WEIGHTS == "packaged"


DEVICE = ["MODEL.DEVICE", "cpu"]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (["run/model_final.pth", *DEVICE], ["run/model_final.pth", "--resume", "OUTPUT_DIR"]),
        (["there", *DEVICE], ["there stands", "--resume takes no file", "MODEL.WEIGHTS"]),
        ([*DEVICE, "--resume", "OUTPUT_DIR", "x"], ["--resume stands", "before the first"]),
        ([*DEVICE, "--resume"], ["--resume stands", "before the first"]),
        ([*DEVICE, "SEED"], ["odd length", "'SEED' has no value"]),
        (["cpu", *DEVICE], ["odd length", "'cpu' is no key"]),
        (["MODEL.DEVICE.CPU", "1", "SEED"], ["odd length", "'MODEL.DEVICE.CPU' is no key"]),
        (["NO.KEY", 1], ["NO.KEY"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_what_is_no_key_value_pair_is_named(folder, pairs, words):
    (folder / "there").touch()
    with pytest.raises(ConfigError) as error:
        read_config("", pairs)
    said = str(error.value)
    assert said.endswith(".") or "NO.KEY" in words
    assert "\n" not in said and all(word in said for word in words), said


def test_values_may_look_like_options_and_files(folder):
    (folder / "there").touch()
    assert read_config("", ["OUTPUT_DIR", "there", "SEED", -1]).OUTPUT_DIR == "there"
    assert read_config("", ["OUTPUT_DIR", "--resume"]).OUTPUT_DIR == "--resume"


@pytest.mark.parametrize("name", ["2024", "1e5", "[1]", "(1, 2)", "{}", "True", "-1", "'a'"])
def test_a_text_may_look_like_python(folder, name):
    """A folder may have any name, on the command line and in the config.yaml that a run leaves."""
    text = name.strip("'")
    cfg = read_config("", ["OUTPUT_DIR", name, "SEED", "7"])
    assert text == cfg.OUTPUT_DIR and cfg.SEED == 7
    (folder / "config.yaml").write_text(cfg.dump())
    assert text == read_config("config.yaml", []).OUTPUT_DIR


def test_a_whole_number_may_stand_for_a_float(folder):
    """On the command line and in a file; not where a whole number is wanted, nor True for 1."""
    (folder / "own.yml").write_text("GCL: {START_SHARE: 1, LABELS: {EPS: 1}}")
    for value in ("0", 0):
        cfg = read_config("own.yml", ["GCL.START_SHARE", value, "SEED", "3"])
        found = (cfg.GCL.START_SHARE, cfg.GCL.LABELS.EPS, cfg.SEED)
        assert found == (0.0, 1.0, 3) and [*map(type, found)] == [float, float, int]
    for key, value in (("GCL.START_SHARE", "True"), ("SEED", "1.0")):
        with pytest.raises(ConfigError, match=key):
            read_config("", [key, value])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("GCL.GENERATOR.BETAS", "None", "is None: give a value such as"),
        ("GCL.PHASES", "(1,)", "has 1 in it: give a value such as"),
        ("INPUT.SIZE_TRAIN", "('a', 'b')", "has 'a' in it"),
        ("INPUT.SIZE_TRAIN", "(64,)", "give 2 values such as"),
        ("SEED", "(" * 300, "KEY VALUE pairs"),
        ("SEED", "{[]: 1}", "KEY VALUE pairs"),
        ("SEED.X", "1", "KEY VALUE pairs"),
    ],
)
def test_a_value_that_is_none_is_a_sentence(key, value, said):
    with pytest.raises(ConfigError) as error:
        read_config("", [key, value])
    assert said in str(error.value) and "\n" not in str(error.value)
    assert key in str(error.value) or said == "KEY VALUE pairs"


@pytest.mark.parametrize(
    "text",
    ["", "- 1", "SEED: [", "_BASE_: 3", "_BASE_: own.yml", "MODEL: 3", "a: b: c", "SEED: \x00",
     "SEED: !!python/object/apply:os.mkdir [canary]"],
)  # fmt: skip
def test_a_file_that_is_none_is_a_sentence(folder, text):
    """One is based on itself."""
    (folder / "own.yml").write_text(text)
    with pytest.raises(ConfigError, match="own.yml") as error:
        read_config("own.yml", [])
    assert "\n" not in str(error.value)
    assert [path.name for path in folder.iterdir()] == ["own.yml"]


def test_a_sentence_is_one_line_whatever_name_is_in_it():
    """The whole of it, but of a worker's error its last line."""
    assert sentence(ConfigError("a\nb.jpg is none.")) == "ConfigError: a b.jpg is none."
    worker = "Caught ConfigError in worker 0.\nTraceback (most recent):\n  x\nConfigError: y"
    assert sentence(ConfigError(worker)) == "ConfigError: y"
