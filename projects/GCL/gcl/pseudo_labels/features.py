"""What comes in: any (N, D) array of numbers; what goes on: finite float32 rows of unit length.

Shapes: `N` images, `D` embedding size.
"""

from __future__ import annotations

import numpy as np
import torch

# A row this close to unit length is used as it is: a bank that the trainer keeps normalised is
# neither copied (106 MB at 12,936 x 2048) nor changed in its last bits.
UNIT_TOLERANCE = 1e-5
CHUNK_ELEMENTS = 1 << 21  # 16 MB of float64 at a time
ROWS_IN_MESSAGE = 8


def unit_rows(features: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Check `features` and scale every row to unit L2 length.

    Args:
        features: (N, D) torch tensor on any device or numpy array, any real dtype
            (float16 and bfloat16 are widened first).

    Returns:
        (N, D) float32 contiguous tensor on the device of `features`. It shares memory with the
        input when that already is contiguous float32 with rows of unit length. An all-zero row has
        no direction and stays zero: it is equally far from everything.

    Raises:
        TypeError: not an array of real numbers.
        ValueError: not two-dimensional, D = 0, or NaN/Inf; the sentence names the rows.
    """
    x = _as_tensor(features)
    n, d = x.shape
    out = x if x.dtype == torch.float32 and x.is_contiguous() else None
    step = max(1, CHUNK_ELEMENTS // d)
    bad: list[int] = []
    for a in range(0, n, step):
        rows = x[a : a + step]
        if out is x and _is_unit(rows):
            continue
        rows = rows.double()
        finite = torch.isfinite(rows).all(dim=1)
        if not bool(finite.all()):
            bad += (a + (~finite).nonzero()[:, 0]).tolist()
            continue
        # The largest element is taken out first so that the square can not overflow.
        scale = rows.abs().amax(dim=1)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        length = torch.linalg.vector_norm(rows / scale[:, None], dim=1) * scale
        odd = ((length - 1).abs() > UNIT_TOLERANCE) & (length > 0)
        if out is None or out is x:
            if out is x and not bool(odd.any()):
                continue
            out = torch.empty((n, d), dtype=torch.float32, device=x.device)
            out[:a] = x[:a]
        divisor = torch.where(odd, length, torch.ones_like(length))
        out[a : a + step] = (rows / divisor[:, None]).float()
    if bad:
        raise ValueError(_bad_rows(bad, n))
    return x.float().contiguous() if out is None else out


def _is_unit(rows: torch.Tensor) -> bool:
    """Cheap and sufficient: NaN, Inf and other lengths all fail it."""
    return bool(((rows.square().sum(dim=1) - 1).abs() < UNIT_TOLERANCE).all())


def _as_tensor(features: torch.Tensor | np.ndarray) -> torch.Tensor:
    if isinstance(features, np.ndarray):
        if features.dtype.kind not in "fiub":
            raise TypeError(
                f"features must be an array of real numbers; its dtype is {features.dtype}."
            )
        if features.dtype.kind != "f" or features.dtype.itemsize > 8:
            features = features.astype(np.float64)
        # torch wraps only writable arrays in silence; nothing here writes into the input.
        x = torch.from_numpy(features if features.flags.writeable else features.copy())
    elif isinstance(features, torch.Tensor):
        if features.is_complex():
            raise TypeError("features must be real numbers; the tensor is complex.")
        x = features.detach()
        if x.device.type == "mps":  # it has no float64
            x = x.cpu()
    else:
        raise TypeError(
            f"features must be a torch tensor or a numpy array, not {type(features).__name__}."
        )
    if x.ndim != 2:
        raise ValueError(f"features must have shape (N, D); the shape is {tuple(x.shape)}.")
    if x.shape[1] == 0:
        raise ValueError("features must have at least one column; the shape is (N, 0).")
    return x


def _bad_rows(rows: list[int], n: int) -> str:
    names = ", ".join(map(str, rows[:ROWS_IN_MESSAGE]))
    more = f" and {len(rows) - ROWS_IN_MESSAGE} more" if len(rows) > ROWS_IN_MESSAGE else ""
    plural = "s" if len(rows) > 1 else ""
    return (
        f"features has NaN or infinite values in row{plural} {names}{more} ({len(rows)} of {n} "
        "rows). Look for a diverged loss or an overflow in half precision before labelling."
    )
