"""A person's mesh and its grey renders: bodies, poses, pictures, and files of them.

    from . import AnnyBody, render_structure, sample_pose
    body = AnnyBody()
    people = body(sample_pose(4, torch.Generator().manual_seed(0)))
    pictures = render_structure(people.vertices, body.faces, yaw=45.0)  # (4, 256, 128)

Bodies: `body`, `smpl`, `poses`, `skeleton`, `anny_data`, `cache`. Pictures: `render`, `zbuffer`,
`render_pytorch3d`, `topology`, and their loops on a CPU. Files: `crop_keys`, `store`, `geometry`,
`adapters`, `prepare`, `prepare_estimate`, `verify`. Crops to bodies: `estimate`, on the network of
`efficientnet`.

Camera space is the same everywhere: x to the image right, y down, z forward, metres; at yaw 0 a
person faces the camera. Imports nothing else of this project but `photographs` and
`atomic_files`, which import nothing of it.
"""

from .body import AnnyBody, Body, BodyOutput, sample_phenotype
from .poses import ACTIVITIES, PARTS, Pose, neutral_pose, sample_pose
from .render import Camera, Fragments, frame, rasterize, render_structure, turn, vertex_normals
from .smpl_body import SMPLBody

__all__ = [
    "ACTIVITIES",
    "PARTS",
    "AnnyBody",
    "Body",
    "BodyOutput",
    "Camera",
    "Fragments",
    "Pose",
    "SMPLBody",
    "frame",
    "neutral_pose",
    "rasterize",
    "render_structure",
    "sample_phenotype",
    "sample_pose",
    "turn",
    "vertex_normals",
]
