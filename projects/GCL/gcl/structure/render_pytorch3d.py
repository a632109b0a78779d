"""PyTorch3D in the place of our own z-buffer, when it is installed."""

from __future__ import annotations

import torch
from torch import Tensor

from .zbuffer import Fragments


def available() -> bool:
    """Whether PyTorch3D can be imported (it has no wheel on PyPI for most set-ups)."""
    try:
        from pytorch3d.renderer.mesh import rasterize_meshes  # noqa: F401
    except ImportError:
        return False
    return True


def rasterize_pytorch3d(pixels: Tensor, faces: Tensor, size: tuple[int, int]) -> Fragments:
    """What :func:`gcl.structure.zbuffer.rasterize` does, by PyTorch3D: the same arguments and
    answer, but for pixels on the very edge of a triangle.

    Raises:
        ImportError: PyTorch3D is not installed.
    """
    try:
        from pytorch3d.renderer.mesh import rasterize_meshes
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise ImportError(
            'backend "pytorch3d" needs PyTorch3D, which is built for a version of torch and CUDA:'
            " see https://github.com/facebookresearch/pytorch3d/blob/main/INSTALL.md; the backend"
            ' "torch" needs nothing.'
        ) from error
    batch, (height, width) = len(pixels), size
    # normalised device coordinates: x left, y up, the shorter side from -1 to 1, z positive
    half = min(size) / 2
    depth = pixels[..., 2] - pixels[..., 2].amin(1, keepdim=True) + 1
    x, y = (width / 2 - pixels[..., 0]) / half, (height / 2 - pixels[..., 1]) / half
    points = torch.stack((x, y, depth), -1).float()
    meshes = Meshes(verts=list(points), faces=[faces.long()] * batch)
    found, _, barycentric, _ = rasterize_meshes(
        meshes,
        image_size=size,
        blur_radius=0.0,
        faces_per_pixel=1,
        perspective_correct=False,
        cull_backfaces=False,
    )
    found = found.reshape(-1)  # triangles are numbered through all meshes
    pixel = (found >= 0).nonzero()[:, 0]
    image = pixel // (height * width)
    face = found[pixel] - image * len(faces)
    weights = barycentric.reshape(-1, 3)[pixel]
    z = (pixels[..., 2][image[:, None], faces.long()[face]] * weights).sum(1)
    return Fragments(pixel, image, face, weights, z, (batch, height, width))
