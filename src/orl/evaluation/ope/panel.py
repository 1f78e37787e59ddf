"""Every estimator on one policy, and each one's difference to the behaviour in the same episodes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.evaluation.ope.crossfit import CrossFit
from orl.evaluation.ope.doubly_robust import doubly_robust, weighted_doubly_robust, weighted_shares
from orl.evaluation.ope.importance import (
    cumulative_log_weights,
    effective_episodes,
    per_decision,
    weighted_per_decision,
)
from orl.evaluation.ope.intervals import DRAWS, bootstrap_counts, difference, estimate
from orl.evaluation.ope.methods import DOUBLY_ROBUST, FQE, PER_DECISION, WEIGHTED, WEIGHTED_DOUBLY_ROBUST
from orl.evaluation.ope.types import Estimate, Floats, LoggedEpisodes


class Found(NamedTuple):
    """A policy's value by one method, and by how much it exceeds what the behaviour earned in the same episodes."""

    value: Estimate
    improvement: Estimate


def behaviour_estimate(baseline: Floats, fold: NDArray, seed: int = 0) -> Estimate:
    """What the behaviour earns, from its completed returns [R, E] (`baseline.behaviour_returns`)."""
    return estimate("behaviour", baseline, fold if len(baseline) > 1 else None, seed=seed)


def fitted_q(fit: CrossFit, baseline: Floats, detail: dict[str, float], seed: int = 0) -> Found:
    """The direct estimate: V of the logged first observations, by the members that did not see their episode.

    `baseline` [N] is what the behaviour earned in the N episodes.
    """
    return Found(
        estimate(FQE, fit.initial, fit.fold, detail=detail, seed=seed),
        difference(FQE, fit.initial, baseline, fit.fold, seed=seed),
    )


def corrected_q(
    fit: CrossFit, log_ratio: NDArray, baseline: Floats, episodes: LoggedEpisodes, discount: float, seed: int = 0
) -> list[Found]:
    """Doubly robust, and weighted doubly robust.

    Args:
        log_ratio: [N] log pi / beta of logged actions. baseline: [R, E] the behaviour's completed returns.
    """
    log_weights = cumulative_log_weights(log_ratio, episodes)
    few, parts = effective_episodes(log_weights, discount), (fit.q, fit.v, fit.final)
    values = doubly_robust(log_ratio, *parts, episodes, discount)
    plain = Found(
        estimate(DOUBLY_ROBUST, values, fit.fold, effective=few, detail={"effective": few}, seed=seed),
        difference(DOUBLY_ROBUST, values, baseline, fit.fold, effective=few, seed=seed),
    )
    counts = bootstrap_counts(len(episodes), DRAWS, seed)
    q, v, final = (part.mean(axis=0) for part in parts)
    draws = weighted_doubly_robust(log_weights, q, v, final, episodes, discount, counts)
    shares = weighted_shares(log_weights, *parts, episodes, discount)
    return [plain, _by_draws(WEIGHTED_DOUBLY_ROBUST, shares, draws, counts, fit.fold, baseline, few, seed)]


def importance_sampling(
    log_ratio: NDArray, beyond: Floats, baseline: Floats, episodes: LoggedEpisodes, discount: float, seed: int = 0
) -> list[Found]:
    """Weighted and plain per-decision importance sampling.

    Args:
        log_ratio: [N] log pi / beta of logged actions. beyond: [E] what the policy would earn after a cut episode.
        baseline: [R, E] the behaviour's completed returns.
    """
    log_weights = cumulative_log_weights(log_ratio, episodes)
    few, reward = effective_episodes(log_weights, discount), episodes.completed_reward(discount, beyond)
    values, returns = per_decision(log_weights, reward, episodes, discount), baseline.mean(axis=0)
    plain = Found(
        estimate(PER_DECISION, values, effective=few, detail={"effective": few}, seed=seed),
        difference(PER_DECISION, values, returns, effective=few, seed=seed),
    )
    counts = bootstrap_counts(len(episodes), DRAWS, seed)
    centre = float(weighted_per_decision(log_weights, reward, episodes, discount)[0])
    draws = weighted_per_decision(log_weights, reward, episodes, discount, counts)
    same = np.full((1, len(episodes)), centre)
    return [_by_draws(WEIGHTED, same, draws, counts, None, baseline, few, seed), plain]


def _by_draws(
    method: str,
    values: Floats,
    draws: Floats,
    counts: NDArray,
    fold: NDArray | None,
    baseline: Floats,
    effective: float,
    seed: int,
) -> Found:
    """Of an estimate that is no mean over episodes.

    Args:
        values: [R, E] whose mean it is. draws: [draws] of it, for episodes drawn `counts` [draws, E] times.
        fold: [E] whose members `values` are of, None where they are of none. baseline: [R', E].
    """
    returns = baseline.mean(axis=0)
    behaviour = counts @ returns / len(returns)
    return Found(
        estimate(method, values, fold, draws=draws, effective=effective, detail={"effective": effective}, seed=seed),
        estimate(method, values - returns, fold, draws=draws - behaviour, effective=effective, seed=seed),
    )
