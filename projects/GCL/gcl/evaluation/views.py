"""How good generated views are where there is a photograph of what they should show.

Shapes: `N` crops and `M` targets of a set, `T` pairs of a crop and a turn; `B` pictures at a time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as TF
from torchvision.transforms.functional import InterpolationMode
from tqdm import tqdm

from gcl.data.view_dataset import ViewDataset
from gcl.losses import perceptual_distance
from gcl.modeling.imagenet import ImageNet
from gcl.photographs import read_photograph
from gcl.structure.estimate import StructureEstimator
from gcl.structure.store import TURNS

from .body_metrics import yaw_errors
from .retrieval import blind_precision, blind_rank1, gallery_sizes, ranks
from .ssim import ssim
from .view_encoders import Encoder
from .view_pairs import ViewPairs

PHOTOGRAPH, CROP, CHANCE = "real photograph", "unturned crop", "chance"
"""What generated views stand beside. Pictures of CHANCE are photographs of another person, from the
right side in the same camera; its retrieval is a blind guess."""
UNTURNED = "{}, unturned"
"""A generator's drawing of the crop as it is: drawn as badly as its views, but from the wrong side.
What it lacks to the view is what the turn brings."""
BATCH = 64


class Measured(NamedTuple):
    """Of each pair, (T,); NaN where it is not known.

    Attributes:
        ssim, perceptual: against the true photograph.
        rank1, precision: of the search for the match.
        error: degrees between the intended yaw and what the estimator reads.
    """

    ssim: Tensor
    perceptual: Tensor
    rank1: Tensor
    precision: Tensor
    error: Tensor


class Appearances(NamedTuple):
    """What there is to say of pictures (B, 3, H, W), uint8: their maps for the perceptual distance,
    their pooled features (B, C), the yaw (B,) that an estimator sees."""

    pictures: Tensor
    maps: list[Tensor]
    pooled: Tensor
    yaw: Tensor

    def at(self, rows: np.ndarray) -> Appearances:
        """Those of some of them."""
        rows = torch.as_tensor(rows, device=self.pooled.device)
        maps = [maps[rows] for maps in self.maps]
        return Appearances(self.pictures[rows], maps, self.pooled[rows], self.yaw[rows.cpu()])


class Judge:
    """Says of pictures what there is to compare.

    Args:
        encoder: whose features they are searched by.
        imagenet: for the perceptual distance.
        estimator: reads the yaw.
        device: where the former two calculate.
    """

    def __init__(
        self,
        encoder: Encoder,
        imagenet: ImageNet,
        estimator: StructureEstimator,
        device: torch.device | str,
    ) -> None:
        self.encoder, self.imagenet, self.estimator = encoder, imagenet, estimator
        self.device = device

    def judge(self, pictures: Tensor) -> Appearances:
        """Of (B, 3, H, W), uint8."""
        pictures = pictures.to(self.device)
        arrays = list(pictures.permute(0, 2, 3, 1).contiguous().cpu().numpy())
        yaw = self.estimator(arrays, batch_size=BATCH).yaw
        parts = pictures.split(BATCH)
        maps = zip(*(self.imagenet.maps(part) for part in parts), strict=True)
        pooled = torch.cat([self.encoder.pool(part) for part in parts])
        return Appearances(pictures, [torch.cat(stage) for stage in maps], pooled, yaw)


class _Row:
    """What is gathered of one kind of picture, visit by visit."""

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, ...]] = []

    def add(self, seen: Appearances, true: Appearances, yaw: Tensor) -> None:
        self.parts.append(
            (
                ssim(seen.pictures / 255, true.pictures / 255).cpu(),
                perceptual_distance(seen.maps, true.maps).cpu(),
                seen.pooled,
                yaw_errors(seen.yaw, yaw),
            )
        )

    def gathered(self) -> list[Tensor]:
        """(T,) SSIM, (T,) distances, (T, C) features, (T,) errors."""
        return [torch.cat(values) for values in zip(*self.parts, strict=True)]


@torch.no_grad()
def measure(
    draw: Mapping[str, Callable[[Tensor, Tensor, Tensor, np.ndarray], Tensor]],
    judge: Judge,
    pairs: ViewPairs,
    dataset: ViewDataset,
    keep: Collection[int] = (),
) -> tuple[dict[str, Measured], dict[int, list[Tensor]]]:
    """Draw the view of every pair and compare.

    Args:
        draw: by name, :func:`drawing` of a generator.
        dataset: the crops of ``pairs`` with their structures.
        keep: pairs whose pictures are wanted.

    Returns:
        Figures of PHOTOGRAPH, CROP, each of ``draw``, UNTURNED and turned, and CHANCE; and of the
        pairs of ``keep`` the crop, the true photograph and each view, (3, H, W), uint8.

    Raises:
        OSError: a picture or a structure can not be read.
    """
    rows: dict[str, _Row] = defaultdict(_Row)
    pooled, errors, apart, pictures = [], [], [], {}
    before: tuple[int, dict[int, int], Appearances] | None = None
    for visit in tqdm(pairs.visits, "drawing views", unit="visit", dynamic_ncols=True):
        here = range(visit.targets.start, visit.targets.stop)
        true = judge.judge(_stack(pairs.read(here), dataset.size))
        pooled.append(true.pooled)
        camera, orientation = pairs.camera[here[0]], pairs.orientation[visit.targets]
        chosen, crop = np.unique(pairs.crop[visit.pairs], return_inverse=True)
        if len(chosen):
            truth = pairs.truth[visit.pairs]
            yaw = torch.from_numpy(pairs.yaw[truth]).float()
            wanted = true.at(truth - here[0])
            errors.append(yaw_errors(wanted.yaw, yaw))
            photographs = (read_photograph(pairs.images[i], dataset.size) for i in chosen)
            crops = _stack(photographs, dataset.size)
            structures = torch.stack([dataset.views(int(i)) for i in chosen])
            turn = [1 + TURNS.index(t) for t in pairs.turn[visit.pairs]]
            turned = structures[torch.as_tensor(crop), torch.tensor(turn)]
            rows[CROP].add(judge.judge(crops).at(crop), wanted, yaw)
            views = {}
            for name, function in draw.items():
                views[name] = function(crops, structures[:, 0], turned, crop)
                each = np.arange(len(chosen))
                unturned = function(crops, structures[:, 0], structures[:, 0], each)
                rows[UNTURNED.format(name)].add(judge.judge(unturned).at(crop), wanted, yaw)
                rows[name].add(judge.judge(views[name]), wanted, yaw)
            apart.append(_from_another(before, camera, pairs.orientation[truth], wanted))
            for t in set(keep) & set(range(visit.pairs.start, visit.pairs.stop)):
                row = t - visit.pairs.start
                shown = [crops[crop[row]], wanted.pictures[row], *(v[row] for v in views.values())]
                pictures[t] = [picture.cpu() for picture in shown]
        before = camera, {o: i for i, o in reversed([*enumerate(orientation)])}, true

    cameras = torch.from_numpy(pairs.camera).to(pooled[0].device)
    targets = judge.encoder.embed(torch.cat(pooled), cameras, False)
    unknown = torch.full((len(pairs.crop),), math.nan)
    found = {PHOTOGRAPH: Measured(*[unknown] * 4, torch.cat(errors))}
    for name, row in rows.items():
        similarity, distance, features, error = row.gathered()
        query = judge.encoder.embed(features, cameras[pairs.truth], name != CROP)
        rank = ranks(query, targets, pairs)
        rank1 = torch.where(rank.isnan(), math.nan, (rank == 1).float())
        found[name] = Measured(similarity, distance, rank1, 1 / rank, error)
    sizes = gallery_sizes(pairs)
    blind = blind_rank1(sizes), blind_precision(sizes)
    found[CHANCE] = Measured(*torch.cat(apart, 1), *blind, unknown)
    return found, pictures


def drawing(
    model, size: tuple[int, int]
) -> Callable[[Tensor, Tensor, Tensor, np.ndarray], Tensor]:
    """A function of crops (B, 3, H, W), their own structures (B, 1, h, w), structures (T, 1, h, w)
    and the structures' rows of crops (T,): the views G(E_str(s), c(x)), (T, 3, H, W), uint8 like
    any picture.

    Args:
        model: GCL, in evaluation mode.
        size: (H, W).
    """

    def draw(crops: Tensor, own: Tensor, structures: Tensor, crop: np.ndarray) -> Tensor:
        parts = [model.preprocess_image({"images": part}) for part in crops.split(BATCH)]
        codes = [model.part_code(x) for x in parts]  # once a crop
        x, code = torch.cat(parts), None if codes[0] is None else torch.cat(codes)
        own, structures = own.to(model.device), structures.to(model.device)
        drawn, crop = [], torch.as_tensor(crop, device=model.device)
        for s, rows in zip(structures.split(BATCH), crop.split(BATCH), strict=True):
            view = model.draw(x[rows], None if code is None else code[rows], own[rows], s)
            view = model.resize(view, size)
            drawn.append((view * model.pixel_std + model.pixel_mean).round().clamp(0, 255).byte())
        return torch.cat(drawn)

    return draw


def _stack(images: Iterable[Image.Image], size: tuple[int, int]) -> Tensor:
    """Photographs as training has them, (B, 3, H, W), uint8."""
    resized = [TF.resize(image, list(size), InterpolationMode.BICUBIC) for image in images]
    return torch.stack([TF.pil_to_tensor(image) for image in resized])


def _from_another(
    before: tuple[int, dict[int, int], Appearances] | None,
    camera: int,
    orientation: np.ndarray,
    wanted: Appearances,
) -> Tensor:
    """(2, T) SSIM and distance of the photographs to those of the person before in that camera from
    the same side; NaN where there is none."""
    out = torch.full((2, len(orientation)), math.nan)
    if before is not None and before[0] == camera:
        rows = np.array([before[1].get(o, -1) for o in orientation])
        known = np.flatnonzero(rows >= 0)
        other, wanted = before[2].at(rows[known]), wanted.at(known)
        out[0, known] = ssim(other.pictures / 255, wanted.pictures / 255).cpu()
        out[1, known] = perceptual_distance(other.maps, wanted.maps).cpu()
    return out
