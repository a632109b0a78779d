"""Pseudo labels: features in, cluster labels out. Exact, sparse, usable alone.

    from . import PseudoLabeler
    result = PseudoLabeler()(features)  # (N, D) torch tensor or numpy array, any device
    result.labels                       # (N,) int64, -1 = outlier
    PseudoLabeler()(features, tracks=tracks, times=frames, cameras=cameras)  # (N,) each, or None

Needs numpy, scipy, torch; numba and faiss make it faster. Imports nothing else of this project.
"""

from .dbscan import dbscan
from .eps import Limit, estimate_eps
from .features import unit_rows
from .jaccard import SparseDistance, jaccard_distance
from .labeler import PseudoLabeler, PseudoLabels
from .neighbours import Neighbours, nearest_neighbours
from .sites import label_sites
from .track_pairs import SurePairs, sure_pairs
from .tracklets import split_tracks
from .tracks import Tracks, check_tracks
from .verification import Verification, verify

__all__ = [
    "Limit",
    "Neighbours",
    "PseudoLabeler",
    "PseudoLabels",
    "SparseDistance",
    "SurePairs",
    "Tracks",
    "Verification",
    "check_tracks",
    "dbscan",
    "estimate_eps",
    "jaccard_distance",
    "label_sites",
    "nearest_neighbours",
    "split_tracks",
    "sure_pairs",
    "unit_rows",
    "verify",
]
