"""Tracks -> tracklets of one person: a track is cut where appearance insists that it holds several.

A tracker sometimes goes on with another person (an identity switch). Inside a track the images are
grouped by average linkage on cosine similarity, and groups less alike than a threshold part ways.
The threshold is read off the features: pairs of images within a track are mostly one person, pairs
from two tracks of a camera are mostly two, and

    t maximises TRUST * (share of pairs within tracks >= t) - (share of pairs between tracks >= t)

so a pair of a track is lost only where TRUST pairs of strangers are told apart by that. Wrong pairs
on either side (broken tracks; people who pass again and again) only shift the weight between the
two shares, as long as fewer than 1 / TRUST of the pairs within tracks are wrong.

Shapes: `N` images, `D` embedding size, `m` images of a track.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage

from .ranks import Ranks
from .scores import GRID, pair_dots
from .tracks import Tracks

PAIRS = 8  # pairs per image of either kind that the threshold is read off
TRUST = 3
WINDOW = 512  # images of a track compared with each other at a time: memory is WINDOW^2, not m^2


def split_tracks(x: torch.Tensor, tracks: Tracks) -> np.ndarray:
    """The tracklet of each image; an image in no track is a tracklet of its own.

    Args:
        x: (N, D) float32 rows of unit length (`unit_rows`).

    Returns:
        (N,) int64, 0 .. T - 1 in order of each tracklet's first image; the same on every rank.
        Tracks stay whole where there is no pair between two tracks of a camera to compare with.
    """
    threshold = switch_threshold(x, tracks)
    rows = x.cpu().numpy()
    tracklet = np.arange(len(x))
    for images in tracks.in_order():
        part = np.zeros(len(images), np.int64)
        if threshold is not None and len(images) > 1:
            part = _parts(rows[images].astype(np.float64), threshold)
        _, first = np.unique(part, return_index=True)
        tracklet[images] = images[first][part]
    # Numbers by first image, so that tracks of one image each are the images in their order.
    _, inverse = np.unique(tracklet, return_inverse=True)
    lowest = np.full(inverse.max(initial=-1) + 1, len(x))
    np.minimum.at(lowest, inverse, np.arange(len(x)))
    return Ranks().first(np.argsort(np.argsort(lowest))[inverse])


def switch_threshold(x: torch.Tensor, tracks: Tracks) -> float | None:
    """t: the average similarity below which groups of a track are two people; None: no pairs."""
    ordered = tracks.in_order()
    order = np.concatenate(ordered) if ordered else np.empty(0, np.int64)
    within, between = [np.empty((2, 0), np.int64)], [np.empty((2, 0), np.int64)]
    camera = tracks.camera[order]
    for c in np.unique(camera):
        images = order[camera == c]
        half = len(images) // 2  # half way round the camera's tracks: seldom the same one
        for step in range(1, PAIRS + 1):
            within.append(np.stack([images[:-step], images[step:]]))
            between.append(np.stack([images, np.roll(images, half + step)]))
    same, other = np.concatenate(within, axis=1), np.concatenate(between, axis=1)
    same = _similarities(x, same[:, tracks.track[same[0]] == tracks.track[same[1]]])
    other = _similarities(x, other[:, tracks.track[other[0]] != tracks.track[other[1]]])
    if not len(same) or not len(other):
        return None
    at = np.sort(np.concatenate([same, other]))
    lost, told = np.searchsorted(same, at) / len(same), np.searchsorted(other, at) / len(other)
    return float(at[np.argmax(told - TRUST * lost)])


def _similarities(x: torch.Tensor, pairs: np.ndarray) -> np.ndarray:
    left, right = (torch.from_numpy(side).to(x.device) for side in pairs)
    return np.sort(pair_dots(x, left, right).cpu().numpy())


def _parts(rows: np.ndarray, threshold: float) -> np.ndarray:
    """(m,) group of each image of a track, 0, 1, ...; rows (m, D) float64 in order of time.

    Longer tracks are grouped window by window, then the groups' means, until nothing more joins.
    """
    part = np.arange(len(rows))
    while True:
        label = np.empty(len(rows), np.int64)
        count = 0
        for a in range(0, len(rows), WINDOW):
            label[a : a + WINDOW] = count + _linked(rows[a : a + WINDOW], threshold)
            count = label[: a + WINDOW].max() + 1
        part = label[part]
        if len(rows) <= WINDOW or count == len(rows):
            return part
        total = np.zeros((count, rows.shape[1]))
        np.add.at(total, label, rows)
        rows = total / np.bincount(label)[:, None]


def _linked(rows: np.ndarray, threshold: float) -> np.ndarray:
    """(m,) groups by average linkage whose similarity is at least the threshold, from 0."""
    if len(rows) == 1:
        return np.zeros(1, np.int64)
    similarity = np.round(rows @ rows.T * GRID) / GRID
    distance = 1 - similarity[np.triu_indices(len(rows), 1)]
    # distances below 0 (rounding) would upset the order of the heights
    tree = linkage(np.maximum(distance, 0), "average")
    return fcluster(tree, 1 - threshold + 4 / GRID, "distance").astype(np.int64) - 1
