import importlib
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import warnings

import pytest

import gcl.compat as compat
from gcl.compat.imports import check_version
from gcl.compat.patching import _originals

# One process for all imports, because importing torch is slow. `attempt` imports gcl.compat anew,
# without the named shims, on a torchvision whose compiled part does not load.
SCRIPT = """
import collections, importlib, json, os, sys, warnings
import torch

def refuse(path):
    raise OSError("built for another torch")

torch.ops.load_library = refuse
always_skipped = os.environ.get("GCL_COMPAT_SKIP", "")

def attempt(*skipped):
    for name in list(sys.modules):
        if name.split(".")[0] in ("gcl", "fastreid", "torchvision"):
            del sys.modules[name]
    os.environ["GCL_COMPAT_SKIP"] = ",".join((always_skipped, *skipped))
    try:
        importlib.import_module("gcl.compat")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "imported"

warnings.simplefilter("error")
report = {name: attempt(name) for name in ("torchvision_ops", "torch_six", "collections_mapping")}
report["none"] = attempt()
importlib.import_module("fastreid.evaluation.rank")
importlib.import_module("torchvision.transforms")
report["leaked"] = [hasattr(collections, "Mapping"), "torch._six" in sys.modules]
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def report() -> dict:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_torchvision_ops(report: dict) -> None:
    assert "operator torchvision::nms does not exist" in report["torchvision_ops"]


def test_torch_six(report: dict) -> None:
    assert "No module named 'torch._six'" in report["torch_six"]


def test_collections_mapping(report: dict) -> None:
    assert "cannot import name 'Mapping' from 'collections'" in report["collections_mapping"]


def test_imports_with_all_of_them_and_without_a_warning(report: dict) -> None:
    assert report["none"] == "imported"


def test_nothing_leaks_into_other_libraries(report: dict) -> None:
    assert report["leaked"] == [False, False]


def test_every_adaptation_tells_why_and_until_when() -> None:
    for adaptation in (*compat.WHILE_IMPORTING, *compat.ADAPTATIONS):
        for heading in ("Why:", "Symptom:", "Versions:", "Until:"):
            assert heading in adaptation.__doc__, (adaptation.__name__, heading)


def test_reload_adapts_the_toolbox_and_not_our_own_objects() -> None:
    before = dict(_originals())
    importlib.reload(compat)
    importlib.reload(compat)
    after = _originals()
    assert before.keys() == after.keys()
    assert all(after[path] is before[path] for path in before)
    ours = [path for path, it in after.items() if getattr(it, "__module__", "").startswith("gcl")]
    assert not ours


def test_the_tested_version_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_version()


def test_another_version_warns_and_names_the_tested_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.5.0")
    with pytest.warns(UserWarning, match=r"tested with fastreid 1\.4\.0 .* fastreid 1\.5\.0"):
        check_version()


def test_a_copy_without_a_version_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", unknown)
    with pytest.warns(UserWarning, match="of unknown version"):
        check_version()


def test_no_fastreid_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install --no-deps fastreid==1\.4\.0") as caught:
        check_version()
    assert "\n" not in str(caught.value)
