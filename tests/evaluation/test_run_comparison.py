"""Runs side by side: what the table says is what the files say."""

import json

import pytest
from PIL import Image

from gcl.evaluation import run_comparison as module
from gcl.evaluation.run_comparison import RunError, curves, last_sheets, table


def write(folder, name, *lines):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder)


@pytest.fixture
def runs(tmp_path):
    evaluations = (
        {"iteration": 5, "mAP": 30.0, "Rank-1": 40.0},
        {"iteration": 9, "mAP": 50.25, "Rank-1": 60.0},  # better, but not the last
        {"iteration": 14, "mAP": 45.04, "Rank-1": 55.0, "loss_image": 1.0},
        {"iteration": 19, "loss_image": 0.5},
    )
    return {
        "start": [write(tmp_path / "start", "evaluation.json", {"mAP": 12.34, "Rank-1": 20.0})],
        "run": [write(tmp_path / "run", "metrics.json", *evaluations)],
    }


def cells(text):
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines()]


def test_the_table_has_the_last_evaluation_of_each_run(runs):
    rows = cells(table(runs))
    assert rows[0] == ["", "mAP", "Rank-1", "Rank-5", "Rank-10", "mINP"]
    assert rows[2][:3] == ["start", "12.3", "20.0"]
    assert rows[3][:3] == ["run", "45.0", "55.0"]


def test_a_training_counts_before_an_evaluation_in_the_same_folder(runs, tmp_path):
    write(tmp_path / "run", "evaluation.json", {"mAP": 99.0})
    assert "45.0" in table(runs) and "99.0" not in table(runs)


def test_an_evaluation_counts_where_the_training_made_none(tmp_path):
    folder = write(tmp_path / "run", "metrics.json", {"iteration": 9, "total_loss": 1.0})
    write(tmp_path / "run", "evaluation.json", {"mAP": 33.0})
    assert cells(table({"run": [folder]}))[2][1] == "33.0"


def test_several_runs_of_a_name_are_their_mean_and_sample_deviation(tmp_path):
    """Of 30, 33 and 36: 33, and sqrt((9 + 0 + 9) / 2) = 3. What one run lacks has no mean."""
    folders = [
        write(tmp_path / str(seed), "evaluation.json", {"mAP": value, "Rank-1": 50.0} | more)
        for seed, value, more in ((1, 30.0, {"mINP": 1.0}), (2, 33.0, {}), (3, 36.0, {}))
    ]
    assert cells(table({"seeds": folders}))[2] == ["seeds", "33.0 (3.0)", "50.0 (0.0)", "", "", ""]


def test_curves_of_several_runs_have_one_entry_in_the_legend(runs, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(module.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    curves({"one": runs["run"], "two": runs["run"] * 3}, str(tmp_path / "curves.png"))
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    assert [line.get_color() for line in axes.lines] == ["C0", "C1", "C1", "C1"]


def test_the_command_takes_folders_with_commas(runs, tmp_path, run_tool):
    run, out = runs["run"][0], tmp_path / "out"
    status, printed = run_tool("compare", f"a=b={run},{run}", run, "--out", out)
    assert status is None
    rows = cells(printed)
    assert rows[2][:2] == ["a=b", "45.0 (0.0)"] and rows[3][:2] == [run, "45.0"]
    assert (out / "curves.png").is_file()


def test_curves_are_a_picture_of_the_panels_that_have_values(runs, tmp_path):
    curves(runs, str(tmp_path / "curves.png"))
    width, height = Image.open(tmp_path / "curves.png").size
    assert (width, height) == (2 * 4 * 80, 3 * 80)  # mAP and the image loss


def test_the_last_sheet_of_each_kind_is_copied(tmp_path):
    views = tmp_path / "views"
    views.mkdir()
    for grey, name in enumerate(("views_0002.png", "views_0010.png", "turntable_0002.png")):
        Image.new("RGB", (8, 4), (grey, grey, grey)).save(views / name)
    out = tmp_path / "out"
    out.mkdir()
    assert last_sheets(str(tmp_path), str(out)) == ["views.png", "turntable.png"]
    assert Image.open(out / "views.png").convert("RGB").getpixel((5, 2)) == (1, 1, 1)
    assert last_sheets(str(out), str(out)) == []


def test_a_folder_without_an_evaluation_gets_a_sentence(tmp_path):
    with pytest.raises(RunError, match="holds no evaluation"):
        table({"nothing": [str(tmp_path)]})
    with pytest.raises(RunError, match="holds no evaluation"):
        table({"begun": [write(tmp_path, "metrics.json", {"iteration": 3, "total_loss": 1.0})]})


@pytest.mark.parametrize("text", ['{"mAP": 1', '{"mAP": 1}\n3', '{"mAP": "high"}', "\x00"])
def test_a_damaged_line_gets_a_sentence(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(RunError, match="metrics.json is damaged"):
        table({"torn": [str(tmp_path)]})
