"""What the documents name is there: files, links, commands, configuration keys and their values."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastreid.config import CfgNode, get_cfg
from fastreid.engine import default_argument_parser

from gcl.config import add_gcl_config
from gcl.pretraining.encoder import get_encoder_cfg
from gcl.pretraining.structure_estimator import get_estimator_cfg
from gcl.pretraining.view_generator import get_pretraining_cfg

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "projects" / "GCL"
PLACES = (ROOT, PROJECT, PROJECT / "configs", PROJECT / "gcl")
"""Folders from which a document may name a file."""
README = ROOT / "README.md"
LOG = ROOT / "docs" / "experiments.md"
PAGES = [README, PROJECT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CARDS = sorted(PROJECT.rglob("*_CARD.md"))

OURS = (".py", ".yml", ".md", ".safetensors")
"""Suffixes of files that are in the repository if anywhere; logs, crops and renders are not."""
TOP = {"benchmarks", "configs", "demo", "docs", "gcl", "projects", "tests", "tools"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
KEY = re.compile(r"(?:GCL|MODEL\.LOSSES|PRETRAIN)(?:\.[A-Z0-9_]+)+")

pages = pytest.mark.parametrize(
    "page", [*PAGES, *CARDS], ids=lambda page: str(page.relative_to(ROOT))
)


def prose(text: str) -> str:
    return FENCE.sub("", text)


def quoted(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def missing_paths(text: str) -> list[str]:
    """Words in backticks that look like files or folders of the repository and are none."""
    words = [word for token in quoted(text) for word in token.split()]
    words = [word for word in words if re.fullmatch(r"[\w./-]+", word)]
    ours = [word for word in words if word.endswith(OURS) or word.split("/")[0] in TOP]
    ours = [word for word in ours if "/" in word or word.endswith(OURS)]
    return [word for word in ours if not any((place / word).exists() for place in PLACES)]


def missing_names(text: str) -> list[str]:
    """Dotted names in backticks that the package does not have."""
    return [
        name for name in re.findall(r"\bgcl(?:\.\w+)+", " ".join(quoted(text))) if not has(name)
    ]


def has(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            thing = getattr(thing, part, None)
        return thing is not None
    return False


def anchors(text: str) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(text: str, page: Path) -> list[str]:
    """Relative links and pictures of a page that lead nowhere."""
    links = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", prose(text))
    broken = []
    for link in (a or b for a, b in links):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / path
        there = target.exists()
        if there and anchor:
            there = anchor in anchors(target.read_text() if path else text)
        if not there:
            broken.append(link)
    return broken


def commands(text: str) -> Iterator[list[str]]:
    """Words of each command line in fenced blocks, without comments and variables."""
    for language, block in FENCE.findall(text):
        if language:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"<[^>]*>", "PLACE", line)  # <structures> stands for a path
            line = re.sub(r"^([A-Z_]+=\S* )*", "", line)
            if line.split(" ")[0] in ("python", "torchrun", "make", "pip"):
                yield shlex.split(line, comments=True)


def faults(words: list[str]) -> list[str]:
    """What a command names that is not there."""
    if words[0] == "pip":
        files = [words[i + 1] for i, word in enumerate(words) if word == "-c"]
        return [file for file in files if not (ROOT / file).is_file()]
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        return [word for word in words[1:] if word not in targets]
    if words[1] == "-m":
        return [] if importlib.util.find_spec(words[2]) else [words[2]]
    script = next((word for word in words if word.endswith(".py")), "")
    if not (ROOT / script).is_file() or not script:
        return [script or " ".join(words)]
    given = words[words.index(script) + 1 :]
    wrong = [word for word in given if word.startswith("--") and word not in options(script)]
    for flag, value in zip(given, given[1:], strict=False):
        if flag == "--config-file" and not (ROOT / value).is_file():
            wrong.append(value)
    return wrong + [key for key in given if KEY.fullmatch(key) and key not in known_keys()]


@functools.cache
def options(script: str) -> set[str]:
    """Options that a command takes: those written down in its source and what that shares."""
    tools = PROJECT / "gcl" / "tools"
    sources = [ROOT / script]
    if script.startswith("tools/"):
        arguments = ("model_arguments.py", "orientation_arguments.py")
        shared = (*arguments, "pretraining_command.py", "user_modules.py")
        sources += [tools / Path(script).name, *(tools / name for name in shared)]
    text = " ".join(path.read_text() for path in sources)
    if script == "tools/train_net.py":
        text += " ".join(f'"{o}"' for o in default_argument_parser()._option_string_actions)
    return set(re.findall(r"\"(--[\w-]+)\"", text))


def leaves(node: CfgNode, prefix: str = "") -> dict[str, object]:
    """Key -> default value."""
    found = {}
    for key, value in node.items():
        if isinstance(value, CfgNode):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


@functools.cache
def known_keys() -> dict[str, object]:
    return leaves(get_pretraining_cfg())


@functools.cache
def added_keys() -> dict[str, object]:
    """Keys that GCL adds to the toolbox's configuration."""
    cfg = get_cfg()
    add_gcl_config(cfg)
    before = leaves(get_cfg())
    return {key: value for key, value in leaves(cfg).items() if key not in before}


def unknown_keys(text: str) -> list[str]:
    """Configuration keys in backticks that do not exist, with all below them."""
    keys = KEY.findall(" ".join(quoted(text)))
    return [key for key in keys if not any(f"{k}.".startswith(f"{key}.") for k in known_keys())]


def defaults(text: str) -> dict[str, object]:
    """Key -> default value as the tables ``| `KEY` | `default` | ... |`` have them."""
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_.]*)` \| `([^`]*)` \|", text, re.M)
    found = {}
    for key, value in rows:
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value
    return found


@pages
def test_files_that_a_page_names_are_there(page):
    assert missing_paths(page.read_text()) == []


@pages
def test_names_of_the_package_that_a_page_names_are_there(page):
    assert missing_names(page.read_text()) == []


@pages
def test_links_lead_somewhere(page):
    assert broken_links(page.read_text(), page) == []


@pages
def test_commands_name_what_is_there(page):
    assert [fault for words in commands(page.read_text()) for fault in faults(words)] == []


@pages
def test_keys_that_a_page_names_exist(page):
    assert unknown_keys(page.read_text()) == []


def test_every_key_is_documented_with_its_default():
    text = (ROOT / "docs" / "configuration.md").read_text()
    text, *tables = re.split(r"^`tools/pretrain_(\w+)\.py` has", text, flags=re.M)
    page = defaults(text)
    assert set(added_keys()) - set(page) == set()
    known = known_keys() | added_keys()
    assert page == {key: known.get(key) for key in page}
    estimator = {k: v for k, v in leaves(get_estimator_cfg()).items() if k != "DEVICE"}
    wanted = {"generator": leaves(get_pretraining_cfg()), "encoder": leaves(get_encoder_cfg())}
    wanted = {
        name: {key: value for key, value in keys.items() if key.startswith("PRETRAIN.")}
        for name, keys in wanted.items()
    }
    found = {name: defaults(table) for name, table in zip(tables[::2], tables[1::2], strict=True)}
    assert found == wanted | {"estimator": estimator}


def test_the_first_page_stays_short():
    assert len(README.read_text().splitlines()) <= 110


def test_no_page_but_the_log_tells_how_development_went():
    """Readers need what is; what was tried, and by which script, is for the log."""
    told = r"development (script|run|machine)|earlier (version|script|run)|was only tried"
    for page in PAGES:
        if page != LOG:
            found = re.findall(rf".*(?:{told}|last session|still changing).*", page.read_text())
            assert found == [], page


@pytest.mark.parametrize(
    ("find", "good", "bad"),
    [
        (missing_paths, "`tools/train_net.py`, `pku.yml`, `docs`", "`tools/train.py`, `x/y.yml`"),
        (missing_names, "`gcl.losses.r1_penalty`, `gcl.tools.compare`", "`gcl.losses.r2_penalty`"),
        (unknown_keys, "`GCL.LABELS.K1 12`, `MODEL.LOSSES.NAME`, `GCL.JOINT`", "`GCL.LABELS.K3`"),
        (
            functools.partial(broken_links, page=README),
            "# A b, c\n[x](docs/structures.md#files) [y](#a-b-c) [z](https://x.org/a.md)",
            '[x](docs/structures.md#nothing), <img src="demo/none.png">',
        ),
    ],
)
def test_faults_are_found(find, good, bad):
    """The checks above are worth something: they find what is wrong, and nothing else."""
    assert find(good) == []
    assert len(find(bad)) == bad.count(", ") + 1


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("FASTREID_DATASETS=<x> python tools/train_net.py --config-file configs/no.yml # a", 1),
        ("python tools/train_net.py --config-file \\\n configs/pku.yml GCL.LABELS.K3 1", 1),
        ("python tools/prepare_structure.py <folder of crops> --out <x> --nothing", 1),
        ("torchrun --nproc-per-node 8 tools/nothing.py MSMT17", 1),
        ("python -m gcl.nothing", 1),
        ("make nothing", 1),
        ("pip install -c nothing.txt -e .", 1),
        ("python tools/prepare_structure.py <folder of crops> --out <x> --adapt", 0),
        ("python tools/train_net.py --config-file configs/pku.yml --eval-only SEED 1", 0),
        ("make test     # a comment", 0),
        ("<structures>/train/render/<path>     the crop's own view is no command", None),
    ],
)
def test_faults_of_commands_are_found(line, fault):
    found = [faults(words) for words in commands(f"```\n{line}\n```\n")]
    assert [len(f) for f in found] == ([] if fault is None else [fault])
