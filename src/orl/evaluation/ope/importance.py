"""Importance sampling: logged rewards, weighted by how much likelier the target policy makes what happened.

A deterministic policy gives any logged action a density of 0. It is therefore smoothed: instead of pi(s) it plays a
Gaussian around pi(s), censored at the bounds like the behaviour's, with the behaviour's own spread in s (`bandwidth`
1). A policy that plays the behaviour's mean then has weights of exactly 1. What is estimated is the smoothed policy.

An ended episode stays where it ended: reward 0, its weight as it was. So does a cut one, whose last reward may carry
what would have followed (`LoggedEpisodes.completed_reward`).

References: Precup et al. 2000 (per decision); Thomas & Brunskill, arXiv:1604.00923 (weights normalised at each step).
"""

from __future__ import annotations

import jax
import numpy as np
from numpy.typing import NDArray

from orl.chunks import cached_rows, map_chunks
from orl.evaluation.ope.behaviour import BehaviourParams, action_distribution, censored_log_density
from orl.evaluation.ope.types import Floats, LoggedEpisodes
from orl.types import Array

REST, FEW = 0.25, 6.0
LEAST = 1e-250  # share of the largest weight below which a weight counts as this share: ratios of zeros are no numbers


@jax.jit
def smoothed_log_ratio(
    params: BehaviourParams, obs: Array, action: Array, own_action: Array, bandwidth: Array | float = 1.0
) -> Array:
    """[K, B] log pi(a|s) / beta(a|s) of logged actions [B, A], the policy smoothed around its own [B, A].

    Args:
        bandwidth: spread of the smoothed policy in spreads of the behaviour.
    """

    def ratio(rows: tuple[Array, Array, Array]) -> Array:
        obs, action, own_action = rows
        mean, std = action_distribution(params, obs)
        return (censored_log_density(action, own_action, bandwidth * std) - censored_log_density(action, mean, std)).T

    return map_chunks(ratio, (obs, action, own_action), cached_rows()).T


def cumulative_log_weights(log_ratio: NDArray, episodes: LoggedEpisodes) -> Floats:
    """[E, T] log w_{0:t} = sum_{s<=t} log(pi / beta) of log ratios [N]; after an episode's end its last."""
    return np.cumsum(episodes.by_step(np.asarray(log_ratio, np.float64)), axis=1)


def discounts(episodes: LoggedEpisodes, discount: float) -> Floats:
    """[T] discount^t."""
    return np.power(discount, np.arange(int(episodes.lengths.max())), dtype=np.float64)


def per_decision(log_weights: Floats, reward: Floats, episodes: LoggedEpisodes, discount: float) -> Floats:
    """[E] sum_t discount^t w_{0:t} r_t of log weights [E, T] and rewards [N]; their mean has no bias.

    Weights may exceed what a float holds; the estimate is then infinite or not a number. Where few episodes count, the
    large weights that were not drawn are missing: 95% intervals of tabular tests then held the value 88% to 90%.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return (np.exp(log_weights) * episodes.by_step(reward)) @ discounts(episodes, discount)


def weighted_per_decision(
    log_weights: Floats,
    reward: Floats,
    episodes: LoggedEpisodes,
    discount: float,
    counts: NDArray[np.integer] | None = None,
) -> Floats:
    """[draws] sum_t discount^t sum_e w_{0:t}^e r_t^e / sum_e w_{0:t}^e: consistent, and within what rewards allow.

    Args:
        counts: [draws, E] how often each bootstrap holds each episode; None for one of each.
    """
    mean = weighted_means(relative_weights(log_weights), episodes.by_step(reward), counts)
    return mean @ discounts(episodes, discount)


def weighted_means(weights: Floats, values: Floats, counts: NDArray[np.integer] | None = None) -> Floats:
    """[draws, T] means over episodes of values [E, T] by weights [E, T], each episode `counts` [draws, E] times."""
    times = np.ones((1, len(weights))) if counts is None else np.asarray(counts, np.float64)
    return (times @ (weights * values)) / (times @ weights)


def relative_weights(log_weights: Floats) -> Floats:
    """[E, ...] weights as shares of the largest at each step, at least `LEAST`; no numbers where all are 0."""
    with np.errstate(invalid="ignore"):
        return np.maximum(np.exp(log_weights - log_weights.max(axis=0)), LEAST)


def effective_sample_size(log_weights: Floats) -> Floats:
    """[...] (sum_e w_e)^2 / sum_e w_e^2 of log weights [E, ...]: how many episodes of equal weight say as much.

    Between 1 (one episode decides) and E. Reference: Kong 1992.
    """
    weights = relative_weights(log_weights)
    return weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)


def effective_episodes(log_weights: Floats, discount: float) -> float:
    """How many episodes an estimate by log weights [E, T] rests on, for its interval (`intervals.estimate`).

    Half of the effective sample size, for the spread of few large weights is itself badly known, but no less than six
    of it: with all of it tabular intervals were too narrow, with half of the very few too wide. It is taken at the step
    behind which a quarter of an endless return lies, discount^t = 1/4, or at the last.
    """
    step = int(np.log(REST) / np.log(discount)) if discount < 1.0 else log_weights.shape[1]
    effective = float(effective_sample_size(log_weights)[min(step, log_weights.shape[1] - 1)])
    return max(effective / 2.0, min(effective, FEW))
