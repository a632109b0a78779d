"""Single pictures: what changes from one to the next, and what does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import gcl  # noqa: F401
from gcl.structure.geometry import render_views
from gcl.structure.topology import topology
from gcl.synthetic import draw, light, rings
from gcl.synthetic.cameras import develop, draw_camera
from gcl.synthetic.draw import bodies, dress, photographs
from gcl.synthetic.figure import PARTS, Tailor
from gcl.synthetic.identity import BAGS, HAIRS, PATTERNS, draw_identity
from gcl.synthetic.projection import Projection, about_pelvis
from gcl.synthetic.scene import Scene, draw_moment

SIZE = (96, 48)


@pytest.fixture(scope="module")
def tailor():
    return Tailor()


def scene(person=0, camera=0, moment=0, yaw=30.0):
    seen_by = draw_camera(np.random.default_rng((1, camera)))
    return Scene(
        draw_identity(np.random.default_rng((0, person))),
        seen_by,
        draw_moment(np.random.default_rng((2, moment)), seen_by, yaw),
    )


@pytest.fixture(scope="module")
def many():
    """Twelve people, among them one with each kind of hair and bag."""
    people = [draw_identity(np.random.default_rng((0, i))) for i in range(12)]
    for i, person in enumerate(people):
        people[i] = replace(person, hair=HAIRS[i % 7], bag=BAGS[i % 4], side=(-1) ** i)
    return [replace(scene(i, i % 3, i, 37.0 * i), person=p) for i, p in enumerate(people)]


def test_the_same_seed_is_the_same_person_and_another_is_not():
    people = [draw_identity(np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert people[0] == people[1] != people[2]


def test_people_wear_everything_there_is():
    people = [draw_identity(np.random.default_rng((9, i))) for i in range(600)]
    assert {p.hair for p in people} == set(HAIRS) and {p.bag for p in people} == set(BAGS)
    assert {p.upper.pattern for p in people} == set(PATTERNS)
    share = {
        "skirt": np.mean([p.lower.skirt for p in people]),
        "coat": np.mean([p.upper.hem > 0.2 for p in people]),
        "boots": np.mean([p.boot > 0 for p in people]),
        "hood": np.mean([p.upper.hood for p in people]),
    }
    assert all(0.02 < value < 0.3 for value in share.values()), share


def test_most_clothes_are_muted():
    """Streets are not garish: the mean difference between a colour's channels is small."""
    people = [draw_identity(np.random.default_rng((9, i))) for i in range(300)]
    colours = np.array([c for p in people for c in (p.upper.colour, p.lower.colour)])
    assert np.ptp(colours, axis=1).mean() < 0.2
    assert colours.min() >= 0 and colours.max() <= 1


def test_all_parts_are_closed_and_face_outwards(tailor, many):
    figure = dress(tailor, many)
    assert topology(tailor.figure_faces, figure.vertices.shape[1]).closed
    for number, name in enumerate(PARTS):
        faces = tailor.figure_faces[tailor.part == number]
        a, b, c = (figure.vertices[:, faces[:, k]] - figure.vertices[:, faces[:1, 0]]
                   for k in range(3))  # fmt: skip
        litres = (torch.linalg.cross(a, b) * c).sum((1, 2)) / 6 * 1000
        assert (litres > -1e-3).all(), name
        assert litres.max() > 0.05, name


def test_clothes_stay_about_the_body(tailor, many):
    figure = dress(tailor, many)
    assert figure.vertices.isfinite().all()
    low, high = figure.body.amin(1), figure.body.amax(1)
    assert (figure.vertices > low[:, None] - 0.25).all()
    assert (figure.vertices < high[:, None] + 0.25).all()
    torch.testing.assert_close(figure.vertices[..., 1].amax(1), torch.zeros(len(many)))


def test_the_same_arguments_give_the_same_pixels_whatever_else_is_in_the_batch(tailor, many):
    one = photographs(tailor, many[4:5], SIZE)
    batch = photographs(tailor, many, SIZE)
    again = photographs(tailor, many, SIZE)
    np.testing.assert_array_equal(batch.crops, again.crops)
    # sums may be taken in another order, so that a pixel may round differently
    assert np.abs(one.crops[0].astype(int) - batch.crops[4]).max() <= 3
    assert batch.crops.shape == (12, *SIZE, 3) and batch.crops.dtype == np.uint8


def test_the_structure_lies_under_the_clothes(tailor, many):
    """From every side; renders are level and without perspective, pictures are not."""
    turns = (0.0, 90.0, 225.0)
    views = [render_views(body, turns, SIZE) for body in bodies(tailor, many, SIZE)]
    inside = []
    for i, turn in enumerate(turns):
        masks = photographs(tailor, many, SIZE, turns=[turn] * len(many)).masks > 0.5
        for mask, renders in zip(masks, views, strict=True):
            body = np.asarray(renders[i]) > 0
            inside.append((body & mask).sum() / body.sum())
            assert (body & mask).sum() > 0.35 * mask.sum()
    assert min(inside) > 0.7 and np.mean(inside) > 0.88, (min(inside), np.mean(inside))


def test_bodies_are_upright_at_their_yaw_and_framed_as_in_the_picture(tailor, many):
    figure = dress(tailor, many)
    yaw = torch.tensor([s.moment.yaw for s in many])
    turned = about_pelvis(figure.body, yaw)
    pixels = Projection(about_pelvis(figure.vertices, yaw), many, SIZE)(turned)
    for i, body in enumerate(bodies(tailor, many, SIZE, figure)):
        assert torch.equal(body.vertices, turned[i]) and body.yaw == many[i].moment.yaw
        (left, top), (right, bottom) = pixels[i, :, :2].amin(0), pixels[i, :, :2].amax(0)
        place = torch.stack((top / 96, bottom / 96, (left + right) / 2 / 48))
        torch.testing.assert_close(body.framing, place)


def test_who_turns_keeps_the_framing(tailor, many):
    """Top, bottom and middle of the body; its width is as much wider than true as before."""
    figure = dress(tailor, many)
    yaw = torch.tensor([s.moment.yaw for s in many])
    before = about_pelvis(figure.body, yaw)
    own = Projection(about_pelvis(figure.vertices, yaw), many, SIZE)
    for turn in (0, 45, 90, 180):
        after = about_pelvis(figure.body, yaw + turn)
        moved = own.following(before, after)
        a, b = own(before), moved(after)
        assert (turn == 0) == torch.equal(a[..., :2], b[..., :2])
        torch.testing.assert_close(a[..., 1].amin(1), b[..., 1].amin(1), atol=1e-3, rtol=0)
        torch.testing.assert_close(a[..., 1].amax(1), b[..., 1].amax(1), atol=1e-3, rtol=0)
        middle = [(p[..., 0].amin(1) + p[..., 0].amax(1)) / 2 for p in (a, b)]
        torch.testing.assert_close(*middle, atol=1e-3, rtol=0)
        ratio = [p.zoom[:, 0, 0] / p.zoom[:, 0, 1] for p in (own, moved)]
        torch.testing.assert_close(*ratio)


def test_a_turn_of_nothing_is_the_picture_itself(tailor, many):
    same = photographs(tailor, many[:3], SIZE, turns=[0.0] * 3).crops
    np.testing.assert_array_equal(same, photographs(tailor, many[:3], SIZE).crops)


def test_yaw_90_looks_to_the_right_of_the_image(tailor):
    """At 90 degrees the toes are to the right of the heels, at 270 to the left."""
    figure = dress(tailor, [scene()])
    number = PARTS.index("left shoe")
    corners = tailor.figure_faces[tailor.part == number].unique()
    along = figure.place[0, corners, 0]
    for yaw, sign in ((90.0, 1), (270.0, -1)):
        x = about_pelvis(figure.vertices, torch.tensor([yaw]))[0, corners, 0]
        assert sign * (x[along > 0.9].mean() - x[along < 0.1].mean()) > 0.1


def test_another_yaw_shows_the_same_colours(tailor):
    """Front and back of a plain person agree in colour more than two people do."""

    def colours(person, yaw):
        plain = scene(person, 0, 1, yaw)
        upper = replace(plain.person.upper, pattern="plain", opening=0.0)
        plain = replace(plain, person=replace(plain.person, upper=upper, bag="none", hair="short"))
        picture = photographs(tailor, [plain], SIZE)
        inside = picture.masks[0] > 0.9
        rows = np.arange(SIZE[0])[:, None] / SIZE[0]
        return np.array([picture.crops[0][inside & (rows > a) & (rows < b)].mean(0)
                         for a, b in ((0.25, 0.45), (0.6, 0.85))])  # fmt: skip

    people = [(colours(p, 0.0), colours(p, 180.0)) for p in range(6)]
    same = [np.abs(front - back).mean() for front, back in people]
    different = [np.abs(people[i][0] - people[j][1]).mean()
                 for i in range(6) for j in range(6) if i != j]  # fmt: skip
    assert np.mean(same) < 0.4 * np.mean(different)


def test_only_the_person_changes_when_the_yaw_does(tailor, monkeypatch):
    """Pose, creases, passers-by and noise: nothing that is drawn by chance goes by the yaw. The
    place moves a little, as its box frames the person anew."""
    first = scene(2, yaw=0.0)
    turned = first.turned(180)
    assert replace(turned.moment, yaw=0.0) == first.moment
    assert torch.equal(first.pose().rotations, turned.pose().rotations)
    drawn = []

    def keep(*arguments):
        drawn.append(arguments[-1].bit_generator.state["state"])  # before noise is drawn
        return develop(*arguments)

    monkeypatch.setattr(draw, "develop", keep)
    photographs(tailor, [first, turned], SIZE)
    assert drawn[0] == drawn[1]


def test_a_pixel_shows_the_place_where_its_ray_goes():
    """A point of the person and the ray through its pixel meet, for every camera."""
    scenes = [scene(0, i, i) for i in range(4)]
    points = torch.randn(4, 20, 3, generator=torch.Generator().manual_seed(0)) * 0.3
    points[..., 1] -= 0.9
    projection = Projection(points, scenes, (400, 200))
    pixels = projection(points)
    for i, s in enumerate(scenes):
        column, row, _ = pixels[i].unbind(1)
        inside = ((row > 0) & (row < 400) & (column > 0) & (column < 200)).numpy()
        assert inside.sum() > 14
        rays = projection.rays(i)[row[inside].long(), column[inside].long()]
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        # the person's axes in the place: turned to the camera's azimuth, at (x, z)
        c, t = np.cos(s.azimuth), np.sin(s.azimuth)
        x, y, z = points[i].numpy()[inside].T
        world = np.stack((s.moment.x + c * x + t * z, y, s.moment.z + c * z - t * x), 1)
        from_eye = world - (0, -s.camera.height, 0)
        off = from_eye - (from_eye * rays).sum(1, keepdims=True) * rays
        assert np.linalg.norm(off, axis=1).max() < 0.012  # metres; a pixel is 5 mm


def test_right_is_right():
    """Columns grow to the person's left hand when the person faces the camera."""
    points = torch.tensor([[[-0.4, -1.0, 0.0], [0.4, -1.0, 0.0], [0.0, 0.0, 0.0], [0, -1.7, 0]]])
    column, row, _ = Projection(points, [scene()], SIZE)(points)[0].T
    assert column[0] < column[2] < column[1] and row[3] < row[0] < row[2]


def test_hair_is_at_the_back_of_the_head(tailor):
    """Black hair on light skin: the head is darker from behind."""
    person = replace(
        scene().person, hair="short", hair_colour=(0.05, 0.05, 0.05), skin=(0.9, 0.75, 0.65)
    )
    person = replace(person, bag="none", upper=replace(person.upper, hood=0.0, collar=0.0))
    front = replace(scene(yaw=0.0), person=person)
    heads = []
    for s in (front, front.turned(180)):
        picture = photographs(tailor, [s], SIZE)
        rows = np.flatnonzero((picture.masks[0] > 0.9).any(1))
        head = slice(rows[0] + 2, rows[0] + 11)
        heads.append(picture.crops[0][head][picture.masks[0][head] > 0.9].mean())
    assert heads[0] > 1.25 * heads[1]


def test_the_shadow_is_under_the_feet(tailor):
    cloudy = scene()
    cloudy = replace(cloudy, camera=replace(cloudy.camera, sunlight=0.0))
    body = about_pelvis(dress(tailor, [cloudy]).body, torch.tensor([cloudy.moment.yaw]))[0]
    aside = np.linspace(-3, 3, 61)
    ground = np.stack(np.meshgrid(cloudy.moment.x + aside, cloudy.moment.z + aside), -1)
    dark = light.shadow(cloudy, ground, body)
    assert dark.shape == (61, 61) and 0 <= dark.min() and dark.max() <= 1
    assert dark[26:35, 26:35].max() > 0.3 and dark[[0, -1]].max() < 0.01
    sunny = replace(cloudy, camera=replace(cloudy.camera, sunlight=0.6, sun=(0.7, -0.714, 0.0)))
    cast = light.shadow(sunny, ground, body)
    # away from the sun, to the left, as long as the person is high
    assert cast[30, 15:28].mean() > 0.3 > cast[30, 36:48].mean()


def test_the_side_to_the_sun_is_brighter():
    sunny = scene()
    camera = replace(sunny.camera, sun=(1.0, 0.0, 0.0), sunlight=0.5)
    sunny = replace(sunny, camera=camera, moment=replace(sunny.moment, x=0.0))
    sides = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, -1.0, 0], [0, 1.0, 0]], np.float32)
    white, flat = np.ones((3, 4), np.float32), np.zeros(4, np.float32)

    def seen(yaw):
        sun = light.suns([sunny], torch.tensor([yaw]))[0].numpy()
        lit = light.lit(white, sides, flat, flat, white[0], sun, np.float32(0.5))
        return torch.from_numpy(lit).mean(0)

    right, left, up, down = seen(0.0)
    assert right > 1.5 * left and up > 1.5 * down
    turned = seen(180.0)
    torch.testing.assert_close(turned[:2], torch.stack((left, right)))


@pytest.mark.parametrize("size", [(64, 32), (128, 64), (256, 128), (100, 61)])
def test_a_camera_makes_of_a_larger_crop_the_same_picture(size):
    """A grey edge comes out as blurred, in shares of the crop, whatever its size."""
    camera = draw_camera(np.random.default_rng((1, 0)))
    camera = replace(camera, noise=0.0, sharpening=0.0, rows=64.0)
    edge = np.repeat((np.arange(size[0]) > size[0] / 2)[:, None, None], size[1], 1) * np.ones(3)
    picture = develop(0.2 + 0.4 * edge, camera, np.random.default_rng(0))
    assert picture.shape == (*size, 3)
    column = picture[:, size[1] // 2, 1].astype(float)
    rise = np.diff(column) / (column[-1] - column[0])
    at = (np.arange(len(rise)) + 1) / size[0]
    width = np.sqrt((rise * (at - (rise * at).sum()) ** 2).sum())
    assert 0.006 < width < 0.02


def test_cameras_differ_in_colour_and_place(tailor):
    means = [
        photographs(tailor, [scene(0, c, 0)], SIZE).crops[0].reshape(-1, 3).mean(0)
        for c in range(4)
    ]
    apart = [np.abs(a - b).max() for i, a in enumerate(means) for b in means[:i]]
    assert min(apart) > 3


@pytest.mark.parametrize("power", [1, 2])
def test_outline_of_an_ellipse(power):
    """The support function of an ellipse gives back its points."""
    corners, a, b = 64, 0.3, 0.1 * power
    d = rings.directions(corners)
    reach = torch.sqrt((a * d[:, 0]) ** 2 + (b * d[:, 1]) ** 2)
    x, y = rings.outline(reach).unbind(-1)
    torch.testing.assert_close((x / a) ** 2 + (y / b) ** 2, torch.ones(corners), atol=0.01, rtol=0)


def test_cloth_hangs_from_what_stands_out_above():
    reach = torch.tensor([[[0.2], [0.3], [0.1], [0.1]]])
    assert torch.equal(rings.hang(reach, torch.tensor([0.0])), reach)
    hung = rings.hang(reach, torch.tensor([0.5]))[0, :, 0]
    torch.testing.assert_close(hung, torch.tensor([0.2, 0.3, 0.2, 0.15]))
