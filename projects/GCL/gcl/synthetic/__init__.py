"""Synthetic pedestrians: drawn people in street clothes, seen by surveillance cameras.

Identities (identity), bodies in clothes (anatomy, rings, garments, figure), their colours (cloth,
patterns, creases), places and cameras (places, things, noise, cameras), pictures (draw, light,
pixels, filters), sets of them (plan, set_files, set_folder, dataset), and what their crops would
show from other sides (truth). Networks learn from people that are in no such set (examples, turns,
people, kept in shards; people_set has the last as crops). Importing registers the data sets
``SyntheticPedestrians`` and ``DrawnPeople``.
"""

from .dataset import DrawnPeople, SyntheticPedestrians
from .people_set import PeopleSettings, write_people_set
from .plan import Settings
from .set_files import write_set
from .truth import TrueViews, true_views

__all__ = [
    "DrawnPeople",
    "PeopleSettings",
    "Settings",
    "SyntheticPedestrians",
    "TrueViews",
    "true_views",
    "write_people_set",
    "write_set",
]
