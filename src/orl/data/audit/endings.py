"""Ends of episodes: contradictory flags, true ends that are missing, and time-outs taken for them.

A true end (terminated) has no value beyond it; a time-out (truncated) has. Mixing them up falsifies every value
function and hides from a model where the system fails.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orl.data.audit.continuity import last_rows
from orl.data.audit.finding import Finding, listed, percent
from orl.data.episodes import Dataset

BOTH = 0.05  # share of ends with both flags that chance explains: a true end in the very last step allowed
SHARED = 3  # episodes of exactly the greatest length from which that length is taken for a time limit
EARLY = 0.1  # share of episodes that a time limit does not explain; fewer may be cuts of the recorder
APART = 0.95  # how well one column tells ends from other rows; arbitrary cuts give 0.5 + 0.3 / sqrt(episodes)
MIN_ENDS = 20  # ... so 20 of them stay below 0.75


def contradictory_flags(dataset: Dataset) -> list[Finding]:
    """Flags inside episodes (an error), ends with both flags, and ends with none."""
    last, found = last_rows(dataset), []
    inside = dataset.terminated | dataset.truncated
    inside[last] = False
    if inside.any():
        rows = np.flatnonzero(inside)
        message = f"{len(rows)} end flags stand inside episodes ({listed(np.unique(dataset.episode_of_row[rows]))})"
        advice = "split the episodes there, or clear the flags if they went on"
        found.append(Finding("flags", "error", f"row {rows[0]}", float(len(rows)), message, advice))
    both = float((dataset.terminated & dataset.truncated)[last].mean())
    if both:
        message = f"{percent(both)} of the episodes end with both flags, terminated and truncated; the true end is used"
        advice = "set one: terminated where the system ended, truncated where only the recording did"
        found.append(Finding("flags", "warning" if both > BOTH else "note", "ends", both, message, advice))
    none = float((~dataset.terminated & ~dataset.truncated)[last].mean())
    if none:
        message, advice = f"{percent(none)} of the episodes end without a flag", "set terminated or truncated there"
        found.append(Finding("flags", "warning", "ends", none, message, advice))
    return found


def missing_terminations(dataset: Dataset) -> list[Finding]:
    """Episodes that end before the time limit, none of them by a true end."""
    if dataset.terminated.any() or dataset.n_episodes < 2:
        return []
    limit = time_limit(dataset)
    early = dataset.lengths < (limit or dataset.lengths.max())
    share = float(early.mean())
    if share <= EARLY:
        return []
    column, separation = ends_apart(dataset, early)
    lengths = f"{dataset.lengths[early].min()} to {dataset.lengths[early].max()} steps"
    message = f"{percent(share)} of the episodes stop early ({lengths}"
    message += f", the limit is {limit})" if limit else ")"
    message += ", yet none is marked as a true end"
    if separation >= APART:
        message += f"; obs column {column} tells their last states from all others"
    serious = limit is not None or separation >= APART
    advice = "set terminated where the system ended by itself; without it values run on behind failures"
    return [Finding("terminations", "warning" if serious else "note", "terminated", share, message, advice)]


def timeouts_as_terminations(dataset: Dataset) -> list[Finding]:
    """True ends exactly at the time limit, as if the clock were part of the system."""
    limit = time_limit(dataset)
    if limit is None:
        return []
    at_limit = dataset.terminated[last_rows(dataset)] & (dataset.lengths == limit)
    at_limit &= ~dataset.truncated[last_rows(dataset)]  # with both flags it is reported as that
    count = int(at_limit.sum())
    if count < SHARED:
        return []
    message = f"{count} of {dataset.n_episodes} episodes are marked as true ends at exactly {limit} steps"
    advice = "a time-out is truncated, not terminated: values go on behind it (unless the task itself ends there)"
    return [Finding("terminations", "warning", "terminated", float(count), message, advice)]


def time_limit(dataset: Dataset) -> int | None:
    """Steps of the recorded time limit, or the greatest length where SHARED or more episodes have it, or None."""
    if dataset.max_episode_steps is not None:
        return dataset.max_episode_steps
    longest = int(dataset.lengths.max())
    return longest if longest > 1 and (dataset.lengths == longest).sum() >= SHARED else None


def ends_apart(dataset: Dataset, episodes: NDArray[np.bool_]) -> tuple[int, float]:
    """(column, how well it separates) the last next_obs of these `episodes` [E] from all other ones.

    The measure is max(A, 1 - A) with A the area under the ROC curve of the column; (0, 0.5) below MIN_ENDS ends.
    """
    if episodes.sum() < MIN_ENDS:
        return 0, 0.5
    is_end = np.zeros(len(dataset), bool)
    is_end[last_rows(dataset)[episodes]] = True
    areas = np.array([roc_area(column, is_end) for column in dataset.next_obs.T])
    separation = np.maximum(areas, 1 - areas)
    best = int(np.argmax(separation))
    return best, float(separation[best])


def roc_area(values: NDArray, positive: NDArray[np.bool_]) -> float:
    """Probability that a positive one of `values` [N] exceeds another one, ties counted half (Mann-Whitney)."""
    others = np.sort(values[~positive])
    below = np.searchsorted(others, values[positive], "left")
    not_above = np.searchsorted(others, values[positive], "right")
    return float((below + not_above).mean() / (2 * len(others)))
