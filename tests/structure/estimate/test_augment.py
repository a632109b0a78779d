"""Random cuts against markers drawn on the canvas; hiding and filming keep what they must."""

from __future__ import annotations

import pytest
import torch

from gcl.structure.estimate.augment import (
    OCCLUDED,
    TRUNCATED,
    Cropped,
    occlude,
    photometric,
    random_crop,
)

SIZE = (128, 64)
BOX = torch.tensor([30.0, 22.0, 66.0, 138.0])  # left, top, right, bottom on a canvas of 160 x 96
SIGMA = 2.0


def canvas() -> torch.Tensor:
    """(3, 160, 96): round spots at the box's top and bottom (red), middle (green) and the right end
    of its middle row (blue)."""
    left, top, right, bottom = BOX.tolist()
    across, down = (left + right) / 2, (top + bottom) / 2
    spots = ((0, across, top), (0, across, bottom), (1, across, down), (2, right, down))
    picture = torch.zeros(3, 160, 96)
    rows, columns = torch.arange(160)[:, None] + 0.5, torch.arange(96) + 0.5
    for channel, x, y in spots:
        far = (columns - x).square() + (rows - y).square()
        picture[channel] += 255 * torch.exp(-far / (2 * SIGMA**2))
    return picture


def spot(picture: torch.Tensor) -> tuple[float, float]:
    """Row and column of the middle of what is bright, as shares of the picture."""
    height, width = picture.shape
    mass = picture / picture.sum()
    rows, columns = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    return float((mass.sum(1) * rows).sum()), float((mass.sum(0) * columns).sum())


def some_crops() -> Cropped:
    torch.manual_seed(0)
    return random_crop(canvas().expand(200, 3, 160, 96), BOX.expand(200, 4), SIZE)


@pytest.fixture(scope="module")
def cuts():
    return some_crops()


@pytest.fixture
def level(monkeypatch):
    """Cropped that are not tilted: framing knows of no tilt."""
    monkeypatch.setattr(torch, "deg2rad", torch.zeros_like)
    return some_crops()


def test_framing_says_where_the_body_is(level):
    assert level.crops.shape == (200, 3, *SIZE)
    checked = 0
    for crop, framing in zip(level.crops, level.framing.tolist(), strict=True):
        top, bottom, centre = framing
        assert spot(crop[1]) == pytest.approx(((top + bottom) / 2, centre), abs=0.002)
        for end, first, half in ((top, 0, crop[0, :64]), (bottom, 0.5, crop[0, 64:])):
            if 0.05 < end < 0.95:  # else the spot is not whole
                row, column = spot(half)
                assert (first + row / 2, column) == pytest.approx((end, centre), abs=0.002)
                checked += 1
    assert checked > 50


def test_a_tilt_moves_the_body_by_less_than_boxes_are_off(level, cuts):
    """The same chance with and without: by 2 % of a crop in the median, where it moves most."""
    assert torch.equal(level.framing, cuts.framing)
    moved = []
    for tilted, straight in zip(cuts.crops, level.crops, strict=True):
        (row, column), (r, c) = spot(tilted[1]), spot(straight[1])
        moved.append((abs(row - r), abs(column - c)))
    moved = torch.tensor(moved)
    assert moved.any() and (moved.median(0).values < 0.02).all() and (moved < 0.1).all()


def test_top_and_bottom_at_the_edges_of_a_tight_crop(cuts):
    """Of feet or heads that are cut off nothing is left; framing goes on outside."""
    gone = cuts.framing[:, 1] > 1.03
    assert gone.any()
    # no reflection either, as the canvas shows more than a crop
    feet = cuts.crops[gone][:, 0, 64:].amax((1, 2))
    assert (feet < 255 * 0.2).all()
    there = cuts.framing[:, 1] < 0.97
    assert (cuts.crops[there][:, 0, 64:].amax((1, 2)) > 150).all()


def test_flipped_says_whether_left_and_right_changed_places(cuts):
    for crop, flipped in zip(cuts.crops, cuts.flipped.tolist(), strict=True):
        assert (spot(crop[2])[1] < spot(crop[1])[1]) == flipped
    assert 0.35 < cuts.flipped.float().mean() < 0.65


def test_a_tilt_turns_and_does_not_bend(level, cuts):
    """From the middle to the bottom and to the right end stays a right angle, lengths stay too."""
    checked = 0
    for tilted, straight, framing in zip(cuts.crops, level.crops, cuts.framing, strict=True):
        if framing[1] > 0.92:
            continue
        top, bottom, _ = framing.tolist()
        high = float(BOX[3] - BOX[1]) / (bottom - top)
        wide = float(BOX[2] - BOX[0]) / 2 / abs(spot(straight[2])[1] - spot(straight[1])[1])
        size = torch.tensor([high, wide])  # of the crop in pixels of the canvas
        row, column = spot(tilted[0, 64:])
        places = [spot(tilted[1]), spot(tilted[2]), (0.5 + row / 2, column)]
        middle, right, foot = (torch.tensor(place) * size for place in places)
        right, foot = right - middle, foot - middle
        assert float(right @ foot) / float(right.norm() * foot.norm()) == pytest.approx(0, abs=0.02)
        assert float(foot.norm() / right.norm()) == pytest.approx(116 / 36, rel=0.03)
        checked += 1
    assert checked > 10


def test_tilts_are_small_and_to_both_sides(cuts):
    """The angle of the line middle -> right end, on the canvas level."""
    rows, columns = [], []
    for crop, flipped in zip(cuts.crops, cuts.flipped.tolist(), strict=True):
        (r0, c0), (r1, c1) = spot(crop[1]), spot(crop[2])
        rows.append((r1 - r0) * (-1 if flipped else 1))
        columns.append(c1 - c0)
    slope = torch.tensor(rows) / torch.tensor(columns).abs()
    assert slope.min() < 0 < slope.max() and slope.abs().max() < 0.25


def test_boxes_are_as_detectors_make_them(cuts):
    filled = cuts.framing[:, 1] - cuts.framing[:, 0]
    assert ((filled > 0.85) & (filled < 1.31)).all()
    torch.manual_seed(0)
    many = random_crop(
        torch.zeros(4000, 3, 8, 8), torch.tensor([2.0, 1, 6, 7]).expand(4000, 4), (2, 1)
    )
    filled = many.framing[:, 1] - many.framing[:, 0]
    assert float((filled > 1.06).float().mean()) == pytest.approx(TRUNCATED, abs=0.02)
    # of these it is more often the feet
    off = many.framing[filled > 1.06]
    assert (off[:, 1] - 1).mean() > -off[:, 0].mean()


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_picture_of_one_colour_stays_that_wherever_it_is_cut(batch):
    """Nothing black comes in from outside the canvas."""
    colour = torch.tensor([200.0, 100.0, 7.0]).view(1, 3, 1, 1)
    edge = torch.tensor([0.0, 0.0, 96.0, 160.0]).expand(batch, 4)
    found = random_crop(colour.expand(batch, 3, 160, 96), edge, SIZE).crops
    assert torch.allclose(found, colour.expand_as(found), atol=1e-2)


# ---------------------------------------------------------------------- pictures
def scenes(batch: int, seed: int = 0) -> torch.Tensor:
    """(B, 3, 128, 64) smooth pictures in 0-255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 255 * torch.rand(batch, 3, 8, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear")


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    "change", [photometric, lambda crops: photometric(occlude(crops))], ids=["one", "both"]
)
def test_changed_crops_are_pictures(change, batch):
    before = scenes(batch)
    given = before.clone()
    for seed in range(4):
        torch.manual_seed(seed)
        after = change(given)
        assert after.shape == before.shape and after.dtype == torch.float32
        assert after.isfinite().all() and after.min() >= 0 and after.max() <= 255
        assert ((after - before).abs().mean((1, 2, 3)) > 0.5).all()
    assert torch.equal(given, before)  # what was given is left alone


@pytest.mark.parametrize("value", [0.0, 255.0])
def test_black_and_white_do_no_harm(value):
    torch.manual_seed(0)
    after = photometric(torch.full((16, 3, *SIZE), value))
    assert after.isfinite().all() and after.min() >= 0 and after.max() <= 255


def test_filmed_crops_still_show_what_they_showed():
    """Correlation of the grey values with those before, where contrast is left."""
    torch.manual_seed(0)
    before = scenes(64)
    after = photometric(before)
    a, b = (x.mean(1).flatten(1) - x.mean((1, 2, 3))[:, None] for x in (before, after))
    likeness = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-6)
    assert likeness.median() > 0.9


def test_every_crop_is_filmed_by_another_camera():
    torch.manual_seed(0)
    after = photometric(scenes(1).expand(12, 3, *SIZE))
    apart = (after[:, None] - after[None]).abs().mean((2, 3, 4))
    assert (apart + torch.eye(12) > 0.5).all()


def test_hidden_people_stand_behind_a_rectangle_of_the_crop_before():
    torch.manual_seed(0)
    before = scenes(400)
    after = occlude(before)
    assert after.shape == before.shape
    changed = (after != before).any(1)
    hidden = changed.flatten(1).any(1)
    assert float(hidden.float().mean()) == pytest.approx(OCCLUDED, abs=0.06)
    for i in hidden.nonzero()[:, 0].tolist():
        rows, columns = changed[i].any(1).nonzero()[:, 0], changed[i].any(0).nonzero()[:, 0]
        box = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        assert torch.equal(after[i][box], before[i - 1][box])
        assert len(rows) <= 0.6 * SIZE[0] + 1 and len(columns) <= 0.8 * SIZE[1] + 1


@pytest.mark.parametrize("batch", [0, 1])
def test_hiding_needs_another_crop(batch):
    torch.manual_seed(0)
    for _ in range(20):
        assert torch.equal(occlude(scenes(1)[:batch]), scenes(1)[:batch])


def test_no_crops_can_be_filmed():
    assert photometric(torch.empty(0, 3, *SIZE)).shape == (0, 3, *SIZE)


def test_chance_is_that_of_torch():
    def all_of_it(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        cuts = random_crop(scenes(3), torch.tensor([10.0, 10, 50, 120]).expand(3, 4), SIZE)
        return [*cuts, photometric(occlude(cuts.crops))]

    one, same, other = all_of_it(1), all_of_it(1), all_of_it(2)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0], other[0]) and not torch.equal(one[1], other[1])


def test_changes_are_made_where_the_pictures_are(device, monkeypatch):
    """By the same chance the same crops, but for a level or two that rounding turns in JPEG."""

    def by_the_cpu(draw):
        def drawn(*args, **kwargs):
            return draw(*args, **{**kwargs, "device": "cpu"}).to(torch.get_default_device())

        return drawn

    pictures = torch.nn.functional.interpolate(scenes(16), (160, 96))
    box = torch.tensor([20.0, 20, 70, 140]).expand(16, 4)
    for name in ("rand", "randn", "randn_like", "randperm"):
        monkeypatch.setattr(torch, name, by_the_cpu(getattr(torch, name)))

    def all_of_it(place: str) -> list[torch.Tensor]:
        torch.manual_seed(0)
        cuts = random_crop(pictures.to(place), box.to(place), SIZE)
        return [*cuts, photometric(occlude(cuts.crops))]

    wanted, found = all_of_it("cpu"), all_of_it(device)
    assert all(tensor.device.type == device for tensor in found)
    crops, framing, flipped, filmed = (tensor.cpu() for tensor in found)
    torch.testing.assert_close(crops, wanted[0], rtol=0, atol=0.05)
    torch.testing.assert_close(framing, wanted[1])
    assert torch.equal(flipped, wanted[2])
    apart = (filmed - wanted[3]).abs()
    assert apart.mean() < 0.2 and apart.amax((1, 2, 3)).median() < 1
