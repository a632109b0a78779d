"""Training data; importing registers the data set ``SyntheticPedestrians``."""

from . import synthetic

__all__ = ["synthetic"]
