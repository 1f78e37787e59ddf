"""Episodes that are there twice, and whether one copy is held out while the other one trains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orl.data.audit.finding import Finding, Severity, listed, spread
from orl.data.episodes import Dataset
from orl.data.split import HOLDOUT_FRACTION, HOLDOUT_MAX_ROWS, SPLIT_SEED, split_by_episode

CELL = 0.01  # standard deviations: rows that agree to this are the same but for rounding
SAME = 0.5  # share of an episode's rows found again, in order, in one other episode, from which it is a copy
MIN_MOVING = 5  # rows with changes that an episode needs to be told from another (a system at rest repeats itself)


def duplicate_episodes(dataset: Dataset) -> list[Finding]:
    """Copies among the episodes: a warning where the split of runs, as set by default, holds one of them out."""
    copies = near_copies(dataset)
    if not len(copies):
        return []
    held = np.zeros(dataset.n_episodes, bool)
    held[split_by_episode(dataset, HOLDOUT_FRACTION, SPLIT_SEED, HOLDOUT_MAX_ROWS).holdout_episodes] = True
    across = held[copies[:, 0]] != held[copies[:, 1]]
    found: list[Finding] = []
    sides: tuple[tuple[Severity, NDArray], ...] = (("warning", copies[across]), ("note", copies[~across]))
    for severity, pairs in sides:
        if not len(pairs):
            continue
        words = listed([f"{copy} of {original}" for copy, original in pairs])
        if severity == "warning":
            place, advice = "across the split", "remove the copies; held-out errors and scores are too good with them"
        else:
            place, advice = "on one side of the split", "remove the copies, unless their weight is meant"
        message = f"{len(pairs)} episodes repeat another one ({words})"
        found.append(Finding("duplicate episodes", severity, place, float(len(pairs)), message, advice))
    return found


def near_copies(dataset: Dataset) -> NDArray[np.int64]:
    """[n, 2] pairs (episode, earlier episode) of which SAME or more of the first's moving rows agree, in order.

    Rows (obs, action) are rounded to CELL and hashed. Each row whose like occurred before votes for a pair (earlier
    episode, shift in time), so that systems which pass the same states in another order are no copies. Rows that
    equal the one before them have no vote.
    """
    cell, moving = row_cells(dataset)
    rows = np.flatnonzero(moving)
    _, first, index = np.unique(cell[rows], return_index=True, return_inverse=True)
    original = rows[first][index]
    episode, earlier = dataset.episode_of_row[rows], dataset.episode_of_row[original]
    shift = (rows - dataset.starts[episode]) - (original - dataset.starts[earlier])
    foreign = earlier != episode
    votes, count = np.unique(np.stack([episode, earlier, shift], axis=1)[foreign], axis=0, return_counts=True)
    voters = np.bincount(episode, minlength=dataset.n_episodes)
    if not len(votes):
        return np.zeros((0, 2), np.int64)
    enough = (count >= SAME * voters[votes[:, 0]]) & (voters[votes[:, 0]] >= MIN_MOVING)
    return np.unique(votes[enough][:, :2], axis=0)


def row_cells(dataset: Dataset) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """[N] a hash of each row's (obs, action) rounded to CELL, and whether it differs from the row before."""
    values = np.concatenate([dataset.obs, dataset.action], axis=1)
    scale = spread(values)
    scaled = values.astype(np.float64) / np.where(scale > 0, CELL * scale, 1.0)
    rounded = np.rint(np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0)).astype(np.int64).view(np.uint64)
    multipliers = np.random.default_rng(0).integers(0, 2**63, values.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
    hashed = (rounded * multipliers).sum(axis=1, dtype=np.uint64)  # modulo 2^64
    moving = np.append(True, hashed[1:] != hashed[:-1])
    moving[dataset.starts] = True
    return hashed, moving
