"""MPPI as in MBOP (arXiv:2008.05556): candidates around a behaviour prior, averaged by exp(kappa * return)."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from orl.planning.base import History, Plan, PlanFn
from orl.planning.shooting import PlannerParams, PriorFn, ValueFn, average, each_episode, score_weights, shoot
from orl.planning.trajectory_optimisation import NonNegative, Positive, Share, TrajectoryConfig
from orl.types import Array, StepFn


@dataclass(frozen=True)
class MppiConfig(TrajectoryConfig):
    """Settings of MPPI. Defaults are the numbers of MBOP in ACME (acme/agents/jax/mbop/mppi.py).

    Two do not mean quite the same there: ACME sums rewards undiscounted, and its noise is in units of the logged
    actions' std, where here actions range from -1 to 1.

    Attributes:
        samples: candidates per episode.
        sigma: std of the actions' noise (ACME's docstring calls it a variance, its code takes it for the std).
        beta: share of the last plan in every candidate's action; without a prior candidates are around it entirely.
        kappa: per reward unit; 0 averages all candidates alike, a large one takes the best.
    """

    samples: Positive = 1000
    sigma: NonNegative = 0.8
    beta: Share = 0.2
    kappa: NonNegative = 0.5


def make_mppi(config: MppiConfig, step: StepFn, prior: PriorFn | None, value: ValueFn | None) -> PlanFn:
    """The planner; its params are `PlannerParams`.

    Candidates act by a_t = (1 - beta) * (prior(s_t) + sigma * noise) + beta * guess_t in the states s_t that the model
    predicts for them, clipped to [-1, 1]; without a prior by a_t = guess_t + sigma * noise. The plan is their mean with
    weights exp(kappa * score), step by step, and so are its trajectory and its value: the latter is the weighted mean
    score of the candidates, not the score of the mean.

    Args:
        config: `horizon`, `discount` and its own fields are read here.
        step: the model, penalised already if it is to be.
        prior: behaviour in the predicted states, or None.
        value: of the state after the last step, or None for 0.

    Reference: MBOP, arXiv:2008.05556 (MBOP-Trajopt). Departs: prior and value see the state only, without an action;
    neither is an ensemble; actions are clipped; rewards are discounted; candidates end where the model says so.
    """

    def plan(params: PlannerParams, key: Array, history: History) -> Plan:
        def propose(number: Array, key: Array, obs: Array) -> Array:
            last_plan = history.guess[number]
            noise = config.sigma * jax.random.normal(key, (config.samples, *last_plan.shape))
            if prior is None:
                return last_plan + noise
            return (1 - config.beta) * (prior(params.prior, obs) + noise) + config.beta * last_plan

        shots = shoot(
            step,
            propose,
            params,
            key,
            history.now,
            candidates=config.samples,
            horizon=config.horizon,
            discount=config.discount,
            value=value,
        )
        return average(shots, score_weights(shots.score, config.kappa))

    return each_episode(plan, config.horizon)
