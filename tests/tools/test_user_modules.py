"""--import FILE: data sets of the user's own reach every command, and every process of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine import runs
from fastreid.modeling import build_model
from toy import DATASET

from gcl import ConfigError
from gcl.data.build import load_dataset
from gcl.tools.user_modules import import_modules

SHOP = '''
"""People and cameras by folder; how they are listed, SHOP_FAULT says."""
import glob, os, signal
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from fastreid.utils import comm
from gcl.modeling import GCL

FAULT = os.environ.get("SHOP_FAULT")
second = FAULT is not None and os.environ.get("RANK") == "1"

@DATASET_REGISTRY.register()
class MyShop(ImageDataset):
    dataset_name = "myshop"
    def __init__(self, root="datasets", **kwargs):
        def items(split):
            found = []
            for path in sorted(glob.glob(os.path.join(root, "my_shop", split, "*", "*"))):
                person = int(os.path.basename(path)[:4])
                camera = int(os.path.basename(os.path.dirname(path))[3:])
                if second and FAULT == "people":
                    person += 1
                if second and FAULT == "cameras":
                    camera = 3 - camera
                found.append((path, person, camera))
            return found[::-1] if second and FAULT == "order" else found
        super().__init__(items("train"), items("query"), items("gallery"), **kwargs)

update = GCL.update_memory

def killed(self):
    if FAULT == "killed" and comm.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    update(self)

GCL.update_memory = killed
'''
SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAMED = {"DATASETS__NAMES": ("MyShop",), "DATASETS__TESTS": ("MyShop",)}


@pytest.fixture(scope="module")
def shop(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the toy crops in a layout of their own, and the module that reads it."""
    root = tmp_path_factory.mktemp("shop")
    for split, folder in SPLITS.items():
        for path in (toy / DATASET / folder).iterdir():
            place = root / "my_shop" / split / f"cam{path.name[6]}"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place / f"{path.name[:4]}_{path.name[10:16]}.jpg")
    (root / "shop_of_the_tests.py").write_text(SHOP)
    return root


def arguments(shop: Path, out: Path, *more: str, **changes: object) -> list[str]:
    options = {"GCL__PHASES": ("contrast",), "GCL__CONTRAST__EPOCHS": 1, **NAMED, **changes}
    module = str(shop / "shop_of_the_tests.py")
    pairs = runs.options(out, shop, **options)
    return ["--config-file", str(runs.CONFIG), "--import", module, *more, *pairs]


# ---------------------------------------------------------------------- training, evaluation
def command_with(out: str, fault: str, rank: int, port: int, data: str, argv: list[str]) -> None:
    os.environ["SHOP_FAULT"] = fault
    runs._command_rank(out, rank, port, data, argv)


def two(fault: str, shop: Path, out: Path, argv: list[str]) -> list[tuple[int, str]]:
    """Exit codes and last words of two processes, the second with the fault in its list."""
    port = runs.free_port()
    folders = [out / f"rank{rank}" for rank in range(2)]
    processes = [
        runs.launch(command_with, folder, fault, rank, port, str(shop), argv)
        for rank, folder in enumerate(folders)
    ]
    for process in processes:
        process.join(600)  # only against a hang
    said = [(folder / "errors").read_text().strip() for folder in folders]
    assert not any("Traceback" in errors for errors in said), said
    return [(p.exitcode, errors.split("\n")[-1]) for p, errors in zip(processes, said, strict=True)]


@pytest.mark.parametrize("architecture", ["GCL", "Baseline"])
def test_lists_of_training_images_that_differ_stop_all_processes(shop, tmp_path, architecture):
    """The cameras differ; of the baseline, which reads them, the people."""
    if architecture == "GCL":
        argv = arguments(shop, tmp_path)
    else:
        argv = arguments(shop, tmp_path)
        argv[1] = str(runs.REPOSITORY / "configs/market.yml")
        first = argv.index("MODEL.DEVICE")
        pairs = zip(argv[first::2], argv[first + 1 :: 2], strict=True)
        kept = [pair for pair in pairs if not pair[0].startswith("GCL.")]
        argv = argv[:first] + [word for pair in kept for word in pair]
    fault = "cameras" if architecture == "GCL" else "people"
    for code, said in two(fault, shop, tmp_path, argv):
        assert code == 1
        assert said.startswith("ConfigError: DATASETS.NAMES ('MyShop',): the processes of this job")


def test_lists_of_test_images(shop, toy, tmp_path):
    """Of other people: no result, and why; in another order: the same result."""
    torch.manual_seed(0)
    model = build_model(runs.config(tmp_path, toy, GCL__PHASES=("contrast",)))
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    weights = {"MODEL__WEIGHTS": str(tmp_path / "model.pth"), "GCL__CAMERA_NORM": False}
    results = {}
    for fault in ("people", "order", "none"):
        out = tmp_path / fault
        argv = arguments(shop, out, "--eval-only", **weights)
        ends = two(fault, shop, out, argv)
        if fault == "people":
            for code, said in ends:
                assert code == 1
                assert said.startswith("ConfigError: no result of MyShop: DATASETS.TESTS MyShop:")
        else:
            assert [code for code, _ in ends] == [0, 0]
            results[fault] = (out / "evaluation.json").read_text()
    assert results["order"] == results["none"]


def test_processes_of_the_launcher_import_it_and_a_killed_one_is_a_sentence(shop, tmp_path):
    """--num-gpus 2: the module kills the second process in its first training step."""
    argv = arguments(shop, tmp_path, "--num-gpus", "2")
    env = {**os.environ, "FASTREID_DATASETS": str(shop), "SHOP_FAULT": "killed"}
    script = str(runs.REPOSITORY / "tools/train_net.py")
    line = [sys.executable, script, *argv]
    ended = subprocess.run(line, env=env, capture_output=True, text=True, check=False, timeout=900)
    assert ended.returncode == 1, ended.stderr[-3000:]
    said = ended.stderr.strip().splitlines()
    sentence = f"Process 1 of the job was ended by {signal.SIGKILL.name}, "
    assert any(line.startswith(sentence) and "--resume" in line for line in said), said[-5:]
    assert "Traceback" not in ended.stderr
    assert "Phase contrast begins" in ended.stdout


# ---------------------------------------------------------------------- the other commands
OTHERS = {
    "prepare_structure": ("MyShop", "--out", "out", "--source", "renders"),
    "evaluate_structure": ("MyShop", "--out", "out"),
    "evaluate_views": ("--config-file", str(runs.CONFIG), "--out", "out"),
    "rank_lists": ("--config-file", str(runs.CONFIG)),
    "train_net": ("--config-file", str(runs.CONFIG)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_command_that_takes_a_data_set_takes_its_module(run_tool, name):
    status, _ = run_tool(name, "--import", "nowhere.py", *OTHERS[name])
    assert status == "ConfigError: --import nowhere.py is not a file."


def test_structures_of_a_data_set_of_one_s_own(shop, run_tool, user_place, tmp_path, monkeypatch):
    """Found, listed, and judged by what their names say."""
    monkeypatch.setattr("gcl.data.build._root", str(shop))
    module = ("--import", shop / "shop_of_the_tests.py")
    status, _ = run_tool("evaluate_structure", "MyShop", *module, "--orientation-pattern", "(x)")
    assert status.startswith("ConfigError: none of 64 image names, such as 0")
    out = tmp_path / "out"
    options = ("--out", out, "--source", "renders")
    status, _ = run_tool("prepare_structure", "MyShop", *module, *options)
    assert "MissingStructureError" in status and str(out) in status


def test_a_data_set_that_nobody_registered_names_the_option(run_tool):
    status, _ = run_tool("prepare_structure", "HerShop", "--out", "out")
    assert "no data set 'HerShop'" in status and "--import" in status


# ---------------------------------------------------------------------- the module itself
def test_the_documented_data_set_is_one(tmp_path, monkeypatch):
    page = (runs.REPOSITORY / "projects/GCL/README.md").read_text()
    (tmp_path / "doors.py").write_text(page.split("```python\n")[1].split("```")[0])
    crop = tmp_path / "doors/train/door_2/17_noon.jpg"
    crop.parent.mkdir(parents=True)
    crop.touch()
    monkeypatch.setattr("gcl.data.build._root", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    import_modules([str(tmp_path / "doors.py")])
    data = load_dataset("Doors")
    assert (data.train, data.query) == ([(str(crop), 17, 2)], [])


def test_a_module_is_run_once_by_file_or_name(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    file = tmp_path / "counted_module.py"
    file.write_text("import sys\nsys.counted_module = getattr(sys, 'counted_module', 0) + 1\n")
    monkeypatch.chdir(tmp_path)
    for name in ("counted_module.py", str(file), "counted_module"):
        import_modules([name])
    assert sys.counted_module == 1
    assert sys.path[-1] == str(tmp_path)  # at the end: it hides no module of another's


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("gone.py", None, "--import gone.py is not a file."),
        ("json.py", "", "another module is called json .* rename the file"),
        ("broken_a.py", "\n1 / 0\n", r"fails: ZeroDivisionError: .*broken_a.py, line 2\)\.$"),
        ("broken_b.py", "def\n", r"fails: SyntaxError: .*broken_b.py, line 1"),
        ("broken_c.py", "import nothing_of_that_name", r"No module named .*broken_c.py, line 1"),
        ("no_such_package.data", None, r"No module named 'no_such_package'\.$"),
    ],
)
def test_what_is_wrong_with_a_module_is_one_sentence(tmp_path, monkeypatch, name, text, words):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        import_modules([name])
    assert "\n" not in str(caught.value)
