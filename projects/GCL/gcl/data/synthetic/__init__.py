"""Synthetic pedestrians: drawn people in street clothes, seen by surveillance cameras.

Identities (identity), bodies in clothes (anatomy, rings, garments, figure), their colours (cloth),
places and cameras (places, things, noise, cameras), pictures (draw), and sets of them (plan, files,
dataset). Importing registers the data set ``SyntheticPedestrians``.
"""

from .dataset import SyntheticPedestrians
from .files import true_views, write_set
from .plan import Settings

__all__ = ["Settings", "SyntheticPedestrians", "true_views", "write_set"]
