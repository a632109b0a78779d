"""The z-buffer against a loop over pixels and triangles.

A pixel's centre p lies in triangle (a, b, c) when W_a = (b - p) x (c - p), W_b = (c - p) x (a - p)
and W_c = (a - p) x (b - p) have one sign or are 0; their shares of the sum are the barycentric
weights, and the depth is the weighted mean of the corners' depths. Corners are first moved to
(floor(64 x) + 1/2) / 64.
"""

from __future__ import annotations

import math

import pytest
import torch
from structure.solids import cube, sphere
from torch.utils._python_dispatch import TorchDispatchMode

from gcl.structure import zbuffer
from gcl.structure.render import Camera, frame, turn
from gcl.structure.topology import outward
from gcl.structure.zbuffer import paint, rasterize


def loop(pixels, faces, size):
    """(B, H, W) face (-1: nothing), (B, H, W, 3) weights, (B, H, W) depth; nearest, then first."""
    b = len(pixels)
    best = torch.full((b, *size), -1)
    weights, depth = torch.zeros(b, *size, 3), torch.full((b, *size), math.inf)
    for image in range(b):
        for number, face in enumerate(faces.tolist()):
            corners = []
            for vertex in face:
                x, y, z = pixels[image, vertex].double().tolist()
                corners.append(
                    ((math.floor(x * 64) + 0.5) / 64, (math.floor(y * 64) + 0.5) / 64, z)
                )
            (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners
            for row in range(size[0]):
                for column in range(size[1]):
                    px, py = column + 0.5, row + 0.5
                    wa = (bx - px) * (cy - py) - (cx - px) * (by - py)
                    wb = (cx - px) * (ay - py) - (ax - px) * (cy - py)
                    wc = (ax - px) * (by - py) - (bx - px) * (ay - py)
                    area = wa + wb + wc
                    if area == 0 or min(wa / area, wb / area, wc / area) < 0:
                        continue
                    z = (wa * az + wb * bz + wc * cz) / area
                    if z < depth[image, row, column] - 1e-6:
                        depth[image, row, column] = z
                        best[image, row, column] = number
                        weights[image, row, column] = torch.tensor([wa, wb, wc]) / area
    return best, weights, depth


def dense(found):
    face = found.picture(found.face, background=-1)
    return face, found.picture(found.barycentric), found.picture(found.depth, math.inf)


def random_soup(seed, count, spread, size, batch=2):
    """Triangles without common vertices, some over the border, each about `spread` pixels."""
    generator = torch.Generator().manual_seed(seed)
    middle = torch.rand(batch, count, 1, 2, generator=generator) * torch.tensor([size[1], size[0]])
    corners = middle + (torch.rand(batch, count, 3, 2, generator=generator) - 0.5) * spread
    depth = torch.rand(batch, count, 3, 1, generator=generator) * 4 - 2
    pixels = torch.cat((corners, depth), -1).view(batch, -1, 3)
    return pixels, torch.arange(3 * count).view(-1, 3)


@pytest.mark.parametrize("spread", [1.5, 4.0, 9.0, 18.0, 60.0])
def test_random_triangles_as_by_the_loop(spread, device):
    size = (13, 19)
    pixels, faces = random_soup(int(spread), 12, spread, size)
    expected = loop(pixels, faces, size)
    face, weights, depth = dense(rasterize(pixels.to(device), faces.to(device), size))
    assert torch.equal(face.cpu(), expected[0])
    torch.testing.assert_close(weights.cpu(), expected[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(depth.cpu(), expected[2], atol=1e-4, rtol=0)


def test_triangles_far_larger_than_the_picture(device):
    """Boxes beyond 16 pixels are calculated in float64."""
    size = (24, 40)
    pixels, faces = random_soup(3, 4, 300.0, size, batch=1)
    face, weights, _ = dense(rasterize(pixels.to(device), faces.to(device), size))
    expected = loop(pixels, faces, size)
    assert torch.equal(face.cpu(), expected[0])
    torch.testing.assert_close(weights.cpu(), expected[1], atol=1e-4, rtol=0)


def test_a_closed_mesh_is_drawn_as_the_loop_draws_both_sides(device):
    size = (17, 14)
    vertices, faces = sphere(rings=6)
    pixels = frame(turn(vertices[None], torch.tensor([0.0, 70.0])), size)
    face, _, depth = dense(rasterize(pixels.to(device), faces.to(device), size))
    expected = loop(pixels, faces, size)
    assert torch.equal(face.cpu(), expected[0])
    torch.testing.assert_close(depth.cpu(), expected[2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("change", ["winding", "mirror", "open"])
def test_either_winding_and_open_meshes_give_the_same_silhouette(change, device):
    size = (30, 20)
    vertices, faces = sphere(rings=10)
    pixels = frame(vertices[None], size)
    first = rasterize(pixels.to(device), faces.to(device), size)
    if change == "winding":
        faces = faces[:, [0, 2, 1]]
    elif change == "mirror":  # about the vertical, which the sphere does not show
        pixels = pixels * torch.tensor([-1.0, 1, 1]) + torch.tensor([size[1], 0.0, 0])
    else:
        front = pixels[0, faces].mean(1)[:, 2] < pixels[0, :, 2].mean()
        faces = faces[~front][:, [0, 2, 1]]  # the back alone, seen from inside
    second = rasterize(pixels.to(device), faces.to(device), size)
    # a grid of 1/64 pixel is not symmetric: pixels at the very outline may differ
    differ = set(first.pixel.tolist()) ^ set(second.pixel.tolist())
    assert len(differ) <= (4 if change != "winding" else 0)
    if change != "open":
        near = {p: z for p, z in zip(second.pixel.tolist(), second.depth.tolist(), strict=True)}
        for p, z in zip(first.pixel.tolist(), first.depth.tolist(), strict=True):
            assert p in differ or abs(near[p] - z) < 0.1


def test_common_edges_leave_no_gap(device):
    """A sheet of random triangles that covers the picture covers every pixel once or more."""
    n, size = 60, (90, 70)
    generator = torch.Generator().manual_seed(5)
    y, x = torch.meshgrid(torch.arange(n + 1.0), torch.arange(n + 1.0), indexing="ij")
    inner = (x > 0) & (x < n) & (y > 0) & (y < n)
    shake = (torch.rand(2, n + 1, n + 1, generator=generator) - 0.5) * 0.9 * inner
    columns = (x + shake[0]) * ((size[1] + 2) / n) - 1
    rows = (y + shake[1]) * ((size[0] + 2) / n) - 1
    pixels = torch.stack((columns, rows, torch.ones_like(x)), -1).view(1, -1, 3)
    a = (torch.arange(n)[:, None] * (n + 1) + torch.arange(n)).view(-1)
    quads = torch.stack((a, a + 1, a + n + 1, a + n + 2), 1)
    faces = torch.cat((quads[:, :3], quads[:, 1:]))
    for turned in (faces, faces[:, [1, 2, 0]], faces[:, [2, 1, 0]].flip(0)):
        assert len(rasterize(pixels.to(device), turned.to(device), size).pixel) == math.prod(size)


def test_of_equal_depths_the_first_triangle_is_taken(device):
    corners = [[-9.0, -9, 1], [40, -9, 1], [-9, 40, 1]]
    pixels = torch.tensor([corners * 3], device=device)
    faces = torch.tensor([[6, 7, 8], [0, 1, 2], [3, 4, 5]], device=device)
    assert set(rasterize(pixels, faces, (8, 8)).face.tolist()) == {0}


def test_weights_are_not_negative_and_add_up(device):
    pixels, faces = random_soup(8, 60, 6.0, (40, 40))
    found = rasterize(pixels.to(device), faces.to(device), (40, 40))
    assert float(found.barycentric.min()) >= 0
    torch.testing.assert_close(found.barycentric.sum(1), torch.ones_like(found.depth))


def test_fragments_are_in_the_order_of_pixels_and_say_where_they_are(device):
    pixels, faces = random_soup(9, 20, 6.0, (10, 12), batch=3)
    found = rasterize(pixels.to(device), faces.to(device), (10, 12))
    assert bool((found.pixel.diff() > 0).all())
    assert torch.equal(found.image, found.pixel // 120)
    assert found.shape == (3, 10, 12)


def test_interpolated_depth_is_depth(device):
    pixels, faces = (part.to(device) for part in random_soup(10, 20, 6.0, (10, 12)))
    found = rasterize(pixels, faces, (10, 12))
    depth = found.interpolate(pixels[..., 2:], faces)[:, 0]
    torch.testing.assert_close(depth, found.depth, atol=1e-5, rtol=0)


def test_paint_is_rasterize_and_interpolate(device):
    size = (40, 30)
    vertices, faces = (part.to(device) for part in sphere(rings=12))
    pixels = frame(turn(vertices[None], torch.tensor([0.0, 20.0], device=device)), size)
    grey = torch.rand(2, len(vertices), device=device)
    columns = [pixels[..., k].T.contiguous() for k in range(3)]
    painted = paint(columns, faces, size, grey.T.contiguous(), outward(columns, faces))
    found = rasterize(pixels, faces, size)
    expected = found.picture(found.interpolate(grey[..., None], faces)[:, 0])
    torch.testing.assert_close(painted, expected, atol=1e-4, rtol=0)


def test_a_mesh_looks_the_same_in_every_batch_and_run(device):
    size = (64, 32)
    vertices, faces = (part.to(device) for part in sphere(rings=20))
    pixels = frame(turn(vertices[None], torch.arange(5, device=device) * 40.0), size)
    together = rasterize(pixels, faces, size)
    again = rasterize(pixels, faces, size)
    for one, two in zip(together[:-1], again[:-1], strict=True):
        assert torch.equal(one, two)
    for k in range(5):
        alone = rasterize(pixels[k : k + 1], faces, size)
        mine = together.image == k
        assert torch.equal(alone.face, together.face[mine])
        assert torch.equal(alone.barycentric, together.barycentric[mine])
        assert torch.equal(alone.depth, together.depth[mine])


def test_nothing_to_draw(device):
    vertices, faces = (part.to(device) for part in cube())
    none = rasterize(vertices[None][:0], faces, (4, 4))
    assert none.shape == (0, 4, 4) and len(none.pixel) == 0
    assert rasterize(vertices[None], faces[:0], (4, 4)).barycentric.shape == (0, 3)
    outside = frame(vertices[None], (4, 4)) + 100
    assert len(rasterize(outside, faces, (4, 4)).pixel) == 0
    flat = torch.tensor([[[0.0, 0, 0], [4, 4, 0], [8, 8, 0]]], device=device)
    assert len(rasterize(flat, torch.tensor([[0, 1, 2]], device=device), (9, 9)).pixel) == 0


def test_a_mesh_over_the_border_is_cut_not_wrapped(device):
    vertices, faces = (part.to(device) for part in sphere(rings=8))
    pixels = frame(vertices[None], (12, 12), margin=0.0)
    whole = rasterize(pixels, faces, (12, 12))
    moved = rasterize(pixels + torch.tensor([7.0, -5.0, 0.0], device=device), faces, (12, 12))
    covered = whole.picture(torch.ones_like(whole.depth))
    expected = torch.zeros_like(covered)
    expected[:, :7, 7:] = covered[:, 5:, :5]
    assert torch.equal(moved.picture(torch.ones_like(moved.depth)), expected)


def test_depth_is_nearest_first_through_zero(device):
    """Negative and positive depths: the order of the bits is made that of the numbers."""
    corners = torch.tensor([[-9.0, -9], [40, -9], [-9, 40]])
    for depths in ((-2.0, -1.0, 0.0), (1.0, -0.5, 0.25), (3.0, 2.0, -1e-20)):
        pixels = torch.cat([torch.cat((corners, torch.full((3, 1), z)), 1) for z in depths])
        faces = torch.arange(9).view(3, 3).to(device)
        found = rasterize(pixels[None].to(device), faces, (4, 4))
        assert set(found.face.tolist()) == {depths.index(min(depths))}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_vertices_are_named(bad):
    vertices, faces = cube()
    pixels = vertices.repeat(3, 1, 1)
    pixels[1, 2, 0] = bad
    with pytest.raises(ValueError, match=r"NaN or infinite coordinates in meshes \[1\]"):
        rasterize(pixels, faces, (8, 8))


def test_wrong_arguments_are_named():
    vertices, faces = cube()
    with pytest.raises(ValueError, match=r"\(B, V, 3\).*\(8, 3\)"):
        rasterize(vertices, faces, (8, 8))
    with pytest.raises(ValueError, match="size must be"):
        rasterize(vertices[None], faces, (0, 8))
    with pytest.raises(ValueError, match="size must be"):
        rasterize(vertices[None], faces, (8, 40000))
    with pytest.raises(ValueError, match="vertices 0 to 7, but there are 6"):
        rasterize(vertices[None, :6], faces, (8, 8))
    with pytest.raises(ValueError, match=r"faces must have shape \(F, 3\)"):
        rasterize(vertices[None], faces[:, :2], (8, 8))
    with pytest.raises(ValueError, match="faces must be integers"):
        rasterize(vertices[None], faces.float(), (8, 8))


def test_perspective_depth_is_linear_on_the_picture(device):
    """A tilted square seen from near: depths lead back to the plane that it lies in."""
    plane = torch.tensor([[-1.0, -1, -0.5], [1, -1, -0.5], [1, 1, 0.5], [-1, 1, 0.5]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], device=device)
    pixels = frame(plane[None].to(device), (60, 60), Camera(distance=2.0))
    found = rasterize(pixels, faces, (60, 60))
    # depth d (1 - d / (z + d)) of the plane z = y / 2 at a pixel whose ray has y = t (z + d) / d
    z = 2.0 * 2.0 / (2.0 - found.depth) - 2.0
    y = 2 * z
    row = found.pixel // 60 % 60 + 0.5
    projected = y * 2 / (z + 2)
    scale = (row - row.mean()) / (projected - projected.mean())
    inner = (projected - projected.mean()).abs() > 0.1
    assert float(scale[inner].std() / scale[inner].mean()) < 0.01


@pytest.mark.parametrize("block", [zbuffer.BLOCK, 777], ids=["at once", "in blocks"])
@pytest.mark.parametrize("spread", [2.0, 12.0, 50.0, 3000.0])
def test_loops_and_tensors_agree_bit_by_bit(spread, block, monkeypatch):
    """Triangles of all sizes, open and closed meshes, many over the border or outside, some without
    area; blocks end within triangles."""
    size = (40, 30)
    vertices, faces = sphere(rings=12)
    closed = frame(turn(vertices[None], torch.tensor([0.0, 50.0, 130.0])), size)
    middle = torch.tensor([size[1] / 2 + 3, size[0] / 2, 0])
    closed = (closed - middle) * spread / 12 + middle
    soup, apart = random_soup(int(spread), 80, spread, size, 3)
    lines = soup.round()  # corners on each other's rows and columns, and depths alike
    lines[:, ::6] = lines[:, 1::6]
    drawn = []
    monkeypatch.setattr(zbuffer, "BLOCK", block)
    for looped in (True, False):
        monkeypatch.setattr(zbuffer, "looped", lambda *tensors, answer=looped: answer)
        drawn.append([])
        for pixels, faces_of in (
            (soup, apart),
            (lines, apart),
            (closed, faces),
            (closed + 1e5, faces),
            (closed[:0], faces),
        ):
            drawn[-1] += rasterize(pixels, faces_of, size)[:-1]
            columns = [pixels[..., k].T.contiguous() for k in range(3)]
            grey = torch.rand(columns[0].shape, generator=torch.Generator().manual_seed(1))
            way = outward(columns, faces_of)
            drawn[-1].append(paint(columns, faces_of, size, grey, way))
    covered = [len(pixel) for pixel in drawn[0][::6]]
    assert min(covered[:3]) > 50 and covered[3:] == [0, 0]
    for one, other in zip(*drawn, strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other)


class Operations(TorchDispatchMode):
    """Counts them."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("rasterized", [False, True], ids=["paint", "rasterize"])
def test_many_triangles_are_no_more_operations_than_a_few(rasterized, monkeypatch):
    """What a GPU's time goes by: operations that the host starts, and numbers that it waits for.
    Larger boxes than 16 pixels and pixels by the million are done apart."""
    monkeypatch.setattr(zbuffer, "looped", lambda *tensors: False)
    asked, find = [], zbuffer.indices_of
    monkeypatch.setattr(zbuffer, "indices_of", lambda mask: asked.append(len(mask)) or find(mask))

    def needed(count, spread, size, batch):
        pixels, faces = random_soup(4, count, spread, size, batch)
        columns = [pixels[..., k].T.contiguous() for k in range(3)]
        way = outward(columns, faces)
        asked.clear()
        with Operations() as operations:
            if rasterized:
                found = len(rasterize(pixels, faces, size).pixel)
            else:
                found = int((paint(columns, faces, size, columns[2].abs(), way) > 0).sum())
        assert found > 0
        return operations.count, len(asked)

    few = needed(6, 9.0, (20, 20), 1)
    assert few == needed(200, 15.0, (90, 70), 5) == needed(300, 3.0, (60, 20), 2)
    more = needed(300, 40.0, (60, 90), 3)
    assert more[1] == few[1] + 1 and more[0] < 1.5 * few[0]
