"""The command of a search: table, picture, CSV; features of the gallery are kept."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
from PIL import Image

from gcl.inference import ReID
from gcl.inference.plain_baseline import plain_baseline, write_baseline
from gcl.inference.trained_encoder import open_encoder
from gcl.tools.search import query_cameras


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A folder such as a run leaves. Read only."""
    folder = tmp_path_factory.mktemp("run")
    write_baseline(*plain_baseline(open_encoder("packaged")), str(folder))
    return folder


@pytest.fixture
def run_folder(model, tmp_path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "run"))


@pytest.fixture
def gallery(write_crop, tmp_path) -> Path:
    """Six people of noise; a seventh crop shows the third of them a little brighter."""
    for i in range(6):
        write_crop(tmp_path / "gallery" / f"c{i % 2}" / f"{i}.png", seed=i)
    with Image.open(tmp_path / "gallery" / "c0" / "2.png") as picture:
        brighter = picture.point(lambda value: min(value + 20, 255))
    brighter.save(tmp_path / "gallery" / "again.png")
    return tmp_path / "gallery"


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_person_comes_first(run_tool, run_folder, gallery, tmp_path):
    query, other = gallery / "c0" / "2.png", tmp_path / "other.png"
    shutil.copy(gallery / "c1" / "3.png", other)
    out = tmp_path / "found.png"
    line = [run_folder, gallery, "--query", query, other, "--out", out, "--depth", 4]
    status, printed = run_tool("search", *line)
    assert status is None, status
    assert "result/calibration.json is not there" in printed  # why there is no probability
    rows = rows_of(tmp_path / "found.csv")
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"] * 2
    first, *_ = (row for row in rows if row["query"] == str(query))
    assert first["crop"] == "again.png"  # and not itself, which is in the gallery
    copied, *_ = (row for row in rows if row["query"] == str(other))
    assert (copied["crop"], copied["similarity"]) == ("c1/3.png", "1.0000")
    a, b = ReID.load(run_folder, "cpu").embed([query, gallery / "again.png"])
    assert float(first["similarity"]) == pytest.approx(float(a @ b), abs=1e-4)
    assert {row["probability"] for row in rows} == {""}
    (header,) = (line.split() for line in printed.splitlines() if line.startswith("query "))
    assert header == ["query", "rank", "crop", "similarity"]  # what is known of a crop
    with Image.open(out) as picture:
        assert picture.height > 2 * 128
    assert len(list((run_folder / "features").iterdir())) == 1


def test_probabilities_are_those_of_the_run(run_tool, run_folder, gallery, tmp_path):
    (run_folder / "result").mkdir()
    values = {"source": "tracks", "threshold": 0.5, "slope": 8.0}
    (run_folder / "result" / "calibration.json").write_text(json.dumps(values))
    query = gallery / "c0" / "0.png"
    status, printed = run_tool(
        "search", run_folder, gallery, "--query", query, "--out", tmp_path / "a.png"
    )
    assert status is None and "probability" in printed
    for row in rows_of(tmp_path / "a.csv"):
        expected = 1 / (1 + math.exp(-8.0 * (float(row["similarity"]) - 0.5)))
        assert float(row["probability"]) == pytest.approx(expected, abs=1e-3)


def test_the_gallery_is_seen_once(run_tool, run_folder, gallery, tmp_path, monkeypatch):
    line = [run_folder, gallery, "--query", gallery / "again.png", "--out", tmp_path / "a.png"]
    assert run_tool("search", *line)[0] is None
    plain, seen = ReID.embed_good, []

    def counted(self, crops, *args, **kwargs):
        seen.append(len(crops))
        return plain(self, crops, *args, **kwargs)

    monkeypatch.setattr(ReID, "embed_good", counted)
    before = rows_of(tmp_path / "a.csv")
    assert run_tool("search", *line)[0] is None
    assert seen == [1, 0]  # the query, and nothing of the gallery
    assert rows_of(tmp_path / "a.csv") == before


def test_reranking_orders_by_shared_neighbours(run_tool, run_folder, gallery, tmp_path):
    query = gallery / "c0" / "2.png"
    line = [run_folder, gallery, "--query", query, "--out", tmp_path / "a.png"]
    assert run_tool("search", *line)[0] is None
    plain = rows_of(tmp_path / "a.csv")
    assert run_tool("search", *line, "--rerank")[0] is None
    again = rows_of(tmp_path / "a.csv")
    assert {(row["crop"], row["similarity"]) for row in again} == {
        (row["crop"], row["similarity"]) for row in plain
    }
    assert again[0]["crop"] == "again.png"


def test_a_crop_that_can_not_be_read_is_left_out_and_named(run_tool, run_folder, gallery, tmp_path):
    (gallery / "broken.png").write_bytes(b"nothing")
    status, printed = run_tool(
        "search", run_folder, gallery, "--query", gallery / "again.png", "--out", tmp_path / "a.png"
    )
    assert status is None and "left out: 1 crop, the first broken.png" in printed
    assert len(rows_of(tmp_path / "a.csv")) == 6


def test_without_a_run_features_are_kept_beside_the_picture(run_tool, gallery, tmp_path):
    out = tmp_path / "new" / "place" / "a.png"  # which is made
    status, printed = run_tool(
        "search", "packaged", gallery, "--query", gallery / "again.png", "--out", out
    )
    assert status is None and "of no run" in printed
    assert len(list((out.parent / "features").iterdir())) == 1


def test_queries_have_the_cameras_of_the_gallery_or_of_their_names(run_folder, gallery, tmp_path):
    model = ReID.load(run_folder, "cpu")
    pattern = "c{camera}/{frame}.png"
    crops = model.list_crops(gallery, pattern)
    (tmp_path / "c7").mkdir()
    queries = [gallery / "c1" / "3.png", gallery / "again.png", tmp_path / "c7" / "12.jpg"]
    assert query_cameras(model, list(map(str, queries)), crops, pattern) == ["1", "", "7"]
    assert query_cameras(model, list(map(str, queries)), crops, "")[2] == ""


def test_what_can_not_be_searched_gets_a_sentence(run_tool, model, gallery, tmp_path):
    empty, query, out = tmp_path / "empty", gallery / "again.png", tmp_path / "a.png"
    empty.mkdir()
    for line, sentence in (
        ((model, gallery, "--query", tmp_path / "none.png"), "none.png is not a file"),
        ((model, gallery, "--query", query, "--out", "a.nothing"), "a.nothing is no name"),
        ((model, gallery, "--query", query, "--depth", 0), "--depth 0 is none"),
        ((model, empty, "--query", query, "--out", out), "empty has no crops"),
        ((model, tmp_path / "none", "--query", query, "--out", out), "none is no folder"),
        ((tmp_path / "none", gallery, "--query", query), "none is neither OUTPUT_DIR"),
        ((model, gallery, "--query", model / "config.yaml", "--out", out), "can not be read"),
    ):
        status, _ = run_tool("search", *line)
        assert sentence in status and "GCL." not in status
    assert not out.exists()
