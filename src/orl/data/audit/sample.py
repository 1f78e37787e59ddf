"""Which rows the regressions of the audit see: whole episodes of finite values, drawn by a fixed seed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.data.episodes import Dataset

SEED = 0
FIT_ROWS = 20_000  # regressions on some 500 features gain nothing visible from more, and take a second
MIN_ROWS = 200  # below this a held-out R^2 is noise, and nothing is said
FOLDS = 5


class Sample(NamedTuple):
    """Rows [n] of the dataset, ascending, and the fold [n] of each. An episode lies in one fold."""

    rows: NDArray[np.int64]
    fold: NDArray[np.int64]


def sample_rows(dataset: Dataset, past: int = 0, max_rows: int = FIT_ROWS) -> Sample | None:
    """About `max_rows` rows of whole episodes that have `past` earlier steps; None where there are below MIN_ROWS.

    Episodes with a value that is not finite are left out. Fewer than FOLDS episodes are cut into stretches first, so
    that the held-out side is later or earlier in time, never in between.
    """
    stretches = [rows[past:] for rows in _stretches(dataset) if len(rows) > past]
    if not stretches:
        return None
    order = np.random.default_rng(SEED).permutation(len(stretches))
    total = np.cumsum([len(stretches[index]) for index in order])
    taken = [stretches[index] for index in order[: int(np.searchsorted(total, max_rows)) + 1]]
    if len(taken) < FOLDS or total[len(taken) - 1] < MIN_ROWS:
        return None
    rows = np.concatenate(taken)
    fold = np.concatenate([np.full(len(part), index % FOLDS) for index, part in enumerate(taken)])
    ascending = np.argsort(rows)
    return Sample(rows[ascending], fold[ascending])


def finite_episodes(dataset: Dataset) -> NDArray[np.int64]:
    """[N] indices of the episodes without a NaN or an infinity."""
    finite = np.isfinite(dataset.reward)
    for array in (dataset.obs, dataset.action, dataset.next_obs):
        finite &= np.isfinite(array).all(axis=1)
    return np.flatnonzero(np.logical_and.reduceat(finite, dataset.starts))


def _stretches(dataset: Dataset) -> list[NDArray[np.int64]]:
    """Rows of each finite episode, the episodes cut into pieces where there are fewer than FOLDS."""
    episodes = finite_episodes(dataset)
    whole = [np.arange(dataset.starts[e], dataset.starts[e] + dataset.lengths[e]) for e in episodes]
    if not 0 < len(whole) < FOLDS:
        return whole
    pieces = -(-FOLDS // len(whole))
    return [part for rows in whole for part in np.array_split(rows, pieces) if len(part)]
