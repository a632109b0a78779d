"""Pre-training of view generators: true pairs, the losses on them, and that only G, E_str and D
learn."""

from __future__ import annotations

import json
import os

import pytest
import torch
import torch.nn.functional as F
from engine import runs
from fastreid.modeling import build_model
from safetensors import safe_open
from safetensors.torch import load_file

from gcl import ConfigError
from gcl.losses import perceptual_distance, r1_penalty
from gcl.modeling.imagenet import ImageNet
from gcl.pretraining import view_generator as module
from gcl.pretraining.view_generator import STAGES, Batch, GeneratorTrainer, get_pretraining_cfg
from gcl.synthetic import turns

STEPS, PERIOD, BATCH, SIZE = 6, 3, 4, (64, 32)
LOSSES = ("ReconstructionLoss", "AdversarialLoss", "R1Penalty")
NAMES = ("ViewGenerator", "AttentionViewGenerator")
OPTIONS = {
    "MODEL.DEVICE": "cpu",
    "MODEL.META_ARCHITECTURE": "GCL",
    "MODEL.BACKBONE.NAME": "build_unit_test_backbone",
    "MODEL.BACKBONE.FEAT_DIM": 16,
    "MODEL.BACKBONE.PRETRAIN": False,
    "MODEL.HEADS.NAME": "IdentityHead",
    "MODEL.HEADS.NORM": "BN",
    "MODEL.HEADS.WITH_BNNECK": True,
    "MODEL.HEADS.POOL_LAYER": "GlobalAvgPool",
    "MODEL.PIXEL_MEAN": [120.0, 110.0, 100.0],
    "MODEL.PIXEL_STD": [60.0, 55.0, 50.0],
    "MODEL.LOSSES.NAME": LOSSES,
    "MODEL.LOSSES.R1.EVERY": 2,  # does not divide the steps between checkpoints
    "INPUT.SIZE_TRAIN": SIZE,
    "GCL.GENERATOR.IMS_PER_BATCH": BATCH,
    "GCL.GENERATOR.WIDTH": 4,
    "GCL.GENERATOR.NUM_BLOCKS": 1,
    "GCL.GENERATOR.MLP_DIM": 8,
    "GCL.GENERATOR.CODE_NORM": True,
    "GCL.DISCRIMINATOR.WIDTH": 4,
    "GCL.DISCRIMINATOR.NUM_SCALES": 2,
    "GCL.DISCRIMINATOR.NUM_BLOCKS": 1,
    "PRETRAIN.PEOPLE": 2,
    "PRETRAIN.WORKERS": 1,
    "PRETRAIN.STEPS": STEPS,
    "PRETRAIN.CHECKPOINT_PERIOD": PERIOD,
}


@pytest.fixture(scope="module", autouse=True)
def small(toy):
    """Files of two people."""
    with pytest.MonkeyPatch.context() as patch, runs.place(toy):
        patch.setattr(turns, "SHARD", 2)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("turns"))


def trainer(data, out, *pairs, name: str = NAMES[1]) -> GeneratorTrainer:
    cfg = get_pretraining_cfg()
    cfg.merge_from_list([part for pair in OPTIONS.items() for part in pair])
    cfg.merge_from_list(["PRETRAIN.DATA", data, "OUTPUT_DIR", str(out)])
    cfg.merge_from_list(["GCL.GENERATOR.NAME", name, *pairs])
    cfg.freeze()
    os.makedirs(out, exist_ok=True)
    return GeneratorTrainer(cfg)


@pytest.fixture(scope="module", params=NAMES)
def straight(data, tmp_path_factory, request):
    """(trainer, file of weights) after a training that nothing disturbed."""
    done = trainer(data, tmp_path_factory.mktemp("straight"), name=request.param)
    return done, done.train()


def again(done: GeneratorTrainer, out) -> GeneratorTrainer:
    """The same training, in another folder."""
    return trainer(done.cfg.PRETRAIN.DATA, out, name=done.cfg.GCL.GENERATOR.NAME)


# ---------------------------------------------------------------------- training
def test_generator_and_discriminator_learn_and_the_encoder_does_not(straight, tmp_path):
    done, _ = straight
    before = again(done, tmp_path).gcl
    learning = [f"{part}.{k}" for part, m in done.model.items() for k, _ in m.named_parameters()]
    assert {name.split(".")[0] for name in learning} == {"generator", "discriminator"}
    for name, value in done.gcl.state_dict().items():
        same = torch.equal(value, before.state_dict()[name])
        assert same != (name in learning or "code_norm" in name), name
        assert value.isfinite().all()
    assert all(p.grad is None for p in done.gcl.backbone.parameters())


def test_it_leaves_weights_curves_and_a_checkpoint(straight):
    done, path = straight
    out = done.cfg.OUTPUT_DIR
    assert {"last.pth", "last_checkpoint", "metrics.json", os.path.basename(path)} <= {
        *os.listdir(out)
    }
    found = {k for line in runs.metrics(out) for k in line if k.startswith("loss_")}
    assert {"loss_image", "loss_perceptual", "loss_generator", "loss_discriminator"} <= found
    written, parameters = load_file(path), dict(done.model.named_parameters())
    for name, value in done.model.state_dict().items():
        assert torch.equal(written[name], value.half() if name in parameters else value), name
    with safe_open(path, "pt") as file:
        made_with = json.loads(file.metadata()["made_with"])
    wanted = {"size": [*SIZE], "PEOPLE": 2, "STEPS": STEPS, "SEED": 0, "BATCH": BATCH}
    assert wanted.items() <= made_with.items()


def test_a_training_on_photographs_starts_from_its_weights(straight):
    done, path = straight
    cfg = done.cfg.clone()
    cfg.defrost()
    cfg.GCL.GENERATOR.WEIGHTS = path
    model = build_model(cfg)
    written = load_file(path)
    for name, value in model.state_dict().items():
        if name in written:
            assert torch.equal(value, written.pop(name).to(value.dtype)), name
    assert not written


def test_without_its_loss_there_is_no_discriminator_in_the_weights(data, tmp_path):
    """Who starts from them has one of their own."""
    done = trainer(data, tmp_path, "MODEL.LOSSES.NAME", LOSSES[:1])
    path = done.train()
    assert {name.split(".")[0] for name in load_file(path)} == {"generator"}
    cfg = done.cfg.clone()
    cfg.defrost()
    models = []
    for cfg.GCL.GENERATOR.WEIGHTS in ("", path):
        torch.manual_seed(5)
        models.append(build_model(cfg).state_dict())
    fresh, loaded = models
    written = load_file(path)
    for name, value in loaded.items():
        wanted = written[name].to(value.dtype) if name in written else fresh[name]
        assert torch.equal(value, wanted), name


def test_it_repeats_bit_for_bit(straight, tmp_path):
    done, path = straight
    torch.manual_seed(99)  # chance was elsewhere
    second = again(done, tmp_path).train()
    with open(path, "rb") as one, open(second, "rb") as two:
        assert one.read() == two.read()


def test_an_interrupted_training_ends_as_if_nothing_had_happened(straight, tmp_path):
    done, path = straight
    first = again(done, tmp_path)
    runs.train_until(first, PERIOD + 1)  # one step after the checkpoint is lost
    assert not os.path.exists(tmp_path / os.path.basename(path))
    torch.manual_seed(99)
    second = again(done, tmp_path)
    second.resume()
    assert second.start_epoch == 1
    second.train()
    runs.assert_same(dict(second.model.state_dict()), dict(done.model.state_dict()))
    runs.assert_same(second.optimizer.state_dict(), done.optimizer.state_dict())


def test_another_seed_is_another_training(data, tmp_path):
    one, other = (trainer(data, tmp_path, "SEED", seed) for seed in (0, 1))
    assert not torch.equal(one.turns.crops, other.turns.crops)
    key = "generator.up.1.conv.weight"
    assert not torch.equal(one.model.state_dict()[key], other.model.state_dict()[key])


@pytest.mark.parametrize(("name", "wanted"), [(NAMES[0], True), (NAMES[1], False)])
def test_weights_are_fetched_for_an_encoder_that_is_asked(
    data, tmp_path, monkeypatch, name, wanted
):
    seen = []

    def build(cfg):
        seen.append(cfg.MODEL.BACKBONE.PRETRAIN)
        return build_model(cfg)

    monkeypatch.setattr(module, "build_model", build)
    done = trainer(data, tmp_path, "MODEL.BACKBONE.PRETRAIN", True, name=name)
    assert seen == [wanted] and done.cfg.MODEL.BACKBONE.PRETRAIN


def test_mistakes_are_told_before_people_are_drawn(data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "write_turns", lambda *_: pytest.fail("drawn"))
    with pytest.raises(ConfigError, match="GCL.GENERATOR.FREEZE_LAYERS names 'no_such'"):
        trainer(data, tmp_path, "GCL.GENERATOR.FREEZE_LAYERS", ("no_such",))


# ---------------------------------------------------------------------- batches
def films(pictures):
    """Each picture of a batch has an exposure of its own."""
    return pictures * 2.0 ** -torch.arange(len(pictures)).view(-1, 1, 1, 1)


def who(maker: GeneratorTrainer, x, s) -> tuple[int, int, bool]:
    """Person, view and whether it is mirrored, of a crop (3, H, W) and its structure (1, H, W)."""
    crops = maker.turns.crops.permute(0, 1, 4, 2, 3)
    structures = maker.turns.structures[:, :, None] / 255
    found = [
        (person, number, mirrored)
        for person in range(crops.shape[0])
        for number in range(crops.shape[1])
        for mirrored in (False, True)
        for c, r in [(crops[person, number], structures[person, number])]
        if torch.equal(c.flip(2) if mirrored else c, x)
        and torch.equal(r.flip(2) if mirrored else r, s)
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("own", [0.0, 0.5, 1.0])
def test_pairs_are_of_one_person_camera_and_film(data, tmp_path, monkeypatch, own):
    """Mirrored together, with their structures; views differ but for the share OWN."""
    monkeypatch.setattr(module, "photometric", films)
    maker = trainer(data, tmp_path, "PRETRAIN.OWN", own, "GCL.GENERATOR.IMS_PER_BATCH", 16)
    torch.manual_seed(0)
    seen, pairs = set(), []
    for _ in range(8):
        batch = maker._batch()
        exposure = 2.0 ** torch.arange(16)
        for i in range(16):
            one = who(maker, batch.x[i] * exposure[i], batch.s_ori[i])
            other = who(maker, batch.x_new[i] * exposure[i], batch.s_new[i])
            assert (one[0], one[2]) == (other[0], other[2])
            pairs.append((one[1], other[1]))
            seen |= {one, other}
    assert len(seen) == 2 * 4 * 2  # everybody, from all sides, both ways round
    unturned = sum(a == b for a, b in pairs) / len(pairs)
    assert unturned == own if own in (0, 1) else 0.3 < unturned < 0.7
    turned = {(a, b) for a, b in pairs if a != b}
    assert len(turned) == (0 if own == 1 else 12)  # from each side to each other


def test_the_film_stays_in_range_and_structures_have_the_size_of_views(data, tmp_path):
    maker = trainer(data, tmp_path, "GCL.GENERATOR.SIZE", [32, 16])
    torch.manual_seed(0)
    batch = maker._batch()
    for x, s in ((batch.x, batch.s_ori), (batch.x_new, batch.s_new)):
        assert x.shape == (BATCH, 3, *SIZE) and s.shape == (BATCH, 1, 32, 16)
        assert 0 <= x.min() and x.max() <= 255 and x.std() > 10
        assert 0 <= s.min() and 0.1 < s.max() <= 1
    known = maker.turns.crops.permute(0, 1, 4, 2, 3).flatten(0, 1).float()
    assert not any(torch.equal(x, k) for x in batch.x for k in known)  # other cameras than theirs


# ---------------------------------------------------------------------- losses
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [SIZE, (32, 16)])
def test_losses_against_the_equations(data, tmp_path, monkeypatch, name, size):
    """The view of the crop's person as s_new has it, beside the true picture at the views' size."""
    pairs = ("GCL.GENERATOR.SIZE", [*size], "PRETRAIN.PERCEPTUAL", 0.7, "GCL.GENERATOR.CODE_NORM",
             False)  # fmt: skip
    maker = trainer(data, tmp_path, *pairs, name=name)
    gcl, g = maker.gcl, maker.gcl.generator
    torch.manual_seed(0)
    x, x_new = (torch.randint(0, 256, (BATCH, 3, *SIZE)).float() for _ in range(2))
    s_ori, s_new = torch.rand(2, BATCH, 1, *size)
    monkeypatch.setattr(maker, "_batch", lambda: Batch(x, s_ori, x_new, s_new))
    found = maker.losses()

    def resized(images, to):
        if images.shape[-2:] == to:
            return images
        return F.interpolate(images, to, mode="bilinear", antialias=True)

    with torch.no_grad():
        there, true = ((v - gcl.pixel_mean) / gcl.pixel_std for v in (x, x_new))
        true = resized(true, size)
        known = gcl.heads.part_code(gcl.backbone(there))
        if not g.uses_code:
            known = g.appearance(resized(there, size), s_ori, g.encode(s_ori))
        view = g.decode(g.encode(s_new), known)
        pictures = [resized(v, SIZE) * gcl.pixel_std + gcl.pixel_mean for v in (view, true)]
        maps = [ImageNet(STAGES).maps(picture) for picture in pictures]
        fake, real = gcl.discriminator(view), gcl.discriminator(true)
        wanted = {
            "loss_image": (true - view).abs().mean(),
            "loss_perceptual": 0.7 * perceptual_distance(*maps).mean(),
            "loss_generator": sum(2 * (m - 1).square().mean() for m in fake),
            "loss_discriminator": sum(
                (r - 1).square().mean() + f.square().mean()
                for r, f in zip(real, fake, strict=True)
            ),
        }
    wanted["loss_r1"] = 2 * 0.01 * r1_penalty(gcl.discriminator, true)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key].item() == pytest.approx(value.item(), rel=1e-3), key


@pytest.mark.parametrize("names", [LOSSES[:1], LOSSES[:2], LOSSES])
def test_the_discriminator_is_asked_where_a_loss_of_it_is_named(data, tmp_path, names):
    maker = trainer(data, tmp_path, "MODEL.LOSSES.NAME", names)
    torch.manual_seed(0)
    adversarial = {"loss_generator", "loss_discriminator"} if len(names) > 1 else set()
    adversarial |= {"loss_r1"} if len(names) > 2 else set()
    found = {*maker.losses()}
    assert found & {"loss_generator", "loss_discriminator", "loss_r1"} == adversarial
    assert found > adversarial


@pytest.mark.parametrize(("name", "passes"), [(NAMES[0], 1), (NAMES[1], 0)])
def test_the_encoder_is_asked_for_codes_alone(data, tmp_path, name, passes):
    maker, seen = trainer(data, tmp_path, name=name), []
    maker.gcl.backbone.register_forward_pre_hook(lambda *_: seen.append(1))
    torch.manual_seed(0)
    sum(maker.losses().values()).backward()
    assert len(seen) == passes
    if passes:  # its codes' statistics follow the crops: one a stripe
        assert maker.gcl.generator.code_norm.count.item() == BATCH * 4
