"""The command of rank lists, against the toolbox's own evaluation."""

import json

import pytest
from engine import runs
from PIL import Image

pytestmark = pytest.mark.usefixtures("user_place")


def test_first_places_are_the_toolbox_s_rank_1(finished, toy, tmp_path, run_tool):
    sheet = tmp_path / "sheet.png"
    weights = ["MODEL.WEIGHTS", finished / "model_final.pth"]
    line = ["--config-file", runs.CONFIG, "--out", sheet, "--queries", 1000, "--depth", 3]
    status, printed = run_tool("rank_lists", *line, *runs.options(tmp_path, toy), *weights)
    assert status is None
    first, _, count = printed.splitlines()[-1].split()[:3]
    last = json.loads((finished / "metrics.json").read_text().splitlines()[-1])
    assert 100 * int(first) / int(count) == pytest.approx(last["Rank-1"])
    with Image.open(sheet) as picture:
        assert picture.height > int(count) * 128


def test_without_a_test_set_there_is_a_sentence(finished, toy, tmp_path, run_tool):
    pairs = [*runs.options(tmp_path, toy), "MODEL.WEIGHTS", finished / "model_final.pth"]
    status, _ = run_tool("rank_lists", "--config-file", runs.CONFIG, *pairs, "DATASETS.TESTS", "()")
    assert "DATASETS.TESTS is empty" in status


def test_what_is_no_picture_is_told_before_the_search(finished, toy, tmp_path, run_tool):
    pairs = [*runs.options(tmp_path, toy), "MODEL.WEIGHTS", finished / "model_final.pth"]
    line = ["--config-file", runs.CONFIG, "--out", tmp_path / "lists.nothing"]
    status, _ = run_tool("rank_lists", *line, *pairs)
    assert "lists.nothing is no name of a picture" in status
    assert not (tmp_path / "lists.nothing").exists()
