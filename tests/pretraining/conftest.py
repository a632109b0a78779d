"""Every test of pre-training runs where a user would be: see ``user_place``."""

import pytest


@pytest.fixture(autouse=True)
def place(user_place: None) -> None:
    """In each test of this folder."""
