"""gcl.structure is usable alone: it imports nothing of ours from outside."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gcl.structure

FOLDER = Path(gcl.structure.__file__).parent


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda p: p.stem)
def test_imports_stay_inside(path):
    depth = len(path.relative_to(FOLDER).parts)  # dots that still lead to gcl.structure
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level <= depth, ast.unparse(node)
            if node.level == 0:
                assert not node.module.startswith(("gcl", "fastreid")), ast.unparse(node)
        elif isinstance(node, ast.Import):
            for name in node.names:
                assert not name.name.startswith(("gcl", "fastreid")), ast.unparse(node)
