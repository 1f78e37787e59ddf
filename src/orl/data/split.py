"""Holding out whole episodes, so that neighbouring rows never sit on both sides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.data.episodes import Dataset
from orl.errors import DataError, UsageError

Rows = NDArray[np.int64]

# One split a dataset, whatever the run's seed: model, policy and judgement must agree on what is held out.
SPLIT_SEED = 0
HOLDOUT_FRACTION, HOLDOUT_MAX_ROWS = 0.1, 20_000  # defaults of the models' settings of these names


class Split(NamedTuple):
    """Row and episode indices [N] of the two sides, each ascending."""

    train_rows: Rows
    holdout_rows: Rows
    train_episodes: Rows
    holdout_episodes: Rows


def split_by_episode(dataset: Dataset, fraction: float, seed: int, max_rows: int | None = None) -> Split:
    """Hold out about `fraction` of the rows as whole episodes, at most `max_rows` of them where given.

    Episodes are drawn in an order fixed by `seed` for as long as one more brings the held-out rows nearer to the
    target. Each side gets at least one: if not even the first fits, the shortest episode is held out, whatever
    `max_rows` says. A dataset of one episode is split in time, its tail held out (and the episode is on both sides).

    Raises:
        UsageError: `fraction` is not inside (0, 1), or `max_rows` is below 1. DataError: a single step.
    """
    if not 0.0 < fraction < 1.0:
        raise UsageError(f"the held-out fraction is {fraction}; it must lie between 0 and 1")
    if max_rows is not None and max_rows < 1:
        raise UsageError(f"at most {max_rows} held-out rows leaves nothing to check on; give 1 or more")
    if dataset.n_episodes == 1:
        return _split_in_time(dataset, fraction, max_rows)
    held = _draw(dataset.lengths, fraction * len(dataset), seed, max_rows)
    is_held_row = held[dataset.episode_of_row]
    return Split(*(np.flatnonzero(mask).astype(np.int64) for mask in (~is_held_row, is_held_row, ~held, held)))


def _draw(lengths: Rows, target: float, seed: int, max_rows: int | None) -> NDArray[np.bool_]:
    """[E] which episodes are held out."""
    held = np.zeros(len(lengths), bool)
    total = 0
    for episode in np.random.default_rng(seed).permutation(len(lengths))[:-1]:  # the last drawn always trains
        length = int(lengths[episode])
        if total + length / 2 > target or (max_rows is not None and total + length > max_rows):
            break
        held[episode] = True
        total += length
    if not held.any():
        held[np.argmin(lengths)] = True
    return held


def _split_in_time(dataset: Dataset, fraction: float, max_rows: int | None) -> Split:
    steps = len(dataset)
    if steps < 2:
        raise DataError(f"{dataset.name}: one step in all; nothing can be held out, add data")
    size = min(max(round(fraction * steps), 1), steps - 1, max_rows or steps)
    rows, episode = np.arange(steps, dtype=np.int64), np.zeros(1, np.int64)
    return Split(rows[:-size], rows[-size:], episode, episode.copy())
