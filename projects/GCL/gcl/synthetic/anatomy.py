"""Where clothes begin and end on a body: landmarks and shares of limbs, from its bones and weights.

Rest axes are x to the own left, y to the back, z up, metres; the arms hang aside.
Shapes: `B` people, `V` vertices, `J` bones, `L` levels.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GROUPS = {
    "arm": ("upperarm", "lowerarm", "wrist", "finger", "metacarpal"),
    "hand": ("wrist", "finger", "metacarpal"),
    "head": ("head", "neck02", "neck03", "eye"),
    "foot": ("foot", "toe"),
    "left": ("upperleg01.L", "upperleg02.L", "lowerleg01.L", "lowerleg02.L"),
    "right": ("upperleg01.R", "upperleg02.R", "lowerleg01.R", "lowerleg02.R"),
}
_HEIGHTS = {
    "knee": "lowerleg01.L",
    "ankle": "foot.L",
    "hip": "upperleg01.L",
    "waist": "spine03",
    "shoulder": "upperarm01.L",
    "neck": "neck01",
    "head": "head",
}
_LEVELS = 48


class Anatomy:
    """What is the same for all bodies of one topology.

    Args:
        labels: J names of bones.
        weights: (V, J) skinning weights.
        rest: (V, 3) vertices of an average body at rest.
        heads: (J, 3) where its bones begin.

    Attributes:
        shares: name of a group of bones -> (V,) share of the group in each vertex's weights.
        reach: (V,) how far down the arm a vertex lies: shoulder 0, wrist 1.
    """

    def __init__(self, labels: list[str], weights: Tensor, rest: Tensor, heads: Tensor) -> None:
        self.labels = labels
        self.weights = weights
        self.shares = {
            name: weights[:, [label.startswith(prefixes) for label in labels]].sum(1)
            for name, prefixes in _GROUPS.items()
        }
        self.reach = self._reach(rest, heads)
        z = rest[:, 2]
        marks = self.heights(rest[None], heads[None])
        self._low, self._high = float(marks["sole"]), float(marks["neck"])
        levels = torch.linspace(self._low, self._high, _LEVELS)
        arm, head, foot = self.shares["arm"], self.shares["head"], self.shares["foot"]
        trunk = (arm < 0.3) & (head < 0.3) & (foot < 0.3)
        self._rows = {
            side: _average(weights, z, levels, trunk & (self.shares[other] < 0.3))
            for side, other in (("left", "right"), ("right", "left"))
        }
        self._marks = {k: float(v) for k, v in marks.items()}

    def bone(self, label: str) -> int:
        return self.labels.index(label)

    def heights(self, rest: Tensor, heads: Tensor) -> dict[str, Tensor]:
        """(B,) heights of joints, of the sole and of the top of the head; and how far back the
        middle of the head is, as "nose"."""
        marks = {name: heads[:, self.bone(label), 2] for name, label in _HEIGHTS.items()}
        nose = heads[:, self.bone("head"), 1]
        return {**marks, "sole": rest[..., 2].amin(1), "top": rest[..., 2].amax(1), "nose": nose}

    def weights_at(self, z: Tensor, marks: dict[str, Tensor], side: str) -> Tensor:
        """(B, L, J) weights of the trunk and of the leg on one ``side`` at heights ``z`` (B, L)."""
        names = ("sole", "ankle", "knee", "hip", "shoulder", "neck")
        own = torch.stack([marks[name] for name in names], 1)
        mean = torch.tensor([self._marks[name] for name in names])
        part = (torch.searchsorted(own.contiguous(), z.contiguous()) - 1).clamp(0, len(names) - 2)
        low, high = own.gather(1, part), own.gather(1, part + 1)
        level = mean[part] + (z - low) / (high - low) * (mean[part + 1] - mean[part])
        level = (level - self._low) / (self._high - self._low) * (_LEVELS - 1)
        level = level.clamp(0, _LEVELS - 1.001)
        first = level.long()
        share = (level - first)[..., None]
        rows = self._rows[side]
        return rows[first] * (1 - share) + rows[first + 1] * share

    def _reach(self, rest: Tensor, heads: Tensor) -> Tensor:
        shoulder, elbow, wrist = (
            heads[self.bone(f"{name}.L")] for name in ("upperarm01", "lowerarm01", "wrist")
        )
        folded = torch.cat((rest[:, :1].abs(), rest[:, 1:]), 1)
        upper, lower = elbow - shoulder, wrist - elbow
        above = ((folded - shoulder) @ upper / (upper @ upper)).clamp(-0.2, 1)
        below = ((folded - elbow) @ lower / (lower @ lower)).clamp(0, 1.3)
        return 0.5 * (above + below)


def hairline(y: Tensor, nose: Tensor, top: Tensor) -> Tensor:
    """Height above which a head bears hair, ``y`` metres to the back: high at the forehead, low in
    the nape. ``nose`` and ``top`` are heights of that name."""
    back = ((y - (nose - 0.06)) / 0.13).clamp(0, 1)
    return top - 0.055 - 0.135 * back


def _average(weights: Tensor, z: Tensor, levels: Tensor, which: Tensor) -> Tensor:
    """(L, J) mean weights of the vertices ``which`` about each of the levels."""
    near = torch.exp(-0.5 * ((z[None] - levels[:, None]) / 0.03) ** 2) * which + 1e-12 * which
    rows = near @ weights
    return rows / rows.sum(1, keepdim=True)
