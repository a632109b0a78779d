"""The command that writes features of a folder."""

from __future__ import annotations

import csv

import numpy as np

from gcl.inference import ReID


def rows_of(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_rows_of_both_files_are_the_same_crops(run_tool, write_crop, tmp_path):
    folder, out = tmp_path / "crops", tmp_path / "out"
    for i, name in enumerate(("door/b c.jpg", "door/ä.PNG", "a.jpg")):
        write_crop(folder / name, seed=i)
    (folder / "broken.jpg").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("no crop")
    line = ["packaged", folder, "--out", out, "--pattern", "{camera}/{}.jpg"]
    status, printed = run_tool("embed", *line)
    assert status is None, status
    assert "3 crops, 2 cameras" in printed and "left out: 2 files" in printed
    names = [row["path"] for row in rows_of(out / "crops.csv")]
    assert names == ["a.jpg", "door/b c.jpg", "door/ä.PNG"]
    assert [row["camera"] for row in rows_of(out / "crops.csv")] == ["", "door", "door"]
    assert [row["path"] for row in rows_of(out / "skipped.csv")] == ["broken.jpg", "notes.txt"]
    features = np.load(out / "embeddings.npy")
    assert features.dtype == np.float32
    expected = ReID.load("packaged", "cpu").embed([folder / name for name in names])
    np.testing.assert_allclose(features, expected, atol=1e-6)


def test_nothing_to_embed_gets_a_sentence(run_tool, tmp_path):
    (tmp_path / "crops").mkdir()
    status, _ = run_tool("embed", "packaged", tmp_path / "crops", "--out", tmp_path / "out")
    assert "crops has no crops" in status
    (tmp_path / "crops" / "broken.jpg").write_bytes(b"nothing")
    status, _ = run_tool("embed", "packaged", tmp_path / "crops", "--out", tmp_path / "out")
    assert "crops has no crop that can be read" in status
    assert not (tmp_path / "out").exists()
