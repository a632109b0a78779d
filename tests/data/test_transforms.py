"""One geometry for a crop and its structures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gcl.data.transforms import build_joint_transform

SIZE = (64, 32)


@pytest.fixture
def pictures() -> tuple[Image.Image, ...]:
    """An RGB gradient that is equal in all channels, and twice the same picture in grey."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    grey = (3 * rows + columns + 1).astype(np.uint8)
    return (Image.fromarray(np.stack([grey] * 3, -1)), Image.fromarray(grey), Image.fromarray(grey))


def off(tiny_cfg, *pairs: object):
    return tiny_cfg(
        *(
            x
            for key in ("FLIP", "PADDING", "CROP", "AFFINE")
            for x in (f"INPUT.{key}.ENABLED", False)
        ),
        *pairs,
    )


def arrays(images) -> list[np.ndarray]:
    crop, *structures = images
    assert crop.mode == "RGB"
    assert all(s.mode == "L" for s in structures)
    return [np.asarray(crop)[..., 0], *map(np.asarray, structures)]


def test_nothing_enabled_changes_nothing(tiny_cfg, pictures):
    for before, after in zip(pictures, build_joint_transform(off(tiny_cfg))(pictures), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("key", ["FLIP", "PADDING", "CROP", "AFFINE"])
def test_crop_and_structures_get_the_same_geometry(tiny_cfg, pictures, key):
    transform = build_joint_transform(off(tiny_cfg, f"INPUT.{key}.ENABLED", True))
    seen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        crop, *structures = arrays(transform(pictures))
        assert crop.shape == SIZE
        for s in structures:
            # resampling may round RGB and L apart by one grey value
            assert np.abs(s.astype(int) - crop.astype(int)).max() <= (1 if key == "CROP" else 0)
        seen.add(crop.tobytes())
    assert len(seen) > 1  # random at all


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_a_flip_mirrors_columns_with_the_given_probability(tiny_cfg, pictures, prob):
    cfg = off(tiny_cfg, "INPUT.FLIP.ENABLED", True, "INPUT.FLIP.PROB", prob)
    for before, after in zip(
        arrays(pictures), arrays(build_joint_transform(cfg)(pictures)), strict=True
    ):
        assert np.array_equal(after, before[:, ::-1] if prob else before)


def test_padding_shifts_by_at_most_its_size_and_fills_with_0(tiny_cfg, pictures):
    cfg = off(tiny_cfg, "INPUT.PADDING.ENABLED", True, "INPUT.PADDING.SIZE", 3)
    (height, width), grey = SIZE, np.asarray(pictures[1])
    transform, shifts = build_joint_transform(cfg), set()
    padded = np.pad(grey, 3)
    for seed in range(15):
        torch.manual_seed(seed)
        after = arrays(transform(pictures))[1]
        (found,) = [
            (y, x)
            for y in range(7)
            for x in range(7)
            if np.array_equal(after, padded[y : y + height, x : x + width])
        ]
        shifts.add(found)
    assert len(shifts) > 5
