"""Folders of crops of one's own: what counts, whose camera, track and time, and as a data set."""

from __future__ import annotations

import builtins
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gcl.config import ConfigError
from gcl.data.build import TrainingSet, load_dataset, load_test_set
from gcl.data.crop_list import Crop, CropList, Numbers, Skipped, write_list
from gcl.data.folder import dataset_keys, folder_keys
from gcl.data.own_crops import FOREIGN, OwnCrops, folder_pattern, list_folder
from gcl.pseudo_labels import PseudoLabeler

PICTURES = "ends in no suffix of a picture"


@pytest.fixture
def shop(tmp_path):
    """``shop(*names)``: a folder with files of these names, none of which is a picture inside."""

    def make(*names: str) -> str:
        for name in names:
            path = tmp_path / "shop" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return str(tmp_path / "shop")

    return make


def names(found: CropList) -> list[str]:
    return [crop.name for crop in found.crops]


# ---------------------------------------------------------------------- what counts
def test_any_name_in_any_folder_is_a_crop(shop):
    """Spaces, other alphabets, brackets, capitals, equal base names, no order of any kind."""
    wanted = [
        "1.jpg",
        "a b/größe 人[v2].JPEG",
        "a/1.jpg",
        "a/b/c/1.jpg",
        "a/b/c/1.png",
        "x.Bmp",
        "y.webp",
    ]
    found = list_folder(shop(*wanted))
    assert names(found) == wanted
    assert found.skipped == () and found.notes == ()
    assert found.numbers == Numbers(7, 1, 0)


@pytest.mark.skipif(sys.platform == "darwin", reason="names are Unicode there")
def test_a_name_can_be_any_bytes(shop):
    name = os.fsdecode(b"caf\xe9.jpg")
    assert names(list_folder(shop(name))) == [name]


def test_what_is_no_crop_is_listed_with_the_reason(shop):
    found = list_folder(shop("1.jpg", ".1.jpg", ".git/2.jpg", "Thumbs.db", "a/notes.txt", "jpg"))
    assert names(found) == ["1.jpg"]
    hidden = [Skipped(name, "hidden") for name in (".1.jpg", ".git/2.jpg")]
    assert found.skipped == (
        *hidden,
        *(Skipped(n, PICTURES) for n in ("Thumbs.db", "a/notes.txt", "jpg")),
    )


def test_links_are_followed_but_not_round_in_circles(shop, tmp_path):
    folder = Path(shop("a/1.jpg"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2.jpg").touch()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "a" / "3.jpg").symlink_to(tmp_path / "elsewhere" / "2.jpg")
    (folder / "a" / "up").symlink_to(folder)
    assert names(list_folder(str(folder))) == ["a/1.jpg", "a/3.jpg", "link/2.jpg"]
    (tmp_path / "shortcut").symlink_to(folder)
    assert len(list_folder(str(tmp_path / "shortcut")).crops) == 3


def test_a_folder_with_two_names_counts_once_and_a_table_may_use_both(shop):
    folder = Path(shop("day 1/1.jpg", "day 1/2.jpg"))
    (folder / "latest").symlink_to(folder / "day 1")
    again = Skipped("latest", "a link to a folder that is read already")
    found = list_folder(str(folder))
    assert names(found) == ["day 1/1.jpg", "day 1/2.jpg"] and found.skipped == (again,)
    table = folder / "crops.csv"
    table.write_text("path,camera\nday 1/1.jpg,a\nlatest/2.jpg,b\n")
    found = list_folder(str(folder))
    assert found.crops == (Crop("day 1/1.jpg", "a"), Crop("day 1/2.jpg", "b"))
    table.write_text("path\nday 1/1.jpg\nlatest/1.jpg\n")
    with pytest.raises(ConfigError, match="day 1/1.jpg is there twice, once as latest/1.jpg"):
        list_folder(str(folder))


def test_the_run_s_own_files_and_the_labelled_part_are_no_crops(shop):
    folder = shop("1.jpg", "out/train/2.jpg", "test/query/3.jpg", "test/4.jpg", "outside/5.jpg")
    without = [f"{folder}/out", "", f"{folder}/test/query", f"{folder}/no"]
    assert names(list_folder(folder, without=without)) == ["1.jpg", "outside/5.jpg", "test/4.jpg"]
    for closed in (folder, os.path.dirname(folder)):
        with pytest.raises(ConfigError, match=f"GCL.DATA.FOLDER {folder} lies in {closed}"):
            list_folder(folder, without=[closed])


def test_a_folder_that_can_not_be_listed_is_said(shop, monkeypatch):
    folder, scandir = shop("1.jpg", "secret/2.jpg"), os.scandir

    def closed(path):
        if os.path.basename(path) == "secret":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    found = list_folder(folder)
    assert names(found) == ["1.jpg"] and found.skipped == (Skipped("secret", "Permission denied"),)


def test_no_folder_and_no_crops(shop, tmp_path):
    with pytest.raises(ConfigError, match="GCL.DATA.FOLDER .*nowhere is no folder"):
        list_folder(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"has no crops \(.jpg, .*\), and 2 other files"):
        list_folder(shop("a.txt", "b/.1.jpg"))


def test_a_hundred_thousand_files_cost_one_listing(shop, monkeypatch):
    """No call to the disk is made for a file, from the listing to the training items."""
    counts: Counter[str] = Counter()

    def counted(owner, name: str) -> None:
        original = getattr(owner, name)

        def call(*args, **kwargs):
            counts[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    calls = {}
    for number in (20, 200):
        folder = shop(*(f"cam{i % 2}/{i}.jpg" for i in range(number)))
        with monkeypatch.context():
            for owner, name in (
                *(
                    (os, name)
                    for name in ("stat", "lstat", "scandir", "listdir", "open", "readlink")
                ),
                (builtins, "open"),
            ):
                counted(owner, name)
            without = [f"{folder}/out"]
            data = OwnCrops(folder=folder, pattern="{camera}/{frame}", without=without)
            assert len(data.train) == len(data.moments()) == number
            assert len(dataset_keys("OwnCrops", data, data.train)) == number
            monkeypatch.undo()
        calls[number], counts = counts, Counter()
    assert calls[200] == calls[20] and calls[20]["scandir"] == 3


# ---------------------------------------------------------------------- patterns
def test_camera_track_and_time_by_a_pattern(shop):
    folder = shop("gate 1/t7/000012.jpg", "gate 1/t7/000013.png", "hall/t7/5.JPG")
    found = list_folder(folder, "{camera}/{track}/{frame}.jpg")
    assert found.crops == (
        Crop("gate 1/t7/000012.jpg", "gate 1", "t7", 12.0),
        Crop("gate 1/t7/000013.png", "gate 1", "t7", 13.0),
        Crop("hall/t7/5.JPG", "hall", "t7", 5.0),
    )
    assert found.numbers == Numbers(3, 2, 2)


@pytest.mark.parametrize(
    ("pattern", "name", "crop"),
    [
        ("{camera}/{}", "a/x.jpg", ("a", "", None)),
        ("{track}/{}", "a/x.jpg", ("", "a", None)),
        ("{frame}", "a/3.jpg", ("", "", 3.0)),
        ("{track}_{time}", "p4_12.25.jpg", ("", "p4", 12.25)),
        ("{}_c{camera}s{}_{frame}_{}", "0003_c2s1_000151_00.jpg", ("2", "", 151.0)),
        ("{camera}.{frame}.png", "b/gate.7.jpg", ("gate", "", 7.0)),
    ],
)
def test_any_field_can_be_missing(shop, pattern, name, crop):
    assert list_folder(shop(name), pattern).crops == (Crop(name, *crop),)


def test_equal_tracks_of_two_recordings_are_two(shop):
    folder = shop("mon/gate/7/1.jpg", "tue/gate/7/1.jpg", "tue/gate/7/2.jpg")
    found = list_folder(folder, "{camera}/{track}/{frame}")
    assert found.cameras == ["gate"]
    assert found.tracks == [("gate", "mon/7"), ("gate", "tue/7")]


def test_names_that_do_not_follow_the_pattern_are_said(shop):
    folder = shop("a/1.jpg", "a/x.jpg", "y.jpg")
    found = list_folder(folder, "{camera}/{frame}.jpg")
    assert [crop.camera for crop in found.crops] == ["a", "", ""]
    assert found.notes == (
        "not named as GCL.DATA.PATTERN {camera}/{frame}.jpg says: 2 crops, the first a/x.jpg",
    )
    with pytest.raises(ConfigError, match="none of the 3 crops, the first a/1.jpg, is named so"):
        list_folder(folder, "{camera}/{track}/{frame}.jpg")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{person}/{frame}", "fields are {camera}, {track}, {frame} and {time}"),
        ("{camera}{track}", "nothing between"),
        ("{frame}_{time}", "not both"),
        ("cam/{}", "give one or more of {camera}"),
        ("*/*.jpg", "give one or more of {camera}"),
        ("{camera", "expected '}'"),
    ],
)
def test_a_pattern_that_can_not_work(pattern, words):
    with pytest.raises(ConfigError) as error:
        folder_pattern(pattern)
    assert str(error.value).startswith(f"GCL.DATA.PATTERN {pattern}: ")
    assert words in str(error.value)


# ---------------------------------------------------------------------- tables
def test_a_table_in_the_folder_lists_the_crops(shop):
    folder = shop("a/1.jpg", "a/2.jpg", "3.jpg", "notes.txt")
    text = "path,camera,track,time\na\\1.jpg,gate,4,0.5\n3.jpg,,,\ngone.jpg,,,\nnotes.txt,,,\n"
    Path(folder, "crops.csv").write_text(text)
    found = list_folder(folder)
    assert found.crops == (Crop("3.jpg"), Crop("a/1.jpg", "gate", "4", 0.5))
    table = os.path.join(folder, "crops.csv")
    assert found.skipped == (
        Skipped("a/2.jpg", f"not in {table}"),
        Skipped("gone.jpg", f"in {table}, but not there"),
        Skipped("notes.txt", PICTURES),
    )
    assert found.numbers == Numbers(2, 2, 2)


def test_blanks_around_a_table_s_cells_are_no_part_of_them(shop):
    folder = shop("1.jpg", "a/2.jpg", " 3.jpg")
    Path(folder, "crops.csv").write_text(
        "path, camera, track, time\n1.jpg, gate, 4, 1\n a/2.jpg ,gate,4, 2\n 3.jpg,gate ,4 ,3\n"
    )
    found = list_folder(folder)
    assert names(found) == [" 3.jpg", "1.jpg", "a/2.jpg"]  # a name may begin with one
    assert {crop[1:3] for crop in found.crops} == {("gate", "4")}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "crops.csv lists no crop: add a line for each, or remove it"),
        (
            "C:\\shop\\1.jpg,gate\n",
            r"lists none of the 2 crops of .*shop: its first path is C:\\shop\\1.jpg, and the first"
            " crop is 1.jpg",
        ),
    ],
)
def test_a_table_of_other_crops_is_named(shop, rows, words):
    folder = shop("1.jpg", "2.jpg")
    Path(folder, "crops.csv").write_text(f"path,camera\n{rows}")
    with pytest.raises(ConfigError, match=words):
        list_folder(folder)


def test_a_table_elsewhere_goes_before_that_and_before_the_pattern(shop, tmp_path):
    folder = shop("a/1.jpg", "a/2.jpg", "crops.csv")
    table = tmp_path / "table.csv"
    table.write_text(f"path,camera,size\n{folder}/a/1.jpg,gate,9\na/2.jpg,,9\n")
    found = list_folder(folder, "{camera}/{frame}", str(table))
    assert found.crops == (Crop("a/1.jpg", "gate", "", 1.0), Crop("a/2.jpg", "a", "", 2.0))
    assert found.notes == (f"{table}: not used are the columns size",)
    assert found.skipped == (Skipped("crops.csv", PICTURES),)


# ---------------------------------------------------------------------- the data set
def test_own_crops_are_a_data_set_of_the_toolbox(shop):
    folder = shop("b/t1/1.jpg", "a/t1/2.jpg", "a/t2/x.jpg")
    data = load_dataset("OwnCrops", folder=folder, pattern="{camera}/{track}/{}")
    assert data.train == [
        (f"{folder}/a/t1/2.jpg", "own_0", "own_0"),
        (f"{folder}/a/t2/x.jpg", "own_1", "own_0"),
        (f"{folder}/b/t1/1.jpg", "own_2", "own_1"),
    ]
    assert data.query == data.gallery == []
    tracks = [track for track, _ in data.moments().values()]
    assert tracks == [0, 1, 2] and all(np.isnan(time) for _, time in data.moments().values())
    # structures as tools/prepare_structure.py names them for the folder
    assert dataset_keys("OwnCrops", data, data.train) == folder_keys(folder)


def test_without_a_folder_it_is_one_sentence(shop):
    with pytest.raises(ConfigError, match="^GCL.DATA.FOLDER is empty: give the folder"):
        load_dataset("OwnCrops")
    with pytest.raises(ConfigError, match="^GCL.DATA.FOLDER .*/no is no folder.$"):
        load_dataset("OwnCrops", folder="/no").train  # noqa: B018


def test_the_labelled_part_is_for_tests_alone(shop, write_crop, tmp_path):
    """Its camera 2 is the folder's "gate2"; two end in 3, none in 7."""
    folder = shop("gate2/1.jpg", "a3/1.jpg", "b3/1.jpg", "test/x.jpg")
    for part, camera in (("query", 2), ("query", 3), ("gallery", 7), ("gallery", 2)):
        write_crop(tmp_path / "shop" / "test" / part / f"0005_c{camera}s1_000001_00.jpg")
    parts = {part: f"{folder}/test/{part}" for part in ("query", "gallery")}
    data = load_test_set(
        "OwnCrops", folder=folder, pattern="{camera}/{}", without=[*parts.values()], **parts
    )
    assert [os.path.basename(os.path.dirname(path)) for path, _, _ in data.train] == [
        "a3",
        "b3",
        "gate2",
        "test",
    ]
    cameras = {part: [item[1:] for item in getattr(data, part)] for part in parts}
    assert cameras == {
        "query": [(5, 2), (5, FOREIGN + 3)],
        "gallery": [(5, 2), (5, FOREIGN + 7)],
    }


def of_folder(folder):
    """KEY VALUE pairs of a training set of own crops, without structures."""
    names = ("DATASETS.NAMES", ("OwnCrops",), "GCL.PHASES", ("contrast",))
    return (*names, "GCL.DATA.FOLDER", folder)


def test_a_training_set_of_own_crops_has_tracks_and_times_and_no_identities(tiny_cfg, shop):
    folder = shop(*(f"{c}/{t}/{f}.jpg" for c in "ba" for t in (1, 2) for f in (3, 4)), "z/x.jpg")
    cfg = tiny_cfg(*of_folder(folder), "GCL.DATA.PATTERN", "{camera}/{track}/{frame}.jpg")
    found = TrainingSet(cfg)
    assert [os.path.relpath(path, folder) for path, _ in found.items][:3] == [
        "a/1/3.jpg",
        "a/1/4.jpg",
        "a/2/3.jpg",
    ]
    assert [camera for _, camera in found.items] == [0] * 4 + [1] * 4 + [2]
    assert found.tracks.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, -1]
    seen = found.seen_in_tracks()
    assert seen["tracks"] is found.tracks and seen["times"] is found.times
    assert seen["cameras"].tolist() == [camera for _, camera in found.items]
    # numbered within each track: a clock each
    np.testing.assert_array_equal(found.times, [*range(8), np.nan])
    assert found.identities is None
    cfg.GCL.DATA.PATTERN = ""
    plain = TrainingSet(cfg)
    assert plain.tracks is None and plain.times is None and plain.seen_in_tracks() == {}
    assert {camera for _, camera in plain.items} == {0}


def test_sites_are_those_of_the_cameras_names(tiny_cfg, shop):
    folder = shop(*(f"{camera}/{i}.jpg" for camera in ("gate", "hall", "yard") for i in (1, 2)))
    sites = ("GCL.LABELS.SITES", (("yard", "gate"), ("hall",)))
    cfg = tiny_cfg(*of_folder(folder), "GCL.DATA.PATTERN", "{camera}/{}.jpg", *sites)
    found = TrainingSet(cfg)
    assert found.sites.tolist() == [0, 0, 1, 1, 0, 0]
    assert list(found.for_labels()) == ["sites"] and found.seen_in_tracks() == {}
    cfg.GCL.DATA.PATTERN = "{camera}/{track}.jpg"
    assert list(TrainingSet(cfg).for_labels()) == ["tracks", "cameras", "sites"]
    cfg.GCL.LABELS.SITES = (("yard", "gate"),)
    with pytest.raises(ConfigError, match="no site of camera 'hall'"):
        TrainingSet(cfg)


@pytest.mark.parametrize("counts", ["the recording", "each track"])
def test_two_tracks_at_once_are_two_people_where_times_are_those_of_the_recording(
    tiny_cfg, shop, counts
):
    """Four pairs of tracks, those of a pair look the same. They are numbered as the recording is,
    and those of a pair are seen at the same time; or all of them are numbered from 1."""
    begin = {track: 20 * (track // 2) if counts == "the recording" else 1 for track in range(8)}
    folder = shop(*(f"gate/{t}/{first + i}.jpg" for t, first in begin.items() for i in range(6)))
    cfg = tiny_cfg(*of_folder(folder), "GCL.DATA.PATTERN", "{camera}/{track}/{frame}.jpg")
    data = TrainingSet(cfg)
    features = np.random.default_rng(0).normal(0, 0.1, (len(data), 16))
    features += np.eye(16)[data.tracks // 2]
    labels = PseudoLabeler(k1=12, k2=1, min_samples=2, eps=0.6)(features, **data.seen_in_tracks())
    of_track = [set(labels.labels[data.tracks == track].tolist()) for track in range(8)]
    assert all(len(label) == 1 and -1 not in label for label in of_track)
    different = [of_track[track] != of_track[track + 1] for track in (0, 2, 4, 6)]
    assert different == [counts == "the recording"] * 4


def test_the_list_that_a_run_has_written_down_is_its_list(tiny_cfg, shop, tmp_path):
    folder = shop(*(f"{i}.jpg" for i in range(6)))
    cfg = tiny_cfg(*of_folder(folder), "OUTPUT_DIR", str(tmp_path / "out"))
    (tmp_path / "out").mkdir()
    crops = tuple(Crop(f"{i}.jpg", "gate" if i else "") for i in range(5))
    write_list(CropList(folder, crops), str(tmp_path / "out"))
    assert [camera for _, camera in TrainingSet(cfg).items] == [1, 0, 0, 0, 0]


def test_other_data_sets_have_no_tracks(tiny_cfg, market_data):
    found = TrainingSet(tiny_cfg("DATASETS.NAMES", ("Market1501",), "GCL.PHASES", ("contrast",)))
    assert found.tracks is None and found.times is None and len(found.identities) == 8
