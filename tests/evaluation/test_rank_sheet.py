"""Rank lists: the order of a search, and its picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from gcl.evaluation.rank_sheet import FRAME, GAP, HEIGHT, ROOM, RankList, rank, rank_sheet


def test_the_nearest_by_the_cosine_come_first():
    torch.manual_seed(0)
    queries, gallery = torch.randn(5, 8), torch.randn(30, 8) * torch.rand(30, 1)
    for q, found in zip(queries.numpy(), rank(queries, gallery, 7), strict=True):
        cosine = [float(np.dot(q, g) / np.linalg.norm(g)) for g in gallery.numpy()]
        assert found == sorted(range(30), key=lambda i: -cosine[i])[:7]


def test_what_is_left_out_is_not_found():
    gallery = torch.eye(4)
    left_out = torch.tensor([[True, False, True, False], [True, True, True, True]])
    assert rank(gallery[:2], gallery, 3, left_out) == [[1, 3], []]


def test_equal_ones_keep_their_order():
    assert rank(torch.ones(1, 2), torch.ones(50, 2), 50) == [list(range(50))]


@pytest.fixture
def crops(tmp_path):
    paths = []
    for name, colour, size in (
        ("q", "blue", (64, 128)),
        ("a", "white", (30, 60)),
        ("b", "black", (120, 30)),
    ):
        Image.new("RGB", size, colour).save(tmp_path / f"{name}.png")
        paths.append(str(tmp_path / f"{name}.png"))
    return paths


def test_the_sheet_frames_who_is_right(crops):
    query, right, wrong = crops
    sheet = rank_sheet([RankList(query, [right, wrong], [True, False]), RankList(query, [wrong])])
    width = HEIGHT + 2 * FRAME + GAP  # the widest is cut to a square

    def at(row, column, inside):
        left = GAP + column * width + (ROOM if column else 0)
        top = GAP + row * (HEIGHT + 2 * FRAME + GAP)
        return sheet.getpixel((left + inside, top + inside))

    assert [at(0, c, 1) for c in range(3)] == [(128, 128, 128), (0, 128, 0), (255, 0, 0)]
    assert [at(0, c, FRAME + 20) for c in range(3)] == [(0, 0, 255), (255, 255, 255), (0, 0, 0)]
    assert at(1, 1, 1) == (128, 128, 128)  # nobody knows
    assert at(1, 2, 1) == (255, 255, 255)  # nothing more was found
    assert sheet.height == 2 * (HEIGHT + 2 * FRAME + GAP) + GAP


def test_no_list_is_no_sheet():
    with pytest.raises(ValueError, match="rank list"):
        rank_sheet([])
