"""Around the algorithm: what is imported, missing libraries, compiled code on disk, memory."""

import ast
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher
from pseudo_labels.oracle import dense_labels, people

import gcl.pseudo_labels
from gcl.pseudo_labels import PseudoLabeler, backend, kernels_numba, kernels_search
from gcl.pseudo_labels.neighbours import BFLOAT16_ROWS

CACHE = tempfile.mkdtemp()
FOLDER = pathlib.Path(gcl.pseudo_labels.__file__).parent


def run(code: str, **environment: str) -> str:
    """Run `code` in a fresh process with the package as the top-level module `pseudo_labels`."""
    code = f"import sys; sys.path.insert(0, {str(FOLDER.parent)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        # a cache of its own: compiled code remembers the module's name, and here it is another one
        env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": CACHE} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_imports_nothing_else_of_ours():
    allowed = set(sys.stdlib_module_names) | {"numpy", "scipy", "torch", "numba", "faiss"}
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1, f"{path.name} reaches out of the folder"
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names = (
                    [node.module]
                    if isinstance(node, ast.ImportFrom)
                    else [a.name for a in node.names]
                )
                assert {n.split(".")[0] for n in names} <= allowed, path.name


def test_without_numba_and_faiss_it_warns_and_gives_the_same_labels(tmp_path):
    x = people(600, 16, seed=3, twins=60)
    path = str(tmp_path / "x.npy")
    np.save(path, x)
    expected = PseudoLabeler()(x)
    code = f"""
import sys, warnings
sys.modules["numba"] = sys.modules["faiss"] = None
import numpy as np
from pseudo_labels import PseudoLabeler
x = np.load({path!r})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    result = PseudoLabeler(knn="faiss")(x)
print([str(w.message) for w in caught])
print(result.eps)
print(result.labels.tolist())
"""
    messages, eps, labels = run(code).splitlines()[-3:]
    assert "numba can not be imported" in messages and "times slower" in messages
    assert "faiss can not be imported" in messages and "pip install faiss-cpu" in messages
    assert float(eps) == expected.eps
    assert labels == str(expected.labels.tolist())


def test_compiled_code_is_loaded_from_disk_by_the_next_process(tmp_path):
    code = """
import numpy as np
from pseudo_labels import kernels_numba
kernels_numba.reciprocal(np.zeros((1, 1), np.int32), 1, 0, 1)
stats = kernels_numba.reciprocal.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path)).split() == ["0", "1"]
    assert run(code, NUMBA_CACHE_DIR=str(tmp_path)).split() == ["1", "0"]


def test_every_compiled_function_uses_the_disk():
    found = 0
    for module in (kernels_numba, kernels_search):
        for function in vars(module).values():
            if isinstance(function, Dispatcher):
                found += 1
                assert type(function._cache).__name__ == "FunctionCache", function
    assert found > 10


def test_a_missing_numba_is_said_once(monkeypatch):
    monkeypatch.setitem(sys.modules, f"{backend.__package__}.kernels_numba", None)
    monkeypatch.delattr(gcl.pseudo_labels, "kernels_numba", raising=False)
    backend.kernels.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="pip install numba") as caught:
            backend.kernels()
            backend.kernels()
        assert len(caught) == 1
    finally:
        backend.kernels.cache_clear()


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="reads Linux's /proc")
def test_memory_stays_far_below_one_square_array():
    """12,000 x 12,000 float32 would be 0.58 GB; the lists need a small part of it."""
    code = """
import numpy as np
from pseudo_labels import PseudoLabeler
rng = np.random.default_rng(0)
x = np.repeat(rng.normal(size=(1000, 32)), 12, axis=0) + 0.2 * rng.normal(size=(12000, 32))
x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
PseudoLabeler()(x[:5000])
def read(key):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(key)) / 2**20
open("/proc/self/clear_refs", "w").write("5")
base = read("VmRSS")
PseudoLabeler()(x)
print(read("VmHWM") - base)
"""
    assert float(run(code).split()[-1]) < 0.58 / 3


@pytest.mark.parametrize("zero_rule", ["stable", "peers"])
def test_labels_equal_the_dense_algorithm_where_the_search_may_be_in_bfloat16(zero_rule):
    """At the size of Market-1501 the same is in benchmarks/pseudo_labels.py: "same labels"."""
    x = people(BFLOAT16_ROWS + 104, 256, seed=1, twins=100)
    labels, eps = dense_labels(x, zero_rule=zero_rule)
    result = PseudoLabeler(zero_rule=zero_rule)(x)
    assert result.eps == eps
    np.testing.assert_array_equal(result.labels, labels)
    assert 100 < result.num_clusters
