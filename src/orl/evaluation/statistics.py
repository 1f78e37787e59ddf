"""Scores of several seeds as one number with an interval: interquartile mean, stratified bootstrap.

Reference: Agarwal et al. 2021 (rliable), arXiv:2108.13264, whose estimators these are, in NumPy and with a seed of
their own. A NaN score is never dropped: whatever it enters is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orl.data.episodes import Reference
from orl.errors import UsageError

Statistic = Callable[[NDArray[np.float64]], Any]


class Summary(NamedTuple):
    """Evaluation of one method on one task, in normalised score units (or in returns, without a reference).

    Attributes:
        mean: mean over seeds of `per_seed`.
        iqm: interquartile mean over seeds of `per_seed`; with one seed, that seed's score.
        ci95: (low, high) percentile bootstrap interval of `iqm` at 95%; None where only one episode was run.
        per_seed: [S] mean score of each seed's episodes.
        ci_over: what `ci95` is taken over. "seeds": how the result varies from one training run to another.
            "episodes" (a single seed): only how that one trained policy varies; it says nothing about other runs.
    """

    mean: float
    iqm: float
    ci95: tuple[float, float] | None
    per_seed: tuple[float, ...]
    ci_over: Literal["seeds", "episodes"]


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean of `scores`, of any shape: the mean after a quarter at each end (rounded down) is dropped.

    The same as ``scipy.stats.trim_mean(scores, 0.25, axis=None)``, but NaN where any score is NaN.

    Raises:
        UsageError: there are no scores.
    """
    ordered = np.sort(_scores(scores), axis=None)  # NaN sorts last, where trimming would hide it
    cut = ordered.size // 4
    return float("nan") if np.isnan(ordered[-1]) else float(ordered[cut : ordered.size - cut].mean())


def stratified_bootstrap_ci(
    scores: ArrayLike, statistic: Statistic, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of ``statistic(scores)``.

    With few runs the interval is too narrow (under 10 runs clearly so), as every percentile bootstrap is.

    Args:
        scores: [R, T] score of each run on each task (the stratum), or [R] for a single task. Runs of a task are
            redrawn with replacement, independently of the other tasks.
        statistic: maps an array shaped like `scores` to a number, for example `iqm` or ``np.mean``.
        level: share of intervals that should hold the true value, in (0, 1).
        resamples: how many redrawn arrays the interval is read from.
        seed: of the redrawing; the same seed gives the same interval.

    Raises:
        UsageError: `scores` is empty or not 1- or 2-dimensional, or `level` or `resamples` is out of range.
    """
    array = _scores(scores)
    if array.ndim not in (1, 2):
        raise UsageError(f"bootstrap wants scores [runs] or [runs, tasks], got shape {array.shape}")
    if not 0.0 < level < 1.0 or resamples < 1:
        raise UsageError(f"bootstrap wants 0 < level < 1 and resamples >= 1, got {level} and {resamples}")
    rng = np.random.default_rng(seed)
    drawn = np.empty(resamples)
    for i in range(resamples):
        rows = rng.integers(len(array), size=array.shape)
        drawn[i] = statistic(np.take_along_axis(array, rows, axis=0))
    low, high = np.quantile(drawn, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def summarise(returns: ArrayLike, reference: Reference | None = None, *, seed: int = 0) -> Summary:
    """Summary of undiscounted returns [S, M] of M evaluation episodes for each of S training seeds.

    Returns become scores by `reference` (a linear map, so it may come before or after the mean over episodes), then
    one score per seed. The interval is over seeds from two seeds on, else over the episodes of the one there is.

    Raises:
        UsageError: `returns` is not a non-empty [S, M] array.
    """
    array = _scores(returns)
    if array.ndim != 2:
        raise UsageError(f"summarise wants returns [seeds, episodes], got shape {array.shape}")
    scores = np.asarray(reference.score(array) if reference else array, np.float64)
    per_seed = scores.mean(axis=1)
    ci95 = None
    if len(scores) > 1:
        ci95 = stratified_bootstrap_ci(per_seed, iqm, seed=seed)
    elif scores.size > 1:
        # One seed's iqm is its mean over episodes, so it is that mean whose spread the interval has to show.
        ci95 = stratified_bootstrap_ci(scores[0], np.mean, seed=seed)
    over: Literal["seeds", "episodes"] = "seeds" if len(scores) > 1 else "episodes"
    return Summary(float(per_seed.mean()), iqm(per_seed), ci95, tuple(map(float, per_seed)), over)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """P(X > Y) + P(X = Y) / 2 for a random run of `x` and one of `y`, averaged over tasks; 0.5 is no difference.

    Args:
        x, y: [R, T] and [R', T] scores (higher is better), or [R] and [R'] for a single task.

    Raises:
        UsageError: either is empty, or their tasks differ in number.
    """
    a, b = _scores(x), _scores(y)
    if a.ndim not in (1, 2) or a.shape[1:] != b.shape[1:]:
        raise UsageError(f"wants scores [runs, tasks] of the same tasks, got shapes {a.shape} and {b.shape}")
    if np.isnan(a).any() or np.isnan(b).any():
        return float("nan")
    wins, ties = a[:, None] > b[None], a[:, None] == b[None]
    return float((wins + 0.5 * ties).mean())


def improvement_ci(
    x: ArrayLike, y: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of `probability_of_improvement`; [R] and [R'] scores of one task.

    The runs of either side are redrawn with replacement, independently of the other's. Where every run of one side
    beats every run of the other, every redrawing says so too, and the interval has no width: with few runs it is too
    narrow.

    Raises:
        UsageError: as `probability_of_improvement` and `stratified_bootstrap_ci`.
    """
    a, b = _scores(x), _scores(y)
    if a.ndim != 1 or b.ndim != 1:
        raise UsageError(f"wants scores [runs] of one task, got shapes {a.shape} and {b.shape}")
    if not 0.0 < level < 1.0 or resamples < 1:
        raise UsageError(f"bootstrap wants 0 < level < 1 and resamples >= 1, got {level} and {resamples}")
    rng = np.random.default_rng(seed)
    drawn = [
        probability_of_improvement(rng.choice(a, a.size), rng.choice(b, b.size))  # with replacement
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def _scores(scores: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(scores, np.float64)
    if array.size == 0:
        raise UsageError("no scores were given")
    return array
