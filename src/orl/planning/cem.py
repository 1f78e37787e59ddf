"""The cross-entropy method: a Gaussian over action sequences, refitted to its best samples again and again."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from orl.errors import UsageError
from orl.planning.base import History, Plan, PlanFn
from orl.planning.shooting import (
    PlannerParams,
    PriorFn,
    Propose,
    Shots,
    ValueFn,
    average,
    each_episode,
    given,
    score_weights,
    shoot,
)
from orl.planning.trajectory_optimisation import NonNegative, Positive, Rate, TrajectoryConfig
from orl.types import Array, StepFn


@dataclass(frozen=True)
class CemConfig(TrajectoryConfig):
    """Settings of the cross-entropy method; samples, elites and iterations as for PETS (arXiv:1805.12114).

    Attributes:
        samples: sequences drawn per episode and iteration.
        elites: the best of them, to which the Gaussian is refitted (not the ensemble's elites).
        iterations: refits before an action.
        initial_std, min_std: of every action of a sequence, at first and at least.
    """

    samples: Positive = 400
    elites: Positive = 40
    iterations: Positive = 5
    initial_std: Rate = 0.5
    min_std: NonNegative = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.elites > self.samples:
            raise UsageError(f"plan.elites is {self.elites}, more than plan.samples ({self.samples})")


def make_cem(config: CemConfig, step: StepFn, prior: PriorFn | None, value: ValueFn | None) -> PlanFn:
    """The planner; its params are `PlannerParams`.

    A Gaussian, independent in every step and dimension, starts at what the prior plays in the states that the model
    predicts for it (the mean of as many rollouts as there are elites), or without a prior at the history's guess.
    Samples are clipped to [-1, 1]. The plan is the mean of the last iteration's elites. It is played once more by as
    many copies, so through several members and with the step's noise: the plan's value is their mean score, its
    trajectory their mean states and rewards.

    Args:
        config: `horizon`, `discount` and its own fields are read here.
        step: the model, penalised already if it is to be.
        prior: behaviour in the predicted states, or None.
        value: of the state after the last step, or None for 0.

    Reference: PETS, arXiv:1805.12114, and mbrl-lib's CEMOptimizer. Departs: both draw from a truncated normal whose
    spread shrinks near the bounds and smooth the refits by a momentum, where this clips and keeps a least spread;
    mbrl-lib's optimiser by default returns the best sequence ever seen, whose score the noise and errors flatter.
    """

    def shots(params: PlannerParams, key: Array, obs: Array, propose: Propose, candidates: int) -> Shots:
        sizes: dict[str, int] = {"candidates": candidates, "horizon": config.horizon}
        return shoot(step, propose, params, key, obs, **sizes, discount=config.discount, value=value)

    def initial_mean(params: PlannerParams, key: Array, history: History) -> Array:
        """[H, A] of the first Gaussian."""
        if prior is None:
            return history.guess
        played = shots(params, key, history.now, lambda t, key, obs: prior(params.prior, obs), config.elites)
        return jnp.mean(played.action, axis=0)

    def plan(params: PlannerParams, key: Array, history: History) -> Plan:
        start_key, search_key, last_key = jax.random.split(key, 3)

        def refit(gaussian: tuple[Array, Array], iteration_key: Array) -> tuple[tuple[Array, Array], None]:
            mean, std = gaussian
            noise_key, model_key = jax.random.split(iteration_key)
            drawn = mean + std * jax.random.normal(noise_key, (config.samples, *mean.shape))
            elites = best(shots(params, model_key, history.now, given(drawn), config.samples), config.elites)
            return (jnp.mean(elites, axis=0), jnp.maximum(jnp.std(elites, axis=0), config.min_std)), None

        start = initial_mean(params, start_key, history)
        gaussian = start, jnp.full_like(start, config.initial_std)
        (mean, _), _ = jax.lax.scan(refit, gaussian, jax.random.split(search_key, config.iterations))
        copies = jnp.tile(mean, (config.elites, 1, 1))
        final = shots(params, last_key, history.now, given(copies), config.elites)
        return average(final, score_weights(final.score, 0.0))

    return each_episode(plan, config.horizon)


def best(shots: Shots, count: int) -> Array:
    """[count, H, A] the sequences of the highest scores, as they were played."""
    _, index = jax.lax.top_k(shots.score, count)
    return shots.action[index]
