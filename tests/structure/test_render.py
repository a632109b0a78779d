"""Turning, framing, shading, against solids whose pictures are known."""

from __future__ import annotations

import math
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from structure.figures import figure
from structure.solids import cube, sphere

from gcl.structure import render
from gcl.structure.render import (
    AMBIENT,
    LIGHT,
    MARGIN,
    Camera,
    frame,
    rasterize,
    render_structure,
    shade,
    turn,
    vertex_normals,
)
from gcl.structure.render_pytorch3d import available

SIZE = (96, 64)


def to(device, solid):
    vertices, faces = solid
    return vertices[None].to(device), faces.to(device)


def box(picture):
    """Left, top, right, bottom of what is not black, in pixels."""
    rows, columns = (picture > 0).nonzero().unbind(1)
    return [int(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


def arrow():
    """A tetrahedron that points to the camera (-z), further out than it is wide or tall."""
    vertices = torch.tensor([[0.0, 0, -2], [0.5, 0.5, 0], [-0.5, 0.5, 0], [0, -0.5, 0]])
    return vertices, torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [3, 2, 1]])


@pytest.mark.parametrize(
    ("yaw", "points"), [(0, (0, 0, -1)), (90, (1, 0, 0)), (180, (0, 0, 1)), (270, (-1, 0, 0))]
)
def test_who_faces_the_camera_looks_to_the_image_right_at_90(yaw, points, device):
    vertices, _ = to(device, arrow())
    turned = turn(vertices, yaw)[0]
    direction = turned[0] - turned[1:].mean(0)
    expected = 2 * torch.tensor(points, dtype=torch.float32, device=device)
    torch.testing.assert_close(direction + 0.0, expected - direction.new_tensor([0, 1 / 6, 0]))


def test_turning_is_about_the_own_middle_and_adds_up(device):
    vertices, _ = to(device, arrow())
    vertices = vertices + torch.tensor([3.0, -2.0, 40.0], device=device)
    once = turn(turn(vertices, 30.0), torch.tensor([50.0, 330.0]))
    torch.testing.assert_close(once[0], turn(vertices, 80.0)[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(once[1], vertices[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(once.mean(1), vertices.mean(1).expand(2, 3))


def test_turning_by_0_and_by_360_changes_no_bit(device):
    vertices, faces = to(device, arrow())
    for yaw in (360, -360.0, torch.tensor([720.0])):
        assert torch.equal(
            render_structure(vertices, faces, yaw, size=SIZE),
            render_structure(vertices, faces, 0.0, size=SIZE),
        )


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (256, 128), (31, 17)])
@pytest.mark.parametrize("yaw", [0.0, 37.0])
@pytest.mark.parametrize("camera", [Camera(), Camera(20.0), Camera(20.0, 9.0)])
def test_the_height_fills_the_crop_and_the_box_is_centred(size, yaw, camera, device):
    vertices, _ = to(device, cube())
    pixels = frame(turn(vertices * 3 + 7, yaw), size, camera)
    low, high = pixels[0, :, :2].amin(0).tolist(), pixels[0, :, :2].amax(0).tolist()
    assert (high[1] - low[1]) / size[0] == pytest.approx(1 - 2 * MARGIN, abs=1e-4)
    for k, room in enumerate((size[1], size[0])):
        assert low[k] + high[k] == pytest.approx(room, abs=1e-2)


def test_all_views_of_a_mesh_have_one_scale(device):
    """An upright board, 1 wide and 2 tall, is 2 tall from every side, however narrow the crop."""
    vertices, faces = to(device, cube())
    vertices = vertices * torch.tensor([1.0, 2.0, 0.2], device=device)
    yaw = torch.tensor([0.0, 45.0, 90.0])
    pictures = render_structure(vertices, faces, yaw, size=(100, 24))
    for picture, width in zip(pictures, (24, 24, 9), strict=True):
        left, top, right, bottom = box(picture)
        assert (top, bottom) == (4, 96)
        assert right - left == pytest.approx(width, abs=1)


@pytest.mark.parametrize("size", [(100, 80), (120, 40)])
@pytest.mark.parametrize("yaw", [0.0, 90.0])
def test_a_framing_puts_the_body_in_its_place(size, yaw, device):
    """A cube is one pixel square, as tall as said, from every side."""
    vertices, faces = to(device, cube())
    framing = torch.tensor([0.2, 0.4, 0.3], device=device)
    found = box(render_structure(vertices * 1.7 + 5, faces, yaw, size=size, framing=framing)[0])
    height, width = size
    side, centre = 0.2 * height, 0.3 * width
    expected = [centre - side / 2, 0.2 * height, centre + side / 2, 0.4 * height]
    assert found == pytest.approx(expected, abs=0.51)


def test_the_usual_framing_said_out_loud_changes_nothing(device):
    vertices, faces = to(device, arrow())
    yaw = torch.tensor([0.0, 30.0, 200.0], device=device)
    usual = torch.tensor([MARGIN, 1 - MARGIN, 0.5])
    for supersample in (1, 2):
        a, b = (
            render_structure(vertices, faces, yaw, size=SIZE, framing=f, supersample=supersample)
            for f in (None, usual)
        )
        assert float((a - b).abs().mean()) < 1e-3


def test_framings_are_of_each_picture_and_may_cut_off(device):
    vertices, faces = to(device, cube())
    framing = torch.tensor([[-0.5, 0.5, 0.5], [0.75, 1.25, 0.0], [1.5, 2.0, 0.5]], device=device)
    pictures = render_structure(vertices, faces, size=(80, 80), framing=framing)
    assert box(pictures[0]) == [0, 0, 80, 40]
    assert box(pictures[1]) == [0, 60, 20, 80]
    assert float(pictures[2].max()) == 0
    three = render_structure(vertices.repeat(3, 1, 1), faces, size=(80, 80), framing=framing)
    assert torch.equal(pictures, three)


@pytest.mark.parametrize(
    "framing", [[0.1, 0.9], [0.9, 0.1, 0.5], [0.5, 0.5, 0.5], [0.1, math.nan, 0.5], [[[0, 1, 0.5]]]]
)
def test_a_framing_of_nothing_is_refused(framing):
    vertices, faces = to("cpu", cube())
    with pytest.raises(ValueError, match="framing must be"):
        render_structure(vertices, faces, framing=torch.tensor(framing))


def test_each_body_is_framed_by_its_own_box(device):
    vertices, _ = to(device, cube())
    both = torch.cat((vertices, 4 * vertices + 9))
    pixels = frame(both, SIZE)
    torch.testing.assert_close(pixels[0, :, :2], pixels[1, :, :2], atol=1e-3, rtol=0)


def test_a_turned_cube_is_root_two_wide(device):
    vertices, faces = to(device, cube())
    pictures = render_structure(vertices, faces, torch.tensor([0.0, 45.0]), size=(100, 140))
    left, top, right, bottom = box(pictures[0])
    assert (right - left, bottom - top) == (92, 92)
    left, top, right, bottom = box(pictures[1])
    assert bottom - top == 92 and right - left == pytest.approx(92 * math.sqrt(2), abs=1)
    assert bool((pictures[1][top:bottom, left:right] > 0).all())  # a rectangle, without holes


def test_a_sphere_is_a_disc(device):
    vertices, faces = to(device, sphere(rings=40))
    picture = render_structure(vertices, faces, size=(200, 200))
    radius = 92
    rows, columns = torch.meshgrid(torch.arange(200) + 0.5, torch.arange(200) + 0.5, indexing="ij")
    distance = ((rows - 100) ** 2 + (columns - 100) ** 2).sqrt().to(device)
    assert bool((picture[0][distance < radius - 1] > 0).all())
    assert bool((picture[0][distance > radius + 1] == 0).all())


def test_shading_of_a_sphere_is_lamberts_law(device):
    """Grey at a pixel = ambient + (1 - ambient) max(0, n . l), n the sphere's normal there."""
    vertices, faces = to(device, sphere(rings=60))
    picture = render_structure(vertices, faces, size=(200, 200))[0].cpu()
    at = (torch.arange(200) + 0.5 - 100) / 92
    y, x = torch.meshgrid(at, at, indexing="ij")
    inside = x * x + y * y < 0.9
    z = -(1 - x * x - y * y).clamp(min=0).sqrt()
    light = torch.tensor(LIGHT) / math.sqrt(sum(part**2 for part in LIGHT))
    lit = (x * light[0] + y * light[1] + z * light[2]).clamp(min=0)
    expected = AMBIENT + (1 - AMBIENT) * lit
    assert float((picture - expected)[inside].abs().max()) < 0.02
    torch.testing.assert_close(shade(light), torch.tensor(1.0))
    torch.testing.assert_close(shade(-light), torch.tensor(AMBIENT))


YAWS = torch.tensor([0.0, 30.0, 45.0, 90.0, 135.0, 200.5, 270.0, 315.0])


@pytest.mark.parametrize("supersample", [1, 2])
@pytest.mark.parametrize("backend", ["torch", "pytorch3d"])
@pytest.mark.parametrize("elevation, distance", [(0.0, None), (20.0, 4.0)])
def test_a_mirrored_picture_is_that_of_the_mirrored_body(
    elevation, distance, backend, supersample, stand_in
):
    """A mirrored body that has turned to the other side. The left hand is held out to the front."""
    body = figure()
    framing = torch.tensor([0.05, 0.9, 0.3])
    mirror, aside = torch.tensor([-1.0, 1.0, 1.0]), torch.tensor([0.0, 0.0, 0.4])
    usual = {"size": (128, 64), "supersample": supersample, "backend": backend}
    usual |= {"elevation": elevation, "distance": distance}
    vertices = body.vertices[None]
    one = render_structure(vertices, body.faces, YAWS, framing=framing, **usual)
    other = render_structure(
        vertices * mirror, body.faces, -YAWS, framing=framing + aside, **usual
    ).flip(2)
    apart = (one - other).abs()
    # vertices lie on a grid of 1/64 pixel, to which a last bit can round to either side
    assert float((apart > 1 / 255).float().mean()) < 1e-3 and float(apart.mean()) < 1e-4
    assert float((one - one.flip(2)).abs().mean()) > 0.03  # of this body


def test_the_light_is_in_the_mirror_plane():
    """Greys of a mirrored body are the same to the last bit."""
    body = figure()
    one, other = (
        shade(vertex_normals(body.vertices[None] * torch.tensor([side, 1.0, 1.0]), body.faces))
        for side in (1.0, -1.0)
    )
    assert LIGHT[0] == 0 and torch.equal(one, other)


def test_elevation_looks_down_and_shades_from_the_camera(device):
    """From straight above one sees the cube's top, and the arrow that points to the camera points
    down in the picture; the light comes with the camera."""
    vertices, faces = to(device, arrow())
    pixels = frame(vertices, SIZE, Camera(elevation=90.0))[0]
    assert bool((pixels[0, 1] > pixels[1:, 1]).all())
    ball = to(device, sphere(rings=30))
    level, high = (render_structure(*ball, elevation=e, size=(64, 64)) for e in (0.0, 50.0))
    torch.testing.assert_close(level, high, atol=0.03, rtol=0)


def test_perspective_makes_near_things_larger(device):
    """The cube's near side is d / (d - 1/2) of its size, its far side d / (d + 1/2)."""
    vertices, _ = to(device, cube())
    pixels = frame(vertices, (100, 100), Camera(distance=2.0))[0]
    width = [
        float(
            pixels[vertices[0, :, 2] == z][:, 0].max() - pixels[vertices[0, :, 2] == z][:, 0].min()
        )
        for z in (-0.5, 0.5)
    ]
    assert width[0] == pytest.approx(92, abs=1e-2)
    assert width[1] == pytest.approx(92 * 1.5 / 2.5, abs=1e-2)
    far = frame(vertices, (100, 100), Camera(distance=1e5))[0]
    torch.testing.assert_close(far[:, :2], frame(vertices, (100, 100))[0, :, :2], atol=1e-2, rtol=0)


def test_a_sphere_from_near_shows_its_cap(device):
    """From distance d the outline is the circle of tangent rays, at 1/2 sqrt(1 - 1 / (2d)^2) from
    the axis and 1 / (4d) before the middle: what lies behind it is hidden."""
    vertices, faces = to(device, sphere(rings=40))
    from gcl.structure.zbuffer import rasterize

    found = rasterize(frame(vertices, (120, 120), Camera(distance=1.0)), faces, (120, 120))
    seen = vertices[0, faces[found.face]].mean(1)
    assert float(seen[:, 2].max()) == pytest.approx(-0.25, abs=0.05)


@pytest.mark.parametrize("distance", [0.3, -1.0, 0.0])
def test_a_camera_inside_the_body_is_refused(distance):
    vertices, faces = to("cpu", cube())
    with pytest.raises(ValueError, match="inside the body"):
        render_structure(vertices, faces, distance=distance)


def test_normals_of_a_sphere_point_away_from_its_centre(device):
    vertices, faces = to(device, sphere(rings=40))
    for winding in (faces, faces[:, [0, 2, 1]]):
        normals = vertex_normals(vertices + 50, winding)
        assert float((normals - 2 * vertices).norm(dim=-1).max()) < 0.03


def test_normals_are_weighted_by_area(device):
    """A vertex between a triangle of area 1/2 facing -z and one of area 2 facing -y."""
    corners = [[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 2.0], [2.0, 0, 0]]
    faces = torch.tensor([[0, 1, 2], [0, 4, 3]], device=device)
    normal = vertex_normals(torch.tensor([corners], device=device), faces)[0, 0].cpu()
    torch.testing.assert_close(normal, torch.tensor([0.0, -4, -1]) / math.sqrt(17))
    lonely = vertex_normals(torch.rand(1, 4, 3, device=device), faces[:0])
    assert float(lonely.abs().max()) == 0


@pytest.mark.parametrize("change", ["winding", "open"])
def test_a_body_is_lit_from_outside_whatever_its_file_says(change, device):
    vertices, faces = to(device, sphere(rings=30))
    expected = render_structure(vertices, faces, size=SIZE)
    if change == "open":  # a hole at the back, and all triangles the other way round
        faces = faces[vertices[0, faces].mean(1)[:, 2] < 0.4]
    other = render_structure(vertices, faces[:, [0, 2, 1]], size=SIZE)
    assert float((other - expected).abs().mean()) < 1e-3


def test_many_views_of_one_mesh_as_one_by_one(device):
    vertices, faces = to(device, sphere(rings=10))
    vertices = vertices * torch.tensor([1.0, 2.0, 0.6], device=device)
    yaw = torch.tensor([0.0, 45, 200], device=device)
    elevation = torch.tensor([0.0, 10, 30], device=device)
    distance = torch.tensor([3.0, 4, 5], device=device)
    for far in (None, distance):
        together = render_structure(vertices, faces, yaw, elevation, SIZE, distance=far)
        copies = vertices.repeat(3, 1, 1)
        assert torch.equal(
            together, render_structure(copies, faces, yaw, elevation, SIZE, distance=far)
        )
        for k in range(3):
            near = None if far is None else float(far[k])
            alone = render_structure(
                vertices, faces, float(yaw[k]), float(elevation[k]), SIZE, distance=near
            )
            assert torch.equal(alone[0], together[k])


def test_repeated_bit_by_bit_and_in_range(device):
    vertices, faces = to(device, sphere(rings=20))
    pictures = [render_structure(vertices, faces, 20.0, 10.0, SIZE, distance=3) for _ in range(2)]
    assert torch.equal(*pictures)
    assert pictures[0].dtype == torch.float32 and pictures[0].shape == (1, *SIZE)
    assert float(pictures[0].max()) <= 1 and float(pictures[0].min()) == 0
    assert float(pictures[0][pictures[0] > 0].min()) >= AMBIENT - 1e-5


def test_half_precision_vertices_are_widened(device):
    vertices, faces = to(device, cube())
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        picture = render_structure(vertices.to(dtype), faces.int(), size=SIZE)
        assert torch.equal(picture, render_structure(vertices, faces, size=SIZE))


def test_supersampling_averages_finer_pictures(device):
    vertices, faces = to(device, sphere(rings=20))
    fine = render_structure(vertices, faces, 10.0, size=(2 * SIZE[0], 2 * SIZE[1]))
    expected = fine.view(1, SIZE[0], 2, SIZE[1], 2).mean((2, 4))
    smooth = render_structure(vertices, faces, 10.0, size=SIZE, supersample=2)
    torch.testing.assert_close(smooth, expected)
    with pytest.raises(ValueError, match="supersample"):
        render_structure(vertices, faces, supersample=0)


def test_empty_batches(device):
    vertices, faces = to(device, cube())
    assert render_structure(vertices[:0], faces, size=SIZE).shape == (0, *SIZE)
    assert render_structure(vertices[:0], faces, torch.zeros(0), size=SIZE).shape == (0, *SIZE)
    assert float(render_structure(vertices, faces[:0], size=SIZE).max()) == 0


def test_wrong_arguments_are_named():
    vertices, faces = to("cpu", cube())
    with pytest.raises(ValueError, match="NaN"):
        render_structure(vertices * math.nan, faces)
    with pytest.raises(ValueError, match="an angle must be a number or"):
        render_structure(vertices, faces, torch.zeros(1, 2))
    with pytest.raises(ValueError, match="backend must be"):
        render_structure(vertices, faces, backend="opengl")
    with pytest.raises(ValueError, match=r"\(B, V, 3\)"):
        render_structure(vertices[0], faces)


@pytest.mark.skipif(available(), reason="PyTorch3D is installed")
def test_without_pytorch3d_one_sentence_says_what_to_do():
    vertices, faces = to("cpu", cube())
    with pytest.raises(ImportError, match='needs PyTorch3D.*"torch" needs nothing'):
        render_structure(vertices, faces, backend="pytorch3d")
    assert torch.equal(
        render_structure(vertices, faces, backend="auto"), render_structure(vertices, faces)
    )


def test_pytorch3d_draws_the_same_picture(device):
    pytest.importorskip("pytorch3d")
    vertices, faces = to(device, sphere(rings=20))
    ours, theirs = (
        render_structure(vertices, faces, 30.0, 10.0, SIZE, backend=name)
        for name in ("torch", "pytorch3d")
    )
    assert float((ours - theirs).abs().mean()) < 5e-3


@pytest.fixture
def stand_in(monkeypatch):
    """Something with PyTorch3D's conventions: x left, y up, the shorter side from -1 to 1, and
    triangles numbered through all meshes."""

    def rasterize_meshes(meshes, image_size, faces_per_pixel, **_):
        height, width = image_size
        points, faces = meshes.verts, meshes.faces
        half = min(image_size) / 2
        pixels = torch.stack(
            (width / 2 - points[..., 0] * half, height / 2 - points[..., 1] * half, points[..., 2]),
            -1,
        )
        assert float(points[..., 2].min()) > 0
        found = rasterize(pixels, faces, image_size)
        packed = found.picture(found.face + found.image * len(faces), background=-1)
        weights = found.picture(found.barycentric, background=-1.0)
        return packed[..., None], None, weights[..., None, :], None

    package = ModuleType("pytorch3d")
    structures = SimpleNamespace(
        Meshes=lambda verts, faces: SimpleNamespace(verts=torch.stack(verts), faces=faces[0])
    )
    mesh = SimpleNamespace(rasterize_meshes=rasterize_meshes)
    for name, module in {
        "pytorch3d": package,
        "pytorch3d.structures": structures,
        "pytorch3d.renderer": ModuleType("pytorch3d.renderer"),
        "pytorch3d.renderer.mesh": mesh,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)


def test_what_pytorch3d_is_told(stand_in):
    vertices, faces = to("cpu", sphere(rings=12))
    yaw = torch.tensor([0.0, 50.0])
    for size in ((40, 30), (30, 40)):
        theirs = render_structure(vertices, faces, yaw, 15.0, size, backend="pytorch3d")
        ours = render_structure(vertices, faces, yaw, 15.0, size)
        assert float((ours - theirs).abs().mean()) < 5e-3


@pytest.mark.gpu
def test_a_gpu_draws_the_same_picture():
    vertices, faces = to("cpu", sphere(rings=30))
    yaw = torch.arange(6) * 60.0
    ours = render_structure(vertices, faces, yaw, 10.0, SIZE, distance=3.0)
    theirs = render_structure(vertices.cuda(), faces.cuda(), yaw.cuda(), 10.0, SIZE, distance=3.0)
    assert float((ours - theirs.cpu()).abs().mean()) < 1e-3
    with pytest.raises(ValueError, match="vertices are on cuda.* faces on cpu"):
        render_structure(vertices.cuda(), faces)


@pytest.mark.parametrize("copies", [1, 5])
def test_normals_by_loops_and_by_tensors_agree_bit_by_bit(copies, monkeypatch):
    vertices, faces = sphere(rings=9)
    vertices = vertices * torch.linspace(0.5, 2, copies)[:, None, None]
    found = []
    for looped in (True, False):
        monkeypatch.setattr(render, "looped", lambda *tensors, answer=looped: answer)
        for winding in (faces, faces[:, [0, 2, 1]], faces[3:]):
            found.append(vertex_normals(vertices, winding))
    for one, other in zip(found[:3], found[3:], strict=True):
        assert one.shape == vertices.shape and torch.equal(one, other)


def test_normals_of_what_loops_do_not_take():
    """float64 stays that, and tensors that ask for gradients are no error."""
    vertices, faces = sphere(rings=5)
    expected = vertex_normals(vertices[None], faces)
    torch.testing.assert_close(vertex_normals(vertices[None].double(), faces), expected.double())
    assert torch.equal(vertex_normals(vertices[None].requires_grad_(), faces), expected)
