"""Drawing fast draws the same: what is skipped, shared or batched changes no pixel."""

import hashlib

import numpy as np
import pytest
import scipy.special
import torch
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

import gcl  # noqa: F401
from gcl.structure.poses import sample_each, sample_pose
from gcl.structure.render import Fragments
from gcl.synthetic import cloth, light, places, rings, things
from gcl.synthetic.anatomy import hairline
from gcl.synthetic.cameras import draw_camera, resized
from gcl.synthetic.draw import dress, photographs
from gcl.synthetic.examples import draw_examples
from gcl.synthetic.figure import Tailor
from gcl.synthetic.filters import blurred
from gcl.synthetic.identity import draw_identity
from gcl.synthetic.noise import _tile, noise
from gcl.synthetic.people import draw_people
from gcl.synthetic.pixels import averaged, interpolated
from gcl.synthetic.plan import Settings, plan
from gcl.synthetic.set_files import one_thread
from gcl.synthetic.turns import draw_turns


def digest(*arrays):
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()[:16]


def arithmetic():
    """Of the elementary functions that drawing goes through, which libraries and processors round
    each in their own way."""
    x = np.linspace(0.01, 3, 4099)
    t = torch.linspace(-3, 3, 4099)
    wide = torch.linspace(-1, 1, 20 * 163).view(20, 163)
    return digest(
        x**1.2, np.tanh(x), np.sin(x), np.exp(-x), np.fft.rfft(x).real, scipy.special.erfinv(x / 4),
        t.sin(), t.cos(), t.exp(), (t / 4).erfinv(), wide @ wide.T @ wide,
        torch.nn.functional.normalize(t[:4098].view(-1, 3), dim=1), t[:4098].view(-1, 6).mean(1),
    )  # fmt: skip


DRAWN_WITH = "24bd9f7ee06530b4"
"""`arithmetic()` of the machine on which the digests below were taken, before drawing was made
fast; another one rounds otherwise, and draws other last bits."""
PEOPLE = {
    ((128, 64), 3): "060eda3460f1ac87",
    ((64, 32), 11): "7769eee134d1a785",
}
TURNS, EXAMPLES, SET = "4a1e404f5e1f205e", "6f6f783f1fd8aa73", "e266d55827c41014"


@pytest.fixture(scope="module")
def tailor():
    return Tailor()


@pytest.fixture(scope="module")
def first_drawn(tailor):
    """Skips where the digests say nothing."""
    if arithmetic() != DRAWN_WITH:
        pytest.skip("this machine's elementary functions round otherwise")
    with one_thread():
        yield


@pytest.mark.parametrize(("size", "seed"), list(PEOPLE))
def test_people_are_the_same_bit_by_bit(tailor, first_drawn, size, seed):
    assert digest(*draw_people(size, tailor, seed, [7 * seed])) == PEOPLE[size, seed]


def test_turns_are_the_same_bit_by_bit(tailor, first_drawn):
    assert digest(*draw_turns((64, 32), tailor, 5, range(3, 19))) == TURNS


def test_examples_are_the_same_bit_by_bit(tailor, first_drawn):
    assert digest(*draw_examples(tailor, 2, range(16))) == EXAMPLES


def test_sets_are_the_same_bit_by_bit(tailor, first_drawn):
    scenes = [shot.scene for shot in plan(Settings())[16:32]]
    figure = dress(tailor, scenes)
    straight = photographs(tailor, scenes, (128, 64), figure)
    turned = photographs(tailor, scenes, (96, 48), figure, [23.0 * i for i in range(16)])
    assert digest(*straight, *turned, figure.vertices.numpy(), figure.body.numpy()) == SET


def test_poses_do_not_depend_on_their_batch():
    def chance():
        return [torch.Generator().manual_seed(7919 * i) for i in range(300)]

    together = sample_each(chance())
    alone = [sample_pose(1, generator) for generator in chance()]
    for name, values in together._asdict().items():
        assert torch.equal(values, torch.cat([getattr(pose, name) for pose in alone]))


@pytest.mark.parametrize("seed", range(8))
def test_pictures_are_resized_as_scipy_does(seed):
    rng = np.random.default_rng(seed)
    (h, w), (high, wide) = rng.integers(8, 150, 2), rng.integers(4, 150, 2)
    picture = rng.random((h, w, 3))
    expected = zoom(picture, (high / h, wide / w, 1), order=1, mode="nearest", grid_mode=True)
    assert expected.shape == (high, wide, 3)
    np.testing.assert_array_equal(resized(picture, (high, wide)), expected)


def test_what_is_free_of_a_place_is_seen_as_in_the_whole():
    rng = np.random.default_rng(0)
    for seed in range(6):
        camera = draw_camera(np.random.default_rng(seed))
        rows, columns = np.mgrid[:40, :30]
        rays = np.stack((columns / 60 - 0.25, rows / 80 - 0.1, np.ones((40, 30))), -1)
        passers = tuple(things.draw_passer(rng, 0.1 * i, camera.far + i) for i in range(3))
        eye, free = np.array([0.0, -camera.height, 0.0]), rng.random((40, 30)) < 0.6
        whole = places.view(camera.place, eye, rays, passers)
        part = places.view(camera.place, eye, rays, passers, free)
        for all_of_it, some in zip(whole, part, strict=True):
            np.testing.assert_array_equal(all_of_it.reshape(40, 30, -1)[free], some)
        none = places.view(camera.place, eye, rays, passers, np.zeros_like(free))
        assert [len(values) for values in none] == [0, 0]


def test_nothing_is_left_of_a_thing_beyond_its_reach():
    rng = np.random.default_rng(0)
    x, up = np.meshgrid(np.linspace(-5, 5, 251), np.linspace(0.001, 9, 181))
    kinds = set()
    for _ in range(25):
        for thing in (things.draw_fixture(rng, 0, 0), things.draw_passer(rng, 0, 0)):
            kinds.add(thing.kind)
            aside, high = things.reach(thing)
            near = (np.abs(x) < aside) & (up < high)
            cover = things.look(thing, x, up)[1]
            assert not cover[~near].any(), thing
            assert cover[near].max() > 0.9, thing
    assert kinds == set(things._LOOKS)


def test_support_is_the_greatest_over_the_vertices():
    rng = torch.Generator().manual_seed(0)
    points, which = torch.randn(2, 9, 3, generator=rng), torch.arange(9) != 4
    levels = torch.tensor([[0.0, 0.5], [0.2, -0.3]])
    found = rings.support(points, which, levels, 5, 0.1)
    for b in range(2):
        for level in range(2):
            reach = []
            for way in rings.directions(5):
                kept = [p for p, there in zip(points[b], which, strict=True) if there]
                far = [max(float(abs(p[2] - levels[b, level])) - 0.1, 0) for p in kept]
                reach.append(max(float(p[:2] @ way) - f for p, f in zip(kept, far, strict=True)))
            smooth = [0.5 * reach[k] + 0.25 * (reach[k - 1] + reach[(k + 1) % 5]) for k in range(5)]
            torch.testing.assert_close(found[b, level], torch.tensor(smooth))


def test_people_in_a_batch_wear_their_own(tailor):
    """Whoever comes twice is dressed once, and everybody as alone."""
    people = [draw_identity(np.random.default_rng((0, i))) for i in (0, 1, 0, 2, 1)]
    people[4] = draw_identity(np.random.default_rng((0, 1)))  # equal, though not the same object
    pose = sample_pose(5, torch.Generator().manual_seed(0))
    together = tailor.dress(people, pose)
    for i, person in enumerate(people):
        alone = tailor.dress([person], pose._replace(rotations=pose.rotations[i : i + 1]))
        torch.testing.assert_close(together.vertices[i], alone.vertices[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.rest[i], alone.rest[0], atol=1e-5, rtol=0)


def test_light_between_parts_is_that_of_pooled_depths():
    """1 - 2.6 clamp(depth - mean depth of 7 x 7 cells of 2 x 2 pixels about it, 0, 0.15)."""
    rng = torch.Generator().manual_seed(0)
    there = torch.rand(2, 24, 18, generator=rng) < 0.7
    depth = torch.where(there, torch.randn(2, 24, 18, generator=rng), 0)
    both = torch.nn.functional.avg_pool2d(torch.stack((depth, there.float()), 1), 2)
    for kernel, padding in (((7, 1), (3, 0)), ((1, 7), (0, 3))):
        both = torch.nn.functional.avg_pool2d(both, kernel, 1, padding)
    beside = (both[:, 0] / both[:, 1].clamp(min=1e-3)).repeat_interleave(2, 1)
    expected = 1 - 2.6 * (depth - beside.repeat_interleave(2, 2)).clamp(0, 0.15)
    pixel = there.flatten().nonzero()[:, 0]
    fragments = Fragments(pixel, pixel // 432, pixel, pixel, depth.flatten()[pixel], (2, 24, 18))
    assert torch.equal(light.occlusion(fragments), expected[there])


def test_pixels_of_a_figure_are_interpolated_and_averaged():
    """Values are sums of weights times those of the corners; a pixel is the mean of 2 x 2."""
    rng = np.random.default_rng(0)
    values, faces = rng.random((9, 5), np.float32), rng.integers(0, 9, (7, 3))
    pixel = np.flatnonzero(rng.random(12 * 8) < 0.6)
    face = rng.integers(0, 7, len(pixel))
    weights = rng.dirichlet(np.ones(3), len(pixel)).astype(np.float32)
    expected = sum(values[faces[face, k]] * weights[:, k, None] for k in range(3)).T
    found = interpolated(values, faces, face, weights)
    np.testing.assert_array_equal(found, expected)
    canvas = torch.zeros(4, 12 * 8)
    canvas[:3, pixel], canvas[3, pixel] = torch.from_numpy(expected[:3]), 1.0
    mean = torch.nn.functional.avg_pool2d(canvas.view(1, 4, 12, 8), 2)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(averaged(found[:3], pixel, 6, 4, 2), mean)


def test_hair_begins_where_the_scalp_grows():
    y = torch.linspace(-0.3, 0.3, 101)
    nose, top = torch.tensor(0.02), torch.tensor(1.7)
    found = [cloth._hairline(*map(np.float32, (value, 0.02, 1.7))) for value in y]
    np.testing.assert_array_equal(np.array(found), hairline(y, nose, top))


@pytest.mark.parametrize("mirror", [False, True])
def test_a_blur_is_scipys_bit_by_bit(mirror):
    rng = np.random.default_rng(0)
    for shape in ((30, 17, 3), (5, 3, 3), (40, 2, 1)):
        picture, deviation = rng.random(shape), rng.uniform(0.3, 4)
        mode = "reflect" if mirror else "nearest"
        expected = gaussian_filter(picture, (deviation, deviation, 0), mode=mode)
        np.testing.assert_array_equal(blurred(picture, deviation, mirror), expected)


def test_noise_is_scipys_wrapped_grid_bit_by_bit():
    rng = np.random.default_rng(0)
    multiples = 256 * 0.05 * rng.integers(-3, 4, 300)
    for y in (rng.uniform(-1, 1, 300), rng.uniform(-1e4, 1e4, 300), multiples, multiples - 1e-14):
        x = rng.uniform(-100, 100, 300)
        expected = map_coordinates(_tile(1.2), (y / 0.05, x / 0.05), order=1, mode="grid-wrap")
        found = noise(x, y, 0.05, 1.2)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("width", [0.045, 0.05, 0.16])
def test_a_shadow_is_that_of_the_whole_ground(width):
    """The window of the grid leaves nothing out, at its border either."""
    rng = np.random.default_rng(0)
    here = rng.uniform(-4, 4, (50, 30, 2))
    for middle in (0.0, 1.9):
        points, weight = rng.normal(middle, 0.4, (300, 2)), rng.random(300)
        index = np.clip((points / 0.04 + 56).astype(int), 0, 111)
        grid = np.zeros((112, 112))
        np.add.at(grid, (index[:, 1], index[:, 0]), weight)
        grid = gaussian_filter(grid, width / 0.04)
        x, y = np.moveaxis(here / 0.04 + 55.5, -1, 0)
        expected = 4 * map_coordinates(grid, (y, x), order=1, mode="constant")
        found = light._spread(points, here, weight, width)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        assert found.max() > 0.3
