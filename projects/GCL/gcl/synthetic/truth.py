"""What a crop of a set would show if its person had stood otherwise."""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image

from .draw import dress, photographs
from .plan import Settings, plan
from .set_files import check_version, developed, get_tailor, one_thread
from .set_folder import read_settings


class TrueViews:
    """Pictures of the people of a set's crops at the same moment, in the same place, clothes and
    pose, turned, in the framing of their structures.

        TrueViews(folder)(["0001_c1s1_000001_00.jpg"], (90, 180))  # [[left, back]]

    Args:
        folder: of a set.

    Attributes:
        shots: by the names of their crops.

    Raises:
        FileNotFoundError: there is no set.
        ValueError: another version of this software drew it.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = folder
        settings = read_settings(folder, Settings)
        if settings is None:
            raise FileNotFoundError(f"{folder} holds no synthetic set: {Settings.FILE} is missing.")
        check_version(folder, settings)
        self._size = settings.size
        self.shots = {shot.name: shot for shot in plan(settings)}

    def __call__(self, names: Sequence[str], turns: Sequence[float]) -> list[list[Image.Image]]:
        """Of each crop a picture for each turn in degrees; a turn of 0 is the crop itself. All are
        drawn together: a visit of a person, say.

        Raises:
            FileNotFoundError: the set has no such crop.
        """
        for name in names:
            if name not in self.shots:
                raise FileNotFoundError(f"the synthetic set in {self.folder} has no crop {name}.")
        scenes, drawn = [self.shots[name].scene for name in names], []
        with one_thread():
            tailor = get_tailor()
            figure = dress(tailor, scenes)  # turning does not change it
            for turn in turns:
                turned = [turn] * len(scenes)
                drawn.append(photographs(tailor, scenes, self._size, figure, turned).crops)
        return [
            [developed(crops[i], scene.camera.quality) for crops in drawn]
            for i, scene in enumerate(scenes)
        ]


def true_views(folder: str | os.PathLike, name: str, turns: Sequence[float]) -> list[Image.Image]:
    """:class:`TrueViews` of one crop."""
    return TrueViews(folder)([name], turns)[0]
