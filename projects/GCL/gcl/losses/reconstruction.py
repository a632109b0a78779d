"""What the view generator must preserve: the picture and its features (GCL, CVPR 2021, section
3.1)."""

from __future__ import annotations

from torch import Tensor


def reconstruction_loss(x: Tensor, redrawn: Tensor) -> Tensor:
    """|x - x'|_1, mean over elements. L_img is the sum for x'_ori and for x''_ori.

    Args:
        x, redrawn: (B, 3, H, W) the crop, and its redrawing from its own view (x'_ori) or from the
            generated new view (x''_ori), in the encoder's normalised image space.
    """
    return _l1(x, redrawn)


def feature_consistency_loss(code: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """L_feat = |c(x) - c_1|_1 + |c(x) - c_2|_1, means over elements; c(x) is a constant target.

    Args:
        code: (B, P, C) part code of the crop, detached here.
        first, second: (B, P, C) part codes of x'_new and x''_ori (paper) or x'_ori and x''_ori
            (released code).
    """
    return _l1(code.detach(), first) + _l1(code.detach(), second)


def _l1(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b.float()).abs().mean()
