"""Parts of a log that cross-validation leaves out in turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def folds_of_rows(episode: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """[N] the fold of each row, given the episode [N] it belongs to; rows ascending.

    Neighbouring rows say nearly the same, so whole episodes are dealt out. Where there are fewer than `count`, the
    rows are cut into that many stretches instead (as many as there are rows, at most).
    """
    _, index = np.unique(episode, return_inverse=True)
    if index.max(initial=0) + 1 >= count:
        return np.asarray(index % count, np.int64)
    return np.arange(len(episode)) * min(count, len(episode)) // max(len(episode), 1)
