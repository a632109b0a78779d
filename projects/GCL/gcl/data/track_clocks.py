"""When the tracks of own crops were seen, on clocks that can be compared.

Two tracks that a camera sees at once are two people, but times do not always say what is at once.
A recording (a camera, and what stands in front of the last "/" of a track's name: the folders in
front of GCL.DATA.PATTERN) counts from a beginning of its own. And where crops are numbered 1, 2 ...
within each track, all tracks of a recording seem to begin together. So the rule is:

    tracks of a recording share a clock, unless more than half of them are seen at one moment

and then each has its own. That costs little where it is wrong (a short clip in which everybody is
there throughout): those tracks are not told apart by time, as if no times were known.

Shapes: N crops, T tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .crop_list import Crop, count_of


class Doubt(NamedTuple):
    """A recording whose tracks can not share a clock: so many of them are seen at one moment."""

    camera: str
    recording: str
    tracks: int
    at_once: int


class TrackClocks(NamedTuple):
    """times: (N,) float64, nan where unknown: as given, but for a shift by which no two clocks show
    the same; recordings: how many have several tracks with times; doubts: about those of them whose
    tracks have a clock each."""

    times: np.ndarray
    recordings: int
    doubts: tuple[Doubt, ...]

    def note(self) -> str:
        """A sentence on what times tell; "": there is nothing that they could."""
        if not self.recordings:
            return ""
        of_all = count_of(self.recordings, "recording")
        if not self.doubts:
            return f"times tell tracks apart in {of_all}"
        camera, recording, tracks, at_once = self.doubts[0]
        where = f"{recording}/" if recording else ""
        return (
            f"times tell no tracks apart in {len(self.doubts)} of {of_all}, the first"
            f" {where}{camera or 'of no known camera'}: {at_once} of its {tracks} tracks are"
            " seen at one moment, as if each counted from its own beginning"
        )


def track_clocks(crops: Sequence[Crop]) -> TrackClocks:
    """The times of crops on clocks that can be compared."""
    times = np.array([np.nan if crop.time is None else crop.time for crop in crops], np.float64)
    spans: dict[tuple[str, str], dict[str, list[float]]] = {}
    for crop, time in zip(crops, times.tolist(), strict=True):
        if crop.track and crop.time is not None:
            of_it = spans.setdefault(_recording(crop), {})
            span = of_it.setdefault(crop.track, [time, time])
            span[0], span[1] = min(span[0], time), max(span[1], time)
    doubts = {}
    for place in sorted(spans):
        first, last = np.array(list(spans[place].values())).T
        if 2 * (most := most_at_once(first, last)) > len(first) > 1:
            doubts[place] = Doubt(*place, len(first), most)
    clocks: dict[tuple[str, ...], list[int]] = {}
    for i in np.flatnonzero(~np.isnan(times)).tolist():
        place = _recording(crops[i])
        clocks.setdefault((*place, crops[i].track) if place in doubts else place, []).append(i)
    begin = 0.0
    for clock in sorted(clocks):
        rows = clocks[clock]
        times[rows] = times[rows] - times[rows].min() + begin
        begin = times[rows].max() + 1
    several = sum(1 for tracks in spans.values() if len(tracks) > 1)
    return TrackClocks(times, several, tuple(doubts.values()))


def _recording(crop: Crop) -> tuple[str, str]:
    return crop.camera, crop.track.rpartition("/")[0]


def most_at_once(first: np.ndarray, last: np.ndarray) -> int:
    """The most of T spans that share a moment, ends included.

    Args:
        first, last: (T,) ends of the spans.
    """
    starts = np.sort(first)
    begun = np.arange(1, len(starts) + 1)  # some share one: the last of them counts all
    return int((begun - np.searchsorted(np.sort(last), starts)).max(initial=0))
