"""What tools for videos write, a file a clip, by person and frame.

A reader takes the content of one file (:func:`.payload.read_payload`) and returns what it has of
each person in each frame, by the tool's own numbers. Of what a tool gives in the camera's and in
the world's coordinates, only the camera's is read: structures are what the camera sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Tracks = dict[tuple[int, int], Any]
"""(person, frame) -> what is known of the body."""


def wham(payload: Any) -> Tracks:
    """WHAM: ``wham_output.pkl`` of ``demo.py --save_pkl``, a dict a person.

    ``verts`` (T, V, 3), metres in CAMERA space, x right, y down, z forward, and ``frame_ids`` (T,),
    counted from 0; its API calls them ``verts_cam`` and ``frame_id``. ``pose_world`` and
    ``trans_world`` are of a world with y up, and are not read.

    Licence: code MIT; its SMPL body model for non-commercial research only.
    """
    tracks: Tracks = {}
    for person, track in payload.items():
        vertices = _first(track, "verts", "verts_cam")
        frames = _first(track, "frame_ids", "frame_id")
        if np.ndim(vertices) != 3 or len(frames) != len(vertices):
            raise KeyError(f"verts of the shape {np.shape(vertices)} for {len(frames)} frames")
        for frame, body in zip(frames, vertices, strict=True):
            tracks[int(person), int(frame)] = body
    return tracks


def phalp(payload: Any) -> Tracks:
    """PHALP, with which 4D-Humans (``track.py``) and TokenHMR track: ``results/demo_<video>.pkl``,
    a dict a frame.

    ``time``, the frame's number from 0, and of each track ``tid``, the person's number,
    ``tracked_time``, frames since it was seen, ``smpl``, parameters in CAMERA space, and
    ``camera`` (3,), metres; x right, y down, z forward. Where a person is not seen the file repeats
    an earlier frame, which is not read.

    Licence: code MIT (TokenHMR's: no surveillance); its SMPL body model for non-commercial
    research only.
    """
    tracks: Tracks = {}
    for frame in payload.values():
        of_people = (frame[key] for key in ("tid", "tracked_time", "smpl", "camera"))
        for person, unseen, smpl, camera in zip(*of_people, strict=True):
            if not unseen:
                tracks[int(person), int(frame["time"])] = {**smpl, "transl": camera}
    return tracks


def _first(track: Mapping, *keys: str) -> Any:
    for key in keys:
        if key in track:
            return track[key]
    raise KeyError(f"no key {keys[0]}, but {', '.join(map(str, track)) or 'nothing'}")
