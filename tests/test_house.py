"""Who imports whom: arrows point one way, and what is said to be usable alone imports nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "projects" / "GCL" / "gcl"

# A room may import the rooms below it, and itself. Files beside the rooms count as rooms.
ORDER = (
    ("photographs", "atomic_files", "cores", "name_pattern"),
    ("threads",),
    ("losses", "pseudo_labels", "structure", "compat"),
    ("config",),
    ("modeling", "data", "synthetic"),
    ("engine",),
    ("evaluation", "inference", "pretraining"),
    ("tools",),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
ALONE = {
    "photographs": set(),
    "atomic_files": set(),
    "cores": set(),
    "threads": {"cores"},
    "name_pattern": set(),
    "losses": set(),
    "pseudo_labels": set(),
    "compat": {"photographs"},
    "structure": {"photographs", "atomic_files", "name_pattern"},
}
"""What these rooms import of ours, at most."""


def imports(path: Path) -> set[str]:
    """Rooms of this package that a file imports, wherever in it the import stands."""
    package = path.relative_to(PACKAGE.parent).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            names = [module] if module != "gcl" else [f"gcl.{a.name}" for a in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("gcl.")}
    return {room for room in found if (PACKAGE / room).is_dir() or room in LEVEL}


def rooms() -> dict[str, list[Path]]:
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(path.relative_to(PACKAGE).with_suffix("").parts[0], []).append(path)
    return found


def test_every_room_has_its_place():
    assert set(rooms()) == set(LEVEL)


@pytest.mark.parametrize("room", sorted(LEVEL))
def test_arrows_point_one_way(room):
    for path in rooms()[room]:
        for other in imports(path) - {room}:
            if room in ALONE:
                assert other in ALONE[room], f"{path} imports gcl.{other}"
            assert LEVEL[other] < LEVEL[room], f"{path} imports gcl.{other}: beside or above it"


@pytest.mark.parametrize("room", sorted(ALONE.keys() - {"compat"}))
def test_what_is_usable_alone_needs_no_toolbox(room):
    for path in rooms()[room]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(a.name for a in node.names)]
                assert not any(name.startswith("fastreid") for name in names), path


def test_no_file_name_stands_for_two_things():
    """Two files of a name would be two things; a package's own __init__ and __main__ are not."""
    names: dict[str, list[Path]] = {}
    for path in PACKAGE.rglob("*.py"):
        # compat/ has a file for each part of the toolbox that it adapts, named after that part
        if not path.stem.startswith("__") and "compat" not in path.parts:
            names.setdefault(path.stem, []).append(path)
    assert {stem: paths for stem, paths in names.items() if len(paths) > 1} == {}


def test_the_mirror_has_no_strangers():
    """Every file of tests tests a file, or a part named in it, of the room of its folder."""
    tests = PACKAGE.parents[2] / "tests"
    for path in tests.rglob("test_*.py"):
        folder = path.relative_to(tests).parent
        if folder.name == "faults":  # what is killed, cut off or filled up there is a whole run
            continue
        assert (PACKAGE / folder).is_dir(), f"{path} mirrors no folder of the package"
