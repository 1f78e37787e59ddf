"""Whether two quantities order the same things alike."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def average_ranks(x: ArrayLike) -> NDArray[np.float64]:
    """[N] rank of each value of `x` [N], from 1; equal values share the mean of their ranks."""
    _, index, counts = np.unique(np.asarray(x, np.float64), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - 0.5 * (counts - 1))[index]


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation of `a` [N] and `b` [N], ties averaged: Pearson's correlation of the ranks.

    NaN where it does not exist: fewer than two rows, all values of one side equal, or a value that is not a number.

    Raises:
        ValueError: they are not alike in shape, or no vectors.
    """
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"wants two columns [N], got shapes {left.shape} and {right.shape}")
    if len(left) < 2 or np.isnan(left).any() or np.isnan(right).any():
        return math.nan
    x, y = (ranks - 0.5 * (len(left) + 1) for ranks in (average_ranks(left), average_ranks(right)))
    norm = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / norm if norm > 0.0 else math.nan
