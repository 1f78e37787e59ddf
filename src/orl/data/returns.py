"""Discounted sums within episodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def discounted_sums(x: NDArray, last: NDArray[np.int64], discount: float) -> NDArray[np.float64]:
    """[N] sum_{s>=t} g^{s-t} x_s up to row `last` [N], at which each row's stretch of consecutive rows ends.

    Reference: the return of Sutton and Barto, 2018, section 3.3.
    """
    total = np.asarray(x, np.float64).copy()
    ends = np.unique(last)
    lengths = np.diff(ends, prepend=-1)
    for back in range(1, int(lengths.max(initial=1))):  # as many passes as the longest stretch has rows
        rows = ends[lengths > back] - back
        total[rows] += discount * total[rows + 1]
    return total
