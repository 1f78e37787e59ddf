"""Whether the rows of an episode follow one another, and whether an episode is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orl.data.audit.features import feature_count, fit_scaler, smooth_features
from orl.data.audit.finding import Finding, listed, percent
from orl.data.audit.ridge import RIDGES, ridge_weights
from orl.data.audit.sample import MIN_ROWS, Sample, sample_rows
from orl.data.episodes import Dataset
from orl.data.readers.flat import chain_breaks

MOVING = 0.9  # share of rows at which a column must change to be predictable (set points and dates jump by nature)
ORDINARY = 0.99  # quantile of the prediction errors that counts as ordinary; jumps are rarer, but in episodes below 100
JUMP = (
    10.0  # in ordinary errors. Real logs without a jump reach 6. Ends glued to starts have a median of 30 to 2000, but
)
# 12 for Simglucose, of which one column moves, and 2 for a HalfCheetah that tumbles: there, few or none are found
FOREIGN = 3.0  # the same for the median over ends that lead into the next episode's start: 1 or less if time goes on
FLOOR = 0.05  # least ordinary error, in ordinary changes: where all is predicted, rounding must not become a jump
CUT = 0.5  # share of ends that lead into the next episode's start from which on a log counts as cut in pieces
CHUNK = 20_000  # rows whose features are held at a time


def following_rows(dataset: Dataset) -> list[Finding]:
    """Rows inside episodes whose next observation is not the observation of the following row."""
    inside = np.ones(len(dataset), bool)
    inside[dataset.starts[1:] - 1] = inside[-1] = False
    breaks = chain_breaks(dataset.obs, dataset.next_obs)
    breaks = breaks[inside[breaks]]
    if not len(breaks):
        return []
    share = len(breaks) / inside.sum()
    message = (
        f"the next observation is not that of the following row at {len(breaks)} rows "
        f"({percent(share)} of those inside episodes)"
    )
    shift = likely_shift(dataset, inside)
    if shift is None:
        advice = "an end flag is missing there, or rows were lost or reordered; split the episodes or repair the rows"
    else:
        message += f"; it is the observation {shift:+d} rows away instead of +1"
        advice = f"shift next_obs by {1 - shift:+d} rows within each episode"
    return [Finding("following rows", "error", f"row {breaks[0]}", float(share), message, advice)]


def likely_shift(dataset: Dataset, inside: NDArray[np.bool_]) -> int | None:
    """k in (0, 2, -1) with next_obs[t] = obs[t + k] at most rows inside episodes, or None."""
    rows = np.flatnonzero(inside)
    for shift in (0, 2, -1):
        other = rows + shift
        valid = (other >= 0) & (other < len(dataset))
        same = dataset.episode_of_row[other[valid]] == dataset.episode_of_row[rows[valid]]
        here, there = rows[valid][same], other[valid][same]
        if len(here) and np.isclose(dataset.next_obs[here], dataset.obs[there], 1e-4, 1e-6).all(axis=1).mean() > 0.5:
            return shift
    return None


def jumps(dataset: Dataset) -> list[Finding]:
    """Steps far larger than their observation and action explain: two episodes in one, or an end with another's start.

    The change of each moving column is predicted from (obs, action); a row's jump is the root mean square over
    columns of its error, each in units of that column's ORDINARY quantile.
    """
    sample = sample_rows(dataset)
    if sample is None:
        return []
    columns, leads = moving_columns(dataset, sample), leads_into_next(dataset)
    fitted = sample.rows[~leads[sample.rows]]  # should these ends be foreign, they must not pass for ordinary
    if not len(columns) or len(fitted) < MIN_ROWS:
        return []
    delta = dataset.next_obs[:, columns] - dataset.obs[:, columns]
    errors = prediction_errors(dataset, delta, fitted)
    relative = errors / ordinary_errors(errors[fitted], delta[fitted])
    size = root_mean_square(relative)
    is_end = np.zeros(len(dataset), bool)
    is_end[last_rows(dataset)] = True
    broken = np.zeros(len(dataset), bool)
    broken[chain_breaks(dataset.obs, dataset.next_obs)] = True  # inside episodes these have a check of their own
    inside = np.flatnonzero((size > JUMP) & ~is_end & ~broken)
    at_ends = np.flatnonzero((size > JUMP) & is_end & ~leads)
    found = _leading(dataset, np.flatnonzero(leads), size) + _at_ends(dataset, at_ends, size)
    return found + _inside(dataset, inside, size, relative[inside] > JUMP, columns)


def last_rows(dataset: Dataset) -> NDArray[np.int64]:
    """[E] the last row of each episode."""
    return dataset.starts + dataset.lengths - 1


def moving_columns(dataset: Dataset, sample: Sample) -> NDArray[np.int64]:
    """[C] columns of the observation that change at MOVING of the rows or more."""
    before, after = dataset.obs[sample.rows], dataset.next_obs[sample.rows]
    return np.flatnonzero((before != after).mean(axis=0) >= MOVING)


def prediction_errors(dataset: Dataset, delta: NDArray, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """[N, D] absolute errors of a smooth ridge fit of `delta` [N, D] at `rows` on (obs, action); NaN gives 0."""
    inputs = np.concatenate([dataset.obs, dataset.action], axis=1)
    # far values are not held: a step from one is no jump as long as it goes on in a straight line
    scaler, count = fit_scaler(inputs[rows]), feature_count(len(rows))
    weights = trimmed_weights(smooth_features(scaler.apply(inputs[rows], clip=np.inf), count), delta[rows])
    errors = np.empty(delta.shape)
    for first in range(0, len(delta), CHUNK):
        part = slice(first, first + CHUNK)
        errors[part] = np.abs(delta[part] - smooth_features(scaler.apply(inputs[part], clip=np.inf), count) @ weights)
    return np.nan_to_num(errors, nan=0.0, posinf=0.0)


def trimmed_weights(features: NDArray[np.float64], delta: NDArray) -> NDArray[np.float64]:
    """[M, D] ridge weights of `delta` [n, D] on `features` [n, M], fitted anew without the rows that jump at first."""

    def fit(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        x, y = features[kept], delta[kept].astype(np.float64)
        return ridge_weights(x.T @ x, x.T @ y, len(x), RIDGES[0])

    errors = np.abs(delta - features @ fit(np.ones(len(delta), bool)))
    return fit(root_mean_square(errors / ordinary_errors(errors, delta)) <= JUMP)


def root_mean_square(values: NDArray) -> NDArray[np.float64]:
    """[N] root mean square over the columns of `values` [N, D]."""
    return np.sqrt((values**2).mean(axis=1))


def ordinary_errors(errors: NDArray, delta: NDArray) -> NDArray[np.float64]:
    """[D] the ORDINARY quantile of `errors` [n, D], no less than FLOOR times that of the changes `delta` [n, D]."""
    return np.maximum(np.quantile(errors, ORDINARY, axis=0), FLOOR * np.quantile(np.abs(delta), ORDINARY, axis=0))


def leads_into_next(dataset: Dataset) -> NDArray[np.bool_]:
    """[N] whether the row is an episode's last and its next observation is the first one of the following episode."""
    found = np.zeros(len(dataset), bool)
    last = last_rows(dataset)[:-1]
    found[last] = np.isclose(dataset.next_obs[last], dataset.obs[last + 1], 1e-5, 1e-7).all(axis=1)
    return found


def _leading(dataset: Dataset, rows: NDArray[np.int64], size: NDArray) -> list[Finding]:
    """Ends that lead into the next start: another episode's observation where they jump, else one log cut in pieces."""
    if not len(rows):
        return []
    typical = float(np.median(size[rows]))
    if typical > FOREIGN:
        message = f"the next observation of {len(rows)} last steps is the first one of the following episode"
        advice = "log the observation after the last step, or drop those steps (true ends: repeat the observation)"
        return [Finding("jumps", "error", f"row {rows[0]}", typical, message, advice)]
    if len(rows) <= CUT * (dataset.n_episodes - 1):
        return []
    message = f"{len(rows)} of {dataset.n_episodes} episodes lead into the next without a break: one log, cut in pieces"
    advice = "held-out episodes adjoin training ones; join the pieces, for a single episode is split in time"
    return [Finding("jumps", "note", "episode ends", typical, message, advice)]


def _at_ends(dataset: Dataset, rows: NDArray[np.int64], size: NDArray) -> list[Finding]:
    if not len(rows):
        return []
    message = f"the last step of {len(rows)} episodes jumps (episodes {listed(dataset.episode_of_row[rows])})"
    advice = "check what was logged after the last step; a reset's observation does not belong there"
    return [Finding("jumps", "warning", f"row {rows[0]}", float(size[rows].max()), message, advice)]


def _inside(
    dataset: Dataset, rows: NDArray[np.int64], size: NDArray, jumping: NDArray[np.bool_], columns: NDArray[np.int64]
) -> list[Finding]:
    """Steps inside episodes; `jumping` [n, D] says which of the `columns` do at each of the n `rows`."""
    if not len(rows):
        return []
    some = columns[jumping.any(axis=0)]
    message = (
        f"{len(rows)} steps inside episodes change far more than observation and action explain "
        f"(episodes {listed(np.unique(dataset.episode_of_row[rows]))}; obs columns {listed(some)})"
    )
    if len(some) == 1:
        advice = "if the column is an angle or clock that wraps, give its sine and cosine; else split the episode"
    else:
        advice = "if an episode ended there, set its flag; if rows are missing, split the episode"
    return [Finding("jumps", "warning", f"row {rows[0]}", float(size[rows].max()), message, advice)]
