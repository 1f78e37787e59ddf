"""Intervals that hold the true value as often as they say: a bootstrap over episodes, and the spread of members.

An estimate is a mean over E episodes of what R members say of each. Two errors are added, draw by draw:

* Which episodes there were: their bootstrap, each deviation divided by the root of chi2 / (E - 1) and multiplied by
  the root of E / (E - 1). Of normal values that is Student's t, where a plain bootstrap of 18 is a tenth too narrow.
  Where weights let few episodes decide, E - 1 is one less than their effective number: what has not been seen of a
  heavy tail is not in a bootstrap either.
* What the members learnt from: a member is fitted to a bootstrap of the episodes outside of one of K folds, so its
  spread s^2 around its fold's mean is the variance of a fit to (K - 1) / K of the log. Fits for different folds share
  episodes such that the variance of their average is that of a fit to all episodes, (K - 1) / K * s^2; the average over
  the R members adds s^2 / (K * R). With one fold the two are s^2 and s^2 / R.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orl.evaluation.ope.types import Estimate, Floats, Indices

DRAWS, LEVEL = 4000, 0.95


def member_variance(values: Floats, fold: Indices) -> tuple[float, int]:
    """(variance that the members' data put into the mean of values [R, E], its degrees of freedom); (0, 0) of one."""
    members, folds = len(values), int(fold.max()) + 1
    if members < 2:
        return 0.0, 0
    means = np.stack([values[:, fold == k].mean(axis=1) for k in range(folds)])  # [K, R]
    spread = float(means.var(axis=1, ddof=1).mean())
    share = 1.0 if folds == 1 else (folds - 1) / folds
    return spread * (share + 1.0 / (folds * members)), folds * (members - 1)


def bootstrap_counts(episodes: int, draws: int, seed: int) -> NDArray[np.int64]:
    """[draws, E] how often each episode is drawn, with replacement, E a draw."""
    return np.random.default_rng(seed).multinomial(episodes, np.full(episodes, 1.0 / episodes), size=draws)


def bootstrap_draws(values: Floats, draws: int = DRAWS, seed: int = 0) -> Floats:
    """[draws] means of values [E] over bootstraps of the episodes."""
    return bootstrap_counts(len(values), draws, seed).astype(np.float64) @ values / len(values)


def widened(draws: Floats, centre: float, episodes: int, effective: float, seed: int = 0) -> Floats:
    """Bootstrap draws [N] as far from `centre` as so few episodes leave them: Student's t in place of the normal.

    Args:
        effective: how many episodes of equal weight say as much; not below 2, where the tails have no end already.
    """
    freedom = max(min(effective, episodes), 2.0) - 1.0
    chi2 = np.random.default_rng((seed, 1)).chisquare(freedom, len(draws))
    return centre + (draws - centre) * np.sqrt(episodes / (episodes - 1) * freedom / chi2)


def estimate(
    method: str,
    values: NDArray,
    fold: Indices | None = None,
    *,
    draws: Floats | None = None,
    effective: float = np.inf,
    detail: dict[str, float] | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """The mean of values [R, E] (or [E]) with its interval.

    Args:
        values: what each of R members says of each episode. fold: [E] which fold's members those are; None if all
            members saw every episode, or none any.
        draws: [draws] bootstraps over episodes of an estimate that is no plain mean; `values` then still centre it.
        effective: how many episodes of equal weight say as much as these; all of them by default.
        level: share of intervals that should hold the true value. seed: of the draws.
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    count, centre = values.shape[1], float(values.mean())
    detail = dict(detail or {})
    if count < 2 or not np.isfinite(centre):
        return Estimate(method, centre, -np.inf, np.inf, detail)
    sampled = bootstrap_draws(values.mean(axis=0), seed=seed) if draws is None else draws
    variance, freedom = member_variance(values, np.zeros(count, np.int64) if fold is None else fold)
    drawn = widened(sampled, centre, count, effective, seed)
    if freedom:
        drawn = drawn + np.sqrt(variance) * np.random.default_rng((seed, 2)).standard_t(freedom, len(drawn))
    low, least, high = (float(x) for x in np.quantile(drawn, [(1.0 - level) / 2.0, 1.0 - level, (1.0 + level) / 2.0]))
    detail |= {"members_error": float(np.sqrt(variance)), "episodes_error": float(sampled.std())}
    return Estimate(method, centre, low, high, detail, least, drawn)


def difference(
    method: str,
    values: NDArray,
    baseline: NDArray,
    fold: Indices | None = None,
    *,
    effective: float = np.inf,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """How much values [R, E] (or [E]) exceed baseline [E] (or [R, E] of the same members), paired by episode.

    What an episode's first observation gives to both falls out.
    """
    paired = np.atleast_2d(values) - np.atleast_2d(baseline)
    return estimate(method, paired, fold, effective=effective, level=level, seed=seed)
