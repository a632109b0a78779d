"""Reads the published layout of structure renders: a folder a view, a file an image.

``<dir>/<split>/render/<image name>`` is the person from its own view, ``render_45`` ...
``render_315`` the same mesh turned by that yaw, all grey.
"""

from __future__ import annotations

import os

from PIL import Image, UnidentifiedImageError

TURNS = (45, 90, 135, 180, 225, 270, 315)
"""Yaws in degrees by which meshes are turned."""

FOLDERS = ("render", *(f"render_{turn}" for turn in TURNS))


class MissingStructureError(FileNotFoundError):
    """Images without structure renders."""


class RenderStore:
    """Structure renders of one split of a data set.

    Args:
        root: folder that holds ``train`` and ``test``.
        split: "train" or "test".

    Raises:
        MissingStructureError: the split lacks one of the eight view folders.
    """

    def __init__(self, root: str, split: str) -> None:
        self.folder = os.path.join(root, split)
        self._names: set[str] | None = None
        for view in FOLDERS:
            if not os.path.isdir(os.path.join(self.folder, view)):
                raise MissingStructureError(
                    f"GCL.STRUCTURE.DIR: {os.path.join(self.folder, view)} does not exist; a split"
                    f" needs the folders {FOLDERS[0]}, {FOLDERS[1]}, ..., {FOLDERS[-1]}."
                )

    def __contains__(self, name: str) -> bool:
        """Whether all eight views of the image ``name`` exist (one listing a folder, kept)."""
        if self._names is None:
            listings = [set(os.listdir(os.path.join(self.folder, view))) for view in FOLDERS]
            self._names = set.intersection(*listings)
        return name in self._names

    def load(self, name: str, turn: int = 0) -> Image.Image:
        """Render of the image ``name`` turned by ``turn`` degrees, mode "L".

        Raises:
            OSError: the file is missing or broken; the message names it.
        """
        path = os.path.join(self.folder, "render" if turn == 0 else f"render_{turn}", name)
        try:
            with Image.open(path) as image:
                return image.convert("L")
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise OSError(
                f"structure render {path} can not be read ({error}): render it again."
            ) from error
