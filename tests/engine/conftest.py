"""One toy data set and one finished run for all tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import runs
from toy import write_toy_dataset


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 people, 2 cameras, 4 orientations: 32 training images of 32 x 16, and 32 to test."""
    root = tmp_path_factory.mktemp("toy")
    write_toy_dataset(root, people=4, test_people=4, orientations=4, size=(32, 16))
    return root


@pytest.fixture(autouse=True)
def user_place(toy: Path) -> Iterator[None]:
    """One thread, the CPU, the toy data set; undone after each test."""
    with runs.place(toy):
        yield


@pytest.fixture(scope="session")
def finished(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUTPUT_DIR of a run over all phases that nothing disturbed. Read only."""
    out = tmp_path_factory.mktemp("finished")
    runs.train(out, toy)
    return out
