"""What face lists say: closed or open, and which side is out."""

from __future__ import annotations

import gc

import pytest
import torch
from structure.solids import cube, sphere

from gcl.structure import topology as module
from gcl.structure.topology import face_normals, outward, topology


@pytest.mark.parametrize("solid", [cube, sphere])
def test_solids_are_closed_either_way_round(solid, device):
    vertices, faces = (part.to(device) for part in solid())
    assert topology(faces, len(vertices)).closed
    assert topology(faces[:, [0, 2, 1]], len(vertices)).closed


def test_a_missing_doubled_or_turned_triangle_opens_a_mesh(device):
    vertices, faces = (part.to(device) for part in cube())
    turned = faces.clone()
    turned[3] = turned[3, [0, 2, 1]]
    for opened in (faces[1:], torch.cat((faces, faces[:1])), turned, faces[:0]):
        assert not topology(opened, len(vertices)).closed


def test_incident_lists_the_triangles_of_every_vertex(device):
    vertices, faces = (part.to(device) for part in cube())
    known = topology(faces, len(vertices))
    ends = [*known.offsets.tolist()[1:], len(known.incident)]
    for vertex, (a, b) in enumerate(zip(known.offsets.tolist(), ends, strict=True)):
        expected = [f for f, face in enumerate(faces.tolist()) if vertex in face]
        assert known.incident[a:b].tolist() == expected


def test_winding_is_the_sign_of_the_volume_anywhere(device):
    vertices, faces = (part.to(device) for part in sphere())
    mirrored = vertices * torch.tensor([-1.0, 1, 1], device=device)
    both = torch.stack((vertices, mirrored)) + 1000
    columns = [both[..., k].T.contiguous() for k in range(3)]
    assert outward(columns, faces).tolist() == [1, -1]
    assert outward(columns, faces[:, [0, 2, 1]]).tolist() == [-1, 1]
    assert outward(columns, faces[1:]) is None


def test_face_normals_are_cross_products(device):
    generator = torch.Generator().manual_seed(0)
    vertices = torch.rand(2, 7, 3, generator=generator)
    faces = torch.randint(0, 7, (9, 3), generator=generator)
    columns = [vertices[..., k].T.contiguous().to(device) for k in range(3)]
    normal = torch.stack(face_normals(columns, faces.to(device))[0], -1).transpose(0, 1)
    a, b, c = vertices[:, faces].unbind(2)
    torch.testing.assert_close(normal.cpu(), torch.linalg.cross(b - a, c - a))


def test_remembered_until_changed_or_gone():
    vertices, faces = cube()
    first = topology(faces, len(vertices))
    assert topology(faces, len(vertices)) is first
    faces[0] = faces[0, [0, 2, 1]]
    assert not topology(faces, len(vertices)).closed
    before = len(module._known)
    del faces
    gc.collect()
    assert len(module._known) == before - 1


def test_faces_of_inference_mode_are_taken():
    """torch counts no changes of them."""
    with torch.inference_mode():
        _, faces = cube()
        faces = faces.clone()
    assert topology(faces, 8).closed and topology(faces, 8) is topology(faces, 8)
