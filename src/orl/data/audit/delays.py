"""Whether observation and action decide what comes next, or the past has a say: delayed actions, missing memory.

The change of each observation column is predicted, on held-out rows, from smooth functions of (s_t, a_t). Then the
same with a_{t-k} added, for each lag k, and with the last change s_t - s_{t-1} added. In a Markov system none of it
helps; where actions act late, a_{t-k} does; where a velocity is missing, the last change does.

Smooth features never follow a real system perfectly, and what they miss is related to the past a little as well. So a
gain must be large, beyond chance, and show in every fold, to count. Rows are held out at random, not by episode: the
question is not how well a model does elsewhere, where whatever extrapolates would help. Markov logs (Hopper,
HalfCheetah, Pendulum) give, by this defect alone, at most 0.003 of a column's variance and 0.03 of the unexplained rest
by a lag, and half of the rest by the last change; a delay of the Pendulum's torque gives 0.97 of the rest, a Pendulum
without its speed 0.95 (measured with whole episodes held out, which is harder on a Markov log).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.data.audit.features import feature_count, smooth_features, standardised
from orl.data.audit.finding import Finding, percent
from orl.data.audit.ridge import explained, fold_moments, heldout_errors, heldout_r2
from orl.data.audit.sample import FOLDS, SEED, sample_rows
from orl.data.episodes import Dataset

Doubles = NDArray[np.float64]

DELAYED, FORGETFUL = "delayed actions", "missing memory"  # names of the two findings
MAX_LAG = 10
LAG_GAIN = 0.03  # share of a column's variance from which a lag counts: ten times the above
LAG_SHARE, LAG_LEAST = 0.25, 0.001  # ... or of the unexplained rest, eight times the above, where that is not nothing
MEMORY_SHARE, MEMORY_LEAST = 0.7, 0.05  # the same for the last change, well above the half of the above
CHANCE = (
    20.0  # rows times gain over rest is about chi-squared, one degree an added column, where the past does nothing:
)
# above 20 once in 100,000 cases
OUTLIERS = 0.002  # changes beyond this quantile at either side are held there, lest a few falls decide every fit


class PastEffects(NamedTuple):
    """Held-out R^2 of the changes of D columns, for lags k = 1..K.

    Attributes:
        rows: how many there were. columns: [D] the columns of the observation that change.
        now: [D] R^2 from (s_t, a_t).
        lags: [K, D] from (s_t, a_t, a_{t-k}). lag_helps: [K, D] whether it helped in every fold.
        instead: [K + 1, D] from (s_t, a_{t-k}), k = 0..K, the action taken linearly.
        change: [D] from (s_t, a_t, s_t - s_{t-1}). change_helps: [D] whether it helped in every fold.
    """

    rows: int
    columns: NDArray[np.int64]
    now: Doubles
    lags: Doubles
    lag_helps: NDArray[np.bool_]
    instead: Doubles
    change: Doubles
    change_helps: NDArray[np.bool_]


def history(dataset: Dataset) -> list[Finding]:
    """Columns whose change an earlier action, or their own last change, explains where (s_t, a_t) do not.

    Where both would do, the better explanation is given: an action leaves its trace in the changes, and the other way.
    """
    effects = past_effects(dataset)
    if effects is None:
        return []
    rest = np.maximum(1.0 - effects.now, 1e-12)
    chance = CHANCE * rest / effects.rows
    by_lag = np.where(effects.lag_helps, effects.lags - effects.now, 0.0)
    lag, best = by_lag.argmax(axis=0) + 1, by_lag.max(axis=0)
    by_change = np.where(effects.change_helps, effects.change - effects.now, 0.0)
    delayed = (best >= LAG_GAIN) | ((best >= LAG_SHARE * rest) & (best >= LAG_LEAST))
    forgetful = (by_change >= MEMORY_SHARE * rest) & (by_change >= MEMORY_LEAST)
    late = delayed & (best > chance) & (best > by_change)
    lost = forgetful & (by_change > chance) & (by_change >= best)
    return [_delay(effects, index, int(lag[index])) for index in np.flatnonzero(late).tolist()] + [
        _memory(effects, index) for index in np.flatnonzero(lost).tolist()
    ]


def advised_history(findings: Sequence[Finding]) -> int:
    """The k of `--history k` that helps against all of these findings of `history`; 0 without any."""
    return max((int(each.value) if each.check == DELAYED else 1 for each in findings), default=0)


def _delay(effects: PastEffects, index: int, lag: int) -> Finding:
    with_lag, without = effects.lags[lag - 1, index], effects.now[index]
    shifted, own = effects.instead[lag, index], effects.instead[0, index]
    share = percent((with_lag - without) / (1 - without))
    message = (
        f"the action {lag} steps earlier explains {share} of what observation and action leave open of its change; "
        f"in place of the step's own action it makes R^2 {shifted:.3f} instead of {own:.3f}"
    )
    advice = f"actions act with a delay: `--history {lag}` stacks the last {lag} observations and actions"
    place = f"obs column {effects.columns[index]}"
    return Finding(DELAYED, "warning", place, float(lag), message, advice)


def _memory(effects: PastEffects, index: int) -> Finding:
    without, with_change = max(effects.now[index], 0.0), effects.change[index]
    message = (
        f"observation and action explain {percent(without)} of its change, with the change before it "
        f"{percent(with_change)}"
    )
    advice = "a velocity or another memory is missing: `--history 1` stacks the last observation and action"
    place = f"obs column {effects.columns[index]}"
    return Finding(FORGETFUL, "warning", place, float(with_change - without), message, advice)


def past_effects(dataset: Dataset, lags: int = MAX_LAG) -> PastEffects | None:
    """The R^2 of all questions about the past, or None where the rows do not suffice or nothing ever changes."""
    lags = max(min(lags, int(np.median(dataset.lengths)) // 2), 1)  # short episodes keep half of their rows
    sample = sample_rows(dataset, past=lags)
    if sample is None:
        return None
    rows, delta = sample.rows, dataset.next_obs - dataset.obs
    fold = np.random.default_rng(SEED).integers(0, FOLDS, len(rows))
    columns = np.flatnonzero(np.ptp(delta[rows], axis=0) > 0)
    if not len(columns):
        return None
    target, count = held_in(delta[rows][:, columns]), feature_count(len(rows))
    obs = standardised(dataset.obs[rows])
    actions = [standardised(dataset.action[rows - lag]) for lag in range(lags + 1)]
    before = standardised(delta[rows - 1][:, columns])
    smooth = smooth_features(np.concatenate([obs, actions[0]], axis=1), count)
    moments = fold_moments(np.concatenate([smooth, *actions[1:], before], axis=1), target, fold)
    of_obs = smooth_features(obs, count)
    shifted = fold_moments(np.concatenate([of_obs, *actions], axis=1), target, fold)
    width = dataset.action.shape[1]
    without = heldout_errors(moments, np.arange(smooth.shape[1]))
    blocks = added(smooth.shape[1], [width] * lags + [len(columns)])
    *with_lags, with_change = [heldout_errors(moments, block) for block in blocks]
    return PastEffects(
        rows=len(rows),
        columns=columns,
        now=explained(without, moments),
        lags=np.stack([explained(errors, moments) for errors in with_lags]),
        lag_helps=np.stack([(errors < without).all(axis=0) for errors in with_lags]),
        instead=np.stack([heldout_r2(shifted, block) for block in added(of_obs.shape[1], [width] * (lags + 1))]),
        change=explained(with_change, moments),
        change_helps=np.asarray((with_change < without).all(axis=0)),
    )


def added(base: int, sizes: list[int]) -> list[NDArray[np.int64]]:
    """For blocks of these `sizes` behind `base` columns: the indices [C] of the base with each one of them."""
    ends = base + np.cumsum(sizes)
    return [np.append(np.arange(base), np.arange(end - size, end)) for end, size in zip(ends, sizes, strict=True)]


def held_in(change: NDArray) -> Doubles:
    """Standardised columns of `change` [N, D], values beyond the OUTLIERS quantiles held there."""
    low, high = np.quantile(change, [OUTLIERS, 1 - OUTLIERS], axis=0)
    return standardised(np.clip(change, low, high), clip=np.inf)
