"""One iteration of GCL written down plainly: what speed is measured against.

The same networks and losses in float32 and NCHW, one thing after the other, as one writes it first:
copies that are waited for, the generator's and the discriminator's losses in two passes with two
optimizers, one tensor at a time in the optimizers, a loop over the images of the batch for the view
contrast and for the bank, and every loss read by the host. It has neither InterCameraLoss nor
negatives of the own camera; where what is beside it has them, the ratio is a little too small.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcl.modeling import GCL


class PlainStep:
    """``PlainStep(cfg, model, phase)(batch)``: one iteration on a batch of the CPU; the losses, as
    numbers.

    Args:
        model: changed to NCHW; it is in the phase already.
    """

    def __init__(self, cfg, model: GCL, phase: str) -> None:
        self.cfg, self.phase, self.losses = cfg, phase, cfg.MODEL.LOSSES
        self.m = model.to(memory_format=torch.contiguous_format)
        one_by_one = {"foreach": False, "fused": False}
        encoder = [*model.backbone.parameters(), *model.heads.parameters()]
        if phase == "joint":
            self.e_opt = torch.optim.SGD(
                encoder, cfg.SOLVER.BASE_LR, 0.9, nesterov=True, weight_decay=5e-4, **one_by_one
            )
        else:
            self.e_opt = torch.optim.Adam(encoder, 1e-4, weight_decay=5e-4, **one_by_one)
        self.draws = phase == "generator" or (
            phase == "joint" and cfg.GCL.JOINT.LEARNS != "encoder"
        )
        if self.draws:
            rate, betas = cfg.GCL.GENERATOR.BASE_LR, tuple(map(float, cfg.GCL.GENERATOR.BETAS))
            self.g_opt, self.d_opt = (
                torch.optim.Adam(net.parameters(), rate, betas, **one_by_one)
                for net in (model.generator, model.discriminator)
            )

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, float]:
        m = self.m
        batch = {k: v.to(m.device) for k, v in batch.items() if torch.is_tensor(v)}
        x, said = self.normalise(batch["images"]), {}
        if self.phase == "contrast":
            f = m.heads(m.backbone(x), camids=batch["camids"])
            loss = self.contrast(f, f, batch["indices"], ("ori",))["ori"]
            self.e_opt.zero_grad()
            loss.backward()
            self.e_opt.step()
            self.remember(f, batch["indices"])
            return {"view_ori": loss.item()}
        if self.draws:
            views, code, losses = self.draw(batch, x)
            if "AdversarialLoss" in self.losses.NAME:
                said |= self.judge(x, views)
                losses["generator"] = sum(
                    2 * torch.cat([part.flatten() for part in parts]).sub(1).square().mean()
                    for parts in zip(*[m.discriminator(v) for v in views], strict=True)
                )
            new = views[1]
        else:
            with torch.no_grad():
                views, code, _ = self.draw(batch, x)
            new, losses = views[1], {}
        f = None
        if self.phase == "joint":
            real = self.normalise(batch["images_aug"]) if "images_aug" in batch else x
            f = m.heads(m.backbone(real), camids=batch["camids"])
            seen = m.backbone(m.resize(new, x.shape[-2:]))
            f_new = m.heads(seen, camids=batch["camids"], generated=True)
            losses |= self.contrast(f, f_new, batch["indices"], ("own", "new", "ori"))
        if self.draws:
            self.g_opt.zero_grad()
        self.e_opt.zero_grad()
        sum(losses.values()).backward()
        if self.draws:
            self.g_opt.step()
        if f is not None:
            self.e_opt.step()
            self.remember(f, batch["indices"])
        return said | {name: loss.item() for name, loss in losses.items()}

    def normalise(self, images: Tensor) -> Tensor:
        return (images - self.m.pixel_mean) / self.m.pixel_std

    # ------------------------------------------------------------------ views
    def part_code(self, images: Tensor) -> Tensor:
        return self.m.heads.part_code(self.m.backbone(images))

    def draw(self, batch: dict[str, Tensor], x: Tensor) -> tuple[list[Tensor], object, dict]:
        """The views x'_ori, x'_new and, where it is asked for, x''_ori; the code; the losses."""
        m, g, names, size = self.m, self.m.generator, self.losses.NAME, x.shape[-2:]
        s_ori, s_new = batch["structure_ori"], batch["structure_new"]
        feature, cycle = "FeatureConsistencyLoss" in names, "CycleLoss" in names
        code = self.part_code(x) if g.uses_code or feature else None
        small = m.resize(x, s_ori.shape[-2:])
        known = g.appearance(small, s_ori, g.encode(s_ori), code)
        views = [g.decode(g.encode(s), known) for s in (s_ori, s_new)]
        losses = {"image": 5 * (small - views[0]).abs().mean()}
        if cycle or feature:
            code_new = self.part_code(m.resize(views[1], size)) if g.uses_code or feature else None
            again = g.appearance(views[1], s_new, g.encode(s_new), code_new)
            views.append(g.decode(g.encode(s_ori), again))
            losses["cycle"] = 5 * (small - views[2]).abs().mean()
        if feature:
            code_ori = self.part_code(m.resize(views[2], size))
            target = code.detach()
            apart = (target - code_new).abs().mean() + (target - code_ori).abs().mean()
            losses["feature"] = 5 * apart
        return views, code, losses

    def judge(self, x: Tensor, views: list[Tensor]) -> dict[str, float]:
        """One step of D: real against each of the views, and R1."""
        d, x = self.m.discriminator, self.m.resize(x, views[0].shape[-2:])
        loss = 0.0
        for view in views:
            pairs = zip(d(x), d(view.detach()), strict=True)
            for real, fake in pairs:
                loss = loss + ((real - 1).square().mean() + fake.square().mean()) / len(views)
        said = {"discriminator": loss.item()}
        if "R1Penalty" in self.losses.NAME:
            real = x.clone().requires_grad_()
            penalty = 0.0
            for logits in d(real):
                (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
                penalty = penalty + slope.square().flatten(1).sum(1).mean()
            loss = loss + self.losses.R1.SCALE * penalty
            said["r1"] = (self.losses.R1.SCALE * penalty).item()
        self.d_opt.zero_grad()
        loss.backward()
        self.d_opt.step()
        return said

    # ------------------------------------------------------------------ the bank
    def contrast(
        self, f: Tensor, f_new: Tensor, indices: Tensor, terms: tuple[str, ...]
    ) -> dict[str, Tensor]:
        """The view contrast, image by image."""
        bank, labels, options = self.m.bank.features, self.m.bank.labels, self.losses.VIEW
        sums: dict[str, list[Tensor]] = {term: [] for term in terms}
        for a, b, i in zip(F.normalize(f), F.normalize(f_new), indices.tolist(), strict=True):
            others = (labels != labels[i]).nonzero()[:, 0]
            others = others[torch.randperm(len(others), device=f.device)[: options.NUM_NEGATIVES]]
            negatives = bank[others]
            members = (labels == labels[i]).nonzero()[:, 0]
            for term in terms:
                positive = i
                if term != "own":
                    positive = members[torch.randint(len(members), (), device=f.device)]
                query = a if term == "ori" else b
                scores = negatives @ (a if term == "ori" and options.NEGATIVES == "own" else b)
                own = (query * bank[positive]).sum()
                scores = torch.cat((own[None], scores)) / options.TEMPERATURE
                sums[term].append(scores.logsumexp(0) - scores[0])
        return {f"view_{term}" if len(terms) > 1 else term: torch.stack(v).mean()
                for term, v in sums.items()}  # fmt: skip

    @torch.no_grad()
    def remember(self, f: Tensor, indices: Tensor) -> None:
        bank = self.m.bank
        for feature, i in zip(F.normalize(f), indices.tolist(), strict=True):
            mixed = bank.alpha * bank.features[i] + (1 - bank.alpha) * feature
            bank.features[i] = mixed / mixed.norm()


def in_plain_layout(model: GCL) -> None:
    """Let G and D of a model compute in NCHW, whatever the layout of what comes in."""

    def plain(module: nn.Module, args: tuple) -> tuple:
        return tuple(a.contiguous() if torch.is_tensor(a) else a for a in args)

    for net in (model.generator, model.discriminator):
        net.to(memory_format=torch.contiguous_format)
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_pre_hook(plain)
