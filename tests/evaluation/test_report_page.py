"""The page of a run: one file, whatever the names and however many the crops."""

import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from gcl.data.crop_list import Crop, CropList, Skipped
from gcl.evaluation import report_page
from gcl.evaluation.cluster_review import review
from gcl.evaluation.pair_calibration import calibrate, cluster_pairs
from gcl.evaluation.report_page import figures_of, read_lines, what_was_read
from gcl.evaluation.run_result import RunResult, write_result
from gcl.pseudo_labels import verify


def result_of(paths, names, people, each=4, cameras=("north", "south")):
    """Crops that are clustered as they should be, but for the last, an outlier."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(people), each)
    x = rng.normal(size=(people, 16))[who] + 0.3 * rng.normal(size=(len(who), 16))
    features = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    labels = who.copy()
    labels[-1] = -1
    camera = np.arange(len(who)) % len(cameras)
    crops = [Crop(name, cameras[camera[i]], str(who[i]), float(i)) for i, name in enumerate(names)]
    pairs = cluster_pairs(labels)._replace(source="tracks")
    return RunResult(
        crops,
        paths,
        CropList("my crops", tuple(crops), (Skipped("a.txt", "no picture"),)),
        features,
        labels,
        review(features, labels, camera),
        pairs,
        calibrate(features, pairs),
        verify(np.array([0.9, 0.8]), np.array([0.1, 0.2])),
    )


@pytest.fixture
def small(tmp_path, write_crop):
    """12 people of 4 crops; names as no one should give them."""
    names = [f"<em>&amp; {i} ü\udcff.jpg" if i == 3 else f"{i}.jpg" for i in range(48)]
    paths = [write_crop(tmp_path / "crops" / f"{i}.jpg", i) for i in range(48)]
    return result_of(paths, names, 12)


@pytest.fixture
def cfg(tmp_path):
    out = tmp_path / "out"
    (out / "views").mkdir(parents=True)
    lines = [
        {"iteration": 0, "labels/stability": 0.5, "tracks/start_auc": 0.8},
        {"iteration": 9, "total_loss": 2.0, "tracks/auc": 0.9, "labels/clusters": 9},
        {"iteration": 19, "total_loss": 1.0, "tracks/auc": 0.95, "labels/clusters": 11},
        {"iteration": 19, "tracks/start_false_accept_rate": 0.3, "labels/stability": 0.99},
    ]
    (out / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return SimpleNamespace(OUTPUT_DIR=str(out))


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_stands_alone_and_begins_with_the_verdict(small, cfg):
    page = report_page.report_page(cfg, small)
    found = Tags(page)
    assert found.open == []
    assert not {"script", "link", "iframe"} & {tag for tag, _ in found.tags}
    pictures = [attributes for tag, attributes in found.tags if tag == "img"]
    assert len(pictures) > 40 and all(p["src"].startswith("data:image/") for p in pictures)
    assert all(p["alt"] for p in pictures) and "url(" not in page and "@import" not in page
    text = " ".join(found.text.split())
    order = ["This run looks good.", "What was read", "Two people in one cluster?"]
    order += ["One person in two clusters?", "Found again in another camera", "While it learnt"]
    order += ["Clusters, the largest first", "Same person, or not"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "30.0 % before training" in text and "my crops" in text
    # a name is text, and none of the page's own
    assert "<em>" not in page and any("<em>&amp; 3 ü\\udcff.jpg" in p["alt"] for p in pictures)
    titles = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert titles == [title for title, _, keys in report_page.CURVES if keys[0] in (
        "tracks/auc", "labels/stability", "labels/clusters", "total_loss")]  # fmt: skip
    assert report_page.report_page(cfg, small) == page  # the same every time


def test_the_page_does_not_grow_with_the_crops(cfg, monkeypatch):
    drawn = []
    monkeypatch.setattr(report_page, "crop_uri", lambda path: drawn.append(path) or "data:image/x")
    names = [f"{i}.jpg" for i in range(4000)]
    page = report_page.report_page(cfg, result_of(names, names, 250, 16))
    assert 500 < len(drawn) <= 1500
    assert "60 of 250." in page and "and 6 more" in page


def test_figures_and_what_was_read(small):
    figures = figures_of(small, [{"iteration": 1, "mAP": 3.0}, {"iteration": 2, "mAP": 4.0}])
    assert figures["clusters"] == 12 and figures["outlier_share"] == pytest.approx(1 / 48)
    assert figures["largest"] == 4 / 48 and figures["cross_camera"] == 1
    assert figures["false_accept_rate"] == 0 and figures["mAP"] == 4
    assert what_was_read(small) == [
        ("folder", "my crops"),
        ("crops", "48"),
        ("cameras", "2 (north, south)"),
        ("tracks", "24"),
        ("times", "of 48 crops"),
        ("left out", "1 file (1 no picture)"),
    ]


def test_lines_of_the_run_that_wrote_last(tmp_path):
    path = tmp_path / "metrics.json"
    assert read_lines(str(path)) == []

    def write(*lines):
        with path.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    write({"iteration": 9, "loss": 9}, {"iteration": 0, "labels": 1})  # in no order
    write(
        {"iteration": 10, "labels": 2}, {"iteration": 19, "loss": 8}, {"iteration": 29, "loss": 7}
    )
    write({"iteration": 10, "labels": 3}, {"iteration": 19, "loss": 6})  # resumed at 10
    with path.open("a") as file:
        file.write('{"iteration": 20, "lab')
        file.write("\n3\n")
    expected = [
        {"iteration": 0, "labels": 1},
        {"iteration": 9, "loss": 9},
        {"iteration": 10, "labels": 3},
        {"iteration": 19, "loss": 6},
    ]
    assert read_lines(str(path)) == expected
    write({"iteration": 0, "labels": 5}, {"iteration": 4, "loss": 5})  # begun anew
    assert read_lines(str(path)) == [{"iteration": 0, "labels": 5}, {"iteration": 4, "loss": 5}]


def test_the_files_beside_it(small, tmp_path):
    folder = write_result(small, "page", str(tmp_path))
    files = {path.name for path in (tmp_path / "result").iterdir()}
    assert files == {
        "clusters.csv", "crops.csv", "embeddings.npy", "calibration.json", "report.html",
    }  # fmt: skip
    embeddings = np.load(f"{folder}/embeddings.npy")
    assert embeddings.dtype == np.float16
    assert embeddings == pytest.approx(small.features, abs=1e-3)
    raw = (tmp_path / "result" / "clusters.csv").read_bytes().decode("utf-8", "surrogateescape")
    rows = [line.rsplit(",", 5) for line in raw.splitlines()]
    assert rows[0] == ["path", "camera", "track", "time", "cluster", "similarity"]
    assert [row[0] for row in rows[1:]] == [crop.name for crop in small.crops]
    assert rows[1][1:5] == ["north", "0", "0.0", "0"] and rows[-1][4:] == ["-1", ""]
    assert float(rows[1][5]) == pytest.approx(small.clusters.similarity[0], abs=1e-4)
    calibration = json.loads((tmp_path / "result" / "calibration.json").read_text())
    assert calibration.keys() == {
        "source", "threshold", "slope", "false_accept_rate", "recall",
    }  # fmt: skip
    assert calibration["source"] == "tracks"
