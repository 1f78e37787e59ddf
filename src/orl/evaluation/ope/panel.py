"""Every estimator on one policy, and each one's difference to the behaviour in the same episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orl.evaluation.ope.crossfit import CrossFit
from orl.evaluation.ope.doubly_robust import doubly_robust, weighted_doubly_robust
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
    """The direct estimate: V of the logged first observations, by the members that did not see their episode."""
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
    values = doubly_robust(log_ratio, fit.q, fit.v, fit.final, episodes, discount)
    log_weights = cumulative_log_weights(log_ratio, episodes)
    few = effective_episodes(log_weights, discount)
    plain = Found(
        estimate(DOUBLY_ROBUST, values, fit.fold, effective=few, detail={"effective": few}, seed=seed),
        difference(DOUBLY_ROBUST, values, baseline, fit.fold, effective=few, seed=seed),
    )
    q, v, final = (x.mean(axis=0) for x in (fit.q, fit.v, fit.final))

    def weighted(counts: NDArray | None) -> Floats:
        return weighted_doubly_robust(log_weights, q, v, final, episodes, discount, counts)

    # what the members learnt from moves this estimate as it moves the direct one
    return [plain, _ratio_of_means(WEIGHTED_DOUBLY_ROBUST, weighted, fit.initial, fit.fold, baseline, few, seed)]


def importance_sampling(
    log_ratio: NDArray, beyond: Floats, baseline: Floats, episodes: LoggedEpisodes, discount: float, seed: int = 0
) -> list[Found]:
    """Weighted and plain per-decision importance sampling.

    Args:
        log_ratio: [N] log pi / beta of logged actions. beyond: [E] what the policy would earn after a cut episode.
    """
    log_weights = cumulative_log_weights(log_ratio, episodes)
    reward = episodes.completed_reward(discount, beyond)
    values = per_decision(log_weights, reward, episodes, discount)
    returns = baseline.mean(axis=0)
    few = effective_episodes(log_weights, discount)
    plain = Found(
        estimate(PER_DECISION, values, effective=few, detail={"effective": few}, seed=seed),
        difference(PER_DECISION, values, returns, effective=few, seed=seed),
    )

    def weighted(counts: NDArray | None) -> Floats:
        return weighted_per_decision(log_weights, reward, episodes, discount, counts)

    nothing = np.zeros((1, len(episodes)))
    fold = np.zeros(len(episodes), np.int64)
    return [_ratio_of_means(WEIGHTED, weighted, nothing, fold, baseline, few, seed), plain]


def _ratio_of_means(
    method: str,
    of: Callable[[NDArray | None], Floats],
    members: Floats,
    fold: NDArray,
    baseline: Floats,
    effective: float,
    seed: int,
) -> Found:
    """Of an estimate that is no mean over episodes: `of(counts)` [draws] for bootstrapped episodes, `of(None)` [1].

    Args:
        members: [R, E] whose spread over members is this estimate's, too. baseline: [R', E].
    """
    episodes = baseline.shape[1]
    counts = bootstrap_counts(episodes, DRAWS, seed)
    centre, draws = float(of(None)[0]), of(counts)
    returns = baseline.mean(axis=0)
    spread = members - members.mean()
    return Found(
        estimate(
            method, centre + spread, fold, draws=draws, effective=effective, detail={"effective": effective}, seed=seed
        ),
        estimate(
            method,
            centre - returns.mean() + spread,
            fold,
            draws=draws - counts @ returns / episodes,
            effective=effective,
            seed=seed,
        ),
    )
