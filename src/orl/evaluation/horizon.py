"""How error grows with the steps ahead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def horizon_errors(
    predicted: NDArray[np.float32], real: NDArray[np.float32], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[H] root mean square of (predicted [..., N, H, O] - real [N, H, O]) / spread [O] at each step ahead."""
    error = (predicted.astype(np.float64) - real) / spread
    return np.sqrt(np.mean(np.moveaxis(error, -2, 0).reshape(real.shape[1], -1) ** 2, axis=1))


def break_even(error: NDArray[np.float64], persistence: NDArray[np.float64]) -> int | None:
    """The first step ahead (from 1) at which predicting no change would have been no worse; None if there is none."""
    worse = np.flatnonzero(error >= persistence)
    return int(worse[0]) + 1 if len(worse) else None
