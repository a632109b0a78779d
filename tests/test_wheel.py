"""The wheel without the checkout: it imports, has its weights and configurations, and its commands
run from any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fastreid.config import CfgNode

REPOSITORY = Path(__file__).parents[1]
TOOLS = sorted(path.stem for path in (REPOSITORY / "tools").glob("*.py"))
COMMANDS = [*(f"gcl.tools.{name}" for name in TOOLS), "gcl.synthetic", "gcl.synthetic.draw_people"]
CONFIGS = {
    path.relative_to(REPOSITORY).as_posix(): path
    for folder in ("configs", "projects/GCL/configs")
    for path in (REPOSITORY / folder).rglob("*.yml")
}

# What a user's process does with the installed package; prints a JSON object. Commands run as
# python -m runs them, all in one process: what takes long is the first import.
PROBE = """
import contextlib, io, json, runpy, sys

import gcl
from fastreid.config import CfgNode
from gcl.modeling.generator_weights import PACKAGED
from gcl.structure.estimate import StructureEstimator
from gcl.tools.command_line import find_config
from safetensors.torch import load_file

def help_of(command):
    printed = io.StringIO()
    sys.argv = [command, "--help"]
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_module(command, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code, printed.getvalue()

commands, configs = json.loads(sys.argv[1])
found = {
    "package": gcl.__file__,
    "configs": {name: find_config(name) for name in configs},
    "generator": sum(value.numel() for value in load_file(PACKAGED).values()),
    "estimator": StructureEstimator.from_pretrained(device="cpu").network.training,
    "help": {command: help_of(command) for command in commands},
}
found["values"] = {
    name: CfgNode.load_yaml_with_base(path) for name, path in found["configs"].items()
}
print(json.dumps(found))
"""


def python(*arguments: object, cwd: Path, path: Path | str = "") -> subprocess.CompletedProcess:
    """A process in the folder ``cwd`` that finds packages in ``path`` first."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    line = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        line, cwd=cwd, env={**env, "PYTHONPATH": str(path)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with nothing in it but the wheel, which is built from the source distribution.

    Both are made of a copy: what an earlier build has left in the checkout would come along.
    """
    work = tmp_path_factory.mktemp("wheel")
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("configs", "projects"):
        shutil.copytree(REPOSITORY / name, work / "source" / name, ignore=skip)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md"):
        shutil.copy(REPOSITORY / name, work / "source")
    sdist = "from setuptools import build_meta; build_meta.build_sdist('..')"
    pip = ("-m", "pip", "--no-cache-dir", "--disable-pip-version-check")
    offline = ("--no-index", "--no-deps")
    for cwd, arguments in (
        ("source", ["-c", sdist]),
        (".", [*pip, "wheel", *offline, "--no-build-isolation", "fastreid_gcl-0.1.0.tar.gz"]),
        (".", [*pip, "install", *offline, "--no-compile", "--target", "lib",
               "fastreid_gcl-0.1.0-py3-none-any.whl"]),
    ):  # fmt: skip
        result = python(*arguments, cwd=work / cwd)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return work / "lib"


@pytest.fixture(scope="module")
def found(installed, tmp_path_factory) -> dict:
    """What PROBE prints in an empty folder."""
    asked = json.dumps([COMMANDS, list(CONFIGS)])
    result = python("-c", PROBE, asked, cwd=tmp_path_factory.mktemp("empty"), path=installed)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_nothing_but_the_package_is_installed(installed):
    """No tests, tools or top-level configs, which would be everybody's in site-packages."""
    assert {path.name for path in installed.iterdir()} == {"gcl", "fastreid_gcl-0.1.0.dist-info"}


def test_every_module_of_the_checkout_is_in_it(installed):
    def modules(folder: Path) -> set[Path]:
        return {path.relative_to(folder) for path in folder.rglob("*.py")}

    assert modules(installed / "gcl") == modules(REPOSITORY / "projects/GCL/gcl")


def test_it_is_what_was_imported_and_its_weights_load(installed, found):
    assert Path(found["package"]) == installed / "gcl/__init__.py"
    assert found["generator"] > 100_000 and found["estimator"] is False


def test_configurations_are_found_by_their_paths_in_the_repository(installed, found):
    assert {"projects/GCL/configs/pku.yml", "configs/pku.yml"} <= set(CONFIGS)
    for name, path in CONFIGS.items():
        assert Path(found["configs"][name]).is_relative_to(installed / "gcl")
        wanted = CfgNode.load_yaml_with_base(str(path))  # with what its _BASE_ says
        assert found["values"][name] == json.loads(json.dumps(wanted)), name


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_from_any_folder(found, command):
    status, printed = found["help"][command]
    assert status == 0 and printed.startswith("usage: ")


def test_a_command_line_of_the_readme_without_the_checkout(installed, tmp_path):
    """It reads the packaged configuration and stops at its data set, which is not here."""
    line = ("-m", "gcl.tools.train_net", "--config-file", "projects/GCL/configs/msmt17.yml")
    pairs = ("MODEL.DEVICE", "cpu", "GCL.PHASES", '("contrast",)')
    result = python(*line, *pairs, cwd=tmp_path, path=installed)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "DATASETS.NAMES MSMT17" in result.stderr.strip().splitlines()[-1]
