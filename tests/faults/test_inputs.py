"""A damaged crop, render, mesh, tool file, configuration or checkpoint is one clear sentence or a
right result: no crash, no other exception, no hang, no code that was in it, no file left behind,
and no more memory than a bound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.size import LARGE

COUNT = 40 if LARGE else 4
"""Of each kind, of which there are some forty."""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="its bound needs Linux")
def test_damaged_inputs_are_right_or_a_sentence(tmp_path):
    tests = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, (str(tests), os.environ.get("PYTHONPATH"))))
    result = subprocess.run(
        [sys.executable, "-m", "faults.try_inputs", tmp_path, str(COUNT)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    # the last file that was read is the one at which a crash happened
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-5000:]}"
    print(result.stdout)
    results = json.loads(result.stdout.splitlines()[0])
    refused = sum(n for name, n in results.items() if name.endswith("refused"))
    assert refused > sum(results.values()) / 3  # they are damaged indeed
