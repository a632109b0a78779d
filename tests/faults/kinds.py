"""What a kind of input is, and what it may end in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from faults.mutations import mutated

from gcl import ConfigError
from gcl.engine.divergence import DivergedError
from gcl.engine.hooks import NoClusterError
from gcl.structure.adapters import NobodyError, PayloadError
from gcl.structure.geometry import GeometryError

REFUSALS = (
    ConfigError,
    PayloadError,
    GeometryError,
    NobodyError,
    OSError,  # PhotographError and MissingStructureError are some
    NoClusterError,
    DivergedError,
)
"""With these a command ends in one sentence."""


@dataclass(frozen=True)
class Kind:
    """An input that is read again and again, damaged each time in another way.

    Attributes:
        name: of its file, or of what it is.
        content: a good one.
        read: path of the file -> nothing. Raises one of ``refusals``; AssertionError where the
            result is not right; anything else is a fault.
        damage: of such a content, by chance.
        refusals: as REFUSALS.
        named: whether a refusal names the file.
        often: times that it is tried as often as others.
    """

    name: str
    content: bytes
    read: Callable[[str], None]
    damage: Callable[[bytes, np.random.Generator], bytes] = mutated
    refusals: tuple[type[Exception], ...] = REFUSALS
    named: bool = True
    often: int = 1
