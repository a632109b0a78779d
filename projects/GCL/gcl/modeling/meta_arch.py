"""GCL as a toolbox meta-architecture: one forward a training iteration, one backward, one step.

Shapes: B batch, H x W crop, h x w view, P stripes, C channels of the part code, D embedding.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from fastreid.config import configurable
from fastreid.modeling.heads import REID_HEADS_REGISTRY
from fastreid.modeling.meta_arch.build import META_ARCH_REGISTRY
from torch import Tensor, nn

from gcl.losses import (
    contrast_loss,
    discriminator_loss,
    feature_consistency_loss,
    generator_loss,
    inter_camera_loss,
    r1_penalty,
    reconstruction_loss,
    view_invariant_loss,
)

from .backgrounds import swap_backgrounds
from .camera_proxies import CameraProxies
from .encoder_check import build_encoder, build_identity_head, check_encoder
from .generator_weights import freeze_layers, load_generator_weights
from .layers import untracked
from .memory import MemoryBank
from .source_term import SourceTerm


class Views(NamedTuple):
    """What the generator draws of a batch, each (B, 3, h, w) in the encoder's image space."""

    ori: Tensor  # x'_ori = G(E_str(s_ori), c(x))
    new: Tensor  # x'_new = G(E_str(s_new), c(x))
    cycle: Tensor | None = None  # x''_ori = G(E_str(s_ori), c(x'_new))
    map_new: Tensor | None = None  # E_id's last feature map of x'_new


ALL = slice(None)
"""Of the images of a batch."""
CYCLE_LOSSES = {"CycleLoss", "FeatureConsistencyLoss"}
"""Losses that need x''_ori."""


@META_ARCH_REGISTRY.register()
class GCL(nn.Module):
    """Joint generative and contrastive learning (CVPR 2021).

    In evaluation mode it is the toolbox's ``Baseline``: images in, re-ID features (B, D) out. In
    training mode it takes the batch of :class:`gcl.data.view_dataset.ViewDataset` and returns a
    dict of scalar losses. One iteration of each :attr:`phase` is a method:

    - ``contrast``: E_id learns from original views,
    - ``generator``: E_str, G and D learn with E_id frozen, in evaluation mode,
    - ``joint``: all learn, or E_id alone, from the views of a generator that stays as it is.

    All gradients are right under one ``sum(losses).backward()``: D's loss sees detached views, the
    generator's adversarial term sees D with detached parameters.

    Attributes:
        phase: set by :meth:`set_phase`.
        learns: GCL.JOINT.LEARNS.
        bank: features and pseudo labels of the training images.
        proxies: of each class in each camera, to be built when there are new labels; None without
            InterCameraLoss.
        pending: of the last iteration, for :meth:`update_memory`: memory, embeddings (B, D) for it
            and their rows (B,).
        r1_steps: iterations of the epoch that asked for R1.
        source: what labelled crops of another data set teach; None without GCL.SOURCE.NAMES.
    """

    find_unused_parameters = True  # a phase trains a part of the model: for DistributedDataParallel

    @configurable
    def __init__(
        self,
        *,
        backbone: nn.Module,
        heads: nn.Module,
        generator: nn.Module | None,
        discriminator: nn.Module | None,
        bank: MemoryBank,
        proxies: CameraProxies | None,
        source: SourceTerm | None = None,
        pixel_mean: list[float],
        pixel_std: list[float],
        losses,
        learns: str,
        unturned: float,
        swap_backgrounds: bool,
        freeze_bn: bool,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = heads
        self.generator = generator
        self.discriminator = discriminator
        self.bank = bank
        self.proxies = proxies
        self.source = source
        self.losses = losses
        self.learns = learns
        self.unturned = unturned
        self.swap_backgrounds = swap_backgrounds
        self.freeze_bn = freeze_bn
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(1, -1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(1, -1, 1, 1), False)
        # convolutions run up to 1.7 times faster on CPU this way, and with mixed precision on CUDA
        self.to(memory_format=torch.channels_last)
        self.phase = "contrast"
        self.r1_steps = 0
        self.pending: tuple[tuple[MemoryBank | SourceTerm, Tensor, Tensor], ...] = ()
        # some parameters never train (the bias of the BN neck, frozen layers): remember the rest
        self._encoder = _learning(backbone, heads)
        self._drawing = _learning(generator, discriminator)

    @classmethod
    def from_config(cls, cfg):
        heads = build_identity_head(cfg)
        generator = discriminator = None
        if {"generator", "joint"} & set(cfg.GCL.PHASES):
            generator = REID_HEADS_REGISTRY.get(cfg.GCL.GENERATOR.NAME)(cfg)
            discriminator = REID_HEADS_REGISTRY.get(cfg.GCL.DISCRIMINATOR.NAME)(cfg)
            load_generator_weights(generator, discriminator, cfg)
            freeze_layers(generator, cfg.GCL.GENERATOR.FREEZE_LAYERS)
        parts = cfg.GCL.GENERATOR.NUM_PARTS if generator and generator.uses_code else 0
        backbone = build_encoder(cfg)
        check_encoder(cfg, backbone, heads, parts)
        source = None
        if cfg.GCL.SOURCE.NAMES:
            source = SourceTerm(
                heads.embedding_dim,
                cfg.MODEL.BACKBONE.FEAT_DIM,
                alpha=cfg.GCL.MEMORY.ALPHA,
                temperature=cfg.MODEL.LOSSES.VIEW.TEMPERATURE,
                scale=cfg.MODEL.LOSSES.SOURCE.SCALE,
                camera_norm=cfg.GCL.CAMERA_NORM,
            )
        return {
            "backbone": backbone,
            "heads": heads,
            "generator": generator,
            "discriminator": discriminator,
            "bank": MemoryBank(heads.embedding_dim, cfg.GCL.MEMORY.ALPHA, half=cfg.GCL.MEMORY.HALF),
            "proxies": CameraProxies(heads.embedding_dim, cfg.GCL.MEMORY.ALPHA)
            if "InterCameraLoss" in cfg.MODEL.LOSSES.NAME
            else None,
            "source": source,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "losses": cfg.MODEL.LOSSES,
            "learns": cfg.GCL.JOINT.LEARNS,
            "unturned": cfg.GCL.JOINT.UNTURNED,
            "swap_backgrounds": cfg.GCL.JOINT.SWAP_BACKGROUNDS,
            "freeze_bn": cfg.GCL.FREEZE_BN,
        }

    # ------------------------------------------------------------------ phases and modes
    def set_phase(self, phase: str) -> None:
        """Choose what the following iterations train; call it at the start of every epoch."""
        self.phase = phase
        self.r1_steps = 0
        for parameter in self._encoder:
            parameter.requires_grad_(phase != "generator")
        self.train(self.training)

    def learning_parameters(self) -> list[nn.Parameter]:
        """Those that get a gradient in this phase."""
        draws = self.phase == "generator" or (self.phase == "joint" and self.learns != "encoder")
        return (self._encoder if self.phase != "generator" else []) + draws * self._drawing

    def train(self, mode: bool = True) -> GCL:
        """As usual, but E_id evaluates in the generator phase, and its batch norm where it is
        frozen."""
        super().train(mode)
        if mode and self.phase == "generator":
            self.backbone.eval()
            self.heads.eval()
        elif mode and self.freeze_bn:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    @property
    def r1_is_due(self) -> bool:
        """Whether R1 is in the next iteration that asks for it (MODEL.LOSSES.R1.EVERY)."""
        return self.r1_steps % self.losses.R1.EVERY == 0

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def here(self, tensor: Tensor) -> Tensor:
        """On the model's device; the host does not wait for the copy."""
        return tensor.to(self.device, non_blocking=True)

    # ------------------------------------------------------------------ one iteration
    def forward(self, batch: dict[str, Tensor] | Tensor) -> Tensor | dict[str, Tensor]:
        """Features (B, D) in evaluation mode, a dict of scalar losses in training mode."""
        if not isinstance(batch, dict):
            batch = {"images": batch}
        x = self.preprocess_image(batch)
        if not self.training:
            return self.heads(self.backbone(x), camids=batch.get("camids"))
        # what the batch calls people is pseudo labels from here on
        batch["targets"] = self.bank.labels[self.here(batch["indices"])]
        if self.phase == "generator":
            return self._generator_iteration(batch, x)
        if self.phase == "contrast":
            losses = self._contrast_iteration(batch, x)
        elif self.learns == "encoder":
            losses = self._encoder_iteration(batch, x)
        else:
            losses = self._joint_iteration(batch, x)
        return losses | self._source_loss(batch) if "source_images" in batch else losses

    def _contrast_iteration(self, batch: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Phase 1: L_vi'' with its own negatives; where tracks are views, all of L_vi."""
        f, indices = self._embed(batch, self._feature_map(x))
        options = self.losses.VIEW
        if "images_mate" in batch:
            losses = self._view_losses(f, self._embed_mates(batch), indices, negatives="own")
        else:
            loss = contrast_loss(
                f,
                self.bank.features,
                indices,
                self.bank.labels,
                temperature=options.TEMPERATURE,
                num_negatives=options.NUM_NEGATIVES,
                cameras=self._negative_cameras(),
            )
            losses = {"loss_view_ori": options.SCALE * loss}
        return losses | self._inter_camera_loss(batch, f, indices)

    def _generator_iteration(self, batch: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Phase 2: L_gan teaches E_str and G, and D learns."""
        losses, _, _ = self._generate(batch, x, encoder_learns=False)
        return losses

    def _joint_iteration(self, batch: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Phase 3: L_gan and the view-invariant loss. Everything learns from both, or (LEARNS
        "apart") E_id from the latter alone, and E_str and G from the former."""
        together = self.learns == "everything"
        losses, map_x, views = self._generate(batch, x, encoder_learns=together)
        if together:
            return losses | self._view_contrast(batch, x, views.new, map_x, views.map_new)
        return losses | self._view_contrast(batch, x, views.new.detach())

    def _encoder_iteration(self, batch: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Phase 3 with a generator that stays as it is: the view-invariant loss teaches E_id."""
        s_ori, s_new = self._structures(batch)
        with torch.no_grad():
            view = self.draw(x, self.part_code(x, track=True), s_ori, s_new)
        return self._view_contrast(batch, x, view)

    def _source_loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Beside phases 1 and 3: labelled crops of another data set teach E_id."""
        x = self.preprocess_image(batch, "source_images")
        feature_map = self._feature_map(x, tracks=False)
        f = self.source.embed(self.heads, feature_map, self.here(batch["source_camids"]))
        targets = self.here(batch["source_targets"])
        self.pending += ((self.source, f.detach(), targets),)
        return {"loss_source": self.source(f, targets)}

    # ------------------------------------------------------------------ E_id
    def preprocess_image(self, batch: dict[str, Tensor], key: str = "images") -> Tensor:
        """(B, 3, H, W) of 0-255 -> the encoder's normalised image space."""
        images = (self.here(batch[key]) - self.pixel_mean) / self.pixel_std
        return images.contiguous(memory_format=torch.channels_last)

    def resize(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Between the encoder's and the generator's resolution; the same tensor when they agree."""
        if images.shape[-2:] == tuple(size):
            return images
        return F.interpolate(images.float(), size=tuple(size), mode="bilinear", antialias=True)

    def _feature_map(self, images: Tensor, *, learns: bool = True, tracks: bool = True) -> Tensor:
        """E_id's last map of images (B, 3, H, W).

        Args:
            learns: gradients reach E_id's parameters; without, the images alone.
            tracks: running statistics of its batch norm follow the images.
        """
        with nullcontext() if tracks else untracked(self.backbone):
            if learns:
                return self.backbone(images)
            frozen = {k: v.detach() for k, v in self.backbone.named_parameters()}
            return torch.func.functional_call(self.backbone, frozen, (images,))

    @torch.no_grad()
    def part_code(self, x: Tensor, track: bool = False) -> Tensor | None:
        """c = E_id(x) as a constant, (B, 3, H, W) -> (B, P, C); None where G sees the crop itself.

        Args:
            track: G's running statistics of part codes follow those of the crops x.
        """
        if not self.generator.uses_code:
            return None
        code = self.heads.part_code(self._feature_map(x, learns=False, tracks=False))
        if track:
            self.generator.track(code)
        return code

    def _embed(self, batch: dict[str, Tensor], feature_map: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings f (B, D) of original views and their rows in the bank (B,), both kept for the
        bank's update after the step."""
        f = self.heads(feature_map, camids=batch["camids"])
        indices = self.here(batch["indices"])
        self.pending = ((self.bank, f.detach(), indices),)
        return f, indices

    def _negative_cameras(self) -> Tensor | None:
        """Cameras of the bank's rows, where negatives are of an image's own camera alone."""
        return self.bank.cameras if self.losses.VIEW.NEGATIVE_CAMERAS == "own" else None

    def update_memory(self) -> None:
        """Write the last iteration's original views into the bank, and those of its source into
        theirs; call it after the optimizer's step."""
        for memory, f, rows in self.pending:
            memory.update(f, rows)
        self.pending = ()

    # ------------------------------------------------------------------ E_str and G
    def draw(self, x: Tensor, code: Tensor | None, s_ori: Tensor, s: Tensor) -> Tensor:
        """x' = G(E_str(s), c(x)): the people of the crops x (B, 3, H, W), of :meth:`part_code`'s
        codes and with structures s_ori (B, 1, h, w), as s (B, 1, h, w) have them; (B, 3, h, w)."""
        e_ori, e = self.generator.encode(torch.cat([s_ori, s])).chunk(2)
        x = self.resize(x, s.shape[-2:])
        return self.generator.decode(e, self.generator.appearance(x, s_ori, e_ori, code))

    def draw_views(
        self,
        x: Tensor,
        code: Tensor | None,
        s_ori: Tensor,
        s_new: Tensor,
        *,
        cycle: bool = False,
        map_new: bool = False,
        encoder_learns: bool = False,
    ) -> Views:
        """The views of a batch.

        Args:
            x, code, s_ori, s_new: as in :meth:`draw`.
            cycle: also x''_ori.
            map_new: also E_id's map of x'_new; where G knows a crop by its part code, ``cycle``
                brings it anyway.
            encoder_learns: whether gradients of the views reach E_id's parameters.
        """
        g, small = self.generator, self.resize(x, s_ori.shape[-2:])
        e_ori, e_new = g.encode(torch.cat([s_ori, s_new])).chunk(2)
        known = g.appearance(small, s_ori, e_ori, code)
        ori, new = g.decode(e_ori, known), g.decode(e_new, known)
        seen = again = code_new = None
        if map_new or (cycle and g.uses_code):
            seen = self._view_map(new, x, encoder_learns)
        if cycle:
            if g.uses_code:
                code_new = self.heads.part_code(seen)
            again = g.decode(e_ori, g.appearance(new, s_new, e_new, code_new))
        return Views(ori, new, again, seen)

    def _view_map(self, view: Tensor, x: Tensor, learns: bool) -> Tensor:
        """E_id's last map of views (B, 3, h, w), at the size of the crops x; statistics are those
        of originals."""
        return self._feature_map(self.resize(view, x.shape[-2:]), learns=learns, tracks=False)

    @torch.no_grad()
    def pool_views(self, batch: dict[str, Tensor]) -> Tensor:
        """Pooled features (B, C) of views as the joint phase shows them to E_id; no running
        statistic moves."""
        x = self.preprocess_image(batch)
        view = self.draw(x, self.part_code(x), *self._structures(batch))
        return self.heads.pool(self._view_map(self._taught_view(view, x, batch), x, learns=True))

    def _structures(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """s_ori and s_new, (B, 1, h, w)."""
        return self.here(batch["structure_ori"]), self.here(batch["structure_new"])

    # ------------------------------------------------------------------ losses
    def _generate(
        self, batch: dict[str, Tensor], x: Tensor, encoder_learns: bool
    ) -> tuple[dict[str, Tensor], Tensor | None, Views]:
        """L_gan; E_id's map of the crops, where E_id learns by it; the views."""
        names, code, map_x = set(self.losses.NAME), None, None
        feature = "FeatureConsistencyLoss" in names
        if self.generator.uses_code or feature:
            # without learning, the statistics move when the contrast sees the crops
            map_x = self._feature_map(x, learns=encoder_learns, tracks=encoder_learns)
            code = self.heads.part_code(map_x)
        if self.generator.uses_code:
            self.generator.track(code)
        views = self.draw_views(
            x,
            code,
            *self._structures(batch),
            cycle=bool(CYCLE_LOSSES & names),
            map_new=feature,
            encoder_learns=encoder_learns,
        )
        return self._gan_losses(x, code, views, encoder_learns), map_x, views

    def _view_contrast(
        self,
        batch: dict[str, Tensor],
        x: Tensor,
        view: Tensor,
        map_x: Tensor | None = None,
        map_view: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The view-invariant loss of phase 3.

        Args:
            view: x'_new; gradients reach E_str and G unless it is detached.
            map_x, map_view: E_id's maps of both with its parameters in the graph, where there are
                any already.
        """
        if "images_aug" in batch:
            map_x = self._feature_map(self.preprocess_image(batch, "images_aug"))
        elif map_x is None:
            map_x = self._feature_map(x)
        f, indices = self._embed(batch, map_x)
        if "images_mate" in batch:
            f_new, order = self._embed_mates_and_views(batch, view)
            losses = self._view_losses(f[order], f_new, indices[order])
            return losses | self._inter_camera_loss(batch, f, indices)
        if self.swap_backgrounds or self.unturned > 0:
            view, map_view = self._taught_view(view, x, batch), None
        if map_view is None:
            map_view = self._view_map(view, x, learns=True)
        with untracked(self.heads):
            f_new = self.heads(map_view, camids=batch["camids"], generated=True)
        losses = self._view_losses(f, f_new, indices)
        return losses | self._inter_camera_loss(batch, f, indices)

    def _embed_mates(self, batch: dict[str, Tensor], rows: Tensor | slice = ALL) -> Tensor:
        """f' of another photograph of its track, of ``rows`` of a batch's images."""
        mates = self.preprocess_image(batch, "images_mate")[rows]
        with untracked(self.heads):
            maps = self._feature_map(mates, tracks=False)
            return self.heads(maps, camids=self.here(batch["camids"])[rows])

    def _embed_mates_and_views(
        self, batch: dict[str, Tensor], view: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Phase 3 where tracks are views: f' (B, D), of another photograph of its track for a share
        GCL.JOINT.UNTURNED of the batch, by chance, and of x'_new (B, 3, h, w) for the others; and
        whose they are (B,)."""
        order = torch.randperm(len(view), device=self.device)
        mates, drawn = order.tensor_split([round(self.unturned * len(view))])
        parts = [self._embed_mates(batch, mates)] if len(mates) else []
        if len(drawn):
            view = view[drawn]
            if self.swap_backgrounds:
                view = swap_backgrounds(view, self._structures(batch)[1][drawn])
            map_view = self._view_map(view, batch["images_mate"], learns=True)
            camids = self.here(batch["camids"])[drawn]
            with untracked(self.heads):
                parts.append(self.heads(map_view, camids=camids, generated=True))
        return torch.cat(parts), order

    def _view_losses(
        self, f: Tensor, f_new: Tensor, indices: Tensor, negatives: str = ""
    ) -> dict[str, Tensor]:
        """L_vi of originals f (B, D) and views f' (B, D) with rows ``indices`` (B,).

        Args:
            negatives: of the originals; "": MODEL.LOSSES.VIEW.NEGATIVES.
        """
        options = self.losses.VIEW
        terms = view_invariant_loss(
            f,
            f_new,
            self.bank.features,
            indices,
            self.bank.labels,
            temperature=options.TEMPERATURE,
            num_negatives=options.NUM_NEGATIVES,
            negatives=negatives or options.NEGATIVES,
            cameras=self._negative_cameras(),
            tracks=self.bank.tracks,
        )
        names = ("loss_view_own", "loss_view_new", "loss_view_ori")
        return {name: options.SCALE * term for name, term in zip(names, terms, strict=True)}

    def _inter_camera_loss(
        self, batch: dict[str, Tensor], f: Tensor, indices: Tensor
    ) -> dict[str, Tensor]:
        """Beside phases 1 and 3, of original views f (B, D) with rows ``indices`` (B,)."""
        if self.proxies is None:
            return {}
        options, proxies = self.losses.INTER, self.proxies
        self.pending += ((proxies, f.detach(), proxies.rows[indices]),)
        loss = inter_camera_loss(
            f,
            proxies.features,
            proxies.classes,
            proxies.cameras,
            batch["targets"],
            self.here(batch["camids"]),
            temperature=options.TEMPERATURE,
            num_negatives=options.NUM_NEGATIVES,
        )
        return {"loss_inter_camera": options.SCALE * loss}

    def _taught_view(self, view: Tensor, x: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Views for E_id to learn from: some are the crops x themselves (GCL.JOINT.UNTURNED; not
        where tracks are views, which take their place), and all are on another's background where
        GCL.JOINT.SWAP_BACKGROUNDS is on."""
        s_ori, s = self._structures(batch)
        if self.unturned > 0 and "images_mate" not in batch:  # 0 asks for no chance
            unturned = (torch.rand(len(x), device=x.device) < self.unturned)[:, None, None, None]
            view = torch.where(unturned, self.resize(x, view.shape[-2:]), view)
            s = torch.where(unturned, s_ori, s)
        return swap_backgrounds(view, s) if self.swap_backgrounds else view

    def _gan_losses(
        self, x: Tensor, code: Tensor | None, views: Views, encoder_learns: bool
    ) -> dict[str, Tensor]:
        """L_gan of E_str and G, and D's own loss, in one dict."""
        names, options, losses = self.losses.NAME, self.losses, {}
        x_small = self.resize(x, views.ori.shape[-2:])
        if "ReconstructionLoss" in names:
            scale = options.RECONSTRUCTION.SCALE
            losses["loss_image"] = scale * reconstruction_loss(x_small, views.ori)
        if "CycleLoss" in names:
            scale = options.RECONSTRUCTION.SCALE
            losses["loss_cycle"] = scale * reconstruction_loss(x_small, views.cycle)
        if "FeatureConsistencyLoss" in names:
            first = views.map_new
            if options.FEATURE.VIEWS == "code":
                first = self._view_map(views.ori, x, encoder_learns)
            second = self._view_map(views.cycle, x, encoder_learns)
            losses["loss_feature"] = options.FEATURE.SCALE * feature_consistency_loss(
                code, self.heads.part_code(first), self.heads.part_code(second)
            )
        fakes = torch.cat([view for view in views[:3] if view is not None])
        return losses | self.adversarial_losses(x_small, fakes)

    def adversarial_losses(self, real: Tensor, fakes: Tensor) -> dict[str, Tensor]:
        """E_str and G's adversarial term, D's own loss and D's R1 penalty."""
        names, options, losses = self.losses.NAME, self.losses, {}
        if "AdversarialLoss" in names:
            form, scale = options.ADVERSARIAL.FORM, options.ADVERSARIAL.SCALE
            frozen = {k: v.detach() for k, v in self.discriminator.named_parameters()}
            judged = torch.func.functional_call(self.discriminator, frozen, (fakes,))
            losses["loss_generator"] = scale * generator_loss(judged, form)
            both = self.discriminator(torch.cat([real, fakes]).detach())
            parts = ([m[: len(real)] for m in both], [m[len(real) :] for m in both])
            losses["loss_discriminator"] = scale * discriminator_loss(*parts, form)
        if "R1Penalty" in names:
            losses["loss_r1"] = real.new_zeros(())
            if self.r1_is_due:
                weight = options.R1.SCALE * options.R1.EVERY
                losses["loss_r1"] = weight * r1_penalty(self.discriminator, real)
            self.r1_steps += 1
        return losses


def _learning(*modules: nn.Module | None) -> list[nn.Parameter]:
    """Parameters of modules that ask for a gradient; None has none."""
    return [p for m in modules if m is not None for p in m.parameters() if p.requires_grad]
