"""GCL: which gradient goes where, what moves in which phase, and parity with the toolbox."""

from __future__ import annotations

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from torch import Tensor, nn

from gcl.modeling import GCL
from gcl.modeling.backgrounds import swap_backgrounds

NUM_IMAGES = 8
GROUPS = ("backbone", "heads", "generator", "discriminator")
SIZE = (64, 32)


def make_batch(
    seed: int = 0, size: tuple[int, int] = SIZE, view_size: tuple[int, int] = SIZE
) -> dict:
    g = torch.Generator().manual_seed(seed)
    return {
        "images": torch.randint(0, 256, (4, 3, *size), generator=g).float(),
        "targets": torch.full((4,), -1),
        "camids": torch.tensor([0, 1, 0, 1]),
        "img_paths": ["a", "b", "c", "d"],
        "indices": torch.tensor([0, 2, 5, 6]),
        "structure_ori": torch.rand(4, 1, *view_size, generator=g),
        "structure_new": torch.rand(4, 1, *view_size, generator=g),
    }


def make_model(cfg, phase: str = "joint") -> GCL:
    """Every image a class of its own: no draw of the view contrast is random."""
    torch.manual_seed(0)
    model = build_model(cfg)
    assert isinstance(model, GCL)
    model.bank.allocate(NUM_IMAGES)
    model.bank.fill(torch.randn(NUM_IMAGES, model.heads.embedding_dim))
    model.bank.labels.copy_(torch.arange(NUM_IMAGES))
    model.train()
    model.set_phase(phase)
    return model


def gradients(model: GCL, loss: Tensor) -> dict[str, Tensor]:
    """Gradient of every parameter that ``loss`` reached with something else than 0."""
    model.zero_grad(set_to_none=True)
    if loss.requires_grad:
        loss.backward(retain_graph=True)
    return {
        n: p.grad.clone()
        for n, p in model.named_parameters()
        if p.grad is not None and p.grad.any()
    }


def reached(model: GCL, loss: Tensor) -> set[str]:
    return {name.split(".")[0] for name in gradients(model, loss)}


G, D, E, H = "generator", "discriminator", "backbone", "heads"
BY_D = {"loss_discriminator": {D}, "loss_r1": {D}}
GAN = ("loss_image", "loss_cycle", "loss_feature", "loss_generator")
CONTRAST = ("loss_view_own", "loss_view_new", "loss_view_ori")


def everything(gan: set[str], contrast: set[str]) -> dict[str, set[str]]:
    return dict.fromkeys(GAN, gan) | dict.fromkeys(CONTRAST, contrast) | BY_D


# (phase, JOINT.LEARNS): the groups that each loss teaches.
# L_vi'' teaches G too, by its negatives, which the generated view scores.
EXPECTED = {
    ("contrast", "everything"): {"loss_view_ori": {E, H}},
    ("generator", "everything"): dict.fromkeys(GAN, {G}) | BY_D,
    ("joint", "everything"): everything({G, E}, {G, E, H}),
    ("joint", "apart"): everything({G}, {E, H}),
}
LEARNS = pytest.mark.parametrize("learns", ["everything", "apart"])
SWITCHES = [("paper", "lsgan"), ("code", "log")]
CASES = [(*case, *switch) for case in EXPECTED for switch in SWITCHES if case[0] != "contrast"]


@pytest.mark.parametrize(
    ("phase", "learns", "views", "form"), [("contrast", "everything", *SWITCHES[0]), *CASES]
)
def test_each_loss_alone_reaches_these_groups_and_no_other(tiny_cfg, phase, learns, views, form):
    cfg = tiny_cfg("GCL.JOINT.LEARNS", learns)
    cfg.MODEL.LOSSES.FEATURE.VIEWS, cfg.MODEL.LOSSES.ADVERSARIAL.FORM = views, form
    model = make_model(cfg, phase)
    losses = model(make_batch())
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    found = {name: reached(model, loss) for name, loss in losses.items()}
    assert found == EXPECTED[phase, learns]


@LEARNS
def test_swapped_backgrounds_change_nobody_s_teacher(tiny_cfg, learns):
    model = make_model(tiny_cfg("GCL.JOINT.SWAP_BACKGROUNDS", True, "GCL.JOINT.LEARNS", learns))
    found = {name: reached(model, loss) for name, loss in model(make_batch()).items()}
    assert found == EXPECTED["joint", learns]


@LEARNS
def test_running_statistics_see_the_originals_once_and_no_view(tiny_cfg, learns):
    """After a joint step: those that one forward of the originals alone would leave."""
    cfg = tiny_cfg("GCL.JOINT.LEARNS", learns)
    model, alone = make_model(cfg), make_model(cfg)
    batch = make_batch()
    model(batch)
    alone.heads(alone.backbone(alone.preprocess_image(batch)), camids=batch["camids"])
    norms = [
        (a, b)
        for a, b in zip(model.modules(), alone.modules(), strict=True)
        if isinstance(a, nn.modules.batchnorm._BatchNorm)
    ]
    assert norms
    for a, b in norms:
        torch.testing.assert_close(a.running_mean, b.running_mean)
        torch.testing.assert_close(a.running_var, b.running_var)
        assert a.momentum == b.momentum > 0


@LEARNS
def test_one_backward_of_the_sum_is_what_alternating_steps_would_see(tiny_cfg, learns):
    """.grad of D under the sum = under D's own losses; .grad of E_str and G = under all others."""
    model = make_model(tiny_cfg("GCL.JOINT.LEARNS", learns))
    losses = model(make_batch())
    names = ("loss_discriminator", "loss_r1")
    own = sum(losses[name] for name in names)
    others = sum(loss for name, loss in losses.items() if name not in names)
    together = gradients(model, sum(losses.values()))
    apart = gradients(model, own) | gradients(model, others)
    assert set(together) == set(apart)
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, apart[name], rtol=1e-4, atol=1e-6)


def test_every_parameter_that_trains_gets_a_gradient_in_the_joint_phase(tiny_cfg):
    model = make_model(tiny_cfg())
    got = gradients(model, sum(model(make_batch()).values()))
    assert [n for n, p in model.named_parameters() if p.requires_grad and n not in got] == []


def state_of(*modules: nn.Module) -> list[Tensor]:
    return [v.clone() for module in modules for v in module.state_dict().values()]


def test_nothing_of_the_encoder_moves_in_the_generator_phase(tiny_cfg):
    model = make_model(tiny_cfg(), "generator")
    assert not any(m.training for part in (model.backbone, model.heads) for m in part.modules())
    assert all(
        m.training for part in (model.generator, model.discriminator) for m in part.modules()
    )
    encoder = state_of(model.backbone, model.heads)
    rest = state_of(model.generator, model.discriminator)
    bank = state_of_bank(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for seed in range(2):
        optimizer.zero_grad()
        sum(model(make_batch(seed)).values()).backward()
        assert all(
            p.grad is None for part in (model.backbone, model.heads) for p in part.parameters()
        )
        optimizer.step()
        model.update_memory()
    assert all(map(torch.equal, encoder, state_of(model.backbone, model.heads)))
    assert all(map(torch.equal, bank, state_of_bank(model)))
    moved = [
        not torch.equal(a, b)
        for a, b in zip(rest, state_of(model.generator, model.discriminator), strict=True)
    ]
    assert all(moved)


def state_of_bank(model: GCL) -> list[Tensor]:
    return [model.bank.features.clone(), model.bank.labels.clone()]


def test_the_encoder_trains_again_after_the_generator_phase(tiny_cfg):
    model = make_model(tiny_cfg(), "contrast")
    trains = [n for n, p in model.named_parameters() if p.requires_grad]
    assert "heads.weight" not in trains
    model.set_phase("generator")
    frozen = [n for n, p in model.named_parameters() if p.requires_grad]
    assert {n.split(".")[0] for n in frozen} == {"generator", "discriminator"}
    for phase in ("joint", "contrast"):
        model.set_phase("generator")
        model.set_phase(phase)
        # what the toolbox freezes (the bias of the neck) stays frozen
        assert [n for n, p in model.named_parameters() if p.requires_grad] == trains
        assert all(m.training for m in model.modules())
    model.eval()
    model.set_phase("joint")
    assert not any(m.training for m in model.modules())


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@pytest.mark.parametrize("phase", ["contrast", "joint"])
@pytest.mark.parametrize("freeze", [True, False])
def test_freeze_bn_keeps_running_statistics_and_uses_them(tiny_cfg, phase, freeze):
    model = make_model(tiny_cfg("GCL.FREEZE_BN", freeze), phase)
    assert len(norms(model.backbone)) == 2
    assert [m.training for m in norms(model.backbone)] == [not freeze] * 2
    before = [m.running_mean.clone() for m in norms(model.backbone)]
    losses = model(make_batch())
    for old, m in zip(before, norms(model.backbone), strict=True):
        assert torch.equal(old, m.running_mean) == freeze
    got = gradients(model, losses["loss_view_ori"])
    assert {"backbone.1.weight", "backbone.1.bias"} <= set(got)  # frozen statistics, not weights
    model.eval()
    model.train()
    assert [m.training for m in norms(model.backbone)] == [not freeze] * 2


@pytest.mark.parametrize("phase", ["contrast", "generator", "joint"])
def test_targets_of_the_batch_are_overwritten_by_pseudo_labels_and_never_used(tiny_cfg, phase):
    values = []
    for targets in (torch.tensor([-1, -1, -1, -1]), torch.tensor([7, 7, 3, 1])):
        model = make_model(tiny_cfg(), phase)
        model.bank.labels[:] = torch.tensor([4, 4, -1, 0, 1, 9, 2, 3])
        batch = make_batch() | {"targets": targets}
        torch.manual_seed(1)
        losses = model(batch)
        values.append({name: loss.item() for name, loss in losses.items()})
        assert batch["targets"].tolist() == [4, -1, 9, 2]  # labels of rows 0, 2, 5, 6
    assert values[0] == values[1]


INTER = ("MODEL.LOSSES.NAME", ("ViewInvariantLoss", "InterCameraLoss", "ReconstructionLoss"))


def with_proxies(model: GCL) -> GCL:
    """Two cameras, each of which has seen a row of each class."""
    features, device = model.bank.features.clone(), model.device
    cameras = [0, 1] * (NUM_IMAGES // 2)  # rows 0, 2, 5, 6 of the batch: cameras 0, 0, 1, 0
    model.bank.allocate(NUM_IMAGES, cameras)
    model.bank.fill(features)
    model.bank.labels.copy_(torch.arange(NUM_IMAGES, device=device) // 2)
    model.proxies.build(model.bank)
    return model


@pytest.mark.parametrize("phase", ["contrast", "joint"])
def test_the_inter_camera_loss_teaches_the_encoder_by_classes_that_two_cameras_saw(tiny_cfg, phase):
    model, batch = with_proxies(make_model(tiny_cfg(*INTER), phase)), make_batch()
    batch["camids"] = model.bank.cameras[batch["indices"]]
    losses = model(batch)
    assert reached(model, losses["loss_inter_camera"]) == {E, H}
    before = model.proxies.features.clone()
    model.update_memory()
    moved = (model.proxies.features != before).any(1)
    assert set(moved.nonzero()[:, 0].tolist()) == set(model.proxies.rows[batch["indices"]].tolist())
    model.bank.labels.copy_(torch.arange(NUM_IMAGES))  # one camera has seen each
    model.proxies.build(model.bank)
    assert model(batch)["loss_inter_camera"].item() == 0.0


# ---- choice and weight of losses
def test_scales_multiply_their_losses(tiny_cfg):
    keys = {
        "loss_image": "RECONSTRUCTION",
        "loss_cycle": "RECONSTRUCTION",
        "loss_feature": "FEATURE",
        "loss_r1": "R1",
        "loss_generator": "ADVERSARIAL",
        "loss_discriminator": "ADVERSARIAL",
        "loss_view_own": "VIEW",
        "loss_view_new": "VIEW",
        "loss_view_ori": "VIEW",
    }
    pairs = [x for node in set(keys.values()) for x in (f"MODEL.LOSSES.{node}.SCALE", 1.0)]
    ones = make_model(tiny_cfg(*pairs))(make_batch())
    triples = make_model(tiny_cfg(*(3.0 if x == 1.0 else x for x in pairs)))(make_batch())
    assert set(ones) == set(triples) == set(keys)
    for name, loss in ones.items():
        assert triples[name].item() == pytest.approx(3 * loss.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("ReconstructionLoss", {"loss_image"}),
        ("CycleLoss", {"loss_cycle"}),
        ("FeatureConsistencyLoss", {"loss_feature"}),
        ("AdversarialLoss", {"loss_generator", "loss_discriminator"}),
        ("R1Penalty", {"loss_r1"}),
    ],
)
def test_losses_are_chosen_by_name(tiny_cfg, chosen, names):
    model = make_model(tiny_cfg("MODEL.LOSSES.NAME", (chosen,)), "generator")
    assert set(model(make_batch())) == names


def test_r1_every_third_step_weighs_three_times(tiny_cfg):
    batch = make_batch()
    plain = make_model(tiny_cfg(), "generator")(batch)["loss_r1"].item()
    model = make_model(tiny_cfg("MODEL.LOSSES.R1.EVERY", 3), "generator")
    values = [model(batch)["loss_r1"].item() for _ in range(4)]
    assert values == [pytest.approx(3 * plain, rel=1e-5), 0, 0, pytest.approx(3 * plain, rel=1e-5)]


def test_losses_of_the_generator_phase_against_the_equations(tiny_cfg):
    """L_img, L_feat and L_adv from x'_ori, x'_new, x''_ori, drawn here one by one."""
    model = make_model(tiny_cfg(), "generator")
    batch = make_batch()
    losses = {k: v.item() for k, v in model(batch).items()}
    with torch.no_grad():
        x = model.preprocess_image(batch)

        def c(images: Tensor) -> Tensor:
            return model.heads.part_code(model.backbone(images))

        ori = model.generator(batch["structure_ori"], c(x))
        new = model.generator(batch["structure_new"], c(x))
        cycle = model.generator(batch["structure_ori"], c(new))
        image, back = (x - ori).abs().mean(), (x - cycle).abs().mean()
        feature = (c(x) - c(new)).abs().mean() + (c(x) - c(cycle)).abs().mean()
        fake = [
            torch.cat(maps)
            for maps in zip(*map(model.discriminator, (ori, new, cycle)), strict=True)
        ]
        real = model.discriminator(x)
        generator = sum(2 * (m - 1).square().mean() for m in fake)
        discriminator = sum(
            (r - 1).square().mean() + f.square().mean() for r, f in zip(real, fake, strict=True)
        )
    wanted = {
        "loss_image": 5 * image,
        "loss_cycle": 5 * back,
        "loss_feature": 5 * feature,
        "loss_generator": generator,
        "loss_discriminator": discriminator,
    }
    for name, value in wanted.items():
        assert losses[name] == pytest.approx(value.item(), rel=1e-4), name


def test_without_losses_that_need_it_the_encoder_looks_at_no_view(tiny_cfg):
    """Generator phase, L_adv and |x - x'_ori| alone: two fakes, and E_id sees the crops only."""
    model = make_model(
        tiny_cfg("MODEL.LOSSES.NAME", ("ReconstructionLoss", "AdversarialLoss")), "generator"
    )
    batch, seen = make_batch(), []
    model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    losses = model(batch)
    assert set(losses) == {"loss_image", "loss_generator", "loss_discriminator"}
    assert len(seen) == 1
    with torch.no_grad():
        x = model.preprocess_image(batch)
        code = model.heads.part_code(model.backbone(x))
        fakes = torch.cat([model.generator(batch[f"structure_{v}"], code) for v in ("ori", "new")])
        wanted = sum(2 * (m - 1).square().mean() for m in model.discriminator(fakes))
    torch.testing.assert_close(seen[0], x)
    assert losses["loss_generator"].item() == pytest.approx(wanted.item(), rel=1e-4)


@pytest.mark.parametrize("phase", ["generator", "joint"])
def test_the_norm_of_part_codes_follows_the_crops_and_not_the_views(tiny_cfg, phase):
    """Its count grows by B P a step: one code a stripe of each crop, none of a generated view."""
    model = make_model(tiny_cfg("GCL.GENERATOR.CODE_NORM", True), phase)
    batch = make_batch()
    with torch.no_grad():
        code = model.heads.part_code(model.backbone(model.preprocess_image(batch)))
    model(batch)
    norm = model.generator.code_norm
    assert norm.count.item() == 16
    torch.testing.assert_close(norm.sum[0] / 16, code.mean((0, 1)), rtol=1e-4, atol=1e-5)


def test_camera_statistics_follow_originals_and_not_generated_views(tiny_cfg):
    """The count of all cameras grows by B a step; that of generated views in the joint phase."""
    for phase, original, generated in (("contrast", 4, 0), ("joint", 4, 4), ("generator", 0, 0)):
        model = make_model(tiny_cfg("GCL.CAMERA_NORM", True), phase)
        model(make_batch())
        assert model.heads.camera_norm.count[0].item() == original
        assert model.heads.generated_norm.count[0].item() == generated


# ---- a generator that looks at the crop itself
ATTENTION = ("GCL.GENERATOR.NAME", "AttentionViewGenerator")
# None of these brings E_id into the generator's loop
SEEN_BY_NOBODY = ("ReconstructionLoss", "CycleLoss", "AdversarialLoss", "R1Penalty")


@pytest.mark.parametrize("views", ["paper", "code"])
@pytest.mark.parametrize(("phase", "learns"), list(EXPECTED))
def test_a_generator_without_codes_teaches_the_encoder_through_views_alone(
    tiny_cfg, phase, learns, views
):
    """|x - x'|_1 and L_adv do not know E_id; L_feat and the view contrast look at views with it."""
    pairs = ("MODEL.LOSSES.FEATURE.VIEWS", views, "GCL.JOINT.LEARNS", learns)
    model = make_model(tiny_cfg(*ATTENTION, *pairs), phase)
    losses = model(make_batch())
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    wanted = dict(EXPECTED[phase, learns])
    wanted |= {name: {G} for name in GAN if name in wanted and name != "loss_feature"}
    assert {name: reached(model, loss) for name, loss in losses.items()} == wanted


def passes(model: GCL) -> list[Tensor]:
    """A list that fills with what E_id's backbone looks at."""
    seen: list[Tensor] = []
    model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    return seen


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (SEEN_BY_NOBODY, 0),
        ((*SEEN_BY_NOBODY, "FeatureConsistencyLoss"), 3),  # x, x'_new and x''_ori
    ],
)
def test_where_no_code_is_used_the_encoder_looks_at_what_a_loss_needs(tiny_cfg, names, count):
    model = make_model(tiny_cfg(*ATTENTION, "MODEL.LOSSES.NAME", names), "generator")
    seen = passes(model)
    model(make_batch())
    assert len(seen) == count


@LEARNS
def test_a_joint_step_without_codes_looks_at_the_crops_once(tiny_cfg, learns):
    names = ("ViewInvariantLoss", *SEEN_BY_NOBODY)
    cfg = tiny_cfg(*ATTENTION, "MODEL.LOSSES.NAME", names, "GCL.JOINT.LEARNS", learns)
    model = make_model(cfg)
    batch, seen = make_batch(), passes(model)
    model(batch)
    x = model.preprocess_image(batch)
    assert [torch.equal(images, x) for images in seen] == [True, False]  # and x'_new


# ---- a generator that draws in the joint phase and does not learn
STAYS = ("GCL.JOINT.LEARNS", "encoder")
BOTH = pytest.mark.parametrize(
    "name", ["ViewGenerator", "AttentionViewGenerator"], ids=["code", "crop"]
)


def drawing(model: GCL) -> dict[str, Tensor]:
    """State of E_str, G and D."""
    parts = nn.ModuleDict({G: model.generator, D: model.discriminator})
    return {name: value.clone() for name, value in parts.state_dict().items()}


@BOTH
@pytest.mark.parametrize("swap", [True, False])
@pytest.mark.parametrize("augmented", [True, False])
def test_views_of_a_generator_that_stays_teach_what_those_of_one_that_learns_do(
    tiny_cfg, name, swap, augmented
):
    """Values and gradients of E_id, in the first step, where both draw the same."""
    found = []
    for learns in ("apart", "encoder"):
        cfg = tiny_cfg("GCL.GENERATOR.NAME", name, "GCL.GENERATOR.CODE_NORM", True)
        cfg.GCL.JOINT.LEARNS, cfg.GCL.JOINT.SWAP_BACKGROUNDS = learns, swap
        model, batch = make_model(cfg), make_batch()
        if augmented:
            batch["images_aug"] = make_batch(7)["images"]
        losses = model(batch)
        if learns == "encoder":
            assert tuple(losses) == CONTRAST
        losses = {k: losses[k] for k in CONTRAST}
        found.append((losses, gradients(model, sum(losses.values()))))
    (wanted, slopes), (losses, ours) = found
    assert {n.split(".")[0] for n in ours} == {E, H}
    for key, loss in losses.items():
        torch.testing.assert_close(loss, wanted[key], rtol=1e-4, atol=1e-5)
    assert ours.keys() == slopes.keys()
    for key, slope in ours.items():
        torch.testing.assert_close(slope, slopes[key], rtol=1e-3, atol=1e-5)


@BOTH
def test_each_view_loss_alone_reaches_the_encoder_alone(tiny_cfg, name):
    """Nothing of L_gan is left that could flow."""
    model = make_model(tiny_cfg(*STAYS, "GCL.GENERATOR.NAME", name))
    losses = model(make_batch())
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    assert {k: reached(model, loss) for k, loss in losses.items()} == dict.fromkeys(
        CONTRAST, {E, H}
    )


@BOTH
def test_steps_of_one_optimizer_over_all_move_the_encoder_alone(tiny_cfg, name):
    """Weight decay and momentum neither; of the generator the norm of part codes follows E_id."""
    model = make_model(
        tiny_cfg(*STAYS, "GCL.GENERATOR.NAME", name, "GCL.GENERATOR.CODE_NORM", True)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    parts, bank = drawing(model), state_of_bank(model)
    for seed in range(2):
        optimizer.zero_grad()
        sum(model(make_batch(seed)).values()).backward()
        learning = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
        assert learning == {E, H}
        optimizer.step()
        model.update_memory()
    for key, value in drawing(model).items():
        assert torch.equal(value, parts[key]) != ("code_norm" in key), key
    moved = {n.split(".")[0] for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {E, H}
    assert not torch.equal(model.bank.features, bank[0])


@BOTH
@pytest.mark.parametrize("augmented", [True, False])
def test_statistics_follow_the_originals_where_the_generator_stays(tiny_cfg, name, augmented):
    """E_id's those of what it learns from, once; the part codes' those of the crops."""
    pairs = ("GCL.GENERATOR.NAME", name, "GCL.GENERATOR.CODE_NORM", True, "GCL.CAMERA_NORM", True)
    cfg = tiny_cfg(*STAYS, *pairs)
    model, alone, batch = make_model(cfg), make_model(cfg), make_batch()
    if augmented:
        batch["images_aug"] = make_batch(7)["images"]
    with torch.no_grad():
        looks = make_model(cfg)
        code = looks.heads.part_code(looks.backbone(looks.preprocess_image(batch)))
    model(batch)
    x = alone.preprocess_image(batch, "images_aug" if augmented else "images")
    alone.heads(alone.backbone(x), camids=batch["camids"])
    for a, b in zip(model.modules(), alone.modules(), strict=True):
        if isinstance(a, nn.modules.batchnorm._BatchNorm):
            torch.testing.assert_close(a.running_mean, b.running_mean)
            torch.testing.assert_close(a.running_var, b.running_var)
    torch.testing.assert_close(model.heads.camera_norm.sum, alone.heads.camera_norm.sum)
    assert model.heads.generated_norm.count[0].item() == 4
    if model.generator.uses_code:
        norm = model.generator.code_norm
        assert norm.count.item() == 16
        torch.testing.assert_close(norm.sum[0] / 16, code.mean((0, 1)), rtol=1e-4, atol=1e-5)


@BOTH
@pytest.mark.parametrize("augmented", [True, False])
def test_what_the_encoder_looks_at_where_the_generator_stays(tiny_cfg, name, augmented):
    """For part codes the crops, then what it learns from and x'_new, whatever L_gan would need."""
    model = make_model(tiny_cfg(*STAYS, "GCL.GENERATOR.NAME", name))
    batch, learnt = make_batch(), "images"
    if augmented:
        batch["images_aug"], learnt = make_batch(7)["images"], "images_aug"
    judged = []
    model.discriminator.register_forward_pre_hook(lambda *_: judged.append(1))
    seen = passes(model)
    model(batch)
    x = model.preprocess_image(batch)
    wanted = [x] if model.generator.uses_code else []
    wanted.append(model.preprocess_image(batch, learnt))
    assert len(seen) == len(wanted) + 1 and judged == []
    assert all(map(torch.equal, seen, wanted))
    assert not any(torch.equal(seen[-1], images) for images in wanted)


@pytest.mark.parametrize("phase", ["contrast", "generator"])
def test_other_phases_know_nothing_of_a_generator_that_stays(tiny_cfg, phase):
    values = []
    for pairs in ((), STAYS):
        model = make_model(tiny_cfg(*pairs), phase)
        losses = model(make_batch())
        values.append(
            ({k: v.item() for k, v in losses.items()}, gradients(model, sum(losses.values())))
        )
    (losses, slopes), (others, theirs) = values
    assert losses == others and slopes.keys() == theirs.keys()
    assert all(torch.equal(slope, theirs[key]) for key, slope in slopes.items())


# ---- views that are the crops themselves
UNTURNED, SWAP = "GCL.JOINT.UNTURNED", "GCL.JOINT.SWAP_BACKGROUNDS"
SMALL = ("INPUT.SIZE_TRAIN", (128, 64), "GCL.GENERATOR.SIZE", [64, 32])


def learnt_views(model: GCL, batch: dict, seed: int = 0) -> Tensor:
    """What E_id looks at for f' in a step with this seed: its last look of all."""
    seen = passes(model)
    torch.manual_seed(seed)
    model(batch)
    return seen[-1]


def candidates(model: GCL, batch: dict) -> tuple[Tensor, Tensor]:
    """The crops at the views' resolution, and x'_new; of a generator that needs no code."""
    with torch.no_grad():
        x = model.preprocess_image(batch)
        s_ori, s_new = batch["structure_ori"], batch["structure_new"]
        return model.resize(x, s_ori.shape[-2:]), model.draw(x, None, s_ori, s_new)


@pytest.fixture
def unturned(tiny_cfg):
    """``unturned(share, swap, KEY, value, ...)``: (model, batch), with views smaller than crops."""

    def build(share: float, swap: bool, *pairs: object) -> tuple[GCL, dict]:
        cfg = tiny_cfg(*ATTENTION, *STAYS, *SMALL, UNTURNED, share, SWAP, swap, *pairs)
        batch = make_batch(size=(128, 64))
        for name in ("structure_ori", "structure_new"):  # somebody, and something behind
            batch[name][..., :12] = 0.0
            batch[name][..., 22:] = 0.0
        batch["structure_new"][..., 40:, :] = 0.0  # of another outline
        return make_model(cfg), batch

    return build


@pytest.mark.parametrize("swap", [True, False])
@pytest.mark.parametrize("augmented", [True, False])
def test_unturned_views_are_the_crops_at_the_resolution_of_views(unturned, swap, augmented):
    """Not the augmented ones; on another's background by the outline of the crop's structure."""
    model, batch = unturned(1.0, swap)
    if augmented:
        batch["images_aug"] = make_batch(7, (128, 64))["images"]
    small, _ = candidates(model, batch)
    wanted = swap_backgrounds(small, batch["structure_ori"]) if swap else small
    if swap:
        assert not torch.equal(wanted, swap_backgrounds(small, batch["structure_new"]))
    assert torch.equal(learnt_views(model, batch), model.resize(wanted, (128, 64)))


@pytest.mark.parametrize("swap", [True, False])
def test_without_unturned_views_there_is_no_more_chance_than_ever(unturned, swap):
    """All views are drawings, and the draws of the view contrast are those of a run without."""
    model, batch = unturned(0.0, swap)
    _, new = candidates(model, batch)
    wanted = swap_backgrounds(new, batch["structure_new"]) if swap else new
    assert torch.equal(learnt_views(model, batch), model.resize(wanted, (128, 64)))
    state = torch.get_rng_state()
    learnt_views(unturned(0.0, False)[0], batch)
    assert torch.equal(torch.get_rng_state(), state)


def test_some_views_are_unturned_row_by_row(unturned):
    """Each row is a crop or a drawing; backgrounds come from the outline of what it is."""
    (model, batch), (swapping, _) = unturned(0.5, False), unturned(0.5, True)
    small, new = candidates(model, batch)
    s_ori, s_new = batch["structure_ori"], batch["structure_new"]
    counts = []
    for seed in range(12):
        views = learnt_views(model, batch, seed)
        crops, drawings = (model.resize(v, (128, 64)) for v in (small, new))
        crop, drawn = ((views == of).flatten(1).all(1) for of in (crops, drawings))
        assert torch.equal(crop, ~drawn)
        counts.append(int(crop.sum()))
        rows = crop[:, None, None, None]
        mixed = torch.where(rows, small, new)
        wanted = swap_backgrounds(mixed, torch.where(rows, s_ori, s_new))
        found = learnt_views(swapping, batch, seed)
        assert torch.equal(found, model.resize(wanted, (128, 64)))
    assert len(set(counts)) > 2 and 12 < sum(counts) < 36  # of 48


@pytest.mark.parametrize("swap", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_photographs_of_the_track_take_the_place_of_unturned_crops(unturned, share, swap):
    """A share of the batch has its other photograph as it is, the rest its drawing, on another's
    background among these; f' is of the order's images, by the statistics of what it shows."""
    model, batch = unturned(share, swap, "GCL.CAMERA_NORM", True)
    batch["images_mate"] = make_batch(5, (128, 64))["images"]
    x, (_, new) = model.preprocess_image(batch, "images_mate"), candidates(model, batch)
    heads, calls = model.heads, []
    model.heads.register_forward_pre_hook(
        lambda _, args, options: calls.append(options), with_kwargs=True
    )
    seen = passes(model)
    torch.manual_seed(0)
    f_new, order = model._embed_mates_and_views(batch, new)
    assert sorted(order.tolist()) == [0, 1, 2, 3] and f_new.shape == (4, heads.embedding_dim)
    count = int(4 * share)
    wanted = [(x[order[:count]], order[:count], False)] if count else []
    if count < 4:
        drawn = order[count:]
        view = swap_backgrounds(new[drawn], batch["structure_new"][drawn]) if swap else new[drawn]
        wanted.append((model.resize(view, (128, 64)), drawn, True))
    for look, call, (images, rows, generated) in zip(seen, calls, wanted, strict=True):
        assert torch.equal(look, images)
        assert torch.equal(call["camids"], batch["camids"][rows])
        assert call.get("generated", False) == generated


def test_statistics_of_views_are_of_drawings_where_tracks_are_views(unturned):
    """Photographs of the track are standardised as the cameras' images are."""
    model, batch = unturned(1.0, False)
    _, new = candidates(model, batch)
    seen = passes(model)
    model.pool_views(batch | {"images_mate": batch["images"]})
    assert torch.equal(seen[-1], model.resize(new, (128, 64)))


@BOTH
@pytest.mark.parametrize("feature", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_views_teach_the_generator_through_drawn_rows_alone(
    tiny_cfg, monkeypatch, name, feature, share
):
    """Whether L_feat has seen x'_new already or not."""
    names = ("ViewInvariantLoss", "ReconstructionLoss", *["FeatureConsistencyLoss"] * feature)
    cfg = tiny_cfg("GCL.GENERATOR.NAME", name, UNTURNED, share, "MODEL.LOSSES.NAME", names)
    model, kept, draw_views = make_model(cfg), [], GCL.draw_views

    def drawing_kept(*args, **options):
        views = draw_views(model, *args, **options)
        views.new.retain_grad()
        kept.append(views.new)
        return views

    monkeypatch.setattr(model, "draw_views", drawing_kept)
    batch = make_batch()
    seen = passes(model)
    torch.manual_seed(0)
    losses = model(batch)
    x = model.preprocess_image(batch)
    crops = [torch.equal(a, b) for a, b in zip(seen[-1], x, strict=True)]
    assert {0.0: sum(crops) == 0, 0.5: 0 < sum(crops) < 4, 1.0: sum(crops) == 4}[share]
    assert reached(model, losses["loss_view_own"]) == ({E, H} if share == 1 else {G, E, H})
    (new,) = kept
    slopes = torch.zeros(4) if new.grad is None else new.grad.abs().sum((1, 2, 3))
    assert [slope == 0 for slope in slopes.tolist()] == crops


@pytest.mark.parametrize("swap", [True, False])
def test_unturned_views_are_no_business_of_the_generator_s_losses(tiny_cfg, swap):
    values = []
    for share in (0.0, 1.0):
        model = make_model(tiny_cfg(UNTURNED, share, SWAP, swap))
        values.append({k: v.item() for k, v in model(make_batch()).items()})
    drawn, crops = values
    assert all(drawn[k] == crops[k] for k in (*GAN, *BY_D))
    assert all(drawn[k] != crops[k] for k in CONTRAST[:2])


def test_losses_without_codes_against_the_equations(tiny_cfg):
    """x''_ori is drawn of x'_new, whose structure is s_new."""
    model = make_model(tiny_cfg(*ATTENTION), "generator")
    batch = make_batch()
    losses = {k: v.item() for k, v in model(batch).items()}
    g = model.generator
    with torch.no_grad():
        x = model.preprocess_image(batch)
        s_ori, s_new = batch["structure_ori"], batch["structure_new"]

        def redrawn(of: Tensor, its: Tensor, s: Tensor) -> Tensor:
            return g.decode(g.encode(s), g.appearance(of, its, g.encode(its)))

        def c(images: Tensor) -> Tensor:
            return model.heads.part_code(model.backbone(images))

        ori, new = redrawn(x, s_ori, s_ori), redrawn(x, s_ori, s_new)
        cycle = redrawn(new, s_new, s_ori)
        assert not torch.allclose(cycle, redrawn(new, s_ori, s_ori), atol=1e-4)
        feature = (c(x) - c(new)).abs().mean() + (c(x) - c(cycle)).abs().mean()
        fakes = model.discriminator(torch.cat((ori, new, cycle)))
        generator = sum(2 * (m - 1).square().mean() for m in fakes)
    wanted = {
        "loss_image": 5 * (x - ori).abs().mean(),
        "loss_cycle": 5 * (x - cycle).abs().mean(),
        "loss_feature": 5 * feature,
        "loss_generator": generator,
    }
    for name, value in wanted.items():
        assert losses[name] == pytest.approx(value.item(), rel=1e-4), name


@pytest.mark.parametrize("pairs", [(), ATTENTION], ids=["code", "crop"])
@pytest.mark.parametrize("size", [SIZE, (128, 64)])
@torch.no_grad()
def test_draw_is_what_draw_views_has(tiny_cfg, pairs, size):
    """Of one turn; of an unturned structure it is x'_ori. Views may be smaller than crops."""
    cfg = tiny_cfg(*pairs, "INPUT.SIZE_TRAIN", size, "GCL.GENERATOR.SIZE", [64, 32])
    model = make_model(cfg).eval()
    batch = make_batch(size=size)
    x, s_ori, s_new = (batch[k] for k in ("images", "structure_ori", "structure_new"))
    x = model.preprocess_image({"images": x})
    code = model.part_code(x)
    assert (code is None) == (pairs == ATTENTION)
    views = model.draw_views(x, code, s_ori, s_new)
    assert views.cycle is None and views.map_new is None
    for s, drawn in ((s_ori, views.ori), (s_new, views.new)):
        assert drawn.shape == (4, 3, *SIZE)
        torch.testing.assert_close(model.draw(x, code, s_ori, s), drawn, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pairs", [(), ATTENTION], ids=["code", "crop"])
@torch.no_grad()
def test_draw_views_maps_the_new_view_where_it_is_asked_to(tiny_cfg, pairs):
    model = make_model(tiny_cfg(*pairs)).eval()
    batch = make_batch()
    x = model.preprocess_image(batch)
    code = model.part_code(x)
    arguments = (x, code, batch["structure_ori"], batch["structure_new"])
    seen = passes(model)
    views = model.draw_views(*arguments, map_new=True)
    torch.testing.assert_close(views.map_new, model.backbone(views.new))
    assert len(seen) == 2 and views.cycle is None
    cycle = model.draw_views(*arguments, cycle=True)
    assert cycle.cycle.shape == x.shape
    # a part code of x'_new needs its map; what G sees of it itself does not
    assert len(seen) == (2 if pairs else 3) and (cycle.map_new is None) == bool(pairs)


# ---- memory
@pytest.mark.parametrize("phase", ["contrast", "joint"])
@LEARNS
@pytest.mark.parametrize("augmented", [True, False])
def test_the_bank_takes_the_original_views_after_the_step(tiny_cfg, phase, learns, augmented):
    """M_i <- normalise(alpha M_i + (1 - alpha) f_i), f of the crop that E_id was trained on."""
    cfg = tiny_cfg("GCL.JOINT.LEARNS", learns, "GCL.MEMORY.ALPHA", 0.3)
    model = make_model(cfg, phase)
    batch = make_batch()
    seen = batch["images"]
    if augmented and phase == "joint":
        seen = batch["images_aug"] = make_batch(7)["images"]
    with torch.no_grad():
        f = model.heads(model.backbone((seen - model.pixel_mean) / model.pixel_std))
    old = model.bank.features.clone()
    model(batch)
    assert torch.equal(model.bank.features, old)  # not before it is called for
    model.update_memory()
    f = nn.functional.normalize(f, dim=1)
    wanted = old.clone()
    wanted[batch["indices"]] = nn.functional.normalize(0.3 * old[batch["indices"]] + 0.7 * f, dim=1)
    torch.testing.assert_close(model.bank.features, wanted, rtol=1e-4, atol=1e-5)
    once = model.bank.features.clone()
    model.update_memory()  # a second call has nothing to write
    assert torch.equal(model.bank.features, once)


# ---- sizes
def test_views_may_be_smaller_than_crops(tiny_cfg):
    model = make_model(tiny_cfg("INPUT.SIZE_TRAIN", (128, 64), "GCL.GENERATOR.SIZE", [64, 32]))
    batch = make_batch(size=(128, 64), view_size=(64, 32))
    seen = []
    model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[-2:]))
    losses = model(batch)
    assert set(seen) == {(128, 64)}  # E_id always sees its own size
    assert sum(losses.values()).isfinite()
    assert reached(model, losses["loss_view_own"]) == {G, E, H}


def test_without_generative_phases_there_is_no_generator(tiny_cfg):
    model = make_model(tiny_cfg("GCL.PHASES", ("contrast",)), "contrast")
    assert model.generator is None
    assert model.discriminator is None
    assert set(model(make_batch())) == {"loss_view_ori"}


# ---- evaluation
RESNET = (
    "MODEL.BACKBONE.NAME",
    "build_resnet_backbone",
    "MODEL.BACKBONE.DEPTH",
    "18x",
    "MODEL.BACKBONE.FEAT_DIM",
    512,
    "GCL.PHASES",
    ("contrast",),
)


@pytest.mark.parametrize(
    "pairs", [(), RESNET, ("MODEL.HEADS.EMBEDDING_DIM", 6)], ids=["plain", "resnet18", "reduced"]
)
def test_evaluation_is_that_of_the_toolbox_baseline(tiny_cfg, pairs):
    pixels = ("MODEL.PIXEL_MEAN", [120.0, 110.0, 100.0], "MODEL.PIXEL_STD", [60.0, 50.0, 40.0])
    model = make_model(tiny_cfg(*pairs, *pixels), "contrast")
    model(make_batch())  # running statistics that matter
    model.eval()
    baseline = build_model(
        tiny_cfg(
            *pairs,
            *pixels,
            "MODEL.META_ARCHITECTURE",
            "Baseline",
            "MODEL.HEADS.NAME",
            "EmbeddingHead",
            "MODEL.LOSSES.NAME",
            ("CrossEntropyLoss",),
        )
    )
    weights = {
        k: v for k, v in model.state_dict().items() if k.split(".")[0] in ("backbone", "heads")
    }
    baseline.load_state_dict(weights)  # strict: GCL's encoder is a toolbox checkpoint
    baseline.eval()
    batch = make_batch(3)
    images = batch["images"].clone()
    with torch.no_grad():
        ours = model(batch)
        # memory layout is GCL's choice, for speed; its arithmetic is the same
        same_layout = baseline.to(memory_format=torch.channels_last)(
            {"images": images.clone(memory_format=torch.channels_last)}
        )
        plain = baseline.to(memory_format=torch.contiguous_format)({"images": images.clone()})
        assert torch.equal(model(images), ours)  # a tensor as in the toolbox's demo
    assert torch.equal(ours, same_layout)
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    assert torch.equal(batch["images"], images)  # the caller's batch is left as it was


def test_evaluation_returns_one_finite_feature_per_image(tiny_cfg):
    model = make_model(tiny_cfg()).eval()
    with torch.no_grad():
        features = model(make_batch())
        one = model({"images": make_batch()["images"][:1], "camids": torch.tensor([0])})
    assert features.shape == (4, 16)
    assert features.isfinite().all()
    torch.testing.assert_close(one, features[:1], rtol=1e-4, atol=1e-5)


def test_camera_norm_reaches_evaluation(tiny_cfg):
    model = make_model(tiny_cfg("GCL.CAMERA_NORM", True)).eval()
    batch = make_batch()
    with torch.no_grad():
        pooled = model.heads.pool(model.backbone(model.preprocess_image(batch)))
        model.heads.camera_norm.fit(pooled, batch["camids"])
        swapped = batch | {"camids": 1 - batch["camids"]}
        assert not torch.allclose(model(batch), model(swapped))


# ---- half precision
PHASES = [
    ("contrast", "everything"),
    ("generator", "everything"),
    ("joint", "everything"),
    ("joint", "apart"),
    ("joint", "encoder"),
]


@pytest.mark.parametrize("name", ["ViewGenerator", "AttentionViewGenerator"])
@pytest.mark.parametrize(("phase", "learns"), PHASES)
def test_a_step_in_bfloat16_teaches_what_one_in_float32_does(tiny_cfg, phase, learns, name):
    """Losses in float32 and close; every parameter's group gets about the same gradient."""
    cfg = tiny_cfg(
        *("GCL.GENERATOR.NAME", name, "GCL.JOINT.LEARNS", learns, "GCL.CAMERA_NORM", True),
        *("GCL.DISCRIMINATOR.NUM_SCALES", 2, "GCL.FREEZE_BN", True),
    )

    def step(enabled: bool) -> tuple[dict[str, Tensor], dict[str, Tensor], GCL]:
        model, batch = make_model(cfg, phase), make_batch()
        model.heads.camera_norm.fit(draw(40, 16) + 1, torch.arange(40) % 2)
        model.heads.generated_norm.fit(draw(40, 16) + 1, torch.arange(40) % 2)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            losses = model(batch)
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        got = gradients(model, sum(losses.values()))
        model.update_memory()
        return losses, got, model

    plain, full, model = step(False)
    losses, mixed, half = step(True)
    assert half.bank.features.isfinite().all()
    torch.testing.assert_close(half.bank.features, model.bank.features, rtol=0, atol=0.05)
    assert set(losses) == set(plain) and set(mixed) == set(full)
    for key, loss in losses.items():
        torch.testing.assert_close(loss, plain[key], rtol=0.03, atol=0.02)
    for group in {key.split(".")[0] for key in full}:
        a, b = (
            torch.cat([v.flatten() for k, v in g.items() if k.startswith(group)])
            for g in (full, mixed)
        )
        assert b.isfinite().all()
        assert nn.functional.cosine_similarity(a, b, 0) > 0.95, group


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_views_are_resized_in_float32(tiny_cfg, dtype):
    model, views = make_model(tiny_cfg()), draw(2, 3, 16, 8).to(dtype)
    resized = model.resize(views, (64, 32))
    assert torch.equal(resized, model.resize(views.float(), (64, 32)))
