"""Every test of training runs where a user would be: see ``user_place``."""

from pathlib import Path

import pytest
from toy import write_toy_dataset


@pytest.fixture(autouse=True)
def place(user_place: None) -> None:
    """In each test of this folder."""


@pytest.fixture(scope="session")
def source_options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Keys of a run beside a labelled source: 6 people in 48 images, in a root of their own."""
    root: Path = tmp_path_factory.mktemp("source")
    write_toy_dataset(root, people=6, test_people=1, orientations=4, size=(32, 16), seed=1)
    return {
        "GCL__SOURCE__NAMES": ("Market1501",),
        "GCL__SOURCE__ROOT": str(root),
        "GCL__SOURCE__BATCH": 6,
    }
