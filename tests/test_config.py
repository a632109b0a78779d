"""Every key has a sane default, and every value that can not work stops with its key's name."""

from __future__ import annotations

import glob
import os
import re

import pytest
import torch
from fastreid.config import get_cfg
from fastreid.modeling import build_model

from gcl import ConfigError, add_gcl_config, check_gcl_config
from gcl.config import (
    LOSSES,
    PHASES,
    PRETRAINING_LOSSES,
    check_batches,
    check_pretraining_cfg,
    generator_size,
)
from gcl.engine.data_defaults import data_defaults
from gcl.engine.toolbox_keys import check_toolbox_keys
from gcl.pretraining.view_generator import get_pretraining_cfg
from gcl.tools.command_line import given_keys, merge_config

CONFIGS = os.path.join(os.path.dirname(__file__), "..", "projects", "GCL", "configs")


@pytest.fixture
def good_cfg(tiny_cfg, tmp_path):
    """``good_cfg(KEY, value, ...)``: all three phases with structures, and the pairs on top."""
    (tmp_path / "meshes" / "train").mkdir(parents=True)

    def build(*pairs: object):
        return tiny_cfg("GCL.STRUCTURE.DIR", str(tmp_path / "meshes"), *pairs)

    return build


def test_a_good_configuration_passes(good_cfg):
    assert check_gcl_config(good_cfg()) is None


ONES = (
    "MODEL.LOSSES.VIEW.NUM_NEGATIVES",
    "DATALOADER.NUM_INSTANCE",
    "GCL.LABELS.K1",
    "GCL.LABELS.K2",
    "GCL.LABELS.MIN_SAMPLES",
    "GCL.GENERATOR.NUM_PARTS",
    "GCL.GENERATOR.WIDTH",
    "GCL.GENERATOR.MLP_DIM",
    "GCL.DISCRIMINATOR.WIDTH",
    "GCL.DISCRIMINATOR.NUM_SCALES",
    "MODEL.LOSSES.R1.EVERY",
    "SOLVER.IMS_PER_BATCH",
    "GCL.CONTRAST.IMS_PER_BATCH",
    "GCL.GENERATOR.IMS_PER_BATCH",
)
CHOICES = {
    "GCL.STRUCTURE.MISSING": ("error", "skip"),
    "GCL.STRUCTURE.SOURCE": ("renders", "geometry"),
    "GCL.LABELS.FEATURES": ("bank", "fresh"),
    "GCL.LABELS.KNN": ("exact", "ivf"),
    "GCL.JOINT.LEARNS": ("everything", "apart", "encoder"),
    "GCL.GENERATOR.PLACEMENT": ("block", "rows"),
    "MODEL.LOSSES.VIEW.NEGATIVES": ("new", "own"),
    "MODEL.LOSSES.VIEW.NEGATIVE_CAMERAS": ("all", "own"),
    "MODEL.LOSSES.FEATURE.VIEWS": ("paper", "code"),
    "MODEL.LOSSES.ADVERSARIAL.FORM": ("lsgan", "log"),
    "SOLVER.SCHED": ("MultiStepLR", "CosineAnnealingLR"),
}


CONTRAST_ALONE = ("GCL.PHASES", ("contrast",))


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        (("GCL.PHASES", ()), ["GCL.PHASES", "empty", *PHASES]),
        (("GCL.PHASES", ("contrast", "finetune")), ["GCL.PHASES", "'finetune'", *PHASES]),
        (("GCL.PHASES", ("contrast", "contrast")), ["GCL.PHASES", "twice"]),
        (("GCL.CONTRAST.EPOCHS", 0), ["GCL.CONTRAST.EPOCHS", "0"]),
        (("GCL.ITERS_PER_EPOCH", -1), ["GCL.ITERS_PER_EPOCH is -1", "or 0"]),
        (("GCL.GENERATOR.EPOCHS", -2), ["GCL.GENERATOR.EPOCHS", "-2"]),
        (("GCL.JOINT.EPOCHS", 0), ["GCL.JOINT.EPOCHS", "'joint'"]),
        (
            ("MODEL.LOSSES.NAME", ("ViewInvariantLoss", "TripletLoss")),
            ["MODEL.LOSSES.NAME", "'TripletLoss'", *LOSSES],
        ),
        (("MODEL.LOSSES.NAME", ()), ["MODEL.LOSSES.NAME", "empty"]),
        (
            ("MODEL.LOSSES.NAME", ("ReconstructionLoss",)),
            ["MODEL.LOSSES.NAME", "ViewInvariantLoss", "GCL.PHASES"],
        ),
        (
            ("GCL.PHASES", ("joint",), "MODEL.LOSSES.NAME", ("ViewInvariantLoss", "R1Penalty")),
            ["MODEL.LOSSES.NAME", "ReconstructionLoss", "AdversarialLoss"],
        ),
        (
            ("GCL.PHASES", ("contrast", "joint"), "GCL.JOINT.LEARNS", "encoder"),
            ["GCL.JOINT.LEARNS", "GCL.PHASES", "GCL.GENERATOR.WEIGHTS"],
        ),
        *(((key, 0), [key, "0", "at least 1"]) for key in ONES),
        (("GCL.LABELS.K1", 5, "GCL.LABELS.K2", 6), ["GCL.LABELS.K2 is 6", "GCL.LABELS.K1, 5"]),
        (
            ("DATALOADER.NUM_INSTANCE", 5),
            ["DATALOADER.NUM_INSTANCE is 5", "4 images", "SOLVER.IMS_PER_BATCH"],
        ),
        (
            ("GCL.CONTRAST.IMS_PER_BATCH", 8, "DATALOADER.NUM_INSTANCE", 16, *CONTRAST_ALONE),
            ["DATALOADER.NUM_INSTANCE is 16", "8 images", "GCL.CONTRAST.IMS_PER_BATCH"],
        ),
        *(
            ((key, 1), [f"{key} is 1", f"phase {phase}", "2 or more"])
            for phase, key in (
                ("joint", "SOLVER.IMS_PER_BATCH"),
                ("contrast", "GCL.CONTRAST.IMS_PER_BATCH"),
            )
        ),
        (("MODEL.LOSSES.VIEW.TEMPERATURE", 0.0), ["MODEL.LOSSES.VIEW.TEMPERATURE", "above 0"]),
        (("GCL.MEMORY.ALPHA", 1.0), ["GCL.MEMORY.ALPHA", "1.0"]),
        (("GCL.MEMORY.ALPHA", -0.1), ["GCL.MEMORY.ALPHA", "-0.1"]),
        (("GCL.LABELS.EPS", 1.0), ["GCL.LABELS.EPS", "1.0"]),
        (("GCL.LABELS.EPS", -0.5), ["GCL.LABELS.EPS", "-0.5"]),
        (("GCL.LABELS.SITES", ("gate", "hall")), ["GCL.LABELS.SITES", "in brackets of their own"]),
        (("GCL.LABELS.SITES", (("gate",), ())), ["GCL.LABELS.SITES", "in brackets of their own"]),
        (("GCL.LABELS.SITES", ((1, 2), (3, "2"))), ["GCL.LABELS.SITES", "camera 2 twice"]),
        *(((key, "neither"), [key, "'neither'", *allowed]) for key, allowed in CHOICES.items()),
        (("SOLVER.OPT", "Adamm"), ["SOLVER.OPT", "'Adamm'"]),
        (("GCL.CONTRAST.OPT", "Sgd"), ["GCL.CONTRAST.OPT", "'Sgd'"]),
        (("SOLVER.WARMUP_ITERS", 10), ["SOLVER.WARMUP_ITERS"]),
        (("SOLVER.DELAY_EPOCHS", 1), ["SOLVER.DELAY_EPOCHS"]),
        (("TEST.PRECISE_BN.ENABLED", True), ["TEST.PRECISE_BN.ENABLED"]),
        *(
            ((key, value, "DATASETS.NAMES", ("Market1501", "DukeMTMC")), [key, "DATASETS.NAMES"])
            for key, value in (
                ("GCL.CAMERA_NORM", True),
                ("MODEL.LOSSES.VIEW.NEGATIVE_CAMERAS", "own"),
                ("MODEL.LOSSES.NAME", (*LOSSES, "InterCameraLoss")),
            )
        ),
        *(
            (("MODEL.META_ARCHITECTURE", "Baseline", key, value), [f"{key} is {value}", "Baseline"])
            for key, value in (
                ("GCL.CAMERA_NORM", True),
                ("GCL.FREEZE_BN", True),
                ("GCL.START_SHARE", 0.25),
                ("GCL.CUDA_GRAPHS", True),
            )
        ),
        (("INPUT.SIZE_TRAIN", [66, 32]), ["GCL.GENERATOR.SIZE", "INPUT.SIZE_TRAIN", "66 x 32"]),
        (("GCL.SOURCE.ROOT", "/data"), ["GCL.SOURCE.ROOT is /data", "GCL.SOURCE.NAMES is empty"]),
        *(
            (("GCL.SOURCE.NAMES", ("DrawnPeople",), *pairs), words)
            for pairs, words in (
                (("GCL.SOURCE.ROOT", "/no/such"), ["GCL.SOURCE.ROOT /no/such is no folder"]),
                (("GCL.PHASES", ("generator",)), ["GCL.SOURCE.NAMES", "add contrast or joint"]),
                (("MODEL.LOSSES.SOURCE.SCALE", 0.0), ["MODEL.LOSSES.SOURCE.SCALE is 0.0"]),
                (("GCL.SOURCE.BATCH", 1), ["GCL.SOURCE.BATCH is 1", "the source", "2 or more"]),
                (
                    ("GCL.SOURCE.BATCH", 2, "DATALOADER.NUM_INSTANCE", 4),
                    ["DATALOADER.NUM_INSTANCE is 4", "batch of the source", "GCL.SOURCE.BATCH"],
                ),
                (("MODEL.META_ARCHITECTURE", "Baseline"), ["Baseline", "GCL.SOURCE.NAMES"]),
            )
        ),
        (("GCL.SOURCE.NAMES", ("OwnCrops",)), ["GCL.SOURCE.NAMES has OwnCrops", "labelled set"]),
        (("INPUT.SIZE_TRAIN", [64, 30]), ["GCL.GENERATOR.SIZE", "64 x 30"]),
        (("GCL.GENERATOR.SIZE", [64, 33]), ["GCL.GENERATOR.SIZE", "64 x 33"]),
        (
            ("INPUT.SIZE_TRAIN", [32, 16], "GCL.DISCRIMINATOR.NUM_SCALES", 3),
            ["GCL.DISCRIMINATOR.NUM_SCALES", "32 x 16", "set it to 2"],
        ),
        (("GCL.LABELS.RHO", 0.0), ["GCL.LABELS.RHO", "above 0"]),
        (("GCL.LABELS.VISIT", 20), ["GCL.LABELS.VISIT is 20", "below GCL.LABELS.K1, 30"]),
        *(
            (("GCL.JOINT.UNTURNED", share), ["GCL.JOINT.UNTURNED", str(share), "[0, 1]"])
            for share in (-0.1, 1.5)
        ),
        *(
            ((f"GCL.{node}.NAME", "Unknown"), [f"GCL.{node}.NAME", "'Unknown'", known])
            for node, known in (
                ("GENERATOR", "AttentionViewGenerator"),
                ("DISCRIMINATOR", "MultiScaleDiscriminator"),
            )
        ),
        (("GCL.STRUCTURE.DIR", ""), ["GCL.STRUCTURE.DIR", "empty", "GCL.PHASES"]),
        (("GCL.STRUCTURE.DIR", "/no/such/folder"), ["GCL.STRUCTURE.DIR", "/no/such/folder"]),
    ],
    ids=lambda value: str(value[:2]),
)
def test_a_value_that_can_not_work_is_named(good_cfg, pairs, named):
    with pytest.raises(ConfigError) as error:
        check_gcl_config(good_cfg(*pairs))
    message = str(error.value)
    for word in named:
        assert word in message
    assert message.endswith(".")
    assert "\n" not in message  # one sentence


def test_batches_of_phases_that_are_not_asked_for_do_not_matter(good_cfg):
    """Nor does one image matter to the generator phase, in which no batch norm learns."""
    check_gcl_config(good_cfg(*CONTRAST_ALONE, "SOLVER.IMS_PER_BATCH", 1))
    ones = ("GCL.GENERATOR.IMS_PER_BATCH", 1, "GCL.CONTRAST.IMS_PER_BATCH", 1)
    check_gcl_config(good_cfg("GCL.PHASES", ("generator",), "SOLVER.IMS_PER_BATCH", 1, *ones))


def test_each_process_needs_two_images(good_cfg):
    cfg = good_cfg("SOLVER.IMS_PER_BATCH", 8, "GCL.CONTRAST.IMS_PER_BATCH", 4)
    check_batches(cfg, 2)
    with pytest.raises(ConfigError, match=r"GCL.CONTRAST.IMS_PER_BATCH is 4, one .* set it to 8"):
        check_batches(cfg, 4)


def test_processes_must_divide_the_source_s_batch(good_cfg):
    size = (*CONTRAST_ALONE, "GCL.CONTRAST.IMS_PER_BATCH", 8, "GCL.SOURCE.BATCH", 10)
    source = ("GCL.SOURCE.NAMES", ("DrawnPeople",), *size)
    check_batches(good_cfg(*source), 2)
    check_batches(good_cfg(*size), 4)  # nobody asks for it
    with pytest.raises(ConfigError, match="GCL.SOURCE.BATCH is 10: .*, 4, must divide it"):
        check_batches(good_cfg(*source), 4)


def test_evaluation_asks_for_no_source(good_cfg):
    source = ("GCL.SOURCE.NAMES", ("DrawnPeople",), "GCL.SOURCE.ROOT", "/on/another/machine")
    check_gcl_config(good_cfg(*source), training=False)


def shipped(name: str):
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.merge_from_file(os.path.join(CONFIGS, name))
    return cfg


@pytest.mark.parametrize(
    ("name", "crops", "cameras", "halved"),
    [("market.yml", 12936, 6, 1), ("duke.yml", 16522, 8, 1), ("msmt17.yml", 32621, 15, 2)],
)
def test_full_size_follows_the_number_of_crops(name, crops, cameras, halved):
    """Labels by the rule of a folder of crops; as many images between two labellings, in steps of
    twice the size."""
    cfg, rule = shipped(name), data_defaults(crops, cameras)
    for key in ("K1", "K2", "MIN_SAMPLES", "EPS"):
        assert cfg.GCL.LABELS[key] == rule[f"GCL.LABELS.{key}"]
    assert rule["GCL.CAMERA_NORM"] and cfg.GCL.CAMERA_NORM
    twice = cfg.SOLVER.IMS_PER_BATCH / rule["SOLVER.IMS_PER_BATCH"]
    assert cfg.GCL.CONTRAST.IMS_PER_BATCH == cfg.SOLVER.IMS_PER_BATCH and twice == 2
    assert cfg.GCL.ITERS_PER_EPOCH == round(rule["GCL.ITERS_PER_EPOCH"] / twice / halved)


@pytest.mark.parametrize("name", ["market.yml", "duke.yml", "msmt17.yml", "market_from_drawn.yml"])
def test_full_size_is_the_measured_recipe(name):
    """What is another: backbone, sizes, rates and lengths of E_id, and what follows from crops."""
    cfg, pku = shipped(name), shipped("pku.yml")
    own = {"IMS_PER_BATCH", "EPOCHS", "STEPS", "OPT", "BASE_LR"}
    for phase in ("GENERATOR", "DISCRIMINATOR", "JOINT"):
        left_out = own if phase == "JOINT" else set()
        for key in pku.GCL[phase].keys() - left_out:
            assert cfg.GCL[phase][key] == pku.GCL[phase][key], key
    assert cfg.GCL.FREEZE_BN and cfg.GCL.CAMERA_NORM and cfg.GCL.LABELS.FEATURES == "fresh"
    known = [name for name in pku.MODEL.LOSSES.NAME if name != "InterCameraLoss"]
    assert [*cfg.MODEL.LOSSES.NAME] == known
    assert cfg.MODEL.LOSSES.VIEW == pku.MODEL.LOSSES.VIEW
    assert (cfg.SOLVER.OPT, cfg.GCL.CONTRAST.OPT) == ("Adam", "Adam")
    assert cfg.SOLVER.BASE_LR == cfg.GCL.CONTRAST.BASE_LR == 3.5e-4
    assert (cfg.MODEL.BACKBONE.DEPTH, tuple(cfg.INPUT.SIZE_TRAIN)) == ("50x", (256, 128))
    # counted over all epochs that teach E_id the rate falls after 20 and 40 of 50
    contrast = cfg.GCL.CONTRAST.EPOCHS
    assert contrast + cfg.GCL.JOINT.EPOCHS == 50
    assert [contrast + step for step in cfg.SOLVER.STEPS] == [20, 40]


def test_the_papers_form_is_the_papers():
    """The defaults, but for the one that is not the paper's, and R1 in every step."""
    cfg, paper = shipped("ablations/market_paper.yml"), get_cfg()
    add_gcl_config(paper)
    paper.GCL.LABELS.FEATURES = "bank"
    assert cfg.GCL == paper.GCL
    for name in ("VIEW", "RECONSTRUCTION", "FEATURE", "ADVERSARIAL", "R1"):
        assert cfg.MODEL.LOSSES[name] == paper.MODEL.LOSSES[name]
    assert cfg.MODEL.LOSSES.R1.EVERY == 1
    assert {*cfg.MODEL.LOSSES.NAME} == {*LOSSES} - {"InterCameraLoss"}
    assert (cfg.MODEL.BACKBONE.DEPTH, tuple(cfg.INPUT.SIZE_TRAIN)) == ("50x", (256, 128))


def test_a_gpu_that_is_not_there(good_cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:1"):
        for training in (True, False):
            with pytest.raises(ConfigError, match=f"MODEL.DEVICE is {device}.*MODEL.DEVICE cpu"):
                check_gcl_config(good_cfg("MODEL.DEVICE", device), training=training)


@pytest.mark.parametrize(
    ("key", "value"), [(k, v) for k, values in CHOICES.items() for v in values]
)
def test_every_choice_is_accepted(good_cfg, key, value):
    check_gcl_config(good_cfg(key, value))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_any_share_of_the_views_may_be_unturned(good_cfg, share):
    check_gcl_config(good_cfg("GCL.JOINT.UNTURNED", share))


@pytest.mark.parametrize(
    "phases",
    [("contrast",), ("generator",), ("joint",), ("contrast", "joint"), ("generator", "contrast")],
)
def test_any_set_of_phases_in_any_order(good_cfg, phases):
    check_gcl_config(good_cfg("GCL.PHASES", phases))


def test_contrast_alone_needs_nothing_of_the_generator(good_cfg):
    check_gcl_config(
        good_cfg(
            "GCL.PHASES",
            ("contrast",),
            "GCL.STRUCTURE.DIR",
            "",
            "INPUT.SIZE_TRAIN",
            [30, 15],
            "MODEL.LOSSES.NAME",
            ("ViewInvariantLoss",),
            "GCL.GENERATOR.EPOCHS",
            0,
        )
    )


def test_the_generator_alone_needs_no_view_contrast(good_cfg):
    check_gcl_config(
        good_cfg("GCL.PHASES", ("generator",), "MODEL.LOSSES.NAME", ("ReconstructionLoss",))
    )


def test_evaluation_asks_for_nothing_that_only_training_needs(good_cfg):
    check_gcl_config(good_cfg("GCL.PHASES", (), "GCL.STRUCTURE.DIR", ""), training=False)


def test_size_of_views(tiny_cfg):
    assert generator_size(tiny_cfg("GCL.GENERATOR.SIZE", [48, 24])) == (48, 24)
    assert tuple(generator_size(tiny_cfg("INPUT.SIZE_TRAIN", [256, 128]))) == (256, 128)


def test_defaults_are_the_papers():
    cfg = get_cfg()
    add_gcl_config(cfg)
    losses = cfg.MODEL.LOSSES
    assert (losses.VIEW.TEMPERATURE, losses.VIEW.NUM_NEGATIVES, cfg.GCL.MEMORY.ALPHA) == (
        0.04,
        8192,
        0.2,
    )
    assert (losses.RECONSTRUCTION.SCALE, losses.FEATURE.SCALE, losses.R1.SCALE) == (5, 5, 0.01)
    assert (cfg.GCL.GENERATOR.EPOCHS, cfg.GCL.JOINT.EPOCHS) == (40, 20)
    assert (cfg.GCL.LABELS.K1, cfg.GCL.LABELS.K2, cfg.GCL.LABELS.MIN_SAMPLES) == (30, 6, 4)
    assert cfg.GCL.LABELS.RHO == 2e-3
    assert cfg.GCL.LABELS.FEATURES == "fresh"  # the one that is not
    assert (cfg.GCL.GENERATOR.BASE_LR, tuple(cfg.GCL.GENERATOR.BETAS)) == (1e-4, (0.0, 0.999))
    assert all(isinstance(beta, float) for beta in cfg.GCL.GENERATOR.BETAS)  # torch wants floats


@pytest.mark.parametrize("seen", [True, False])
def test_the_default_device_is_what_the_machine_has(monkeypatch, seen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen)
    cfg = get_cfg()
    add_gcl_config(cfg)
    assert cfg.MODEL.DEVICE == ("cuda" if seen else "cpu")


def test_every_key_has_a_comment_or_stands_with_its_group():
    """A key is explained on its line, above it, or above the first key of its block."""
    with open(os.path.join(CONFIGS, "..", "gcl", "config.py")) as file:
        source = file.read()
    body = source[source.index("def add_gcl_config") : source.index("def _require")]
    blocks = re.split(r"\n\s*\n", body)
    assert len(blocks) > 5
    for block in blocks:
        if re.search(r"^\s*(cfg\.|losses\.)", block, re.M):
            assert "#" in block, block


@pytest.mark.parametrize("key", ["GCL.GENERATOR.WEIGHTS", "MODEL.WEIGHTS"])
def test_a_generator_from_elsewhere_need_not_learn(good_cfg, key):
    """Nor does it need a loss then."""
    pairs = ("GCL.PHASES", ("joint",), "GCL.JOINT.LEARNS", "encoder", key, "a file")
    check_gcl_config(good_cfg(*pairs, "MODEL.LOSSES.NAME", ("ViewInvariantLoss",)))


# tools that make weights have keys of their own, see tests/tools/test_pretrain_*.py and below
FOUND = glob.glob(os.path.join(CONFIGS, "**", "*.yml"), recursive=True)
OWN_KEYS = (
    "pretrain_encoder.yml",
    "pretrain_estimator.yml",
    "pretrain_generator.yml",
    "pretrain_generator_r50.yml",
)
SHIPPED = sorted(path for path in FOUND if os.path.basename(path) not in OWN_KEYS)


@pytest.mark.parametrize("path", SHIPPED, ids=[os.path.relpath(p, CONFIGS) for p in SHIPPED])
def test_shipped_configurations_merge_and_pass(path, tmp_path):
    (tmp_path / "train").mkdir()
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.merge_from_file(path)
    cfg.merge_from_list(["MODEL.DEVICE", "cpu"])
    if {"generator", "joint"} & set(cfg.GCL.PHASES) and not cfg.GCL.STRUCTURE.DIR:
        cfg.merge_from_list(["GCL.STRUCTURE.DIR", str(tmp_path)])
    if "OwnCrops" in cfg.DATASETS.NAMES:
        cfg.merge_from_list(["GCL.DATA.FOLDER", str(tmp_path)])
    check_gcl_config(cfg)
    assert cfg.MODEL.META_ARCHITECTURE == "GCL"


@pytest.fixture
def own_cfg(tiny_cfg, tmp_path):
    """``own_cfg(KEY, value, ...)``: all three phases on a folder of crops, and the pairs on top."""
    pairs = ("DATASETS.NAMES", ("OwnCrops",), "GCL.DATA.FOLDER", str(tmp_path))
    return lambda *more: tiny_cfg(*pairs, "GCL.STRUCTURE.DIR", "auto", *more)


def test_own_crops_and_what_they_are_tested_on(own_cfg, tmp_path):
    assert check_gcl_config(own_cfg()) is None
    parts = ("GCL.DATA.QUERY", str(tmp_path), "GCL.DATA.GALLERY", str(tmp_path))
    assert check_gcl_config(own_cfg(*parts)) is None


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (("GCL.DATA.FOLDER", ""), "GCL.DATA.FOLDER is empty"),
        (("MODEL.META_ARCHITECTURE", "Baseline"), "MODEL.META_ARCHITECTURE is Baseline"),
        (("DATASETS.COMBINEALL", True), "DATASETS.COMBINEALL is on"),
        (("GCL.DATA.QUERY", "."), "give both or none"),
        (("GCL.DATA.QUERY", ".", "GCL.DATA.GALLERY", "/no"), "GCL.DATA.GALLERY /no is no folder"),
        (("DATASETS.NAMES", ("Market1501",)), "GCL.DATA.FOLDER is /.*OwnCrops alone reads"),
        (
            ("DATASETS.NAMES", ("Market1501",), "GCL.DATA.FOLDER", ""),
            "GCL.STRUCTURE.DIR auto is for OwnCrops",
        ),
    ],
)
def test_own_crops_that_can_not_work(own_cfg, pairs, words, training):
    with pytest.raises(ConfigError, match=words):
        check_gcl_config(own_cfg(*pairs), training)


def test_the_shipped_configurations_are_found():
    names = {os.path.basename(p) for p in SHIPPED}
    assert {"Base-GCL.yml", "market.yml", "msmt17.yml", "duke.yml", "pku.yml"} <= names


ROOT = os.path.join(os.path.dirname(__file__), "..")
BASELINES = sorted(glob.glob(os.path.join(ROOT, "configs", "*.yml")))


@pytest.mark.parametrize(
    "path", [*SHIPPED, *BASELINES], ids=lambda path: os.path.relpath(path, ROOT)
)
def test_shipped_configurations_make_a_model(path):
    """Without memory or time for its weights, and without fetching any; its backbone puts out as
    many channels as its heads take."""
    cfg = get_cfg()
    add_gcl_config(cfg)
    cfg.merge_from_file(path)
    cfg.merge_from_list(["MODEL.DEVICE", "meta", "MODEL.BACKBONE.PRETRAIN", False])
    cfg.merge_from_list(["MODEL.HEADS.NUM_CLASSES", 5, "GCL.GENERATOR.WEIGHTS", ""])
    check_toolbox_keys(cfg, given_keys(path, []))
    with torch.device("meta"):
        model = build_model(cfg).eval()
        images, camids = torch.empty(2, 3, *cfg.INPUT.SIZE_TEST), torch.zeros(2, dtype=torch.long)
        features = model({"images": images, "camids": camids})
    assert features.shape == (2, cfg.MODEL.BACKBONE.FEAT_DIM)
    assert type(model).__name__ == cfg.MODEL.META_ARCHITECTURE


def test_the_baselines_are_found_and_are_the_toolbox_s():
    names = {os.path.basename(path) for path in BASELINES}
    assert {"Base-bagtricks.yml", "market.yml", "msmt17.yml", "cuhk03.yml", "pku.yml"} <= names
    for path in BASELINES:
        cfg = get_cfg()
        cfg.merge_from_file(path)  # without a key of ours
        assert cfg.MODEL.META_ARCHITECTURE == "Baseline"
        # the triplet loss looks at the feature before the neck: Luo et al., section 3.5
        assert cfg.MODEL.HEADS.NECK_FEAT == "before"


# ---- tools/pretrain_generator.py
NAME = "MODEL.LOSSES.NAME"


def pretraining_cfg(*pairs: object):
    """What the tool's defaults make of ``pairs``."""
    cfg = get_pretraining_cfg()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "INPUT.SIZE_TRAIN", [64, 32], *pairs])
    return cfg


def test_pretraining_needs_none_of_what_training_on_photographs_needs():
    assert check_pretraining_cfg(pretraining_cfg("GCL.STRUCTURE.DIR", "/no/such/folder")) is None


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        (("GCL.PHASES", ("contrast",)), ["GCL.PHASES", "generator"]),
        (("SEED", -1), ["SEED", "-1", "at least 0"]),
        (("PRETRAIN.PEOPLE", 0), ["PRETRAIN.PEOPLE", "0", "at least 1"]),
        (("PRETRAIN.WORKERS", -1), ["PRETRAIN.WORKERS", "-1", "at least 0"]),
        (("PRETRAIN.STEPS", 0), ["PRETRAIN.STEPS", "0", "at least 1"]),
        (("PRETRAIN.CHECKPOINT_PERIOD", 0), ["PRETRAIN.CHECKPOINT_PERIOD", "0", "at least 1"]),
        (("PRETRAIN.PERCEPTUAL", -0.5), ["PRETRAIN.PERCEPTUAL", "-0.5", "at least 0"]),
        (("PRETRAIN.LR", 0.0), ["PRETRAIN.LR", "above 0"]),
        (("MODEL.LOSSES.R1.EVERY", 0), ["MODEL.LOSSES.R1.EVERY", "at least 1"]),
        (("GCL.GENERATOR.NAME", "Unknown"), ["GCL.GENERATOR.NAME", "'Unknown'"]),
        (("GCL.GENERATOR.IMS_PER_BATCH", 0), ["GCL.GENERATOR.IMS_PER_BATCH", "at least 1"]),
        (
            ("PRETRAIN.STEPS", 10, "PRETRAIN.CHECKPOINT_PERIOD", 4),
            ["PRETRAIN.STEPS is 10", "PRETRAIN.CHECKPOINT_PERIOD, 4", "divide"],
        ),
        (("PRETRAIN.OWN", 1.5), ["PRETRAIN.OWN", "1.5"]),
        (("PRETRAIN.OWN", -0.1), ["PRETRAIN.OWN", "-0.1"]),
        (("INPUT.SIZE_TRAIN", [66, 32]), ["GCL.GENERATOR.SIZE", "66 x 32"]),
        (("GCL.GENERATOR.SIZE", [32, 16]), ["GCL.DISCRIMINATOR.NUM_SCALES", "set it to 2"]),
        (
            (NAME, ("CycleLoss", "AdversarialLoss", "L2")),
            [f"{NAME} contains 'CycleLoss', 'L2',", "does not know", *PRETRAINING_LOSSES],
        ),
        (
            (NAME, ("ReconstructionLoss", "R1Penalty")),
            [f"{NAME} has R1Penalty without AdversarialLoss", "take R1Penalty out"],
        ),
    ],
    ids=lambda value: str(value[:2]),
)
def test_a_value_that_can_not_pretrain_is_named(pairs, named):
    with pytest.raises(ConfigError) as error:
        check_pretraining_cfg(pretraining_cfg(*pairs))
    message = str(error.value)
    assert all(word in message for word in named), message
    assert message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("names", [(), *(PRETRAINING_LOSSES[:n] for n in (1, 2, 3))])
def test_losses_that_pretraining_knows_pass(names):
    assert check_pretraining_cfg(pretraining_cfg(NAME, names)) is None


@pytest.mark.parametrize("key", ["OWN", "PERCEPTUAL", "LR"])
def test_a_whole_number_for_a_fraction_is_one(key):
    cfg = get_pretraining_cfg()
    merge_config(cfg, "", [f"PRETRAIN.{key}", "1"])
    assert type(cfg.PRETRAIN[key]) is float and cfg.PRETRAIN[key] == 1


def test_a_gpu_that_pretraining_lacks(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="MODEL.DEVICE is cuda.*set MODEL.DEVICE cpu"):
        check_pretraining_cfg(pretraining_cfg("MODEL.DEVICE", "cuda"))


@pytest.mark.parametrize("name", ["pretrain_generator.yml", "pretrain_generator_r50.yml"])
def test_the_shipped_pretraining_passes_and_starts_from_scratch(name):
    cfg = get_pretraining_cfg()
    cfg.merge_from_file(os.path.join(CONFIGS, name))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu"])
    check_pretraining_cfg(cfg)
    assert (cfg.GCL.GENERATOR.NAME, cfg.GCL.GENERATOR.WEIGHTS) == ("AttentionViewGenerator", "")
