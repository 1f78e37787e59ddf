"""How error grows with the steps ahead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def horizon_errors(
    predicted: NDArray[np.float32],
    real: NDArray[np.float32],
    spread: NDArray[np.float64],
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """[H] root mean square of (predicted [..., N, H, O] - real [N, H, O]) / spread [O] at each step ahead.

    `inside` [N, H] says which real observations there are; all of them where it is left out.
    """
    return np.sqrt(np.mean(horizon_errors_by_dim(predicted, real, spread, inside) ** 2, axis=1))


def horizon_errors_by_dim(
    predicted: NDArray[np.float32],
    real: NDArray[np.float32],
    spread: NDArray[np.float64],
    inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """[H, O] as `horizon_errors`, for each dimension; a prediction that ran away has an error of infinity."""
    known = np.ones(real.shape[:2], bool) if inside is None else inside
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.square((predicted.astype(np.float64) - real) / spread)
    squared = np.where(known[..., None], np.nan_to_num(squared, nan=np.inf, posinf=np.inf), 0.0)
    draws = squared.size // real.size
    return np.sqrt(squared.reshape(draws, *real.shape).sum(axis=(0, 1)) / (draws * known.sum(axis=0)[:, None]))


def break_even(error: NDArray[np.float64], yardstick: NDArray[np.float64]) -> int | None:
    """The first step ahead (from 1) at which predicting by the yardstick would have been no worse; None if none is.

    The yardstick is the error [H] of something simpler, as of predicting no change. An `error` that is not a number
    counts as worse.
    """
    worse = np.flatnonzero(~(error < yardstick))
    return int(worse[0]) + 1 if len(worse) else None
