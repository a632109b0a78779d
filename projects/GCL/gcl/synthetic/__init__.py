"""Synthetic pedestrians: drawn people in street clothes, seen by surveillance cameras.

Identities (identity), bodies in clothes (anatomy, rings, garments, figure), their colours (cloth),
places and cameras (places, things, noise, cameras), pictures (draw), sets of them (plan, files,
dataset), and what their crops would show from other sides (truth). Networks learn from people that
are in no set (examples, turns, people, kept in shards). Importing registers the data set
``SyntheticPedestrians``.
"""

from .dataset import SyntheticPedestrians
from .plan import Settings
from .set_files import write_set
from .truth import TrueViews, true_views

__all__ = ["Settings", "SyntheticPedestrians", "TrueViews", "true_views", "write_set"]
